//! What a layer's maker knows, checked against what was written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::dpkg::{Scene, explain};
use super::timeline::{Doer, Timeline};
use super::*;
use crate::build::ops::symlinks::symlinks;
use crate::debian::lists;
use crate::digest::Digest;
use crate::layer::{self, Compression, LayerWriter, Moments, Options, Skeleton};
use crate::oci::{Descriptor, Layer};
use crate::store::Store;

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

/// A layer that a real vertex made, as its own bytes tell what is in it.
fn linked() -> (tempfile::TempDir, Delta, Packed) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let options = Options { epoch: 0, threads: 1, compression: Compression::Gzip(1) };
    let writer = LayerWriter::new(store.blob_writer().unwrap(), options).unwrap();
    let links = [("/opt/a".to_owned(), "b".to_owned()), ("/opt/c".to_owned(), "d".to_owned())];
    let delta = symlinks(&links, &Skeleton::default(), writer).unwrap();
    let layer = delta.layer.clone().unwrap();
    let mut paths = Vec::new();
    let tar = layer::decompress(store.open_blob(&layer.descriptor.digest).unwrap()).unwrap();
    let skeleton = layer::scan(tar, &mut |entry, _| {
        paths.push(entry.path.clone());
        Ok(())
    });
    (directory, delta, Packed { layer, skeleton: skeleton.unwrap(), paths, ..packed(&[], &[]) })
}

#[test]
fn a_path_of_a_real_layer_that_its_maker_forgets_is_unaccounted() {
    let (_directory, delta, packed) = linked();
    let account = delta.bom.layer.unwrap();
    assert_eq!(account.unaccounted().count(), 0);
    for forgotten in account.paths() {
        let mut paths = Paths::default();
        for group in &account.groups {
            for path in group.paths.iter().filter(|path| *path != forgotten) {
                paths.put_shown(path, group.origin.clone());
            }
        }
        let packed = Packed { paths: packed.paths.clone(), ..self::packed(&[], &[]) };
        let delta = paths.delta(packed, BomDelta::default()).unwrap();
        assert_eq!(delta.bom.layer.unwrap().unaccounted().collect::<Vec<_>>(), [forgotten]);
    }
}

/// A root in which dpkg has packages `a` and `b`, the second with a file `/f` and a directory `/d`.
struct Stage {
    directory: tempfile::TempDir,
    timeline: Timeline,
}

impl Stage {
    fn new() -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let timeline = Timeline::new(directory.path()).unwrap();
        let stage = Stage { directory, timeline };
        fs::create_dir_all(stage.path("var/lib/dpkg/info")).unwrap();
        stage.timeline.turn(Doer::Dpkg);
        let status = |name: &str| {
            format!("Package: {name}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n")
        };
        stage.write("var/lib/dpkg/status", &(status("a") + &status("b")));
        stage.write("var/lib/dpkg/info/b.list", "/.\n/f\n/g\n/d\n/etc-link/h\n");
        let sum = lists::sum(&b"f"[..]).unwrap();
        stage.write("var/lib/dpkg/info/b.md5sums", &format!("{sum}  f\n{sum}  g\n"));
        fs::create_dir(stage.path("d")).unwrap();
        for name in ["f", "g"] {
            stage.write(name, "f");
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("root").join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn script(&self, package: &str) {
        self.timeline.turn(Doer::Script { package: package.into(), script: "postinst".into() });
    }

    /// Returns what all paths outside of dpkg's database belong to.
    fn told(&self) -> Vec<String> {
        let (upper, moments) = (self.path(""), Moments::read(&self.path("")).unwrap());
        let scene = Scene { lowers: &[], upper: &upper, timeline: Some(&self.timeline), moments: &moments };
        let changes = layer::diff::trees(None, &upper).unwrap();
        let paths = explain(&changes, &scene, None).unwrap();
        let told = changes.iter().filter(|change| !change.path.starts_with(b"var"));
        told.map(|change| {
            let origin = match paths.origin(&change.path) {
                Some(Origin::Package { package }) => package.clone(),
                Some(Origin::Generated { package, script }) => format!("{package} {script}"),
                other => format!("{other:?}"),
            };
            format!("{}: {origin}", shown(&change.path))
        })
        .collect()
    }
}

#[test]
fn a_listed_file_is_a_scripts_doing_where_it_is_not_the_packages_any_more() {
    let stage = Stage::new();
    stage.script("a:all");
    fs::set_permissions(stage.path("f"), fs::Permissions::from_mode(0o600)).unwrap();
    stage.write("g", "G");
    stage.script("b:all");
    assert_eq!(stage.told(), ["/d: b:all", "/f: b:all", "/g: a:all postinst"]);
}

#[test]
fn a_new_directory_belongs_to_who_made_it_and_a_file_to_who_changed_it_last() {
    let stage = Stage::new();
    stage.script("a");
    fs::create_dir(stage.path("made")).unwrap();
    stage.write("made/x", "a");
    stage.write("d/y", "a");
    stage.script("b");
    stage.write("made/x", "b");
    stage.write("made/y", "b");
    assert_eq!(
        stage.told(),
        [
            "/d: b:all",
            "/d/y: a:all postinst",
            "/f: b:all",
            "/g: b:all",
            "/made: a:all postinst",
            "/made/x: b:all postinst",
            "/made/y: b:all postinst"
        ]
    );
}

#[test]
fn what_dpkg_does_not_list_and_no_script_did_is_not_explained() {
    let stage = Stage::new();
    stage.write("stray", "");
    stage.script("a");
    assert!(stage.told().contains(&"/stray: None".to_owned()));
}

#[test]
fn a_path_that_leads_through_a_link_of_the_root_is_the_packages_too() {
    let stage = Stage::new();
    fs::create_dir(stage.path("real")).unwrap();
    std::os::unix::fs::symlink("real", stage.path("etc-link")).unwrap();
    stage.write("real/h", "");
    assert!(stage.told().contains(&"/real/h: b:all".to_owned()));
}

#[test]
fn what_was_removed_last_by_its_name_counts() {
    let stage = Stage::new();
    let removed = |path: &str| match stage.timeline.removed(path.as_bytes(), i128::MAX).unwrap() {
        Some(Doer::Script { package, .. }) => package,
        other => format!("{other:?}"),
    };
    assert_eq!(removed("x"), "None");
    stage.script("a");
    stage.timeline.see_removal(|| Some(b"/etc/x".to_vec()));
    stage.timeline.see_removal(|| Some(b"./y".to_vec()));
    stage.script("b");
    stage.timeline.see_removal(|| Some(b"x".to_vec()));
    stage.script("c");
    assert_eq!(["etc/x", "opt/x", "etc/y", "etc/z"].map(removed), ["a", "b", "a", "c"]);
}
