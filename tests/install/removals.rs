//! `remove`: paths that are taken away, whatever put them there.

use std::fs;
use std::process::Command;

use crate::support::{Tarball, tree};
use crate::yard::{self, Yard, account, base, files};

/// A root with merged directories, documentation, and a link to a directory.
fn root() -> Tarball {
    Tarball::new()
        .directory("usr/", 0o755)
        .directory("usr/bin/", 0o755)
        .file("usr/bin/tool", 0o755, "tool")
        .file("usr/bin/other", 0o755, "other")
        .symlink("bin", "usr/bin")
        .directory("usr/share/", 0o755)
        .directory("usr/share/doc/", 0o755)
        .directory("usr/share/doc/tool/", 0o755)
        .file("usr/share/doc/tool/copyright", 0o644, "mine")
        .file("usr/share/doc/list", 0o644, "a list")
        .directory("usr/share/man/", 0o755)
        .directory("usr/share/man/man1/", 0o755)
        .file("usr/share/man/man1/tool.1", 0o644, "man")
        .directory("tmp/", 0o1777)
        .file("tmp/x", 0o600, "x")
        .symlink("doc", "usr/share/doc")
}

/// Builds with these removals, and asserts that the root is what `rm` leaves of the base.
fn removes_what_rm_removes(remove: &str, rm: &[&str]) -> Yard {
    let yard = Yard::new(&base(&root()), &format!("remove = [{remove}]"));
    let built = yard.root();
    let expected = yard.site.path("expected");
    yard::untar(&root(), &expected);
    for path in rm {
        let script = format!("cd {} && rm --recursive --verbose {path}", expected.display());
        assert!(
            Command::new("bash")
                .args(["-c", &script])
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap()
                .success()
        );
    }
    assert_eq!(tree::dump(&built), tree::dump(&expected));
    yard
}

#[test]
fn a_file_a_link_and_a_whole_directory_are_removed() {
    removes_what_rm_removes(
        r#""/usr/bin/tool", "/doc", "/usr/share/doc/", "/tmp/x""#,
        &["usr/bin/tool", "doc", "usr/share/doc", "tmp/x"],
    );
}

#[test]
fn a_pattern_removes_what_matches_and_nothing_else() {
    removes_what_rm_removes(r#""/usr/share/man/**""#, &["usr/share/man/*"]);
    removes_what_rm_removes(r#""/usr/*/[to]*""#, &["usr/bin/[to]*"]);
    removes_what_rm_removes(r#""/usr/share/doc/*/copyright""#, &["usr/share/doc/*/copyright"]);
    removes_what_rm_removes(r#""/**/tool""#, &["usr/bin/tool", "usr/share/doc/tool"]);
}

#[test]
fn links_among_the_parents_lead_where_they_lead_in_the_image() {
    removes_what_rm_removes(r#""/bin/tool", "/doc/*""#, &["usr/bin/tool", "usr/share/doc/*"]);
}

#[test]
fn what_is_removed_leaves_the_account_with_all_that_is_in_it() {
    let text = r#"
      file "/opt/app/one" { from_context { path = "one" } }
      file "/opt/app/deep/two" { from_context { path = "one" } }
      file "/opt/apple" { from_context { path = "one" } }
      remove = ["/opt/app"]"#;
    let yard = Yard::new(&base(&root()), text);
    yard.site.put("one", "1");
    let built = yard.root();
    assert!(built.join("opt/apple").exists() && !built.join("opt/app").exists());
    assert_eq!(files(&account(&yard.site)), ["/opt/apple"]);
}

#[test]
fn what_is_not_there_is_said_and_makes_no_layer() {
    let remove =
        r#"remove = ["/usr/share/info", "/nowhere/x", "/usr/bin/none", "/usr/lib/*.a", "/usr/bin/tool/x"]"#;
    let yard = Yard::new(&base(&root()), remove);
    let mut build = yard.site.estaleiro(&["build", "--state", "../state", "--output", "oci:../layout"]);
    let said = yard.site.said(&yard.site.succeeds(&mut build).stderr);
    for path in ["/usr/share/info", "/nowhere/x", "/usr/bin/none", "/usr/lib/*.a", "/usr/bin/tool/x"] {
        let warning = format!("warning: nothing is removed at {path}: it is not in the image\n");
        assert!(said.contains(&warning), "{said}");
    }
    let layers = crate::site::manifest(&yard.site.layout())["layers"].as_array().unwrap().len();
    assert_eq!(layers, 1, "the base's own");
}

#[test]
fn directories_are_removed_without_the_base_being_read_and_files_are_not() {
    let yard = Yard::new(&base(&root()), r#"remove = ["/usr/share/doc"]"#);
    assert!(yard.n_downloads_of_the_base() > 0, "nothing is known of it yet");
    let definition = fs::read_to_string(yard.site.path("context/estaleiro.hcl")).unwrap();
    yard.site.put("estaleiro.hcl", definition.replace("/usr/share/doc", "/usr/share/man"));
    assert_eq!(yard.n_downloads_of_the_base(), 0);
    yard.site.put("estaleiro.hcl", definition.replace("/usr/share/doc", "/usr/bin/tool"));
    assert!(yard.n_downloads_of_the_base() > 0);
}

#[test]
fn the_same_removals_in_another_order_are_the_same_image() {
    let layers = |remove: &str| {
        let yard = Yard::new(&base(&root()), remove);
        yard.site.succeeds(&mut yard.site.build());
        crate::site::manifest(&yard.site.layout())["layers"].clone()
    };
    let one = r#"remove = ["/usr/share/doc", "/usr/bin/*", "/tmp/x"]"#;
    let other = r#"remove = ["/tmp/x", "/usr/bin/*", "/usr/share/doc"]"#;
    assert_eq!(layers(one), layers(other));
}
