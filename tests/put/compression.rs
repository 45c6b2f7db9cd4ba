//! Layers compressed by gzip, as others read them, and by zstd, when a put asks for it.

use serde_json::{Value, json};

use crate::pier::{self, APP, Yard};
use crate::support::concourse::Outcome;
use crate::support::{TestRegistry, run, tree};

const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

fn put(registry: &TestRegistry, yard: &Yard, compression: &str) -> Outcome {
    let step = pier::with_params(yard, json!({"definition": "source", "compression": compression}));
    let done = pier::run(&pier::source(&registry.host(), "app"), &step);
    done.unwrap_or_else(|failure| panic!("{}", failure.stderr)).0
}

fn diff_ids(registry: &TestRegistry) -> Value {
    pier::config(registry, "app", "latest")["rootfs"]["diff_ids"].clone()
}

fn media_types(registry: &TestRegistry) -> Vec<String> {
    let manifest = pier::manifest(registry, "app", "latest");
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.map(|layer| layer["mediaType"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn layers_of_zstd_hold_the_same_and_others_read_them() {
    let (registry, yard) = (TestRegistry::start(), Yard::new(APP));
    put(&registry, &yard, "gzip");
    let with_gzip = diff_ids(&registry);
    let outcome = put(&registry, &yard, "zstd:19");
    assert_eq!(outcome.metadata("steps"), Some("2 built, 0 cached"), "{}", outcome.stderr);
    assert_eq!(media_types(&registry), [ZSTD, ZSTD]);
    assert_eq!(diff_ids(&registry), with_gzip);

    let got = pier::get(&pier::source(&registry.host(), "app"), &outcome.version, &json!({}));
    assert!(tree::dump(&got.path("rootfs")).contains("/usr/bin/app -> /opt/app"));
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (registry.name("app", "latest"), directory.path().join("plain"));
    let (from, to) = (format!("docker://{from}"), format!("dir:{}", to.display()));
    run("skopeo", &["copy", "--src-tls-verify=false", "--dest-decompress", &from, &to]);
    for diff_id in with_gzip.as_array().unwrap() {
        let name = diff_id.as_str().unwrap().trim_start_matches("sha256:");
        assert!(directory.path().join("plain").join(name).exists(), "{name}");
    }
}

#[test]
fn others_read_layers_of_large_files_and_small_ones() {
    let (registry, yard) = (TestRegistry::start(), Yard::new(APP));
    let numbers: String = (0..700_000).map(|n: u64| format!("{}\n", n * n)).collect();
    yard.write("app.sh", &numbers);
    put(&registry, &yard, "gzip");
    let directory = tempfile::tempdir().unwrap();
    let (layout, root) = (directory.path().join("layout"), directory.path().join("root"));
    let (from, to) = (format!("docker://{}", registry.name("app", "latest")), layout.display().to_string());
    run("skopeo", &["copy", "--src-tls-verify=false", &from, &format!("oci:{to}:app")]);
    run("umoci", &["raw", "unpack", "--image", &format!("{to}:app"), root.to_str().unwrap()]);
    assert!(std::fs::read_to_string(root.join("opt/app")).unwrap() == numbers);
    let plain = format!("dir:{}", directory.path().join("plain").display());
    run("skopeo", &["copy", "--dest-decompress", &format!("oci:{to}:app"), &plain]);
    for diff_id in diff_ids(&registry).as_array().unwrap() {
        let name = diff_id.as_str().unwrap().trim_start_matches("sha256:");
        assert!(directory.path().join("plain").join(name).exists(), "{name}");
    }
}

#[test]
fn another_compression_is_another_image_and_the_same_one_is_known() {
    let (registry, yard) = (TestRegistry::start(), Yard::new(APP));
    let first = put(&registry, &yard, "zstd");
    let again = put(&registry, &yard, "zstd");
    assert_eq!(again.version, first.version);
    assert_eq!(again.metadata("steps"), Some("0 built, 2 cached"));
    assert_ne!(put(&registry, &yard, "zstd:9").version, first.version);
}

#[test]
fn a_compression_that_there_is_none_of_is_refused() {
    let yard = Yard::new(APP);
    let step = pier::with_params(&yard, json!({"definition": "source", "compression": "brotli"}));
    let failure = pier::run(&pier::source("registry.example", "app"), &step).unwrap_err();
    let told = "cannot use put param `compression`: expected gzip, gzip:LEVEL (1 to 9), zstd or zstd:LEVEL";
    assert!(failure.stderr.contains(told), "{}", failure.stderr);
}
