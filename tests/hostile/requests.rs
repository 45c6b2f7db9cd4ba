//! Requests that can't be carried out as they stand: each leaves with 2, and says which word of it is wrong.

use std::fs;

use crate::site::{Site, assert_said};
use crate::support::registry::{Auth, Options};
use crate::support::{TestImage, TestRegistry};

fn site() -> Site {
    Site::new("image \"x\" {}\n")
}

#[test]
fn every_mistake_of_a_definition_is_said_once() {
    let site = Site::new("image \"x\" {\n  ent = 1\n  bas = 2\n}\n");
    for verb in ["lock", "graph"] {
        let said = site.fails(2, &mut site.verb(verb));
        assert!(said.starts_with("error: unknown attribute `ent` in `image`\n"), "{said}");
        assert_eq!(said.matches("error: ").count(), 2, "{said}");
    }
    assert_eq!(site.fails(2, &mut site.build()).matches("error: ").count(), 2);
}

#[test]
fn mistakes_are_coloured_where_progress_is() {
    let site = Site::new("image \"x\" { ent = 1 }\n");
    let said = |colour: &str| {
        let output =
            site.estaleiro(&["graph", "--state", "../state"]).env("NO_COLOR", colour).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said("").starts_with("\u{1b}["), "{}", said(""));
    assert!(!said("1").contains('\u{1b}'), "{}", said("1"));
}

#[test]
fn an_output_is_a_directory_and_a_push_is_an_image() {
    let site = site();
    for (arguments, expected) in [
        (["--output", "x1"], "expected oci:DIR[:TAG], as in oci:x1"),
        (["--output", "oci:"], "expected oci:DIR[:TAG], as in oci:out"),
        (["--push", "oci:x1"], "that is a directory: use --output"),
        (["--push", "oci:"], "that is a directory: use --output"),
        (["--push", "Team/App"], "a repository is made of lower-case letters"),
    ] {
        let said = site.fails(2, site.verb("build").args(arguments));
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_lock_that_is_none_is_named() {
    let site = site();
    site.put("estaleiro.lock", "{}");
    assert_said(
        &site.fails(2, &mut site.build()),
        "error: cannot read lock estaleiro.lock: missing field `format` at line 1 column 2\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("other.lock", "{\"format\": 99}");
    let said = site.fails(2, site.verb("graph").args(["--lock", "other.lock"]));
    assert!(said.starts_with("error: cannot read lock other.lock: it has format 99, "), "{said}");
    let said = site.fails(2, site.build().args(["--lock", "none.lock"]));
    assert!(said.starts_with("error: cannot read lock none.lock: No such file"), "{said}");
}

#[test]
fn a_certificate_that_is_none_is_named() {
    let site = site();
    site.put("none.pem", "no certificate\n");
    assert_said(
        &site.fails(2, site.build().args(["--ca-cert", "none.pem"])),
        "error: cannot read certificate none.pem: expected PEM certificates, found none",
    );
    let said = site.fails(2, site.build().args(["--ca-cert", "gone.pem"]));
    assert!(said.starts_with("error: cannot read certificate gone.pem: No such file"), "{said}");
}

#[test]
fn a_context_is_a_directory() {
    let site = site();
    for context in ["estaleiro.hcl", "gone"] {
        assert_said(
            &site.fails(2, site.build().args(["--context", context])),
            &format!("error: cannot use context {context}: it is no directory"),
        );
    }
}

#[test]
fn a_directory_with_something_else_in_it_is_no_output() {
    let site = site();
    let output = site.verb("build").args(["--output", "oci:."]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_said(
        &site.said(&output.stderr),
        "error: cannot use oci:.: it is no OCI layout (there is no file `oci-layout`), and not empty\n\
         hint: name a new or an empty directory",
    );
}

#[test]
fn a_lock_that_cannot_be_written_is_named_without_the_temporary_file() {
    let site = site();
    assert_said(
        &site.fails(1, site.verb("lock").args(["--lock", "gone/estaleiro.lock"])),
        "error: cannot write gone/estaleiro.lock: No such file or directory (os error 2)",
    );
    fs::create_dir(site.path("context/directory")).unwrap();
    // The last lock is read first, to tell what moved: that it can't be one is known before any work.
    assert_said(
        &site.fails(2, site.verb("lock").args(["--lock", "directory"])),
        "error: cannot read lock directory: Is a directory (os error 21)",
    );
}

const USER: &str = "someone";
const PASSWORD: &str = "open sesame";

fn private_base() -> TestRegistry {
    let auth = Auth::Basic { user: USER.into(), password: PASSWORD.into() };
    let registry = TestRegistry::with(Options { auth, ..Options::default() });
    TestImage::new().put(&registry, "base", Some("1"));
    registry
}

#[test]
fn without_a_push_the_credentials_are_for_the_base() {
    let registry = private_base();
    let site = Site::new(&format!("image \"x\" {{ base_image = \"{}\" }}\n", registry.name("base", "1")));
    for arguments in [&["graph"][..], &["lock", "--lock", "-"], &["build", "--output", "oci:../layout"]] {
        let verb = || {
            let mut command = site.verb(arguments[0]);
            command.args(&arguments[1..]);
            command
        };
        let said = site.fails(1, &mut verb());
        assert!(said.contains("the registry refused access without credentials"), "{said}");
        site.succeeds(verb().args(["--username", USER, "--password", PASSWORD]));
    }
}

#[test]
fn credentials_that_nobody_asks_for_are_said_so() {
    let site = site();
    let mut graph = site.estaleiro(&["graph", "--state", "../state"]);
    let output = site.succeeds(graph.args(["--username", USER, "--password", PASSWORD]));
    let said = site.said(&output.stderr);
    assert!(said.starts_with("warning: the user name and password are for no registry"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
}

#[test]
fn two_destinations_share_one_lock() {
    let base = TestRegistry::start();
    TestImage::new().put(&base, "base", Some("1"));
    let site = Site::new(&format!("image \"x\" {{ base_image = \"{}\" }}\n", base.name("base", "1")));
    let target = TestRegistry::start();
    let output = site.succeeds(site.build().args(["--push", &target.name("app", "1")]));
    let digests = String::from_utf8(output.stdout).unwrap();
    let [first, second] = digests.lines().collect::<Vec<_>>()[..] else { panic!("{digests}") };
    assert!(second.ends_with(first), "{digests}");
    let asked = base.log().requests();
    let n_asked = asked.iter().filter(|request| request.path.ends_with("/manifests/1")).count();
    assert_eq!(n_asked, 1, "the tag is resolved once");
}
