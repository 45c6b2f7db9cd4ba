//! Bases that are none, and files and sources that come from nowhere or from two places.

use super::*;

#[test]
fn both_dialects_of_a_base_at_once_are_refused() {
    let text = "image \"x\" {\n  base_image = \"a\"\n  base_image {\n    name = \"b\"\n  }\n}\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: `base_image` is written in both ways
     --> estaleiro.hcl:3:3
      |
    3 |   base_image {
      |   ^^^^^^^^^^
      |
      = hint: keep the attribute: base_image = "name:tag", or the block: base_image { … }
    "#);
}

#[test]
fn a_base_that_is_a_directory_is_refused() {
    let text = "image \"x\" {\n  base_image = \"oci:out/base\"\n}\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: a base cannot be a directory
     --> estaleiro.hcl:2:16
      |
    2 |   base_image = "oci:out/base"
      |                ^^^^^^^^^^^^^^
      |
      = hint: building upon an OCI layout is not built yet: push the base to a registry, and name it there
    "#);
    for block in ["name = \"oci:out\"", "name = \"oci:out\"\n ref = \"1\""] {
        let said = mistakes(&format!("image \"x\" {{\n base_image {{\n {block}\n }}\n}}\n"));
        assert!(said.starts_with("error: a base cannot be a directory\n"), "{said}");
    }
}

#[test]
fn a_base_that_is_no_image_is_refused() {
    let text = "image \"x\" {\n  base_image = \"Debian\"\n}\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: cannot read image name `Debian`: a repository is made of lower-case letters, digits, `.`, `_`, `-`, and `/` between its parts
     --> estaleiro.hcl:2:16
      |
    2 |   base_image = "Debian"
      |                ^^^^^^^^
      |
      = hint: an image is named like `debian:bookworm` or `registry.example/team/app@sha256:…`
    "#);
    let text = "image \"x\" {\n  base_image {\n    name = \"scratch\"\n    ref = \"1\"\n  }\n}\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: `scratch` has no `ref`: it is no image
     --> estaleiro.hcl:4:11
      |
    4 |     ref = "1"
      |           ^^^
      |
      = hint: leave `ref` out
    "#);
    let text = "image \"x\" {\n  base_image {\n    name = \"debian\"\n    ref = \"sha256:12\"\n  }\n}\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: cannot read image name `debian@sha256:12`: cannot read digest `sha256:12`: expected `sha256:` and 64 lower-case hexadecimal digits
     --> estaleiro.hcl:3:12
      |
    3 |     name = "debian"
      |            ^^^^^^^^
      |
      = hint: an image is named like `debian:bookworm` or `registry.example/team/app@sha256:…`
    "#);
    insta::assert_snapshot!(mistakes("image \"x\" { base_image {} }\n"), @r#"
    error: `base_image` has no `name`
     --> estaleiro.hcl:1:13
      |
    1 | image "x" { base_image {} }
      |             ^^^^^^^^^^
      |
      = hint: write: base_image { name = "debian" ref = "bookworm" }
    "#);
}

#[test]
fn a_file_has_exactly_one_origin() {
    let text = r#"
image "x" {
  file "/a" {}
  file "/b" {
    from_context { path = "b" }
    from_image "i" { path = "/b" }
  }
  file "/c" {
    from_context {}
  }
  file "/d" {
    from_step { path = "/d" }
  }
  file "/e" {
    from_context "named" { path = "e" }
  }
}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: `file` says no origin
     --> estaleiro.hcl:3:3
      |
    3 |   file "/a" {}
      |   ^^^^
      |
      = hint: write one of from_step, from_tarball, from_image, from_package, from_context

    error: `file` says two origins: `from_context` and `from_image`
     --> estaleiro.hcl:6:5
      |
    6 |     from_image "i" { path = "/b" }
      |     ^^^^^^^^^^
      |
      = hint: keep one of them; another file has its own `file` block

    error: `from_context` has no `path`
     --> estaleiro.hcl:9:5
      |
    9 |     from_context {}
      |     ^^^^^^^^^^^^
      |
      = hint: write which file it is: path = "…"

    error: `from_step` needs a name
      --> estaleiro.hcl:12:5
       |
    12 |     from_step { path = "/d" }
       |     ^^^^^^^^^
       |
       = hint: write: from_step "name" { path = "/…" }

    error: `from_context` has no name here
      --> estaleiro.hcl:15:18
       |
    15 |     from_context "named" { path = "e" }
       |                  ^^^^^^^
       |
       = hint: write: from_context { … }
    "#);
}

#[test]
fn steps_and_tarballs_that_nobody_declared_are_refused() {
    let text = r#"
image "x" {
  file "/a" { from_step "biuld" { path = "/a" } }
  file "/b" { from_step "other" { path = "/a" } }
  file "/c" { from_tarball "t.tgz" { path = "c" } }
}
step "build" {}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: step `biuld` is not declared
     --> estaleiro.hcl:3:25
      |
    3 |   file "/a" { from_step "biuld" { path = "/a" } }
      |                         ^^^^^^^
      |
      = hint: did you mean `build`?

    error: step `other` is not declared
     --> estaleiro.hcl:4:25
      |
    4 |   file "/b" { from_step "other" { path = "/a" } }
      |                         ^^^^^^^
      |
      = hint: declared are `build`; declare it: step "other" { … }

    error: tarball `t.tgz` is not declared
     --> estaleiro.hcl:5:28
      |
    5 |   file "/c" { from_tarball "t.tgz" { path = "c" } }
      |                            ^^^^^^^
      |
      = hint: declare it: tarball "t.tgz" { … }
    "#);
}

#[test]
fn files_whose_origin_nobody_declared_are_refused() {
    let text = r#"
image "x" {
  file "/a" { from_step "s" { path = "/bin/a" } }
  file "/b" { from_tarball "t" { path = "b" } }
}
step "s" {
  source_file "/sbin/*" { vcs "git" { repository = "https://git.example/s" ref = "1" } }
}
tarball "t" {}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: nobody says where `/bin/a` of step `s` comes from
     --> estaleiro.hcl:3:38
      |
    3 |   file "/a" { from_step "s" { path = "/bin/a" } }
      |                                      ^^^^^^^^
      |
      = hint: in step "s", write: source_file "/bin/a" { vcs "git" { repository = "…" ref = "…" } }, or: source_file "/bin/a" { url = "https://…" sha256 = "…" }

    error: nobody says where `b` of tarball `t` comes from
     --> estaleiro.hcl:4:41
      |
    4 |   file "/b" { from_tarball "t" { path = "b" } }
      |                                         ^^^
      |
      = hint: in tarball "t", write: source_file "b" { vcs "git" { repository = "…" ref = "…" } }, or: source_file "b" { url = "https://…" sha256 = "…" }
    "#);
}

#[test]
fn a_source_file_says_one_whole_origin() {
    let text = r#"
image "x" {}
step "s" {
  source_file "/a" {}
  source_file "/b" { url = "https://archive.example/b" }
  source_file "/c" { sha256 = "00" }
  source_file "/d" {
    url = "gopher://archive.example/d"
    sha256 = "00"
  }
  source_file "/e" { vcs "svn" { repository = "r" ref = "1" } }
  source_file "/f" { vcs "git" { ref = "" } }
  source_file "/[g" { vcs "git" { repository = "r" ref = "1" } }
  source_file "h" { vcs "git" { repository = "r" ref = "1" } }
  source_file "/i" {
    url = "https://archive.example/i"
    sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    vcs "git" { repository = "r" ref = "1" }
    vcs "git" { repository = "r" ref = "1" }
  }
}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: `source_file` says no origin
     --> estaleiro.hcl:4:3
      |
    4 |   source_file "/a" {}
      |   ^^^^^^^^^^^
      |
      = hint: write `vcs "git" { repository = "…" ref = "…" }`, or `url` and `sha256`

    error: `url` has no `sha256`
     --> estaleiro.hcl:5:28
      |
    5 |   source_file "/b" { url = "https://archive.example/b" }
      |                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: write what the bytes must be: sha256 = "…" (64 hexadecimal digits)

    error: `sha256` has no `url`
     --> estaleiro.hcl:6:3
      |
    6 |   source_file "/c" { sha256 = "00" }
      |   ^^^^^^^^^^^
      |
      = hint: write where it is fetched from: url = "https://…"

    error: `url` is no web address
     --> estaleiro.hcl:8:11
      |
    8 |     url = "gopher://archive.example/d"
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: write one like `https://archive.example/file`

    error: invalid sha256 `00`
     --> estaleiro.hcl:9:14
      |
    9 |     sha256 = "00"
      |              ^^^^
      |
      = hint: write 64 hexadecimal digits, as `sha256sum` prints them

    error: unknown kind of repository `svn`
      --> estaleiro.hcl:11:26
       |
    11 |   source_file "/e" { vcs "svn" { repository = "r" ref = "1" } }
       |                          ^^^^^
       |
       = hint: only git is known: vcs "git" { repository = "…" ref = "…" }

    error: `vcs` has no `repository`
      --> estaleiro.hcl:12:22
       |
    12 |   source_file "/f" { vcs "git" { ref = "" } }
       |                      ^^^
       |
       = hint: write: vcs "git" { repository = "…" ref = "…" }

    error: `ref` is empty
      --> estaleiro.hcl:12:40
       |
    12 |   source_file "/f" { vcs "git" { ref = "" } }
       |                                        ^^
       |
       = hint: write a text, or leave it out

    error: path `/[g` is no pattern: its `[` is not closed by a `]`
      --> estaleiro.hcl:13:15
       |
    13 |   source_file "/[g" { vcs "git" { repository = "r" ref = "1" } }
       |               ^^^^^
       |
       = hint: a backslash takes the next character as it is: `\\[`

    error: path `h` is not absolute
      --> estaleiro.hcl:14:15
       |
    14 |   source_file "h" { vcs "git" { repository = "r" ref = "1" } }
       |               ^^^
       |
       = hint: paths in an image begin with `/`: "/h"

    error: `source_file` says two origins: `vcs` and `url`
      --> estaleiro.hcl:15:3
       |
    15 |   source_file "/i" {
       |   ^^^^^^^^^^^
       |
       = hint: keep one of them

    error: second `vcs` block: the first is on line 18
      --> estaleiro.hcl:19:5
       |
    19 |     vcs "git" { repository = "r" ref = "1" }
       |     ^^^
       |
       = hint: a thing has one source; keep one of them
    "#);
}
