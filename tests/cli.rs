//! The command line: what it refuses and how it says so, and what it teaches.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod support;

#[path = "hostile/site.rs"]
mod site;

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
fn a_lock_that_is_asked_for_must_be_there() {
    let site = sound();
    assert_said(
        &site.fails(2, site.build().arg("--locked")),
        "error: cannot build --locked: there is no estaleiro.lock\n\
         hint: write one with `estaleiro lock`",
    );
    assert_said(
        &site.fails(2, site.build().args(["--lock", "other.lock"])),
        "error: cannot read lock other.lock: No such file or directory (os error 2)\n\
         hint: write one with `estaleiro lock`",
    );
}

/// Returns the lock of a site's definition.
fn lock(site: &Site) -> Value {
    serde_json::from_slice(&site.succeeds(site.verb("lock").args(["--lock", "-"])).stdout).unwrap()
}

/// Returns what a build says of a lock.
fn told_of_lock(site: &Site, lock: &Value) -> String {
    site.put("estaleiro.lock", lock.to_string());
    site.fails(2, &mut site.build())
}

#[test]
fn a_lock_that_cannot_be_read_is_refused() {
    let site = sound();
    let sound = lock(&site);
    let with = |name: &str, value: Value| {
        let mut lock = sound.clone();
        lock[name] = value;
        lock
    };
    assert_said(
        &told_of_lock(&site, &with("format", json!(9))),
        "error: cannot read lock estaleiro.lock: it has format 9, this builder knows format 1\n\
         hint: write it anew with `estaleiro lock`",
    );
    assert!(told_of_lock(&site, &with("surprise", json!(1))).contains("unknown field `surprise`"));
    assert_said(
        &told_of_lock(&site, &json!("no lock")),
        "error: cannot read lock estaleiro.lock: invalid type: string \"no lock\", expected struct Header at line 1 column 9\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.lock", "");
    assert_said(
        &site.fails(2, &mut site.build()),
        "error: cannot read lock estaleiro.lock: EOF while parsing a value at line 1 column 0\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.lock", sound.to_string());
    site.succeeds(site.build().arg("--locked"));
}

#[test]
fn a_lock_that_is_of_another_definition_is_refused() {
    let site = sound();
    let sound = lock(&site);
    let mut other = sound.clone();
    other["platforms"][0]["platform"] = json!("linux/s390x");
    assert_said(
        &told_of_lock(&site, &other),
        "error: cannot use lock: it holds nothing for linux/amd64\n\
         hint: write it anew with `estaleiro lock`",
    );
    let mut based = sound.clone();
    based["platforms"][0]["base"] =
        json!({"name": "registry.example/base:1", "digest": format!("sha256:{}", "0".repeat(64))});
    assert_said(
        &told_of_lock(&site, &based),
        "error: cannot use lock: the definition's base is scratch, the lock's registry.example/base:1\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.hcl", "image \"x\" {\n  base_image = \"registry.example/base:2\"\n}\n");
    assert_said(
        &told_of_lock(&site, &sound),
        "error: cannot use lock: the definition's base is registry.example/base:2, the lock's scratch\n\
         hint: write it anew with `estaleiro lock`",
    );
}

#[test]
fn a_lock_holds_the_packages_that_the_definition_names() {
    let (first, second) = (Deb::new("jq", "1.6-2").essential(), Deb::new("jo", "1"));
    let archive = Archive::new().add(first).add(second).sign_with(&Key::ed25519()).serve();
    let site = Site::of_archive(&archive);
    let lock_of_jq = lock(&site);
    site.put("estaleiro.hcl", definition_of(&archive, "scratch", "package \"jo\" {}"));
    assert_said(
        &told_of_lock(&site, &lock_of_jq),
        "error: cannot use lock: it is of another definition\n\
         - the definition has package jo, the lock hasn't\n\
         - the lock has package jq, the definition hasn't\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.hcl", definition_of(&archive, "scratch", "package \"jq\" { version = \"1.7\" }"));
    assert_said(
        &told_of_lock(&site, &lock_of_jq),
        "error: cannot use lock: it is of another definition\n\
         - the definition has package jq = 1.7, the lock hasn't\n\
         - the lock has package jq, the definition hasn't\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.hcl", "image \"x\" {}\n");
    let said = told_of_lock(&site, &lock_of_jq);
    for difference in ["package jq", "repository deb [signed-by=archive] ", "key archive"] {
        assert!(said.contains(&format!("\n- the lock has {difference}")), "{said}");
    }

    // On a base, what the base has itself need not be in the lock; what it has not must be.
    let registry = TestRegistry::start();
    let status = "Package: here\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n";
    let root = support::Tarball::new().file("var/lib/dpkg/status", 0o644, status);
    TestImage::new().layer(&root).put(&registry, "base", Some("1"));
    let site = Site::of_archive(&archive);
    let base = registry.name("base", "1");
    site.put("estaleiro.hcl", definition_of(&archive, &base, "package \"here\" {}"));
    let lock_of_nothing = lock(&site);
    site.put("estaleiro.hcl", definition_of(&archive, &base, "package \"here\" {}\n    package \"jq\" {}"));
    assert_said(
        &told_of_lock(&site, &lock_of_nothing),
        "error: cannot use lock: the definition has package jq, the lock hasn't\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.hcl", definition_of(&archive, &base, "package \"here\" {}"));
    site.succeeds(site.build().arg("--locked"));
}

#[test]
fn a_lock_that_was_edited_still_has_to_hold_what_it_says() {
    let archive = Archive::new().add(Deb::new("jq", "1.6-2").essential()).sign_with(&Key::ed25519()).serve();
    let site = Site::of_archive(&archive);
    let mut edited = lock(&site);
    edited["platforms"][0]["packages"] = json!([]);
    assert_said(
        &told_of_lock(&site, &edited),
        "error: cannot use lock: it does not hold package jq\n\
         hint: write it anew with `estaleiro lock`",
    );
}

#[test]
fn a_lock_beside_the_definition_is_whole_or_as_it_was() {
    let site = sound();
    site.succeeds(&mut site.verb("lock"));
    let first = fs::read(site.path("context/estaleiro.lock")).unwrap();
    let names = names_in(&site.path("context"));
    assert_eq!(names, ["estaleiro.hcl", "estaleiro.lock", "tool"]);
    site.put("estaleiro.hcl", "image \"x\" {");
    site.fails(2, &mut site.verb("lock"));
    assert_eq!(fs::read(site.path("context/estaleiro.lock")).unwrap(), first);
    assert_eq!(names_in(&site.path("context")), names);
}

#[test]
fn without_a_verb_the_verbs_are_shown() {
    let site = Site::new("");
    let said = site.fails(2, &mut site.estaleiro(&[]));
    for verb in ["build", "lock", "graph", "bom"] {
        assert!(said.contains(&format!("\n  {verb} ")), "{said}");
    }
}

#[test]
fn a_word_that_is_misspelled_is_answered_with_the_right_one() {
    let site = Site::new("");
    assert_said(
        &site.fails(2, &mut site.estaleiro(&["biuld"])),
        r##"error: unrecognized subcommand 'biuld'

  tip: a similar subcommand exists: 'build'

Usage: estaleiro [OPTIONS] <COMMAND>

For more information, try '--help'."##,
    );
    assert_said(
        &site.fails(2, &mut site.estaleiro(&["build", ".", "--outptu", "x"])),
        r##"error: unexpected argument '--outptu' found

  tip: a similar argument exists: '--output'

Usage: estaleiro build <--output <oci:DIR[:TAG]>|--push <REFERENCE>> <PATH>

For more information, try '--help'."##,
    );
    assert_said(
        &site.fails(2, &mut site.estaleiro(&["build", "."])),
        r##"error: the following required arguments were not provided:
  <--output <oci:DIR[:TAG]>|--push <REFERENCE>>

Usage: estaleiro build <--output <oci:DIR[:TAG]>|--push <REFERENCE>> <PATH>

For more information, try '--help'."##,
    );
    let platform = ["build", ".", "--output", "oci:out", "--platform", "linux/"];
    assert_said(
        &site.fails(2, &mut site.estaleiro(&platform)),
        "error: invalid value 'linux/' for '--platform <PLATFORM>': cannot read platform `linux/`: expected os/architecture or os/architecture/variant, as in `linux/amd64`\n\
         \n\
         For more information, try '--help'.",
    );
}

#[test]
fn a_directory_is_not_taken_for_a_registry_nor_the_other_way_round() {
    let site = sound();
    assert_said(
        &site.fails(2, site.verb("build").args(["--output", "out"])),
        "error: invalid value 'out' for '--output <oci:DIR[:TAG]>': expected oci:DIR[:TAG], as in oci:out\n\
         \n\
         For more information, try '--help'.",
    );
    assert_said(
        &site.fails(2, site.verb("build").args(["--push", "oci:out"])),
        "error: invalid value 'oci:out' for '--push <REFERENCE>': that is a directory: use --output\n\
         \n\
         For more information, try '--help'.",
    );
    assert_said(
        &site.fails(2, site.verb("build").args(["--push", "Registry.example/App"])),
        "error: invalid value 'Registry.example/App' for '--push <REFERENCE>': cannot read image name `Registry.example/App`: a repository is made of lower-case letters, digits, `.`, `_`, `-`, and `/` between its parts\n\
         \n\
         For more information, try '--help'.",
    );
    let digest = format!("registry.example/app@sha256:{}", "0".repeat(64));
    assert_said(
        &site.fails(2, site.verb("build").args(["--push", &digest])),
        "error: cannot push to registry.example/app@sha256:DIGEST: a digest is what comes out\n\
         hint: name a tag",
    );
    assert_eq!(names_in(&site.path("context")), ["estaleiro.hcl", "tool"]);
}

#[test]
fn a_name_without_its_password_is_refused() {
    let site = sound();
    assert_said(
        &site.fails(2, site.build().args(["--username", "me"])),
        "error: cannot log in: a user name and a password go together\n\
         hint: give --username or ESTALEIRO_USERNAME, and --password or ESTALEIRO_PASSWORD",
    );
    assert_said(
        &site.fails(2, site.build().env("ESTALEIRO_PASSWORD", "secret")),
        "error: cannot log in: a user name and a password go together\n\
         hint: give --username or ESTALEIRO_USERNAME, and --password or ESTALEIRO_PASSWORD",
    );
}

#[test]
fn every_verb_teaches_how_it_is_used() {
    let site = Site::new("");
    let help = |arguments: &[&str]| site.said(&site.succeeds(&mut site.estaleiro(arguments)).stdout);
    for verb in ["build", "lock", "graph", "bom"] {
        let said = help(&[verb, "--help"]);
        assert!(said.contains(&format!("Usage: estaleiro {verb} ")), "{said}");
        assert_said(&help(&["help", verb]), &said);
    }
    assert_said(
        &help(&["build", "--help"]),
        r##"Build an image and put it, with its bill of materials, into a directory or a registry

Usage: estaleiro build [OPTIONS] <--output <oci:DIR[:TAG]>|--push <REFERENCE>> [PATH]

Arguments:
  [PATH]  A definition, or a directory with an `estaleiro.hcl` [default: .]

Options:
      --context <DIR>                  Where the definition's files lie [default: the definition's
                                       directory]
  -q, --quiet                          Say nothing but errors
      --var <NAME=VALUE>               A value for a variable of the definition; may be repeated
      --platform <PLATFORM>            Whom the image is for, as os/architecture [default: this
                                       machine]
      --state <DIR>                    Where layers and indexes are kept between builds [default:
                                       /scratch/estaleiro, else ~/.cache/estaleiro] [env:
                                       ESTALEIRO_STATE=]
      --apt-config <DIR>               The apt configuration whose sources and keys are used when
                                       neither definition nor base image names any [default:
                                       /etc/apt]
      --username <USERNAME>            The user name for the registry [env: ESTALEIRO_USERNAME]
      --password <PASSWORD>            The password for the registry; better given in the
                                       environment [env: ESTALEIRO_PASSWORD]
      --insecure                       Reach the registry by plain http
      --registry-mirror <HOST=MIRROR>  Ask MIRROR before the registry HOST for the images that a
                                       Dockerfile names; may be repeated [env:
                                       ESTALEIRO_REGISTRY_MIRRORS=]
      --ca-cert <FILE>                 A certificate authority to trust besides this machine's, as a
                                       PEM file; may be repeated
      --lock <FILE>                    Use this lock [default: estaleiro.lock beside the definition,
                                       where there is one]
      --locked                         Fail unless there is a lock
      --output <oci:DIR[:TAG]>         Put the image into an OCI layout directory: oci:DIR or
                                       oci:DIR:TAG
      --push <REFERENCE>               Push the image to a registry
      --no-cache                       Do everything again, whatever is known of it
      --keep-failed                    Keep the root of a RUN that fails, and say where it is
  -h, --help                           Print help

To build a Dockerfile:
  -f, --file <FILE>
          Build this Dockerfile; PATH is the context, whose `.dockerignore` counts unless
          FILE.dockerignore is there
      --build-arg <NAME[=VALUE]>
          A value for an ARG; without `=VALUE` it is taken from the environment; may be repeated
      --target <STAGE>
          The stage to build, by name or number [default: the last]
      --label <NAME=VALUE>
          A label of the image; may be repeated
      --secret <id=NAME[,src=FILE|,env=VARIABLE]>
          A secret for `RUN --mount=type=secret`: id=NAME,src=FILE or id=NAME,env=VARIABLE; may be
          repeated
      --ssh <NAME[=SOCKET]>
          An agent's socket for `RUN --mount=type=ssh`: default, or NAME=SOCKET; may be repeated

Examples:
  estaleiro build examples/hello --output oci:out/hello
  estaleiro build -f Dockerfile --target app --build-arg VERSION=1.2 --output oci:out/app .
  estaleiro build . --push registry.example/team/app:1.2 --var commit=$(git rev-parse HEAD)"##,
    );
    let top = help(&["--help"]);
    assert!(top.contains("Exit codes: 0 done, 1 the work failed, 2 the request was wrong."), "{top}");
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
