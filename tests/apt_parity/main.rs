//! The resolver beside apt-get itself, on the archive this machine uses.
//!
//! `ci/parity [N] [SEED]` asks both sides N requests, on all roots and suites. The suite of tests asks a few of them,
//! on the suites that the machine has anyway. The seed is another one each time, and is told.

mod oracle;
mod requests;
mod roots;
mod suites;
#[path = "../support/mod.rs"]
mod support;

use oracle::{Answer, Oracle};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use requests::Ask;
use roots::Root;
use suites::Suites;

/// How many requests the suite of tests has time for.
const FEW: usize = 18;

#[test]
fn apt_gives_the_same_packages_and_versions() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("APT_PARITY_SEED").unwrap_or_else(|| rand::thread_rng().r#gen_range(0..1_000_000_u64));
    let all = number("APT_PARITY_REQUESTS").and_then(|number| usize::try_from(number).ok());
    eprintln!("seed {seed}");
    let suites = match all {
        Some(_) => vec![Suites::with_backports(), Suites::of_another_release()],
        None => vec![Suites::of_this_machine()],
    };
    let n_each = all.unwrap_or(FEW).div_ceil(3 * suites.len());
    let mut differences = Vec::new();
    let mut tally = Tally::default();
    for mut suites in suites {
        for root in Root::all(&suites) {
            let mut random = StdRng::seed_from_u64(seed);
            let asks = requests::some(&suites, &root, n_each, all.is_none(), &mut random);
            let mut here = Tally::default();
            for ask in asks {
                differences.extend(compare(&mut suites, &root, &ask, &mut here));
            }
            eprintln!("{} on {}: {here}", suites.name, root.name);
            tally.add(&here);
        }
    }
    eprintln!("{tally}");
    assert!(differences.is_empty(), "with APT_PARITY_SEED={seed}:\n{}", differences.join("\n"));
}

#[derive(Default)]
struct Tally {
    n_asked: usize,
    n_same: usize,
    n_unsatisfiable: usize,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.n_asked += other.n_asked;
        self.n_same += other.n_same;
        self.n_unsatisfiable += other.n_unsatisfiable;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { n_asked, n_same, n_unsatisfiable } = self;
        let percent = 100.0 * (n_same + n_unsatisfiable) as f64 / (*n_asked).max(1) as f64;
        write!(
            f,
            "{n_asked} requests, {n_same} with the same answer, {n_unsatisfiable} with none: {percent:.1} %"
        )
    }
}

/// Tells how apt's answer differs, if it does.
fn compare(suites: &mut Suites, root: &Root, ask: &Ask, tally: &mut Tally) -> Option<String> {
    let theirs = Oracle { suites, root }.answer(ask);
    let ours = ask.answer(suites, root);
    tally.n_asked += 1;
    let told = |what: String| {
        eprintln!("{} on {}: {ask}: {what}", suites.name, root.name);
        Some(format!("{} on {}: {ask}: {what}", suites.name, root.name))
    };
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) if ours == theirs => tally.n_same += 1,
        (Err(_), None) => tally.n_unsatisfiable += 1,
        (Err(error), Some(theirs)) => {
            return told(format!("ours fails, apt's has {}: {error}", theirs.len()));
        }
        (Ok(ours), None) => return told(format!("apt's fails, ours has {}", ours.len())),
        (Ok(ours), Some(theirs)) => {
            let only = |one: &Answer, other| one.difference(other).cloned().collect::<Vec<_>>().join(" ");
            let (ours, theirs) = (only(&ours, &theirs), only(&theirs, &ours));
            return told(format!("only ours [{ours}], only apt's [{theirs}]"));
        }
    }
    None
}
