use super::*;
use crate::digest::Digest;
use crate::oci::{Descriptor, Layer};

fn packed(paths: &[&str], removed: &[&str]) -> Packed {
    let bytes = |paths: &[&str]| paths.iter().map(|path| path.as_bytes().to_vec()).collect();
    let digest = Digest::of("layer");
    Packed {
        layer: Layer { descriptor: Descriptor::new("application/x-test", digest, 1), diff_id: digest },
        skeleton: Default::default(),
        paths: bytes(paths),
        removed: bytes(removed),
        found: Default::default(),
    }
}

#[test]
fn what_nobody_explained_stands_apart() {
    let mut paths = Paths::default();
    paths.put(b"a", Origin::Directory);
    paths.put(b"a/b", Origin::File);
    paths.remove(b"a/c", Origin::Removal);
    let delta = paths.delta(packed(&["a", "a/b", "a/d"], &["a/c", "e"]), BomDelta::default()).unwrap();
    let groups = delta.bom.layer.unwrap().groups;
    let told: Vec<String> = groups
        .iter()
        .map(|group| format!("{:?}: {} -{}", group.origin, group.paths.join(" "), group.removed.join(" ")))
        .collect();
    assert_eq!(told, ["File: /a/b -", "Directory: /a -", "Removal:  -/a/c", "Unaccounted: /a/d -/e"]);
}

#[test]
fn to_explain_what_is_not_there_is_an_error_of_ours() {
    let mut paths = Paths::default();
    paths.put(b"a", Origin::File);
    let error = paths.delta(packed(&[], &["a"]), BomDelta::default()).unwrap_err().to_string();
    assert_eq!(error, "internal error: the account tells of what isn't in the layer: /a");
}
