//! Each rule with something that breaks it and something that keeps it.

use super::*;
use crate::bom::{
    self, AddedPackage, Bom, BomDelta, ContextFile, Document, File, FileSource, FoundPackage, Git, ImageId,
    LayerAccount, Licence, Location, Origin, Package, PathGroup, SourceFile, Subject,
};
use crate::build::definition::parse_policy;
use crate::build::graph::{Graph, Instruction, Op, Run};
use crate::build::lock::{LockRequest, LockedBase, LockedImage, LockedPackage, LockedSource, PlatformLock};
use crate::digest::Digest;
use crate::oci::{ContainerConfig, Platform};

fn policy(rules: &str) -> Policy {
    let text = format!("policy {{\n{rules}\n}}");
    parse_policy(&text, "policy.hcl").unwrap_or_else(|mistakes| panic!("\n{mistakes}\n"))
}

/// Returns what violations say, each on a line.
fn said(found: &[Violation]) -> String {
    found.iter().map(|violation| format!("{}: {}\n", violation.rule, violation.what)).collect()
}

fn locked(name: &str, version: &str, repository: &str, signed_by: &[&str]) -> LockedPackage {
    LockedPackage {
        name: name.into(),
        version: version.into(),
        architecture: "amd64".into(),
        sha256: Digest::of(name),
        size: 1,
        uri: match repository {
            "" => format!("dist/{name}.deb"),
            _ => format!("https://archive.example/debian/pool/{name}.deb"),
        },
        repository: repository.into(),
        signed_by: signed_by.iter().map(|key| (*key).to_owned()).collect(),
        deb: None,
        source: LockedSource { name: name.into(), version: version.into(), files: vec![] },
        built_using: vec![],
    }
}

/// Stands on `debian:bookworm`, takes files of an image that has a digest, and installs two packages.
fn lock() -> PlatformLock {
    let keys = ["A".repeat(40), "B".repeat(40)];
    let keys = [keys[0].as_str(), keys[1].as_str()];
    let base = LockedBase {
        name: "docker.io/library/debian:bookworm".into(),
        digest: Digest::of("base"),
        account: None,
        sources: vec![],
    };
    let tools = LockedImage {
        name: format!("registry.example/base/tools@{}", Digest::of("tools")),
        platform: Platform::host(),
        digest: Digest::of("tools"),
    };
    PlatformLock {
        platform: Platform::host(),
        request: LockRequest::default(),
        base: Some(base),
        suites: vec![],
        keys: vec![],
        packages: vec![
            locked("jq", "1.6-2", "https://archive.example/debian bookworm", &keys),
            locked("own", "1", "", &[]),
        ],
        beside: vec![],
        taken: vec![locked("telnet", "0.17-1", "https://archive.example/tools/ stable", &keys[1..])],
        remove: vec![],
        images: vec![tools],
        files: vec![],
        repositories: vec![],
    }
}

/// Runs a command with the network, and one without.
fn graph() -> Graph {
    let mut graph = Graph::new(Platform::host(), 0);
    for (text, has_network) in [("RUN apt-get update", true), ("RUN --network=none make", false)] {
        let instruction = Instruction { text: text.into(), ..Instruction::default() };
        let run = Run {
            instruction,
            argv: vec![],
            env: vec![],
            proxies: vec![],
            workdir: "/".into(),
            user: String::new(),
            has_network,
            hosts: vec![],
            mounts: vec![],
            secret_env: vec![],
        };
        graph.add(Op::Run(run), None, vec![]);
    }
    graph
}

#[test]
fn what_a_lock_pins_is_judged_before_anything_is_built() {
    let (ours, other) = ("B".repeat(40), "C".repeat(40));
    for (kept, broken, expected) in [
        (
            "allow_images = [\"debian\", \"registry.example/base/*\"]",
            "allow_images = [\"debian:trixie\", \"registry.example/base/*\"]",
            "allow_images: the image docker.io/library/debian:bookworm is not allowed\n",
        ),
        (
            "allow_images = [\"docker.io/library/debian:book*\", \"**/tools\"]",
            "allow_images = [\"debian*\"]",
            "allow_images: the image registry.example/base/tools@sha256:",
        ),
        (
            "require_digests = false",
            "require_digests = true",
            "require_digests: the image docker.io/library/debian:bookworm is named without a digest\n",
        ),
        (
            "allow_repositories = [\"https://archive.example/** stable bookworm\"]",
            "allow_repositories = [\"https://archive.example/debian/\"]",
            "allow_repositories: packages are from https://archive.example/tools/ stable, which is not allowed\n",
        ),
        (
            &format!("allow_keys = [\"{ours}\"]"),
            &format!("allow_keys = [\"{other}\"]"),
            "allow_keys: no key that is allowed vouches for https://archive.example/debian bookworm: A",
        ),
        (
            "deny_packages = [\"jq (<< 1.6)\", \"tel\"]",
            "deny_packages = [\"jq (<< 1.7)\"]",
            "deny_packages: package jq 1.6-2 is denied by `jq (<< 1.7)`\n",
        ),
        (
            "deny_network = false",
            "deny_network = true",
            "deny_network: a command reaches the network: RUN apt-get update\n",
        ),
    ] {
        assert_eq!(said(&before_building(&[policy(kept)], &lock(), &graph())), "", "{kept}");
        let found = said(&before_building(&[policy(broken)], &lock(), &graph()));
        assert!(found.starts_with(expected), "{broken}: {found}");
    }
}

#[test]
fn a_base_is_named_as_the_definition_writes_it() {
    let mut lock = lock();
    lock.request.base = Some(format!("docker.io/library/debian:bookworm@{}", Digest::of("base")));
    assert_eq!(said(&before_building(&[policy("require_digests = true")], &lock, &graph())), "");
}

#[test]
fn a_file_from_afar_is_allowed_by_its_address_and_one_of_the_context_needs_no_leave() {
    let mut lock = lock();
    lock.packages[0].repository = String::new();
    lock.taken.clear();
    let rule = policy("allow_repositories = [\"https://archive.example/tools\"]\nallow_keys = []");
    let found = said(&before_building(&[rule], &lock, &graph()));
    let expected = "allow_repositories: the package at https://archive.example/debian/pool/jq.deb is from no repository that is allowed\n";
    assert_eq!(found, expected);
    let rule = policy("allow_repositories = [\"https://archive.example/debian/pool/*\"]");
    assert_eq!(said(&before_building(&[rule], &lock, &graph())), "");
}

fn package(name: &str, licence: Option<&str>) -> Package {
    let licence = licence.map(|expression| Licence { expression: expression.into(), ..Licence::default() });
    Package {
        name: name.into(),
        version: "1".into(),
        architecture: "amd64".into(),
        licence,
        ..Package::default()
    }
}

fn added(package: Package, sources: &[&str], git: Option<Git>) -> AddedPackage {
    let source = |name: &&str| SourceFile {
        uri: String::new(),
        digest: Digest::of(name),
        name: (*name).into(),
        size: 1,
    };
    AddedPackage {
        location: Location {
            uri: String::new(),
            digest: Digest::of(&package.name),
            name: String::new(),
            size: 1,
            sha512: None,
        },
        package,
        repository: String::new(),
        signed_by: vec![],
        without_essential: false,
        vouched_by: None,
        git,
        sources: sources.iter().map(source).collect(),
        built_using: vec![],
    }
}

fn git(verified: bool) -> Git {
    Git {
        repository_uri: "https://git.example/app".into(),
        reference: "49b6936".into(),
        verified,
        ..Git::default()
    }
}

fn file(path: &str, git: Option<Git>) -> File {
    let context = ContextFile { path: path.into(), unversioned: git.is_none(), ..ContextFile::default() };
    let source =
        FileSource { git: git.map(Box::new), context: Some(Box::new(context)), ..FileSource::default() };
    File { path: path.into(), digest: Digest::of(path), size: 1, mode: "0644".into(), source }
}

fn document(delta: BomDelta) -> Document {
    let subject = Subject {
        product_name: "x".into(),
        created: String::new(),
        built_by: String::new(),
        image: ImageId {
            digest: Digest::of("m"),
            config: Digest::of("c"),
            platform: String::new(),
            sha512: None,
            labels: Default::default(),
        },
        definition: Digest::of("d"),
        lock: Digest::of("l"),
        dockerfile: None,
    };
    Document::new(Bom::default().then(delta), subject)
}

/// Judges what `delta` says, run as `user`, with a private key at `/etc/key`.
fn judged(rules: &str, delta: BomDelta, user: &str) -> String {
    let (document, private_keys) = (document(delta), &["/etc/key".to_owned()]);
    let config = &ContainerConfig { user: user.into(), ..ContainerConfig::default() };
    said(&of_image(&[policy(rules)], &Image { document: &document, config, private_keys }))
}

#[test]
fn packages_are_judged_by_name_licence_source_and_proof() {
    let with =
        |licence| BomDelta { packages: vec![added(package("a", licence), &[], None)], ..BomDelta::default() };
    let sourced = |sources: &[&str], git| BomDelta {
        packages: vec![added(package("a", None), sources, git)],
        ..BomDelta::default()
    };
    let found = |unproven| BomDelta {
        found_packages: vec![FoundPackage { package: package("a", None), location: None, unproven }],
        ..BomDelta::default()
    };
    for (rules, delta, expected) in [
        ("deny_packages = [\"b\"]", with(None), ""),
        ("deny_packages = [\"[a-z]\"]", with(None), "deny_packages: package a 1 is denied by `[a-z]`\n"),
        ("deny_licences = [\"AGPL-*\"]", with(Some("AGPL-3.0-only OR MIT")), ""),
        (
            "deny_licences = [\"AGPL-*\"]",
            with(Some("AGPL-3.0-only AND MIT")),
            "deny_licences: package a 1 is under AGPL-3.0-only, as part of `AGPL-3.0-only AND MIT`\n",
        ),
        ("require_licences = true", with(Some("MIT")), ""),
        (
            "require_licences = true",
            with(None),
            "require_licences: the licence of package a 1 is not known\n",
        ),
        ("require_sources = true", sourced(&["a.dsc"], None), ""),
        ("require_sources = true", sourced(&[], Some(git(false))), ""),
        (
            "require_sources = true",
            sourced(&[], None),
            "require_sources: no source of package a 1 is recorded\n",
        ),
        ("require_sources = true", found(false), "require_sources: no source of package a 1 is recorded\n"),
        ("deny_unproven = true", found(false), ""),
        (
            "deny_unproven = true",
            found(true),
            "deny_unproven: nothing shows which .deb package a 1 came in\n",
        ),
        ("require_verified_vcs = true", sourced(&[], None), ""),
        (
            "require_verified_vcs = true",
            sourced(&[], Some(git(false))),
            "require_verified_vcs: package a is declared to be of https://git.example/app at `49b6936`: there is no checkout to compare it with\n",
        ),
    ] {
        assert_eq!(judged(rules, delta, "1"), expected, "{rules}");
    }
}

#[test]
fn files_are_judged_by_their_commits() {
    let with = |git| BomDelta { files: vec![file("/a", git)], ..BomDelta::default() };
    let dirty = Git { unverified_because: "it was changed".into(), ..git(false) };
    for (git, expected) in [
        (Some(git(true)), ""),
        (
            Some(dirty),
            "require_verified_vcs: /a is declared to be of https://git.example/app at `49b6936`: it was changed\n",
        ),
        (None, "require_verified_vcs: nobody says of which commit /a is: it lay in no git checkout\n"),
    ] {
        assert_eq!(judged("require_verified_vcs = true", with(git.clone()), "1"), expected);
        assert_eq!(judged("", with(git), "1"), "");
    }
}

#[test]
fn root_has_several_names() {
    for (user, is_root) in [
        ("", true),
        ("0", true),
        ("00:1", true),
        ("root:app", true),
        (":5", true),
        ("app", false),
        ("1000:0", false),
    ] {
        let found = judged("require_non_root = true", BomDelta::default(), user);
        assert_eq!(found.starts_with("require_non_root: "), is_root, "{user}: {found}");
        assert_eq!(judged("", BomDelta::default(), user), "");
    }
}

#[test]
fn a_private_key_is_a_violation_unless_its_path_is_allowed_or_a_package_brings_it() {
    let layer = |origin| {
        let group = PathGroup { origin, paths: vec!["/etc/key".into()], removed: vec![] };
        LayerAccount { diff_id: Digest::of("l"), is_base: false, groups: vec![group] }
    };
    let of = |origin| BomDelta { layer: Some(layer(origin)), ..BomDelta::default() };
    let violation = "allow_private_keys: /etc/key holds a private key\n";
    let generated = bom::Origin::Generated { package: "a:amd64".into(), script: "postinst".into() };
    for (rules, delta, expected) in [
        ("", BomDelta::default(), ""),
        ("allow_private_keys = []", BomDelta::default(), violation),
        ("allow_private_keys = [\"/etc/k*\"]", BomDelta::default(), ""),
        ("allow_private_keys = []", of(Origin::Package { package: "a:amd64".into() }), ""),
        ("allow_private_keys = []", of(generated), violation),
    ] {
        assert_eq!(judged(rules, delta, "1"), expected, "{rules}");
    }
}

/// Judges a layer that has `paths`, and takes `removed` away, of which nothing is known.
fn judged_unaccounted(policies: &[&str], paths: &[&str], removed: &[&str]) -> String {
    let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    let group = PathGroup { origin: Origin::Unaccounted, paths: owned(paths), removed: owned(removed) };
    let layer = LayerAccount { diff_id: Digest::of("l"), is_base: false, groups: vec![group] };
    let document = document(BomDelta { layer: Some(layer), ..BomDelta::default() });
    let policies: Vec<Policy> = policies.iter().map(|rules| policy(rules)).collect();
    let config = &ContainerConfig::default();
    let found = of_image(&policies, &Image { document: &document, config, private_keys: &[] });
    found.iter().map(|violation| format!("{} {}\n", violation.place, violation.what)).collect()
}

#[test]
fn a_path_that_nothing_explains_needs_the_leave_of_each_policy_that_speaks_of_it_and_one_must() {
    for (policies, expected) in [
        (&[][..], "by default nothing tells where /etc/a, /opt/gone come from\n"),
        (&["require_digests = true"], "by default nothing tells where /etc/a, /opt/gone come from\n"),
        (&["allow_unaccounted = []"], "policy.hcl:2 nothing tells where /etc/a, /opt/gone come from\n"),
        (&["allow_unaccounted = [\"/etc/**\"]"], "policy.hcl:2 nothing tells where /opt/gone comes from\n"),
        (&["allow_unaccounted = [\"/**\"]", "require_digests = true"], ""),
        (
            &["allow_unaccounted = [\"/**\"]", "\nallow_unaccounted = [\"/opt/gone\"]"],
            "policy.hcl:3 nothing tells where /etc/a comes from\n",
        ),
    ] {
        assert_eq!(judged_unaccounted(policies, &["/etc/a"], &["/opt/gone"]), expected, "{policies:?}");
    }
    let many: Vec<String> = (10..33).map(|n| format!("/{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let said = judged_unaccounted(&[], &many, &[]);
    assert!(said.ends_with(", /28, /29 and 3 more come from\n"), "{said}");
    assert_eq!(judged_unaccounted(&[], &[], &[]), "");
}

#[test]
fn all_violations_are_told_at_once_each_with_its_place_and_a_way_out() {
    let definition = policy("allow_images = [\"debian\"]");
    let owner = policy("require_digests = true\n\ndeny_packages = [\"jq\", \"telnet*\"]");
    let error = Violations::check(before_building(&[definition, owner], &lock(), &graph())).unwrap_err();
    let digest = Digest::of("tools");
    insta::assert_snapshot!(error.to_string().replace(&digest.to_string(), "sha256:…"), @r"
    cannot publish the image: it is not as the policy wants it; nothing was pushed
    - allow_images (policy.hcl:2): the image registry.example/base/tools@sha256:… is not allowed
      hint: use an image that is allowed (debian), or have this one allowed
    - require_digests (policy.hcl:2): the image docker.io/library/debian:bookworm is named without a digest
      hint: write its digest behind it: NAME@sha256:…; a lock shows which it has now
    - deny_packages (policy.hcl:4): package jq 1.6-2 is denied by `jq`
      hint: leave it out, take it away with `apt { remove = […] }`, or use another version
    - deny_packages (policy.hcl:4): package telnet 0.17-1 is denied by `telnet*`
      hint: leave it out, take it away with `apt { remove = […] }`, or use another version
    ");
}
