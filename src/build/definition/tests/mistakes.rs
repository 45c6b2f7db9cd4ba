//! Definitions that are wrong, and what is said about them, in full.

use super::*;

#[test]
fn every_mistake_is_reported_in_the_order_of_the_text() {
    let text = "image \"x\" {\n  entripoint = []\n  cmd = \"a\"\n  workdir = \"srv\"\n}\n\nstep \"s\" {\n  target = tag\n}\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: unknown attribute `entripoint` in `image`
     --> estaleiro.hcl:2:3
      |
    2 |   entripoint = []
      |   ^^^^^^^^^^
      |
      = hint: did you mean `entrypoint`?

    error: wrong type for `cmd`: expected a list of strings, got a string
     --> estaleiro.hcl:3:9
      |
    3 |   cmd = "a"
      |         ^^^
      |
      = hint: put it in brackets: ["a"]

    error: `workdir` is not absolute
     --> estaleiro.hcl:4:13
      |
    4 |   workdir = "srv"
      |             ^^^^^
      |
      = hint: paths in an image begin with `/`: "/srv"

    error: variable `tag` is not defined: no variable is
     --> estaleiro.hcl:8:12
      |
    8 |   target = tag
      |            ^^^
      |
      = hint: pass it with `--var tag=…`, or declare it: variable "tag" { default = "…" }
    "#);
}

#[test]
fn there_are_three_policies_for_sources_and_one_counts() {
    let text = "image \"x\" {\n  apt {\n    sources = \"all\"\n  }\n  apt {\n    sources = \"none\"\n  }\n  apt {\n    sources = \"record\"\n  }\n}\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: unknown policy for sources `all`
     --> estaleiro.hcl:3:15
      |
    3 |     sources = "all"
      |               ^^^^^
      |
      = hint: there are "record", "bundle" and "none"

    error: `sources` is `record` here and `none` on line 6
     --> estaleiro.hcl:9:15
      |
    9 |     sources = "record"
      |               ^^^^^^^^
      |
      = hint: all `apt` blocks count as one: say it once
    "#);
}

#[test]
fn a_syntax_error_stands_alone() {
    insta::assert_snapshot!(mistakes("image \"x\" {\n  cmd = [\n  unknown = 1\n"), @r#"
    error: cannot read this: expected `]`
     --> estaleiro.hcl:3:11
      |
    3 |   unknown = 1
      |           ^
      |
      = hint: nothing closes the `[` on line 2
    "#);
    insta::assert_snapshot!(mistakes("unknown = 1\nimage 'x' {}\n"), @r#"
    error: cannot read this: invalid structure; expected `{`, `=`, `"` or identifier
     --> estaleiro.hcl:2:7
      |
    2 | image 'x' {}
      |       ^
      |
      = hint: texts stand in double quotes: "…"
    "#);
    insta::assert_snapshot!(mistakes("image \"x\" {\n"), @r#"
    error: cannot read this: invalid block body; expected `}`, newline or identifier
     --> estaleiro.hcl:1:12
      |
    1 | image "x" {
      |            ^
      |
      = hint: nothing closes the `{` on line 1
    "#);
    insta::assert_snapshot!(mistakes("image \"x\" { cmd = [\"a\" }\n"), @r#"
    error: cannot read this: expected `]`
     --> estaleiro.hcl:1:24
      |
    1 | image "x" { cmd = ["a" }
      |                        ^
      |
      = hint: nothing closes the `[` on line 1
    "#);
    insta::assert_snapshot!(mistakes("image \"x\" {}\n}\n"), @r#"
    error: cannot read this: unexpected token
     --> estaleiro.hcl:2:1
      |
    2 | }
      | ^
      |
      = hint: it closes nothing that is open here
    "#);
}

#[test]
fn an_image_there_must_be_and_only_one() {
    insta::assert_snapshot!(mistakes(""), @r#"
    error: a definition needs an `image` block
     --> estaleiro.hcl:1:1
      |
    1 |
      | ^
      |
      = hint: write: image "product" { … }
    "#);
    insta::assert_snapshot!(mistakes("image \"x\" {}\nimage \"y\" {}\n"), @r#"
    error: second `image` block: the first is on line 1
     --> estaleiro.hcl:2:1
      |
    2 | image "y" {}
      | ^^^^^
      |
      = hint: one definition builds one image; write another definition for the other
    "#);
    insta::assert_snapshot!(mistakes("image {}\nstep \"a\" \"b\" {}\ntarball \" \" {}\n"), @r#"
    error: `image` needs a name
     --> estaleiro.hcl:1:1
      |
    1 | image {}
      | ^^^^^
      |
      = hint: write: image "product" { … }

    error: `step` has more than one name
     --> estaleiro.hcl:2:10
      |
    2 | step "a" "b" {}
      |          ^^^
      |
      = hint: write: step "name" { dockerfile = "Dockerfile" }

    error: the name of `tarball` is empty
     --> estaleiro.hcl:3:9
      |
    3 | tarball " " {}
      |         ^^^
      |
      = hint: write: tarball "path.tgz" { … }
    "#);
}

#[test]
fn unknown_names_are_refused_with_the_likely_one() {
    let text = r#"
imag "x" {}
image "x" {
  from    = "debian"
  user    = "root"
  symlink = "/a"
  env { A = "1" }
  aptt {}
  apt {
    packages = ["jq"]
    key "k" { url = "https://archive.example/k" }
  }
  file "/a" {
    from_contxt { path = "a" }
    permission = 7
  }
}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: unknown block `imag` in a definition
     --> estaleiro.hcl:2:1
      |
    2 | imag "x" {}
      | ^^^^
      |
      = hint: did you mean `image`?

    error: unknown attribute `from` in `image`
     --> estaleiro.hcl:4:3
      |
    4 |   from    = "debian"
      |   ^^^^
      |
      = hint: did you mean `base_image`?

    error: unknown attribute `user` in `image`
     --> estaleiro.hcl:5:3
      |
    5 |   user    = "root"
      |   ^^^^
      |
      = hint: did you mean `run_as`?

    error: unknown attribute `symlink` in `image`
     --> estaleiro.hcl:6:3
      |
    6 |   symlink = "/a"
      |   ^^^^^^^
      |
      = hint: it is a block: symlink … { … }

    error: unknown block `env` in `image`
     --> estaleiro.hcl:7:3
      |
    7 |   env { A = "1" }
      |   ^^^
      |
      = hint: it is an attribute: env = …

    error: unknown block `aptt` in `image`
     --> estaleiro.hcl:8:3
      |
    8 |   aptt {}
      |   ^^^^
      |
      = hint: did you mean `apt`?

    error: unknown attribute `packages` in `apt`
      --> estaleiro.hcl:10:5
       |
    10 |     packages = ["jq"]
       |     ^^^^^^^^
       |
       = hint: did you mean `package`?

    error: `key` has neither `uri` nor `path`
      --> estaleiro.hcl:11:5
       |
    11 |     key "k" { url = "https://archive.example/k" }
       |     ^^^
       |
       = hint: write uri = "https://…" or path = "keys/….asc"

    error: unknown attribute `url` in `key`
      --> estaleiro.hcl:11:15
       |
    11 |     key "k" { url = "https://archive.example/k" }
       |               ^^^
       |
       = hint: did you mean `uri`?

    error: `file` says no origin
      --> estaleiro.hcl:13:3
       |
    13 |   file "/a" {
       |   ^^^^
       |
       = hint: write one of from_step, from_tarball, from_image, from_package, from_context

    error: unknown block `from_contxt` in `file`
      --> estaleiro.hcl:14:5
       |
    14 |     from_contxt { path = "a" }
       |     ^^^^^^^^^^^
       |
       = hint: did you mean `from_context`?

    error: unknown attribute `permission` in `file`
      --> estaleiro.hcl:15:5
       |
    15 |     permission = 7
       |     ^^^^^^^^^^
       |
       = hint: known here: `mode`, `owner`, `from_step`, `from_tarball`, `from_image`, `from_package`, `from_context`
    "#);
}

#[test]
fn names_written_twice_are_refused() {
    let text = r#"
variable "v" { default = "" }
variable "v" { default = "" }
image "x" {
  cmd = []
  cmd = ["a"]
  env = {
    A = "1"
    "A" = "2"
  }
  apt {
    repositories = ["deb http://archive.example s main", "deb http://archive.example s main"]
    package "jq" {}
    remove = ["jq"]
    upgrade = true
  }
  apt {
    package "jq" {}
    upgrade = false
  }
  file "/a" { from_context { path = "a" } }
  file "/./a" { from_context { path = "b" } }
  symlink "/a" { target = "b" }
  volumes = ["/v", "/v"]
  ports = ["80", "80/tcp"]
  stop_signal = "SIGTERM"
  stopsignal = "SIGTERM"
}
step "s" {}
step "s" {}
tarball "t" {}
tarball "./t" {}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: variable `v` is written twice: first on line 2
     --> estaleiro.hcl:3:10
      |
    3 | variable "v" { default = "" }
      |          ^^^
      |
      = hint: keep one of them

    error: `cmd` is written twice: first on line 5
     --> estaleiro.hcl:6:3
      |
    6 |   cmd = ["a"]
      |   ^^^
      |
      = hint: keep one of them

    error: `A` is written twice: first on line 8
     --> estaleiro.hcl:9:6
      |
    9 |     "A" = "2"
      |      ^
      |
      = hint: keep one of them

    error: repository is written twice: first on line 12
      --> estaleiro.hcl:12:58
       |
    12 |     repositories = ["deb http://archive.example s main", "deb http://archive.example s main"]
       |                                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = hint: keep one of them

    error: package `jq` is to be removed, and is asked for on line 13
      --> estaleiro.hcl:14:15
       |
    14 |     remove = ["jq"]
       |               ^^^^
       |
       = hint: keep one of them

    error: package `jq` is written twice: first on line 13
      --> estaleiro.hcl:18:13
       |
    18 |     package "jq" {}
       |             ^^^^
       |
       = hint: keep one of them

    error: `upgrade` is `false` here and `true` on line 15
      --> estaleiro.hcl:19:15
       |
    19 |     upgrade = false
       |               ^^^^^
       |
       = hint: all `apt` blocks count as one: say it once

    error: path `/a` is written twice: first on line 21
      --> estaleiro.hcl:22:8
       |
    22 |   file "/./a" { from_context { path = "b" } }
       |        ^^^^^^
       |
       = hint: keep one of them

    error: path `/a` is written twice: first on line 21
      --> estaleiro.hcl:23:11
       |
    23 |   symlink "/a" { target = "b" }
       |           ^^^^
       |
       = hint: keep one of them

    error: volume `/v` is written twice: first on line 24
      --> estaleiro.hcl:24:20
       |
    24 |   volumes = ["/v", "/v"]
       |                    ^^^^
       |
       = hint: keep one of them

    error: port `80/tcp` is written twice: first on line 25
      --> estaleiro.hcl:25:18
       |
    25 |   ports = ["80", "80/tcp"]
       |                  ^^^^^^^^
       |
       = hint: keep one of them

    error: `stop_signal` is written twice: `stopsignal` is the same
      --> estaleiro.hcl:27:16
       |
    27 |   stopsignal = "SIGTERM"
       |                ^^^^^^^^^
       |
       = hint: keep `stop_signal`

    error: step `s` is written twice: first on line 29
      --> estaleiro.hcl:30:6
       |
    30 | step "s" {}
       |      ^^^
       |
       = hint: keep one of them

    error: tarball `t` is written twice: first on line 31
      --> estaleiro.hcl:32:9
       |
    32 | tarball "./t" {}
       |         ^^^^^
       |
       = hint: keep one of them
    "#);
}

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

#[test]
fn a_wrong_type_says_what_was_expected_and_what_came() {
    let text = r#"
image "x" {
  cmd = "a b"
  entrypoint = [1, true]
  env = ["A=1"]
  labels = { a = 1 }
  workdir = null
  ports = 8080
  apt {
    upgrade = "true"
    recommends = 1
  }
  user "u" { uid = "1000" }
  file "/a" {
    from_context { path = ["a"] }
    mode = 0755
  }
}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: wrong type for `cmd`: expected a list of strings, got a string
     --> estaleiro.hcl:3:9
      |
    3 |   cmd = "a b"
      |         ^^^^^
      |
      = hint: put it in brackets: ["a b"]

    error: wrong type for an element of `entrypoint`: expected a string, got a number
     --> estaleiro.hcl:4:17
      |
    4 |   entrypoint = [1, true]
      |                 ^
      |
      = hint: put it in quotes: "1"

    error: wrong type for an element of `entrypoint`: expected a string, got true or false
     --> estaleiro.hcl:4:20
      |
    4 |   entrypoint = [1, true]
      |                    ^^^^
      |
      = hint: put it in quotes: "true"

    error: wrong type for `env`: expected a map of strings, got a list
     --> estaleiro.hcl:5:9
      |
    5 |   env = ["A=1"]
      |         ^^^^^^^
      |
      = hint: write a map: { name = "…" }

    error: wrong type for a value of `labels`: expected a string, got a number
     --> estaleiro.hcl:6:18
      |
    6 |   labels = { a = 1 }
      |                  ^
      |
      = hint: put it in quotes: "1"

    error: wrong type for `workdir`: expected a string, got null
     --> estaleiro.hcl:7:13
      |
    7 |   workdir = null
      |             ^^^^
      |
      = hint: write a text in double quotes: "…"

    error: wrong type for `ports`: expected a list of strings, got a number
     --> estaleiro.hcl:8:11
      |
    8 |   ports = 8080
      |           ^^^^
      |
      = hint: write a list: ["…", "…"]

    error: wrong type for `upgrade`: expected true or false, got a string
      --> estaleiro.hcl:10:15
       |
    10 |     upgrade = "true"
       |               ^^^^^^
       |
       = hint: write `true` or `false`, without quotes

    error: wrong type for `recommends`: expected true or false, got a number
      --> estaleiro.hcl:11:18
       |
    11 |     recommends = 1
       |                  ^
       |
       = hint: write `true` or `false`, without quotes

    error: wrong type for `uid`: expected a number, got a string
      --> estaleiro.hcl:13:20
       |
    13 |   user "u" { uid = "1000" }
       |                    ^^^^^^
       |
       = hint: write a number, without quotes

    error: wrong type for `path`: expected a string, got a list
      --> estaleiro.hcl:15:27
       |
    15 |     from_context { path = ["a"] }
       |                           ^^^^^
       |
       = hint: write a text in double quotes: "…"

    error: wrong type for `mode`: expected an octal number in a string, got a number
      --> estaleiro.hcl:16:12
       |
    16 |     mode = 0755
       |            ^^^^
       |
       = hint: put it in quotes: "0755"
    "#);
}

#[test]
fn variables_without_a_value_are_refused() {
    let text = "variable \"declared\" {}\nimage \"x\" { cmd = [declared, \"${missing}\", var.given] }\n";
    insta::assert_snapshot!(mistakes_with(text, &[("given", "")]), @r#"
    error: variable `declared` has no value
     --> estaleiro.hcl:1:10
      |
    1 | variable "declared" {}
      |          ^^^^^^^^^^
      |
      = hint: pass it with `--var declared=…`, or give it a default

    error: variable `missing` is not defined: those that are: `given`
     --> estaleiro.hcl:2:33
      |
    2 | image "x" { cmd = [declared, "${missing}", var.given] }
      |                                 ^^^^^^^
      |
      = hint: pass it with `--var missing=…`, or declare it: variable "missing" { default = "…" }

    error: cannot look into `var.given`: nothing here has parts
     --> estaleiro.hcl:2:44
      |
    2 | image "x" { cmd = [declared, "${missing}", var.given] }
      |                                            ^^^^^^^^^
      |
      = hint: variables are plain texts; their names stand alone: `${given}`
    "#);
}

#[test]
fn a_variable_is_declared_by_a_plain_text() {
    let text = "variable \"1x\" { default = \"\" }\nvariable \"a\" { default = \"${b}\" }\nvariable \"c\" { default = [] }\nimage \"x\" { cmd = [a, c] }\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: invalid variable name `1x`
     --> estaleiro.hcl:1:10
      |
    1 | variable "1x" { default = "" }
      |          ^^^^
      |
      = hint: a variable's name has letters, digits, `_` and `-`, and begins with a letter or `_`

    error: a `default` cannot use variables
     --> estaleiro.hcl:2:26
      |
    2 | variable "a" { default = "${b}" }
      |                          ^^^^^^
      |
      = hint: write the text out

    error: wrong type for `default`: expected a string, written out
     --> estaleiro.hcl:3:26
      |
    3 | variable "c" { default = [] }
      |                          ^^
      |
      = hint: variables are plain texts: default = "…"
    "#);
}

#[test]
fn what_has_to_be_worked_out_is_refused() {
    let text = "image \"x\" {\n  cmd = [upper(\"a\"), \"${1 + 1}\", -a]\n  entrypoint = [for x in [\"a\"] : x]\n  workdir = \"%{ for x in [1] }a%{ endfor }\"\n  run_as = \"a\" ? \"b\" : \"c\"\n}\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: cannot call `upper`: a definition has no functions
     --> estaleiro.hcl:2:10
      |
    2 |   cmd = [upper("a"), "${1 + 1}", -a]
      |          ^^^^^^^^^^
      |
      = hint: write the value itself, or hand it in as a variable

    error: cannot calculate here: a definition knows `==`, `!=`, `&&`, `||`, `!` and `? :` only
     --> estaleiro.hcl:2:25
      |
    2 |   cmd = [upper("a"), "${1 + 1}", -a]
      |                         ^^^^^
      |
      = hint: write the value itself, or hand it in as a variable

    error: cannot calculate here: a definition knows `==`, `!=`, `&&`, `||`, `!` and `? :` only
     --> estaleiro.hcl:2:34
      |
    2 |   cmd = [upper("a"), "${1 + 1}", -a]
      |                                  ^^
      |
      = hint: write the value itself, or hand it in as a variable

    error: cannot repeat with `for`: a definition has no loops
     --> estaleiro.hcl:3:16
      |
    3 |   entrypoint = [for x in ["a"] : x]
      |                ^^^^^^^^^^^^^^^^^^^^
      |
      = hint: write the elements out

    error: cannot repeat with `for`: a definition has no loops
     --> estaleiro.hcl:4:14
      |
    4 |   workdir = "%{ for x in [1] }a%{ endfor }"
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: write the elements out

    error: cannot work out this value: its parts don't fit together
     --> estaleiro.hcl:5:12
      |
    5 |   run_as = "a" ? "b" : "c"
      |            ^^^^^^^^^^^^^^^
      |
      = hint: compare like with like, and put `true` or `false` before `?`
    "#);
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    let text = r#"
image "x" {
  file "a" { from_context { path = "/a" } }
  file "/../a" { from_context { path = "../a" } }
  file "" { from_context { path = "" } }
  file "/c" { from_image "i" { path = "c" } }
  symlink "/d/" { target = "" }
  remove = ["/", "e", "/[f"]
  volumes = ["v"]
  workdir = "w/.."
  user "u" { home = "h" }
  apt {
    deb "../x.deb" {}
    key "k" { path = "/etc/k.asc" }
  }
}
step "s" {
  dockerfile = "/Dockerfile"
  context = ".."
}
tarball "/t" {}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: path `a` is not absolute
     --> estaleiro.hcl:3:8
      |
    3 |   file "a" { from_context { path = "/a" } }
      |        ^^^
      |
      = hint: paths in an image begin with `/`: "/a"

    error: `path` is absolute
     --> estaleiro.hcl:3:36
      |
    3 |   file "a" { from_context { path = "/a" } }
      |                                    ^^^^
      |
      = hint: paths in a context or tarball do not begin with `/`: "a"

    error: path `/../a` has `..` in it
     --> estaleiro.hcl:4:8
      |
    4 |   file "/../a" { from_context { path = "../a" } }
      |        ^^^^^^^
      |
      = hint: write where it leads to instead

    error: `path` has `..` in it
     --> estaleiro.hcl:4:40
      |
    4 |   file "/../a" { from_context { path = "../a" } }
      |                                        ^^^^^^
      |
      = hint: write where it leads to instead

    error: the name of `file` is empty
     --> estaleiro.hcl:5:8
      |
    5 |   file "" { from_context { path = "" } }
      |        ^^
      |
      = hint: write: file "/path/in/the/image" { … }

    error: `path` is not absolute
     --> estaleiro.hcl:6:39
      |
    6 |   file "/c" { from_image "i" { path = "c" } }
      |                                       ^^^
      |
      = hint: paths in an image begin with `/`: "/c"

    error: a `symlink` cannot end in `/`
     --> estaleiro.hcl:7:11
      |
    7 |   symlink "/d/" { target = "" }
      |           ^^^^^
      |
      = hint: write the path of the link itself

    error: `target` is empty
     --> estaleiro.hcl:7:28
      |
    7 |   symlink "/d/" { target = "" }
      |                            ^^
      |
      = hint: write a text, or leave it out

    error: cannot remove `/`: it is the whole image
     --> estaleiro.hcl:8:13
      |
    8 |   remove = ["/", "e", "/[f"]
      |             ^^^
      |
      = hint: write what in it

    error: path to remove `e` is not absolute
     --> estaleiro.hcl:8:18
      |
    8 |   remove = ["/", "e", "/[f"]
      |                  ^^^
      |
      = hint: paths in an image begin with `/`: "/e"

    error: path to remove `/[f` is no pattern: its `[` is not closed by a `]`
     --> estaleiro.hcl:8:23
      |
    8 |   remove = ["/", "e", "/[f"]
      |                       ^^^^^
      |
      = hint: a backslash takes the next character as it is: `\\[`

    error: volume `v` is not absolute
     --> estaleiro.hcl:9:14
      |
    9 |   volumes = ["v"]
      |              ^^^
      |
      = hint: paths in an image begin with `/`: "/v"

    error: `workdir` has `..` in it
      --> estaleiro.hcl:10:13
       |
    10 |   workdir = "w/.."
       |             ^^^^^^
       |
       = hint: write where it leads to instead

    error: `home` is not absolute
      --> estaleiro.hcl:11:21
       |
    11 |   user "u" { home = "h" }
       |                     ^^^
       |
       = hint: paths in an image begin with `/`: "/h"

    error: path `../x.deb` has `..` in it
      --> estaleiro.hcl:13:9
       |
    13 |     deb "../x.deb" {}
       |         ^^^^^^^^^^
       |
       = hint: write where it leads to instead

    error: `path` is absolute
      --> estaleiro.hcl:14:22
       |
    14 |     key "k" { path = "/etc/k.asc" }
       |                      ^^^^^^^^^^^^
       |
       = hint: paths in a context or tarball do not begin with `/`: "etc/k.asc"

    error: `dockerfile` is absolute
      --> estaleiro.hcl:18:16
       |
    18 |   dockerfile = "/Dockerfile"
       |                ^^^^^^^^^^^^^
       |
       = hint: paths in a context or tarball do not begin with `/`: "Dockerfile"

    error: `context` has `..` in it
      --> estaleiro.hcl:19:13
       |
    19 |   context = ".."
       |             ^^^^
       |
       = hint: write where it leads to instead

    error: path `/t` is absolute
      --> estaleiro.hcl:21:9
       |
    21 | tarball "/t" {}
       |         ^^^^
       |
       = hint: paths in a context or tarball do not begin with `/`: "t"
    "#);
}

#[test]
fn modes_owners_ports_and_numbers_out_of_range_are_refused() {
    let text = r#"
image "x" {
  file "/a" {
    from_context { path = "a" }
    mode = "0855"
    owner = "0:4294967295"
  }
  file "/b" {
    from_context { path = "b" }
    mode = "10000"
    owner = ":"
  }
  user "u" {
    uid = 4294967295
    gid = -1
  }
  user "0u" { uid = 1.5 }
  ports = ["0", "65536", "80/http", "a"]
  run_as = "a b"
  stop_signal = ""
  entrypoint = [""]
  env = { "A=B" = "1" }
  labels = { "" = "1" }
}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: invalid mode `0855`
     --> estaleiro.hcl:5:12
      |
    5 |     mode = "0855"
      |            ^^^^^^
      |
      = hint: write an octal number up to 7777, like "0755"

    error: invalid owner `0:4294967295`
     --> estaleiro.hcl:6:13
      |
    6 |     owner = "0:4294967295"
      |             ^^^^^^^^^^^^^^
      |
      = hint: write `user:group`, names or numbers from 0 to 4294967294: "0:0", "www-data:www-data"

    error: invalid mode `10000`
      --> estaleiro.hcl:10:12
       |
    10 |     mode = "10000"
       |            ^^^^^^^
       |
       = hint: write an octal number up to 7777, like "0755"

    error: invalid owner `:`
      --> estaleiro.hcl:11:13
       |
    11 |     owner = ":"
       |             ^^^
       |
       = hint: write `user:group`, names or numbers from 0 to 4294967294: "0:0", "www-data:www-data"

    error: `uid` is out of range: expected a whole number from 0 to 4294967294
      --> estaleiro.hcl:14:11
       |
    14 |     uid = 4294967295
       |           ^^^^^^^^^^
       |
       = hint: choose a number in that range

    error: `gid` is out of range: expected a whole number from 0 to 4294967294
      --> estaleiro.hcl:15:11
       |
    15 |     gid = -1
       |           ^^
       |
       = hint: choose a number in that range

    error: invalid user name `0u`
      --> estaleiro.hcl:17:8
       |
    17 |   user "0u" { uid = 1.5 }
       |        ^^^^
       |
       = hint: a user's name has up to 32 letters, digits, `_`, `-`, `.` and begins with a letter or `_`

    error: `uid` is out of range: expected a whole number from 0 to 4294967294
      --> estaleiro.hcl:17:21
       |
    17 |   user "0u" { uid = 1.5 }
       |                     ^^^
       |
       = hint: choose a number in that range

    error: invalid port `0`
      --> estaleiro.hcl:18:12
       |
    18 |   ports = ["0", "65536", "80/http", "a"]
       |            ^^^
       |
       = hint: write a number from 1 to 65535 and tcp, udp or sctp: "8080/tcp"

    error: invalid port `65536`
      --> estaleiro.hcl:18:17
       |
    18 |   ports = ["0", "65536", "80/http", "a"]
       |                 ^^^^^^^
       |
       = hint: write a number from 1 to 65535 and tcp, udp or sctp: "8080/tcp"

    error: invalid port `80/http`
      --> estaleiro.hcl:18:26
       |
    18 |   ports = ["0", "65536", "80/http", "a"]
       |                          ^^^^^^^^^
       |
       = hint: write a number from 1 to 65535 and tcp, udp or sctp: "8080/tcp"

    error: invalid port `a`
      --> estaleiro.hcl:18:37
       |
    18 |   ports = ["0", "65536", "80/http", "a"]
       |                                     ^^^
       |
       = hint: write a number from 1 to 65535 and tcp, udp or sctp: "8080/tcp"

    error: invalid user `a b`
      --> estaleiro.hcl:19:12
       |
    19 |   run_as = "a b"
       |            ^^^^^
       |
       = hint: write `user:group`, names or numbers from 0 to 4294967294: "0:0", "www-data:www-data"

    error: `stop_signal` is empty
      --> estaleiro.hcl:20:17
       |
    20 |   stop_signal = ""
       |                 ^^
       |
       = hint: write a text, or leave it out

    error: the first word of `entrypoint` is empty
      --> estaleiro.hcl:21:17
       |
    21 |   entrypoint = [""]
       |                 ^^
       |
       = hint: write a program, or `[]` for none

    error: invalid environment variable `A=B`
      --> estaleiro.hcl:22:11
       |
    22 |   env = { "A=B" = "1" }
       |           ^^^^^
       |
       = hint: its name isn't empty and has no `=`; neither has a NUL

    error: the name of a label is empty
      --> estaleiro.hcl:23:14
       |
    23 |   labels = { "" = "1" }
       |              ^^
       |
       = hint: write a name, or leave it out
    "#);
}

#[test]
fn packages_and_versions_follow_the_policy() {
    let text = r#"
image "x" {
  apt {
    package "Jq" {}
    package "jq=1.6" {}
    package "j" {}
    package "a1" { version = "v1" }
    package "a2" { version = "1:2:3-4_5" }
    package "a3" { version = "a:1" }
    package "a4" { version = "1-" }
    remove = ["-x"]
    debconf = { tzdata = "Etc" }
    repositories = ["http://archive.example/debian bookworm main", "deb http://archive.example/debian bookworm"]
  }
}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: invalid package name `Jq`
     --> estaleiro.hcl:4:13
      |
    4 |     package "Jq" {}
      |             ^^^^
      |
      = hint: a package's name has two or more of `a-z`, `0-9`, `+`, `-`, `.` and begins with a letter or digit

    error: invalid package name `jq=1.6`
     --> estaleiro.hcl:5:13
      |
    5 |     package "jq=1.6" {}
      |             ^^^^^^^^
      |
      = hint: the version has its own attribute: package "jq" { version = "1.6" }

    error: invalid package name `j`
     --> estaleiro.hcl:6:13
      |
    6 |     package "j" {}
      |             ^^^
      |
      = hint: a package's name has two or more of `a-z`, `0-9`, `+`, `-`, `.` and begins with a letter or digit

    error: invalid version `v1`
     --> estaleiro.hcl:7:30
      |
    7 |     package "a1" { version = "v1" }
      |                              ^^^^
      |
      = hint: a version is `[epoch:]upstream[-revision]`, like `1:2.3+dfsg-4`; upstream begins with a digit

    error: invalid version `1:2:3-4_5`
     --> estaleiro.hcl:8:30
      |
    8 |     package "a2" { version = "1:2:3-4_5" }
      |                              ^^^^^^^^^^^
      |
      = hint: a version is `[epoch:]upstream[-revision]`, like `1:2.3+dfsg-4`; upstream begins with a digit

    error: invalid version `a:1`
     --> estaleiro.hcl:9:30
      |
    9 |     package "a3" { version = "a:1" }
      |                              ^^^^^
      |
      = hint: a version is `[epoch:]upstream[-revision]`, like `1:2.3+dfsg-4`; upstream begins with a digit

    error: invalid version `1-`
      --> estaleiro.hcl:10:30
       |
    10 |     package "a4" { version = "1-" }
       |                              ^^^^
       |
       = hint: a version is `[epoch:]upstream[-revision]`, like `1:2.3+dfsg-4`; upstream begins with a digit

    error: invalid package name `-x`
      --> estaleiro.hcl:11:15
       |
    11 |     remove = ["-x"]
       |               ^^^^
       |
       = hint: a package's name has two or more of `a-z`, `0-9`, `+`, `-`, `.` and begins with a letter or digit

    error: invalid debconf question `tzdata`
      --> estaleiro.hcl:12:17
       |
    12 |     debconf = { tzdata = "Etc" }
       |                 ^^^^^^
       |
       = hint: write `"package/question" = "answer"`, like `"tzdata/Areas" = "Etc"`

    error: cannot read this repository
      --> estaleiro.hcl:13:21
       |
    13 |     repositories = ["http://archive.example/debian bookworm main", "deb http://archive.example/debian bookworm"]
       |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = hint: write `deb [options] https://archive.example/debian suite component…`, or `deb-src …`

    error: cannot read this repository
      --> estaleiro.hcl:13:68
       |
    13 |     repositories = ["http://archive.example/debian bookworm main", "deb http://archive.example/debian bookworm"]
       |                                                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = hint: write `deb [options] https://archive.example/debian suite component…`, or `deb-src …`
    "#);
}

#[test]
fn a_key_comes_from_one_place_and_has_a_whole_fingerprint() {
    let text = r#"
image "x" {
  apt {
    key "a" {}
    key "b" {
      uri  = "https://archive.example/b"
      path = "b.asc"
    }
    key "c" {
      uri         = "archive.example/c"
      fingerprint = "0EBFCD88"
    }
    key "c" { path = "c.asc" }
  }
}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: `key` has neither `uri` nor `path`
     --> estaleiro.hcl:4:5
      |
    4 |     key "a" {}
      |     ^^^
      |
      = hint: write uri = "https://…" or path = "keys/….asc"

    error: `key` has both `uri` and `path`
     --> estaleiro.hcl:7:14
      |
    7 |       path = "b.asc"
      |              ^^^^^^^
      |
      = hint: keep one of them

    error: `uri` is no web address
      --> estaleiro.hcl:10:21
       |
    10 |       uri         = "archive.example/c"
       |                     ^^^^^^^^^^^^^^^^^^^
       |
       = hint: write one like `https://archive.example/file`

    error: invalid fingerprint `0EBFCD88`
      --> estaleiro.hcl:11:21
       |
    11 |       fingerprint = "0EBFCD88"
       |                     ^^^^^^^^^^
       |
       = hint: write all 40 hexadecimal digits, as `gpg --show-keys` prints them; a short key ID is not safe

    error: key `c` is written twice: first on line 9
      --> estaleiro.hcl:13:9
       |
    13 |     key "c" { path = "c.asc" }
       |         ^^^
       |
       = hint: keep one of them
    "#);
}

#[test]
fn what_a_variable_holds_is_never_shown() {
    let text = "image \"x\" {\n  workdir = token\n  base_image = \"${token}\"\n  ports = [token]\n  run_as = \"${token}\"\n  cmd = \"${token}\"\n  apt {\n    repositories = [\"${token}\"]\n    key \"k\" {\n      uri = token\n      fingerprint = token\n    }\n  }\n}\n";
    let said = mistakes_with(text, &[("token", "Hunter 2")]);
    assert_eq!(said.matches("error:").count(), 8, "{said}");
    assert!(!said.contains("Hunter"), "{said}");
}

#[test]
fn labels_are_plain_texts() {
    insta::assert_snapshot!(mistakes("image \"x-${v}\" {}\n"), @r#"
    error: cannot read this: expected `{`
     --> estaleiro.hcl:1:7
      |
    1 | image "x-${v}" {}
      |       ^
      |
      = hint: a name before `{` is a plain text: no variable can stand in it
    "#);
}

#[test]
fn a_map_with_very_many_names_is_refused() {
    let names: String = (0..5000).map(|n| format!("(a{n}) = 1,")).collect();
    let said = mistakes(&format!("image \"x\" {{ env = {{ {names} }} }}"));
    assert!(said.contains("cannot read this map: it has more than 4096 names"), "{said}");
}

#[test]
fn a_definition_that_is_too_long_is_refused() {
    let text = format!("image \"x\" {{}}\n#{}", "é".repeat(600_000));
    insta::assert_snapshot!(mistakes(&text), @r#"
    error: cannot read this definition: it has 1200014 bytes, and may have 1048576
     --> estaleiro.hcl:1:1
      |
    1 | image "x" {}
      | ^
      |
      = hint: is it the right file?
    "#);
}

#[test]
fn of_many_mistakes_the_first_are_shown_and_the_others_counted() {
    let lines: String = (0..6000).map(|n| format!("  a{n} = 1\n")).collect();
    let said = mistakes(&format!("image \"x\" {{\n{lines}}}\n"));
    assert_eq!(said.matches("error:").count(), 50);
    assert!(said.ends_with("and 5950 more mistakes"), "{}", &said[said.len() - 100..]);
}

#[test]
fn pins_and_preferences_are_read_as_apt_reads_them() {
    let text = r#"image "x" {
  apt {
    package "aa" { pin = "bookworm-backports" }
    package "bb" {
      version = "1"
      pin     = "release a=stable"
    }
    preferences = "Package: c\nPin: release *\n"
  }
}
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    error: cannot read preferences: "bookworm-backports" is no pin: write release, version or origin
     --> estaleiro.hcl:3:26
      |
    3 |     package "aa" { pin = "bookworm-backports" }
      |                          ^^^^^^^^^^^^^^^^^^^^
      |
      = hint: a pin is `release a=bookworm-backports`, `version 1.2*` or `origin archive.example`

    error: `package` has both `version` and `pin`
     --> estaleiro.hcl:6:17
      |
    6 |       pin     = "release a=stable"
      |                 ^^^^^^^^^^^^^^^^^^
      |
      = hint: keep one of them

    error: cannot read preferences at line 1: field Pin-Priority is missing
     --> estaleiro.hcl:8:19
      |
    8 |     preferences = "Package: c\nPin: release *\n"
      |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: write paragraphs of `Package: …`, `Pin: …` and `Pin-Priority: …`, as apt_preferences(5) says
    "#);
    let text = "image \"x\" {\n  apt {\n    package \"aa\" { pin = \"release a=stable\" }\n    \
                preferences = <<-EOT\n      Package: *\n      Pin: version 1\n      Pin-Priority: 1\n    EOT\n  }\n}\n";
    assert!(mistakes(text).contains("cannot read these preferences"));
}
