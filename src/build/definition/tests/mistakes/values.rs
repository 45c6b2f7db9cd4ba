//! Values of another type, out of range, or that lead elsewhere.

use super::*;
use crate::bom::Format;

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
fn a_format_that_nobody_knows_or_twice() {
    let text = "image \"x\" {\n  bom_formats = [\"spdx\", \"xml\", \"spdx\"]\n}\n";
    let said = mistakes(text).replace(&Format::names(), "FORMATS");
    insta::assert_snapshot!(said, @r#"
    error: unknown format `xml`
     --> estaleiro.hcl:2:26
      |
    2 |   bom_formats = ["spdx", "xml", "spdx"]
      |                          ^^^^^
      |
      = hint: expected FORMATS

    error: format `spdx` is written twice: first on line 2
     --> estaleiro.hcl:2:33
      |
    2 |   bom_formats = ["spdx", "xml", "spdx"]
      |                                 ^^^^^^
      |
      = hint: keep one of them
    "#);
}
