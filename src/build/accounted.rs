//! That an image is accounted for: each path of the layers that a build added belongs to something.

use anyhow::{Result, bail};

use super::definition::Glob;
use crate::bom::{LayerAccount, Origin};
use crate::oci::Layer;

/// How many paths an error names.
const N_NAMED: usize = 20;

/// Checks that every layer has its account, and every path a place in it, save those that are allowed: there are lists of
/// patterns, and each of them has one that matches.
///
/// # Errors
/// When nothing explains a path: it names the first ones.
pub fn check(layers: &[Layer], accounts: &[LayerAccount], allowed: &[&[Glob]]) -> Result<()> {
    let accounted = accounts.iter().map(|account| account.diff_id);
    if !layers.iter().map(|layer| layer.diff_id).eq(accounted) {
        bail!("internal error: the account's layers are not the image's");
    }
    let paths: Vec<&str> = unaccounted(accounts).filter(|path| !is_allowed(path, allowed)).collect();
    match paths.as_slice() {
        [] => Ok(()),
        paths => bail!(
            "cannot account for {}: nothing tells where {} from\nhint: nothing was pushed; where that is as it should be, write policy {{ allow_unaccounted = [\"…\"] }}",
            named(paths),
            if paths.len() == 1 { "it comes" } else { "they come" },
        ),
    }
}

/// What one policy allows, another may not.
fn is_allowed(path: &str, allowed: &[&[Glob]]) -> bool {
    let has_match = |patterns: &&[Glob]| patterns.iter().any(|pattern| pattern.matches(path));
    !allowed.is_empty() && allowed.iter().all(has_match)
}

/// Returns the paths that nothing explains, in the order of the layers.
pub fn unaccounted(accounts: &[LayerAccount]) -> impl Iterator<Item = &str> {
    let groups = accounts.iter().flat_map(|account| &account.groups);
    let groups = groups.filter(|group| group.origin == Origin::Unaccounted);
    groups.flat_map(|group| group.paths.iter().chain(&group.removed)).map(String::as_str)
}

fn named(paths: &[&str]) -> String {
    let named = paths.iter().take(N_NAMED).copied().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(N_NAMED) {
        0 => named,
        n_more => format!("{named} and {n_more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bom::PathGroup;
    use crate::digest::Digest;
    use crate::oci::Descriptor;

    fn layer(paths: &[String], removed: &[&str]) -> (Layer, LayerAccount) {
        let diff_id = Digest::of(paths.concat());
        let group = PathGroup {
            origin: Origin::Unaccounted,
            paths: paths.to_vec(),
            removed: removed.iter().map(|path| (*path).to_owned()).collect(),
        };
        let descriptor = Descriptor::new("application/x-test", diff_id, 1);
        (Layer { descriptor, diff_id }, LayerAccount { diff_id, is_base: false, groups: vec![group] })
    }

    #[test]
    fn what_nothing_explains_is_named_and_the_first_twenty_alone() {
        let many: Vec<String> = (10..33).map(|n| format!("/{n}")).collect();
        let (layer, account) = layer(&many, &[]);
        let error = check(&[layer], &[account], &[]).unwrap_err().to_string();
        assert!(error.starts_with("cannot account for /10, /11, "), "{error}");
        assert!(error.contains(", /29 and 3 more: nothing tells where they come from"), "{error}");
    }

    #[test]
    fn a_pattern_allows_what_it_names_and_nothing_else() {
        let (layer, account) = layer(&["/etc/a".into(), "/etc/b/c".into()], &["/opt/gone"]);
        let check = |patterns: &[&str]| {
            let patterns: Vec<Glob> = patterns.iter().map(|pattern| Glob::new(pattern).unwrap()).collect();
            check(std::slice::from_ref(&layer), std::slice::from_ref(&account), &[patterns.as_slice()])
        };
        assert!(check(&["/etc/**", "/opt/gone"]).is_ok());
        let error = check(&["/etc/**"]).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot account for /opt/gone: nothing tells where it comes from"),
            "{error}"
        );
    }

    #[test]
    fn what_is_allowed_once_is_not_allowed_where_somebody_disagrees() {
        let patterns = |text: &str| vec![Glob::new(text).unwrap()];
        let (all, cache) = (patterns("/**"), patterns("/var/cache/**"));
        assert!(!is_allowed("/var/cache/x", &[]));
        assert!(is_allowed("/var/cache/x", &[&all, &cache]));
        assert!(!is_allowed("/etc/x", &[&all, &cache]));
        assert!(!is_allowed("/etc/x", &[&all, &[]]));
    }

    #[test]
    fn a_layer_without_account_is_an_error_of_ours() {
        let (layer, _) = layer(&[], &[]);
        assert!(check(&[layer], &[], &[]).unwrap_err().to_string().starts_with("internal error"));
    }
}
