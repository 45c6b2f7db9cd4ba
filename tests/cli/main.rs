//! The command line: what it refuses and how it says so, and what it teaches.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod accounts;
mod licences;
mod locks;
mod logins;
#[path = "../hostile/site.rs"]
mod site;
#[path = "../support/mod.rs"]
mod support;
mod words;

use std::fs;
use std::process::Command;

use estaleiro::oci::Platform;
use serde_json::{Value, json};
use site::{Site, assert_said, definition_of, manifest, names_in};
use support::archive::Archive;
use support::{Deb, Key, TestImage, TestRegistry};

const SOUND: &str = "image \"x\" {\n  file \"/tool\" {\n    from_context { path = \"tool\" }\n  }\n}\n";

/// Returns a site with a definition that can be built.
fn sound() -> Site {
    let site = Site::new(SOUND);
    site.put("tool", "tool");
    site
}

/// Returns what a build says of a definition.
fn told(definition: &str) -> String {
    let site = Site::new(definition);
    site.fails(2, &mut site.build())
}

#[test]
fn all_mistakes_of_a_definition_are_told_at_once() {
    let definition = r#"image "x" {
  entripoint = []
  apt {
    package "JQ" {}
  }
  file "usr/bin/tool" {
    from_context { path = "../tool" }
  }
  symlink "bin/sh" { target = 7 }
  user "a b" { uid = "x" }
  labels = { a = "${nobody}" }
}
"#;
    assert_said(
        &told(definition),
        r##"error: unknown attribute `entripoint` in `image`
 --> estaleiro.hcl:2:3
  |
2 |   entripoint = []
  |   ^^^^^^^^^^
  |
  = hint: did you mean `entrypoint`?

error: invalid package name `JQ`
 --> estaleiro.hcl:4:13
  |
4 |     package "JQ" {}
  |             ^^^^
  |
  = hint: a package's name has two or more of `a-z`, `0-9`, `+`, `-`, `.` and begins with a letter or digit

error: path `usr/bin/tool` is not absolute
 --> estaleiro.hcl:6:8
  |
6 |   file "usr/bin/tool" {
  |        ^^^^^^^^^^^^^^
  |
  = hint: paths in an image begin with `/`: "/usr/bin/tool"

error: `path` has `..` in it
 --> estaleiro.hcl:7:27
  |
7 |     from_context { path = "../tool" }
  |                           ^^^^^^^^^
  |
  = hint: write where it leads to instead

error: path `bin/sh` is not absolute
 --> estaleiro.hcl:9:11
  |
9 |   symlink "bin/sh" { target = 7 }
  |           ^^^^^^^^
  |
  = hint: paths in an image begin with `/`: "/bin/sh"

error: wrong type for `target`: expected a string, got a number
 --> estaleiro.hcl:9:31
  |
9 |   symlink "bin/sh" { target = 7 }
  |                               ^
  |
  = hint: put it in quotes: "7"

error: invalid user name `a b`
  --> estaleiro.hcl:10:8
   |
10 |   user "a b" { uid = "x" }
   |        ^^^^^
   |
   = hint: a user's name has up to 32 letters, digits, `_`, `-`, `.` and begins with a letter or `_`

error: wrong type for `uid`: expected a number, got a string
  --> estaleiro.hcl:10:22
   |
10 |   user "a b" { uid = "x" }
   |                      ^^^
   |
   = hint: write a number, without quotes

error: variable `nobody` is not defined: no variable is
  --> estaleiro.hcl:11:21
   |
11 |   labels = { a = "${nobody}" }
   |                     ^^^^^^
   |
   = hint: pass it with `--var nobody=…`, or declare it: variable "nobody" { default = "…" }"##,
    );
}

#[test]
fn what_is_no_hcl_is_told_with_its_place() {
    assert_said(
        &told("image \"x\" {\n  env = {\n}\n"),
        r##"error: cannot read this: invalid block body; expected `}`, newline or identifier
 --> estaleiro.hcl:3:2
  |
3 | }
  |  ^
  |
  = hint: nothing closes the `{` on line 1"##,
    );
}

#[test]
fn a_variable_is_a_name_and_a_value() {
    let site = sound();
    for given in ["commit", "=x", ""] {
        assert_said(
            &site.fails(2, site.build().args(["--var", given])),
            &format!("error: cannot read --var `{given}`: expected NAME=VALUE"),
        );
    }
    let said = site.said(&site.succeeds(site.build().args(["--var", "a=b=c"])).stderr);
    assert_said(&said, "");
    let mut loud =
        site.estaleiro(&["build", "--state", "../state", "--output", "oci:../layout", "--var", "a=b=c"]);
    let said = site.said(&site.succeeds(&mut loud).stderr);
    let warning = "warning: variable `a` is given, but estaleiro.hcl neither declares nor uses it\n";
    assert!(said.starts_with(warning), "{said}");
}

#[test]
fn a_definition_that_is_not_there_is_missed() {
    let site = Site::new("");
    fs::remove_file(site.path("context/estaleiro.hcl")).unwrap();
    assert_said(
        &site.fails(2, &mut site.build()),
        "error: cannot read definition estaleiro.hcl: No such file or directory (os error 2)\n\
         hint: name a definition, or a directory with an estaleiro.hcl",
    );
    assert_said(
        &site.fails(2, site.build().arg("other.hcl")),
        "error: cannot read definition other.hcl: No such file or directory (os error 2)\n\
         hint: name a definition, or a directory with an estaleiro.hcl",
    );
    fs::write(site.path("context/estaleiro.hcl"), [0xff, 0xfe]).unwrap();
    assert_said(
        &site.fails(2, &mut site.build()),
        "error: cannot read definition estaleiro.hcl: it is no UTF-8",
    );
}

#[test]
fn an_image_without_an_account_is_said_so() {
    let mut site = Site::new("");
    TestImage::new().write_layout(&site.path("made"), "1");
    assert_said(
        &site.fails(1, &mut site.estaleiro(&["bom", "oci:../made:1"])),
        "error: cannot print the bill of materials of oci:../made@sha256:DIGEST: none of this format refers to it\n\
         hint: an image has one if estaleiro built it",
    );
    assert_said(
        &site.fails(1, &mut site.estaleiro(&["bom", "oci:../made:2"])),
        "error: cannot find image oci:../made:2\n\
         hint: check its name and tag",
    );
    assert_said(
        &site.fails(1, &mut site.estaleiro(&["bom", "oci:../nowhere"])),
        "error: cannot find image oci:../nowhere:latest\n\
         hint: check its name and tag",
    );
    let registry = TestRegistry::start();
    TestImage::new().put(&registry, "app", Some("1"));
    site.call(registry.host(), "registry.example");
    assert_said(
        &site.fails(1, &mut site.estaleiro(&["bom", &registry.name("app", "1")])),
        "error: cannot print the bill of materials of registry.example/app@sha256:DIGEST: none of this format refers to it\n\
         hint: an image has one if estaleiro built it",
    );
    assert_said(
        &site.fails(1, &mut site.estaleiro(&["bom", &registry.name("app", "2")])),
        "error: cannot find image registry.example/app:2\n\
         hint: check its name and tag",
    );
}

#[test]
fn a_directory_that_holds_something_else_is_left_alone() {
    let site = sound();
    fs::create_dir(site.path("full")).unwrap();
    fs::write(site.path("full/thesis.txt"), "do not touch").unwrap();
    fs::write(site.path("file"), "do not touch").unwrap();
    let build = |output: &str| {
        let mut build = site.verb("build");
        build.args(["--output", output]);
        build
    };
    assert_said(
        &site.fails(2, &mut build("oci:../full")),
        "error: cannot use oci:../full: it is no OCI layout (there is no file `oci-layout`), and not empty\n\
         hint: name a new or an empty directory",
    );
    assert_eq!(names_in(&site.path("full")), ["thesis.txt"]);
    assert_said(
        &site.fails(2, &mut build("oci:../file")),
        "error: cannot use oci:../file: cannot list ../file: Not a directory (os error 20)",
    );
    assert_eq!(fs::read(site.path("file")).unwrap(), b"do not touch");
    fs::create_dir(site.path("empty")).unwrap();
    site.succeeds(&mut build("oci:../empty"));
    assert!(site.path("empty/index.json").exists());
}

#[test]
fn a_second_build_into_a_layout_keeps_the_first_one() {
    let site = sound();
    site.succeeds(&mut site.build());
    let first = manifest(&site.layout());
    site.put("tool", "another");
    let mut build = site.verb("build");
    build.args(["--output", "oci:../layout:two"]);
    site.succeeds(&mut build);
    assert_eq!(manifest(&site.layout()), first);
    let index: Value = serde_json::from_slice(&fs::read(site.layout().join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
}

#[test]
fn without_the_cache_everything_is_done_again() {
    let site = sound();
    let told = |more: &[&str]| {
        let arguments = ["build", "--state", "../state", "--output", "oci:../layout"];
        let output = site.succeeds(site.estaleiro(&arguments).args(more));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(told(&[]).contains("✔ copy /tool: built"));
    let again = told(&[]);
    assert!(again.contains("nothing changed: no layer was built"), "{again}");
    let anew = told(&["--no-cache"]);
    assert!(anew.contains("✔ copy /tool: built"), "{anew}");
}

#[test]
fn the_digest_goes_to_stdout_and_everything_else_to_stderr() {
    let site = sound();
    let loud = |name: &str, more: &[&str]| -> Command {
        let mut build = site.estaleiro(&["build", "--state", &format!("../state-{name}")]);
        build.args(["--output", &format!("oci:../layout-{name}")]).args(more);
        build
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let quiet = site.succeeds(&mut loud("quiet", &["-q"]));
    assert_eq!(quiet.stderr, b"");
    let digest = text(quiet.stdout);
    assert!(digest.starts_with("sha256:") && digest.len() == 72 && digest.ends_with('\n'), "{digest}");
    let plain = site.succeeds(&mut loud("plain", &[]));
    let colourful = site.succeeds(loud("colour", &[]).env("NO_COLOR", ""));
    assert_eq!((text(plain.stdout), text(colourful.stdout)), (digest.clone(), digest));
    let (plain, colourful) = (text(plain.stderr), text(colourful.stderr));
    assert!(!plain.contains('\x1b') && plain.contains("✔ copy /tool: built"), "{plain}");
    assert!(colourful.contains("\x1b[32m✔ copy /tool: built"), "{colourful}");
}

#[test]
fn an_answer_that_nobody_takes_is_an_error_and_no_panic() {
    let site = sound();
    let mut build = site.build();
    build.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let output = build.stderr(std::process::Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_said(
        &site.said(&output.stderr),
        "error: cannot write to stdout: No space left on device (os error 28)",
    );
}

#[test]
fn a_state_that_cannot_be_kept_is_said_so() {
    let site = sound();
    fs::write(site.path("file"), "").unwrap();
    let mut build = site.estaleiro(&["build", "-q", "--output", "oci:../layout", "--state", "../file/state"]);
    assert_said(
        &site.fails(1, &mut build),
        "error: cannot create ../file/state/blobs/sha256: Not a directory (os error 20)",
    );
    assert_said(
        &site.fails(1, site.build().env("SOURCE_DATE_EPOCH", "yesterday")),
        "error: cannot read SOURCE_DATE_EPOCH `yesterday`: expected seconds since 1970: invalid digit found in string",
    );
}

#[test]
fn a_platform_that_a_base_is_not_made_for_is_named() {
    let registry = TestRegistry::start();
    let image = TestImage::new().field("architecture", json!("s390x"));
    support::image::put_index(&registry, "base", "1", &[&image]);
    let upon = |name: &str| format!("image \"x\" {{\n  base_image = \"{}\"\n}}\n", registry.name(name, "1"));
    let mut site = Site::new(&upon("base"));
    site.call(registry.host(), "registry.example");
    assert_ne!(Platform::host().to_string(), "linux/s390x");
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot use base image registry.example/base:1: it is not made for linux/amd64, but for linux/s390x",
    );
    site.put("estaleiro.hcl", upon("other"));
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot use base image registry.example/other:1: the registry has no such image\n\
         hint: check its name and tag, and that the credentials given may read it",
    );
}
