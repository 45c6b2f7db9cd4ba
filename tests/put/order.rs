//! In which order an image becomes visible: the tag is moved last, when all it stands for is there.

use serde_json::json;

use crate::pier::{self, APP, Yard};
use crate::support::fault::ALWAYS;
use crate::support::registry::Options;
use crate::support::{Fault, TestRegistry, tree};

/// Returns what was written, by kind, in order; repeated kinds are one.
fn order(registry: &TestRegistry, subject: &str) -> Vec<&'static str> {
    let mut kinds = writes(registry, subject);
    kinds.dedup();
    kinds
}

/// Returns what was written, by kind, in order.
fn writes(registry: &TestRegistry, subject: &str) -> Vec<&'static str> {
    let written = registry.log().requests().into_iter().filter(|request| request.status == 201);
    let written = written.filter(|request| request.method == "PUT" || request.method == "POST");
    let kind = |path: &str| match path.rsplit_once("/manifests/") {
        None => "blob",
        Some((_, "latest")) => "tag",
        Some((_, name)) if name == subject => "image",
        Some((_, name)) if name == subject.replace(':', "-") => "list",
        Some(_) => "artifact",
    };
    written.map(|request| kind(&request.path)).collect()
}

#[test]
fn the_tag_is_moved_last() {
    let registry = TestRegistry::start();
    let outcome = pier::put(&pier::source(&registry.host(), "app"), &Yard::new(APP));
    let kinds = writes(&registry, &outcome.version["digest"]);
    let last_of = |kind: &str| kinds.iter().rposition(|other| *other == kind).unwrap();
    let first_of = |kind: &str| kinds.iter().position(|other| *other == kind).unwrap();
    assert!(last_of("blob") < first_of("artifact") && last_of("image") < first_of("artifact"), "{kinds:?}");
    assert!(last_of("artifact") < first_of("tag"), "{kinds:?}");
    let n_of = |kind: &str| kinds.iter().filter(|other| **other == kind).count();
    assert_eq!((n_of("image"), n_of("artifact"), n_of("tag")), (1, 6, 1), "{kinds:?}");
}

#[test]
fn the_tag_is_moved_last_where_the_list_of_referrers_is_a_tag_too() {
    let registry = TestRegistry::with(Options { referrers: false, ..Options::default() });
    let outcome = pier::put(&pier::source(&registry.host(), "app"), &Yard::new(APP));
    let kinds = order(&registry, &outcome.version["digest"]);
    assert_eq!(kinds[..2], ["blob", "image"]);
    assert_eq!(kinds[kinds.len() - 2..], ["list", "tag"]);
}

/// Breaks one kind of write for good, and asserts that the tag stays where it was and the next put mends all.
fn the_tag_stays_when(part: impl Fn(&str) -> bool + Send + 'static) {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let yard = Yard::new(APP);
    let first = pier::put(&source, &yard);
    yard.write("app.sh", "#!/bin/sh\necho adeus\n");
    let is_write = |method: &str| method == "PUT" || method == "POST";
    registry.faults().fail_if(move |r| is_write(&r.method) && part(&r.path), ALWAYS, Fault::Status(400));
    let failure = pier::put_in_vain(&source, &yard);
    assert_eq!((failure.status, failure.stdout.as_str()), (Some(1), ""));
    assert!(failure.stderr.contains("400 Bad Request"), "{}", failure.stderr);
    assert_eq!(registry.resolve("app", "latest").unwrap(), pier::digest(&first));

    registry.faults().heal();
    let second = pier::put(&source, &yard);
    assert_ne!(second.version, first.version);
    let got = pier::get(&source, &second.version, &json!({}));
    assert!(got.read("rootfs/opt/app").contains("adeus"));
    assert!(got.read("bom.yml").contains("/opt/app"));
    assert!(tree::dump(got.directory.path()).contains("estaleiro.lock"));
}

#[test]
fn the_tag_stays_when_a_layer_cannot_be_sent() {
    the_tag_stays_when(|path| path.contains("/blobs/uploads/"));
}

#[test]
fn the_tag_stays_when_the_manifest_is_refused() {
    the_tag_stays_when(|path| path.contains("/manifests/sha256:"));
}

#[test]
fn the_tag_stays_when_an_account_cannot_be_attached() {
    let n_seen = std::sync::atomic::AtomicUsize::new(0);
    the_tag_stays_when(move |path| {
        path.contains("/manifests/sha256:") && n_seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0
    });
}

#[test]
fn the_tag_stays_when_the_tag_is_refused() {
    the_tag_stays_when(|path| path.ends_with("/manifests/latest"));
}

#[test]
fn what_passes_by_itself_is_waited_for() {
    let registry = TestRegistry::start();
    registry.faults().fail("PUT", "/manifests/latest", 1, Fault::Status(503));
    registry.faults().fail("PUT", "/blobs/uploads/", 1, Fault::Reset);
    let outcome = pier::put(&pier::source(&registry.host(), "app"), &Yard::new(APP));
    assert_eq!(registry.resolve("app", "latest").unwrap(), pier::digest(&outcome));
}
