//! What is misspelt, unknown or written twice.

use super::*;

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
