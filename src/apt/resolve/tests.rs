//! Small worlds and what is chosen in them.

use super::*;
use crate::apt::index::{Index, RepositoryId};
use crate::apt::preferences::{Policy, Preferences};
use crate::debian::status;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Packages written as `name version; Field: value; …`.
fn universe(packages: &[&str]) -> Universe {
    let text: String = packages
        .iter()
        .map(|line| entry(line) + &format!("Filename: x\nSize: 1\nSHA256: {HEX}\n\n"))
        .collect();
    Universe::new([Index::parse(&text, "amd64", RepositoryId(0)).unwrap()], "amd64")
}

fn entry(line: &str) -> String {
    let mut fields = line.split(';').map(str::trim);
    let (name, version) = fields.next().unwrap().split_once(' ').unwrap();
    let rest: String = fields.map(|field| format!("{field}\n")).collect();
    let architecture = if rest.contains("Architecture:") { "" } else { "Architecture: amd64\n" };
    format!("Package: {name}\nVersion: {version}\n{architecture}{rest}")
}

fn installed(packages: &[&str]) -> Vec<Installed> {
    let text: String = packages.iter().map(|line| entry(line) + "Status: install ok installed\n\n").collect();
    status::parse(&text).unwrap()
}

fn wanted(names: &str) -> Vec<Wanted> {
    let one = |word: &str| match word.split_once('=') {
        None => Wanted { name: word.to_owned(), version: None },
        Some((name, version)) => {
            Wanted { name: name.to_owned(), version: Some(Version::parse(version).unwrap()) }
        }
    };
    names.split_whitespace().map(one).collect()
}

fn ask(packages: &[&str], there: &[&str], names: &str) -> Result<String, String> {
    let universe = universe(packages);
    let installed = installed(there);
    let request = Request { install: wanted(names), installed: &installed, ..Request::default() };
    show(&universe, resolve(&universe, &request))
}

fn show(universe: &Universe, result: Result<Selection, Unsatisfiable>) -> Result<String, String> {
    let packages = |id: &CandidateId| {
        let package = &universe.candidate(*id).package;
        format!("{} {}", package.name, package.version)
    };
    let selection = result.map_err(|error| error.to_string())?;
    Ok(selection.install.iter().map(packages).collect::<Vec<_>>().join(", "))
}

fn chosen(packages: &[&str], there: &[&str], names: &str) -> String {
    ask(packages, there, names).unwrap()
}

fn refused(packages: &[&str], there: &[&str], names: &str) -> String {
    ask(packages, there, names).unwrap_err()
}

#[test]
fn a_closure_is_what_is_asked_for_and_all_it_needs() {
    let world = ["a 1; Depends: b (>= 1), c", "b 2; Pre-Depends: c", "c 1; Depends: a", "d 1"];
    assert_eq!(chosen(&world, &[], "a"), "a 1, b 2, c 1");
}

#[test]
fn the_highest_version_is_the_candidate_and_an_exact_one_can_be_asked_for() {
    let world = ["a 1", "a 1.10", "a 1.9", "b 1; Depends: a (<< 1.10)"];
    assert_eq!(chosen(&world, &[], "a"), "a 1.10");
    assert_eq!(chosen(&world, &[], "a=1.9 b"), "a 1.9, b 1");
    assert_eq!(
        refused(&world, &[], "a=2"),
        "cannot install a 2: no repository has that version; there is 1 or 1.9 or 1.10"
    );
    assert_eq!(refused(&world, &[], "a=1 a=1.9"), "cannot install a: it is asked for in two versions");
}

#[test]
fn the_left_alternative_comes_first_unless_another_is_there() {
    let world = ["a 1; Depends: b | c", "b 1", "c 1", "d 1; Depends: c | b"];
    assert_eq!(chosen(&world, &[], "a"), "a 1, b 1");
    assert_eq!(chosen(&world, &["c 1"], "a"), "a 1");
    assert_eq!(chosen(&world, &[], "a c"), "a 1, c 1");
    assert_eq!(chosen(&world, &[], "a d"), "a 1, b 1, d 1");
}

#[test]
fn an_alternative_that_cannot_be_had_is_passed_over() {
    let world = [
        "a 1; Depends: b | c | d",
        "b 1; Depends: missing",
        "c 1; Depends: e",
        "e 1; Depends: missing",
        "d 1",
    ];
    assert_eq!(chosen(&world, &[], "a"), "a 1, d 1");
}

#[test]
fn a_virtual_package_is_satisfied_by_who_provides_it() {
    let world = [
        "a 1; Depends: awk",
        "gawk 1; Provides: awk; Priority: optional",
        "mawk 1; Provides: awk; Priority: required",
    ];
    assert_eq!(chosen(&world, &[], "a"), "a 1, mawk 1");
    assert_eq!(chosen(&world, &["gawk 1; Provides: awk"], "a"), "a 1");
    assert_eq!(
        refused(&world, &[], "awk"),
        "cannot install awk: it is a virtual package; ask for one of gawk, mawk"
    );
    assert_eq!(chosen(&["b 1; Provides: only"], &[], "only"), "b 1");
}

#[test]
fn only_a_versioned_provides_satisfies_a_versioned_relation() {
    let world = [
        "a 1; Depends: api (>= 2)",
        "old 1; Provides: api (= 1)",
        "none 1; Provides: api",
        "new 1; Provides: api (= 2)",
    ];
    assert_eq!(chosen(&world, &[], "a"), "a 1, new 1");
}

#[test]
fn what_is_installed_stays_unless_a_need_raises_it() {
    let world = ["a 1; Depends: lib (>= 2)", "lib 3", "b 1; Depends: lib"];
    assert_eq!(chosen(&world, &["lib 1"], "b"), "b 1");
    assert_eq!(chosen(&world, &["lib 1"], "a"), "a 1, lib 3");
    assert_eq!(chosen(&world, &["lib 1"], "lib"), "lib 3");
    assert_eq!(chosen(&world, &["lib 4"], "lib"), "");
}

#[test]
fn an_upgrade_takes_along_what_it_would_leave_behind() {
    let world = ["lib 2", "tool 2; Depends: lib (= 2)"];
    assert_eq!(chosen(&world, &["lib 1", "tool 1; Depends: lib (= 1)"], "lib"), "lib 2, tool 2");
    let broken = chosen(&world, &["lib 1", "tool 1; Depends: gone"], "lib");
    assert_eq!(broken, "lib 2", "what was broken before is not mended");
}

#[test]
fn what_is_installed_from_the_same_source_is_kept_in_step_if_it_can_be() {
    let world = [
        "ssl-dev 2; Source: ssl",
        "openssl 2; Source: ssl",
        "ssl-doc 2; Source: ssl; Depends: gone",
        "other 2",
    ];
    let there = ["openssl 1; Source: ssl", "ssl-doc 1; Source: ssl", "other 1"];
    assert_eq!(chosen(&world, &there, "ssl-dev"), "openssl 2, ssl-dev 2");
}

#[test]
fn a_package_that_breaks_an_old_one_raises_it() {
    let world = ["a 2; Breaks: b (<< 2)", "b 2"];
    assert_eq!(chosen(&world, &["b 1"], "a"), "a 2, b 2");
}

#[test]
fn a_conflict_with_what_is_installed_is_refused_by_name() {
    assert_eq!(
        refused(&["a 1; Conflicts: b"], &["b 1"], "a"),
        "cannot install a (1): it conflicts with b, and b (1) is installed"
    );
}

#[test]
fn a_conflict_leads_to_the_next_alternative_if_it_is_met_before_the_choice() {
    let world = ["a 1; Depends: b | c, d", "b 1; Conflicts: d", "c 1", "d 1", "x 1; Depends: d, b | c"];
    assert_eq!(chosen(&world, &[], "x"), "c 1, d 1, x 1");
    assert_eq!(
        refused(&world, &[], "a"),
        "cannot install a (1): b (1) conflicts with d, and d (1) is needed too\nneeded by: a (1)",
        "apt has chosen b by then, and fails"
    );
}

#[test]
fn a_package_does_not_conflict_with_itself() {
    let world = ["a 1; Provides: mta; Conflicts: mta", "b 1; Provides: mta; Conflicts: mta"];
    assert_eq!(chosen(&world, &[], "a"), "a 1");
    assert!(
        refused(&world, &[], "a b")
            .starts_with("cannot install a (1): it conflicts with mta, and b (1) is asked for too")
    );
}

#[test]
fn the_essential_set_is_added_when_asked_for() {
    let universe = universe(&["base 1; Essential: yes; Depends: lib", "lib 1", "a 1"]);
    let request = Request { install: wanted("a"), essential: true, ..Request::default() };
    assert_eq!(show(&universe, resolve(&universe, &request)).unwrap(), "a 1, base 1, lib 1");
}

#[test]
fn recommendations_are_followed_only_when_asked_and_where_they_can_be() {
    let universe = universe(&["a 1; Recommends: b, c, gone", "b 1", "c 1; Depends: d", "d 1; Depends: gone"]);
    let request = |recommends| Request { install: wanted("a"), recommends, ..Request::default() };
    assert_eq!(show(&universe, resolve(&universe, &request(false))).unwrap(), "a 1");
    assert_eq!(show(&universe, resolve(&universe, &request(true))).unwrap(), "a 1, b 1");
}

#[test]
fn architectures_and_their_qualifiers_are_kept_apart() {
    let world = [
        "a 1; Depends: b:any, c:amd64, d [arm64]",
        "b 1; Multi-Arch: allowed",
        "c 1; Architecture: all",
        "e 1; Architecture: arm64",
        "f 1; Depends: b:arm64",
    ];
    assert_eq!(chosen(&world, &[], "a"), "a 1, b 1, c 1");
    assert_eq!(chosen(&world, &[], "a:amd64"), "a 1, b 1, c 1");
    assert!(
        refused(&world, &[], "e").starts_with("cannot install e: no repository has a package of that name")
    );
    assert!(refused(&world, &[], "f").starts_with("cannot install f (1): it depends on b:arm64"));
}

#[test]
fn an_unknown_name_is_answered_with_names_like_it() {
    let world = ["ca-certificates 1", "ca-certificates-java 1", "curl 1"];
    assert_eq!(
        refused(&world, &[], "ca-certificate"),
        "cannot install ca-certificate: no repository has a package of that name\nhint: did you mean ca-certificates"
    );
    assert_eq!(
        refused(&world, &[], "crul"),
        "cannot install crul: no repository has a package of that name\nhint: did you mean curl"
    );
}

#[test]
fn an_unmet_need_is_told_with_the_way_to_it() {
    let world = ["a 1; Depends: b", "b 2; Depends: c (>= 3) | virtual", "c 1"];
    assert_eq!(
        refused(&world, &[], "a"),
        "cannot install a (1): b (2) depends on c (>= 3) | virtual, but c is there only as 1 and no repository has virtual\nneeded by: a (1)"
    );
    let world = ["a 1; Depends: b (", "b 1"];
    assert_eq!(
        refused(&world, &[], "a"),
        "cannot read Depends of a (1): cannot read relation \"b (\": expected `)`"
    );
}

#[test]
fn where_a_choice_is_left_who_is_named_first_chooses_first() {
    let world = ["a 1; Depends: x | y", "b 1; Depends: y | x", "x 1", "y 1"];
    assert_eq!(chosen(&world, &[], "a b"), "a 1, b 1, x 1");
    assert_eq!(chosen(&world, &[], "b a b"), "a 1, b 1, y 1");
}

#[test]
fn a_pinned_repository_wins_over_a_newer_version() {
    let index = |line: &str, repository| {
        let text = entry(line) + &format!("Filename: x\nSize: 1\nSHA256: {HEX}\n");
        Index::parse(&text, "amd64", RepositoryId(repository)).unwrap()
    };
    let universe = Universe::new([index("a 1", 0).with_pin(990), index("a 2", 1)], "amd64");
    let request = Request { install: wanted("a"), ..Request::default() };
    assert_eq!(show(&universe, resolve(&universe, &request)).unwrap(), "a 1");
}

#[test]
fn hostile_worlds_end_soon() {
    let chain: Vec<String> =
        (0..20_000).map(|n| format!("p{n} 1; Depends: p{}", n + 1)).chain(["p20000 1".to_owned()]).collect();
    let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
    assert_eq!(chosen(&chain, &[], "p17100").split(", ").count(), 2901);
    assert!(refused(&chain, &[], "p0").contains("deeper than apt looks"));
    let fork = |n: usize| format!("q{n} 1; Depends: q{} | q{}", n + 1, n + 2);
    let forks: Vec<String> = (0..60).map(fork).collect();
    let forks: Vec<&str> = forks.iter().map(String::as_str).collect();
    assert!(refused(&forks, &[], "q0").contains("depends on"));
    let many = (0..5000).map(|n| format!("m{n}")).collect::<Vec<_>>().join(" | ");
    assert!(refused(&[&format!("a 1; Depends: {many}")], &[], "a").contains("no repository has m0"));
}

fn asked(packages: &[&str], there: &[&str], request: &Request<'_>) -> Result<String, String> {
    let universe = universe(packages);
    let installed = installed(there);
    let request = Request { installed: &installed, ..request.clone() };
    let selection = resolve(&universe, &request);
    let removed = selection.as_ref().map_or(Vec::new(), |selection| selection.remove.clone());
    let shown = show(&universe, selection)?;
    Ok(removed.iter().fold(shown, |shown, name| format!("{shown} -{name}").trim_start().to_owned()))
}

#[test]
fn what_is_asked_to_go_takes_along_what_cannot_be_without_it() {
    let world = ["lib 1", "tool 1; Depends: lib", "other 1; Depends: lib | alt", "alt 1"];
    let there = ["lib 1", "tool 1; Depends: lib", "other 1; Depends: lib | alt", "alt 1"];
    let request = Request { remove: vec!["lib".into()], ..Request::default() };
    assert_eq!(asked(&world, &there, &request).unwrap(), "-lib -tool");
    let beside = Request { install: wanted("a"), remove: vec!["b".into()], ..Request::default() };
    let world = ["a 1; Depends: b | c", "b 1", "c 1"];
    assert_eq!(asked(&world, &[], &beside).unwrap(), "a 1, c 1", "what is not there stays away");
}

#[test]
fn the_essential_and_the_unknown_cannot_be_removed() {
    let remove = |name: &str| Request { remove: vec![name.into()], ..Request::default() };
    let world = ["base 1; Essential: yes", "tool 1"];
    let there = ["base 1; Essential: yes"];
    assert_eq!(asked(&world, &there, &remove("base")).unwrap_err(), "cannot remove base: it is essential");
    assert_eq!(
        asked(&world, &there, &remove("toll")).unwrap_err(),
        "cannot remove toll: nobody knows a package of that name\nhint: did you mean tool"
    );
}

#[test]
fn nothing_goes_that_nobody_asked_to_go() {
    let world = ["a 1; Conflicts: b", "b 1"];
    let error = refused(&world, &["b 1"], "a");
    assert_eq!(error, "cannot install a (1): it conflicts with b, and b (1) is installed");
}

#[test]
fn an_upgrade_comes_first_and_removes_nothing() {
    let world = ["a 2; Depends: new", "new 1", "b 2; Conflicts: c", "c 1", "d 1; Depends: a (>= 2)"];
    let there = ["a 1", "b 1", "c 1"];
    let upgrade = Request { upgrade: true, ..Request::default() };
    assert_eq!(asked(&world, &there, &upgrade).unwrap(), "a 2, new 1", "b would have to remove c");
    let both = Request { install: wanted("d"), ..upgrade };
    assert_eq!(asked(&world, &there, &both).unwrap(), "a 2, d 1, new 1");
}

#[test]
fn what_came_by_the_way_and_is_not_needed_is_not_installed() {
    let world =
        ["a 1; Depends: b | c", "b 1; Depends: x, y", "x 1", "y 1; Depends: z", "z 1; Conflicts: a", "c 1"];
    assert_eq!(chosen(&world, &[], "a"), "a 1, c 1", "x was marked on the way to y");
}

#[test]
fn what_is_the_same_in_two_places_is_one_version() {
    let world = ["a 1; Depends: b(>= 1)", "b 1"];
    assert_eq!(chosen(&world, &["a 1; Depends: b (>= 1)", "b 1"], "a"), "");
    let rebuilt = chosen(&world, &["a 1; Depends: b (>= 1), old", "b 1", "old 1"], "a");
    assert_eq!(rebuilt, "a 1", "apt takes it for another build of the same version");
}

#[test]
fn preferences_choose_among_the_versions() {
    let world = ["a 1", "a 2", "b 1; Depends: a (<< 2)"];
    let mut universe = universe(&world);
    let policy = |text: &str| Policy {
        preferences: Preferences::parse(text).unwrap(),
        origins: Vec::new(),
        architecture: "amd64".into(),
    };
    let request = Request { install: wanted("a b"), ..Request::default() };
    assert!(resolve(&universe, &request).is_err());
    universe.prefer(policy("Package: a\nPin: version 1*\nPin-Priority: 900\n"));
    assert_eq!(show(&universe, resolve(&universe, &request)).unwrap(), "a 1, b 1");
    universe.prefer(policy("Package: /^[ab]$/\nPin: version *\nPin-Priority: -1\n"));
    assert!(
        show(&universe, resolve(&universe, &request)).unwrap_err().contains("no repository has a package")
    );
}

/// Hash maps with a seed of their own would show here.
#[test]
fn who_gives_way_is_the_same_every_time() {
    let mut world = vec!["top 1; Depends: p0, p1, p2, p3, p4, p5, p6, p7, last".to_owned()];
    for place in 0..8 {
        let next = (place + 1) % 8;
        world.push(format!("p{place} 1; Depends: l{place} | r{place} | m{place}"));
        world.push(format!("l{place} 1; Conflicts: l{next}, last"));
        world.push(format!("r{place} 1; Conflicts: r{next}"));
        world.push(format!("m{place} 1"));
    }
    world.push("last 1".to_owned());
    let world: Vec<&str> = world.iter().map(String::as_str).collect();
    let first = ask(&world, &[], "top");
    for _ in 0..50 {
        assert_eq!(ask(&world, &[], "top"), first);
    }
}
