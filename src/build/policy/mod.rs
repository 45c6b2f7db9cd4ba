//! Judging what is to be built, and what was, by policies: functions from values to all violations at once.
//!
//! Every policy counts, so that none can loosen another. What a policy says is read in `build/definition/`.

mod account;
mod accounted;
mod licences;
mod origins;
#[cfg(test)]
mod tests;

pub use account::{Image, of_config, of_image};
pub use origins::{before_building, of_account};

use std::fmt;

use super::definition::{Glob, Policy, Spanned};

/// Something that a policy doesn't allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule's name.
    pub rule: &'static str,
    /// Where the rule stands, as `estaleiro.hcl:12`; or that it stands nowhere.
    pub place: String,
    /// What is not as it should be.
    pub what: String,
    /// A way out.
    pub hint: String,
}

/// All that policies don't allow; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Returns an error if there is any.
    pub fn check(found: Vec<Violation>) -> Result<(), Violations> {
        if found.is_empty() { Ok(()) } else { Err(Violations(found)) }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot publish the image: it is not as the policy wants it; nothing was pushed")?;
        self.0.iter().try_for_each(|violation| {
            let Violation { rule, place, what, hint } = violation;
            write!(f, "\n- {rule} ({place}): {what}\n  hint: {hint}")
        })
    }
}

fn any_matches(patterns: &[Glob], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

/// One policy, and what was found so far.
struct Judge<'a> {
    policy: &'a Policy,
    found: Vec<Violation>,
}

impl Judge<'_> {
    fn add<T>(&mut self, rule: &'static str, said: &Spanned<T>, what: String, hint: impl Into<String>) {
        let place = self.policy.place(&said.span);
        self.found.push(Violation { rule, place, what, hint: hint.into() });
    }
}

/// Judges by each policy.
fn all(policies: &[Policy], judge: impl Fn(&mut Judge<'_>)) -> Vec<Violation> {
    let by_one = |policy| {
        let mut judged = Judge { policy, found: Vec::new() };
        judge(&mut judged);
        judged.found
    };
    policies.iter().flat_map(by_one).collect()
}

/// Lists what is allowed, for a hint.
fn listed<T: fmt::Display>(allowed: &[T]) -> String {
    const MOST: usize = 10;
    let shown: Vec<String> = allowed.iter().take(MOST).map(ToString::to_string).collect();
    match allowed.len() {
        0 => "none".to_owned(),
        n if n > MOST => format!("{} and {} more", shown.join(", "), n - MOST),
        _ => shown.join(", "),
    }
}
