//! That an image is accounted for: each path of the layers that a build added belongs to something.

use super::{Violation, all, any_matches};
use crate::bom::{Document, LayerAccount};
use crate::build::definition::Policy;

const RULE: &str = "allow_unaccounted";
const HINT: &str =
    "find out what writes there; where that is as it should be, write policy { allow_unaccounted = [\"…\"] }";
/// How many paths a violation names.
const N_NAMED: usize = 20;

/// Judges the paths that nothing explains: each policy that speaks of them must allow one, and where none does, none is
/// allowed.
pub(super) fn judge(policies: &[Policy], document: &Document) -> Vec<Violation> {
    let paths: Vec<&str> = document.layers.iter().flat_map(LayerAccount::unaccounted).collect();
    if paths.is_empty() {
        return Vec::new();
    }
    if policies.iter().all(|policy| policy.allow_unaccounted.is_none()) {
        let place = "by default".to_owned();
        return vec![Violation { rule: RULE, place, what: untold(&paths), hint: HINT.to_owned() }];
    }
    all(policies, |judge| {
        let Some(allowed) = &judge.policy.allow_unaccounted else { return };
        let denied: Vec<&str> = paths.iter().copied().filter(|path| !any_matches(allowed, path)).collect();
        if !denied.is_empty() {
            judge.add(RULE, allowed, untold(&denied), HINT);
        }
    })
}

fn untold(paths: &[&str]) -> String {
    let named = paths.iter().take(N_NAMED).copied().collect::<Vec<_>>().join(", ");
    match (paths.len(), paths.len().saturating_sub(N_NAMED)) {
        (1, _) => format!("nothing tells where {named} comes from"),
        (_, 0) => format!("nothing tells where {named} come from"),
        (_, n_more) => format!("nothing tells where {named} and {n_more} more come from"),
    }
}
