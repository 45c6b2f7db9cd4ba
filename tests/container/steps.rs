//! A pipeline's steps: check, put, the get that follows it, and puts that are aborted.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::pier::{self, APP, Yard};
use crate::support::concourse::{Concourse, Put, Resource};
use crate::support::container::Kind;
use crate::support::fault::ALWAYS;
use crate::support::image::busybox;
use crate::support::{Compression, Fault, Tarball, TestImage, TestRegistry, tree};

fn resource(kind: Kind, registry: &TestRegistry) -> Resource {
    let concourse = Concourse::in_container(kind).environment("NO_COLOR", "1");
    concourse.resource(pier::source(&registry.host(), "app"))
}

/// An input with an image that was built elsewhere.
fn an_image() -> tempfile::TempDir {
    let input = tempfile::tempdir().unwrap();
    pier::base_image().write_layout(&input.path().join("oci"), "some");
    input
}

fn of_an_image(input: &tempfile::TempDir) -> Put {
    Put::new(json!({"image": "image/oci"})).artifact("image", input.path())
}

#[test]
fn an_image_is_put_got_and_found_by_a_check() {
    let digest = pier::base_image().digest().to_string();
    for kind in Kind::ALL {
        let registry = TestRegistry::start();
        let mut resource = resource(kind, &registry);
        assert_eq!(resource.check().unwrap(), []);
        let input = an_image();
        let (outcome, got) = resource.put(&of_an_image(&input)).unwrap_or_else(|f| panic!("{}", f.stderr));
        assert_eq!(outcome.version["digest"], digest, "{kind:?}");
        let got = got.expect("a get follows the put");
        assert_eq!((got.read("digest"), got.read("tag")), (digest.clone(), "latest".to_owned()));
        let elsewhere = pier::get(&pier::source(&registry.host(), "app"), &outcome.version, &Value::Null);
        let root = tree::dump(&elsewhere.path("rootfs"));
        assert_eq!(
            tree::dump(&got.path("rootfs")),
            root,
            "{kind:?}: setuid bits, capabilities, owners and all"
        );
        assert_eq!(resource.check().unwrap(), [outcome.version]);
    }
}

#[test]
fn a_get_may_be_left_out_or_leave_the_image_out() {
    let registry = TestRegistry::start();
    let mut resource = resource(Kind::Unprivileged, &registry);
    let input = an_image();
    let (outcome, got) = resource.put(&Put { no_get: true, ..of_an_image(&input) }).unwrap();
    assert!(got.is_none());
    assert_eq!(resource.check().unwrap(), std::slice::from_ref(&outcome.version));
    let small = Put { get_params: json!({"skip_download": true}), ..of_an_image(&input) };
    let got = resource.put(&small).unwrap().1.unwrap();
    assert_eq!(got.read("digest"), outcome.version["digest"]);
    assert!(!got.path("rootfs").exists());
}

#[test]
fn an_input_that_params_do_not_name_is_not_there_and_the_message_says_how() {
    let registry = TestRegistry::start();
    let text = APP.replace("path = \"app.sh\"", "path = \"../bin/app\"");
    let yard = Yard::new(&text);
    let bin = Yard::new("");
    bin.write("app", "x");
    let step = pier::step(&yard).artifact("bin", bin.path());
    let failure = resource(Kind::Unprivileged, &registry).put(&step).unwrap_err();
    assert!(failure.stderr.contains("hint"), "{}", failure.stderr);
    let failure =
        resource(Kind::Unprivileged, &registry).put(&Put::new(json!({"definition": "source"}))).unwrap_err();
    assert!(failure.stderr.contains("inputs: all"), "{}", failure.stderr);
}

#[test]
fn a_definition_of_files_makes_the_same_image_as_on_the_machine() {
    let digest = |mut resource: Resource, yard: &Yard| {
        let put = resource.put(&pier::step(yard));
        put.unwrap_or_else(|failure| panic!("{}", failure.stderr)).0.version["digest"].clone()
    };
    let yard = Yard::new(APP);
    let registry = TestRegistry::start();
    let state = tempfile::tempdir().unwrap();
    let source = pier::source(&registry.host(), "app");
    let expected = digest(pier::concourse(state.path()).resource(source), &yard);
    for kind in Kind::ALL {
        let registry = TestRegistry::start();
        assert_eq!(digest(resource(kind, &registry), &yard), expected, "{kind:?}");
    }
}

/// Where a registry keeps a put waiting.
const WAITS: [(&str, &str); 3] =
    [("POST", "/blobs/uploads/"), ("PUT", "/blobs/uploads/"), ("PUT", "/manifests/")];

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Aborts a put by a signal at the worst moments; returns how each ended, and what was said.
fn aborted(signal: Signal) -> Vec<(Option<i32>, String)> {
    let layer = Tarball::new().file("cargo", 0o644, vec![7; 32 << 20]);
    let input = tempfile::tempdir().unwrap();
    TestImage::new().layer_in(&layer, Compression::None).write_layout(&input.path().join("oci"), "some");
    let mut ends = Vec::new();
    for (method, part) in WAITS {
        let registry = TestRegistry::start();
        registry.faults().fail(method, part, ALWAYS, Fault::Stall);
        let running = resource(Kind::Unprivileged, &registry).begin_put(&of_an_image(&input));
        wait_until("the registry is asked", || registry.log().count(method, part) > 0);
        running.signal(signal);
        let output = running.finish();
        assert_eq!(registry.tags("app"), Vec::<String>::new(), "{method} {part}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{method} {part}");
        ends.push((output.status.code(), String::from_utf8(output.stderr).unwrap()));
    }
    ends
}

#[test]
fn a_put_that_is_told_to_end_leaves_no_tag_no_process_and_no_mount() {
    for (code, said) in aborted(Signal::SIGTERM) {
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("interrupted"), "{said}");
    }
}

#[test]
fn a_put_that_is_killed_leaves_no_tag_no_process_and_no_mount() {
    for (code, said) in aborted(Signal::SIGKILL) {
        assert_eq!(code, Some(128 + 9), "{said}");
    }
}

#[test]
fn an_aborted_put_ends_the_command_that_it_runs() {
    for (kind, signal) in
        Kind::ALL.iter().flat_map(|kind| [(*kind, Signal::SIGTERM), (*kind, Signal::SIGKILL)])
    {
        let registry = TestRegistry::start();
        busybox().put(&registry, "base", Some("latest"));
        let yard = Yard::new("");
        let nap = "sleep 1000 & busybox setsid sleep 1001 & trap '' TERM; echo napping; sleep 1002";
        yard.write("Dockerfile", format!("FROM {}/base\nRUN {nap}\n", registry.host()));
        let step = pier::with_params(&yard, json!({"dockerfile": "source/Dockerfile"}));
        let running = resource(kind, &registry).begin_put(&step);
        let is_asleep = || running.container().unwrap().programs().contains(&"sleep 1002 ".to_owned());
        wait_until("the command sleeps", is_asleep);
        running.signal(signal);
        let output = running.finish();
        let said = String::from_utf8_lossy(&output.stderr);
        let code = if signal == Signal::SIGTERM { 1 } else { 128 + 9 };
        assert_eq!(output.status.code(), Some(code), "{kind:?}, {signal}: {said}");
        assert_eq!(registry.tags("app"), [""; 0], "{kind:?}, {signal}");
    }
}
