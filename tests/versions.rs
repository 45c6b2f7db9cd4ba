//! The order of versions beside dpkg's own, on a hundred thousand pairs.
//!
//! libdpkg-perl compares them all in one process; dpkg itself, which takes a process for each, some thousands of them.
//! `ci/versions` has dpkg compare them all. The seed is another one each time, and is told.

use std::cmp::Ordering;
use std::io::Write as _;
use std::process::{Command, Stdio};

use estaleiro::debian::Version;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

const PAIRS: usize = 100_000;
/// How many the suite of tests has dpkg itself compare.
const BY_DPKG: usize = 3000;

#[test]
fn versions_are_ordered_as_libdpkg_perl_orders_them() {
    let (seed, pairs) = pairs(PAIRS);
    let program =
        r#"use Dpkg::Version; while (<STDIN>) { my ($a, $b) = split; print version_compare($a, $b), "\n" }"#;
    let answers = ask(Command::new("perl").args(["-e", program]), &pairs);
    assert_eq!(answers.lines().count(), pairs.len(), "perl answers each pair");
    for ((left, right), answer) in pairs.iter().zip(answers.lines()) {
        let theirs = answer.parse::<i32>().expect("a number").cmp(&0);
        assert_eq!(compare(left, right), theirs, "seed {seed}: {left} and {right}");
    }
}

#[test]
fn versions_are_ordered_as_dpkg_orders_them() {
    let number = std::env::var("VERSIONS_BY_DPKG").ok().and_then(|text| text.parse().ok());
    let (seed, pairs) = pairs(number.unwrap_or(BY_DPKG));
    let lines: Vec<(String, String)> = pairs
        .iter()
        .map(|(left, right)| {
            let relation = match compare(left, right) {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            (format!("{left} {relation}"), right.clone())
        })
        .collect();
    let script = r#"while read -r left relation right; do
        dpkg --compare-versions "$left" "$relation" "$right" || echo "$left is not $relation $right"; done"#;
    let differences = ask(Command::new("sh").args(["-c", script]), &lines);
    eprintln!("{} pairs, {} differences", pairs.len(), differences.lines().count());
    assert_eq!(differences, "", "seed {seed}");
}

fn compare(left: &str, right: &str) -> Ordering {
    let parse = |text| Version::parse(text).expect("the pairs hold versions");
    parse(left).cmp(&parse(right))
}

/// Runs a program that reads the pairs, a line each, and returns what it writes.
fn ask(command: &mut Command, pairs: &[(String, String)]) -> String {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program is installed");
    let mut input = child.stdin.take().expect("a pipe");
    let text: String = pairs.iter().map(|(left, right)| format!("{left} {right}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads all pairs");
    String::from_utf8(output.stdout).expect("ASCII")
}

fn pairs(number: usize) -> (u64, Vec<(String, String)>) {
    let seed = rand::thread_rng().gen_range(0..1_000_000_000);
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let pairs = (0..number).map(|_| {
        let left = version(&mut random);
        let right = if random.gen_bool(0.7) { slip(&left, &mut random) } else { version(&mut random) };
        (left, right)
    });
    (seed, pairs.collect())
}

const PIECES: [&str; 28] = [
    "0",
    "00",
    "1",
    "01",
    "9",
    "10",
    "099",
    "2147483648",
    "99999999999999999999",
    "~",
    "~~",
    "+",
    ".",
    "..",
    "a",
    "b",
    "z",
    "A",
    "Z",
    "rc",
    "deb12u1",
    "dfsg",
    "git",
    "bpo",
    "ubuntu",
    "+really",
    "~rc1",
    "+b1",
];

/// A version that dpkg takes: upstream begins with a digit, and where there are hyphens in it there is a revision.
fn version(random: &mut StdRng) -> String {
    let epoch = ["", "", "", "0:", "1:", "00:", "12:"].choose(random).expect("not empty");
    let mut upstream = random.gen_range(0..20).to_string();
    upstream += &pieces(random, 5);
    let revision = match random.gen_range(0..3) {
        0 => String::new(),
        1 => format!("-{}{}", random.gen_range(0..3), pieces(random, 3)),
        _ => format!("-{}-{}{}", pieces(random, 1), random.gen_range(0..3), pieces(random, 2)),
    };
    format!("{epoch}{upstream}{revision}")
}

fn pieces(random: &mut StdRng, most: usize) -> String {
    (0..random.gen_range(0..=most)).map(|_| *PIECES.choose(random).expect("not empty")).collect()
}

/// The same version with a slip in it: most mistakes show where little differs.
fn slip(version: &str, random: &mut StdRng) -> String {
    let begin = version.find(':').map_or(0, |colon| colon + 1) + 1;
    let place = random.gen_range(begin.min(version.len())..=version.len());
    let (before, after) = version.split_at(place);
    let slipped = match random.gen_range(0..3) {
        0 => format!("{before}{}{after}", pieces(random, 1)),
        1 => format!("{before}{}", after.get(1..).unwrap_or_default()),
        _ => before.to_owned(),
    };
    let is_good = Version::parse(&slipped).is_ok() && !slipped.ends_with('-');
    if is_good { slipped } else { version.to_owned() }
}
