//! What is said of packages, versions, pins, keys and sources.

use super::*;

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
