//! What a get does when bytes break off, or are others than they should be: it goes on where that helps, and else leaves no
//! root that anybody could believe in.

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::formats::{names, version};
use crate::pier;
use crate::support::concourse::{Concourse, Failure};
use crate::support::fault::ALWAYS;
use crate::support::{Fault, Tarball, TestImage, TestRegistry, tree};

/// Returns an image whose layers are larger than what is held in memory.
fn large_image() -> TestImage {
    let noise = |seed: u64| -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..6 << 20).map(|_| next()).collect()
    };
    let layer = |seed: u64| Tarball::new().file(&format!("noise-{seed}"), 0o644, noise(seed));
    (1..=5).fold(TestImage::new(), |image, seed| image.layer(&layer(seed)))
}

fn layers(image: &TestImage) -> Vec<String> {
    let manifest: Value = serde_json::from_slice(&image.manifest_bytes()).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

fn get_in_vain(registry: &TestRegistry, digest: &Digest, format: &str) -> Failure {
    let resource =
        Concourse::new().environment("NO_COLOR", "1").resource(pier::source(&registry.host(), "app"));
    let failure = resource.get(&version("1", digest), &json!({"format": format})).expect_err("the get fails");
    assert_eq!((failure.status, failure.stdout.as_str()), (Some(1), ""));
    failure
}

#[test]
fn a_layer_that_breaks_off_goes_on_where_it_broke() {
    let image = large_image();
    let expected = {
        let registry = TestRegistry::start();
        let digest = image.put(&registry, "app", Some("1"));
        let got = pier::get(&pier::source(&registry.host(), "app"), &version("1", &digest), &json!({}));
        tree::dump(&got.path("rootfs"))
    };
    for fault in [Fault::Status(503), Fault::Reset, Fault::Truncate(3 << 20)] {
        let registry = TestRegistry::start();
        let digest = image.put(&registry, "app", Some("1"));
        for layer in layers(&image) {
            registry.faults().fail("GET", &layer, 1, fault.clone());
        }
        let got = pier::get(&pier::source(&registry.host(), "app"), &version("1", &digest), &json!({}));
        assert_eq!(tree::dump(&got.path("rootfs")), expected, "{fault:?}");
        assert_eq!(registry.log().count("GET", "/blobs/sha256:"), 1 + 2 * 5, "{fault:?}");
    }
}

#[test]
fn a_layer_that_cannot_be_had_leaves_no_root() {
    for format in ["rootfs", "oci", "oci-layout"] {
        for nth in [0, 2, 4] {
            let registry = TestRegistry::start();
            let image = large_image();
            let digest = image.put(&registry, "app", Some("1"));
            let layer = layers(&image)[nth].clone();
            registry.faults().fail("GET", &layer, ALWAYS, Fault::Status(400));
            let said = get_in_vain(&registry, &digest, format).stderr;
            assert!(said.contains(&format!("cannot pull {}/app@{layer}", registry.host())), "{said}");
            assert!(said.contains("400 Bad Request"), "{said}");
        }
    }
}

#[test]
fn what_fails_leaves_nothing() {
    let registry = TestRegistry::start();
    let image = large_image();
    let digest = image.put(&registry, "app", Some("1"));
    registry.faults().fail("GET", &layers(&image)[3], ALWAYS, Fault::Status(400));
    let destination = tempfile::tempdir().unwrap();
    for format in ["rootfs", "oci", "oci-layout"] {
        let request = json!({
            "source": pier::source(&registry.host(), "app"),
            "version": version("1", &digest),
            "params": {"format": format},
        });
        let status = assert_cmd::Command::new(env!("CARGO_BIN_EXE_in"))
            .arg(destination.path())
            .env_clear()
            .write_stdin(request.to_string())
            .assert();
        status.failure();
        assert_eq!(names(destination.path()), Vec::<String>::new(), "{format}");
    }
}

#[test]
fn a_layer_of_other_bytes_is_told_with_both_digests() {
    let image = large_image();
    let expected = layers(&image)[1].clone();
    for format in ["rootfs", "oci", "oci-layout"] {
        let registry = TestRegistry::start();
        let digest = image.put(&registry, "app", Some("1"));
        registry.faults().fail("GET", &expected, ALWAYS, Fault::WrongBytes);
        let said = get_in_vain(&registry, &digest, format).stderr;
        assert!(said.contains(&format!("{expected}, got sha256:")), "{format}: {said}");
    }
}

#[test]
fn a_layer_whose_content_is_not_what_the_configuration_says_is_told_with_both_digests() {
    let registry = TestRegistry::start();
    let (right, wrong) = (Tarball::new().file("a", 0o644, "a"), Tarball::new().file("a", 0o644, "b"));
    let image = TestImage::new().layer(&right);
    let other = TestImage::new().layer(&wrong);
    image.put(&registry, "app", None);
    other.put(&registry, "app", None);
    let mut manifest: Value = serde_json::from_slice(&image.manifest_bytes()).unwrap();
    let theirs: Value = serde_json::from_slice(&other.manifest_bytes()).unwrap();
    manifest["layers"] = theirs["layers"].clone();
    let kind = manifest["mediaType"].as_str().unwrap().to_owned();
    let digest = registry.put_manifest("app", Some("1"), &kind, manifest.to_string().as_bytes());
    let said = get_in_vain(&registry, &digest, "rootfs").stderr;
    let told = format!(
        "cannot unpack layer {}: its content has the digest {}, the configuration says {}",
        layers(&other)[0],
        Digest::of(wrong.build()),
        Digest::of(right.build())
    );
    assert!(said.contains(&told), "{said}");
}
