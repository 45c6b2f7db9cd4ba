//! In which forms an image is got, and that others read them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::pier;
use crate::support::concourse::{Got, Version};
use crate::support::image::put_index;
use crate::support::tarball::Entry;
use crate::support::{Compression, DockerRegistry, Tarball, TestImage, TestRegistry, run, tree};

pub(crate) fn version(tag: &str, digest: &Digest) -> Version {
    Version::from([("tag".to_owned(), tag.to_owned()), ("digest".to_owned(), digest.to_string())])
}

/// Returns the names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn json_of(got: &Got, name: &str) -> Value {
    serde_json::from_str(&got.read(name)).unwrap()
}

/// Returns an image for a processor, whose file `arch` says which.
fn image_for(architecture: &str) -> TestImage {
    let layer = Tarball::new().file("arch", 0o644, architecture);
    TestImage::new().layer(&layer).field("architecture", json!(architecture))
}

#[test]
fn a_root_comes_with_what_a_task_wants_to_know_of_its_image() {
    let registry = TestRegistry::start();
    let image = pier::base_image()
        .config("Env", json!(["PATH=/bin"]))
        .config("User", json!("1000"))
        .config("Entrypoint", json!(["/bin/su"]))
        .config("Cmd", json!(["-"]))
        .config("Labels", json!({"b": "2", "a": "1"}));
    let digest = image.put(&registry, "app", Some("1"));
    let source = pier::source(&registry.host(), "app");
    let got = pier::get(&source, &version("1", &digest), &json!({}));
    assert_eq!(
        names(got.directory.path()),
        ["digest", "labels.json", "metadata.json", "repository", "rootfs", "tag"]
    );
    assert_eq!(got.read("repository"), format!("{}/app", registry.host()));
    assert_eq!((got.read("tag"), got.read("digest")), ("1".into(), digest.to_string()));
    let metadata = json!({"env": ["PATH=/bin"], "user": "1000", "entrypoint": ["/bin/su"], "cmd": ["-"]});
    assert_eq!(json_of(&got, "metadata.json"), metadata);
    assert_eq!(json_of(&got, "labels.json"), json!({"a": "1", "b": "2"}));
    assert!(tree::dump(&got.path("rootfs")).contains("usr/bin/ping"));
}

#[test]
fn who_is_not_root_owns_all_that_is_got_and_has_no_devices() {
    let registry = TestRegistry::start();
    let layer = Tarball::new()
        .entry(Entry::file("theirs", 0o4755, "x").owned_by(1000, 8).xattr("security.capability", "x"))
        .entry(Entry::device("null", 0o666, 1, 3))
        .symlink("link", "theirs");
    let digest = TestImage::new().layer(&layer).put(&registry, "app", Some("1"));
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    fs::copy(env!("CARGO_BIN_EXE_in"), at("in")).unwrap();
    fs::create_dir(at("got")).unwrap();
    run("chown", &["-R", "65534:65534", place.path().to_str().unwrap()]);
    let request = json!({"source": pier::source(&registry.host(), "app"), "version": version("1", &digest)})
        .to_string();
    assert_cmd::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", &at("in"), &at("got")])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .write_stdin(request)
        .assert()
        .success();
    assert_eq!(names(&place.path().join("got/rootfs")), ["link", "theirs"]);
    let theirs = fs::metadata(at("got/rootfs/theirs")).unwrap();
    assert_eq!((theirs.uid(), theirs.gid()), (65534, 65534));
}

#[test]
fn nothing_is_downloaded_that_is_not_wanted() {
    let registry = TestRegistry::start();
    let digest = pier::base_image().put(&registry, "app", Some("1"));
    for format in ["rootfs", "oci", "oci-layout"] {
        let params = json!({"format": format, "skip_download": true});
        let got = pier::get(&pier::source(&registry.host(), "app"), &version("1", &digest), &params);
        assert_eq!(names(got.directory.path()), ["digest", "repository", "tag"]);
    }
    assert_eq!(registry.n_blobs_downloaded(), 0);
}

#[test]
fn a_root_is_the_same_however_its_layers_are_compressed_and_whatever_they_are_called() {
    let plain = Tarball::new().directory("d/", 0o755).file("d/a", 0o644, "a").file("d/b", 0o644, "b");
    let upper = Tarball::new().file("d/.wh.a", 0o644, "").hardlink("d/c", "d/b");
    let mut dumps = Vec::new();
    for compression in [Compression::Gz, Compression::Zst, Compression::None] {
        for calls_it in ["", "application/vnd.docker.image.rootfs.diff.tar.gzip"] {
            let registry = TestRegistry::start();
            let image = TestImage::new().layer_in(&plain, compression).layer_in(&upper, compression);
            let mut digest = image.put(&registry, "app", Some("1"));
            if !calls_it.is_empty() {
                let mut manifest = pier::manifest(&registry, "app", "1");
                for layer in manifest["layers"].as_array_mut().unwrap() {
                    layer["mediaType"] = json!(calls_it);
                }
                let kind = manifest["mediaType"].as_str().unwrap().to_owned();
                digest = registry.put_manifest("app", Some("1"), &kind, manifest.to_string().as_bytes());
            }
            let got = pier::get(&pier::source(&registry.host(), "app"), &version("1", &digest), &json!({}));
            dumps.push(tree::dump(&got.path("rootfs")));
        }
    }
    dumps.dedup();
    assert_eq!(dumps.len(), 1, "{dumps:#?}");
    assert!(dumps[0].contains("d/c") && !dumps[0].contains("d/a"));
}

#[test]
fn the_platform_of_a_step_counts_more_than_the_source_s() {
    let registry = TestRegistry::start();
    let images = [image_for("amd64"), image_for("arm64"), image_for("s390x")];
    let index = put_index(&registry, "app", "1", &images.each_ref());
    for (source, params, expected) in [
        (json!({}), json!({}), "amd64"),
        (json!({"platform": {"architecture": "arm64"}}), json!({}), "arm64"),
        (
            json!({"platform": {"architecture": "arm64"}}),
            json!({"platform": {"architecture": "s390x"}}),
            "s390x",
        ),
    ] {
        let mut all = pier::source(&registry.host(), "app");
        all["platform"] = source["platform"].clone();
        if cfg!(target_arch = "x86_64") || !all["platform"].is_null() {
            let got = pier::get(&all, &version("1", &index), &params);
            assert_eq!(got.read("rootfs/arch"), expected);
            assert_eq!(got.read("digest"), index.to_string());
        }
    }
}

#[test]
fn an_archive_is_what_docker_loads_and_an_oci_layout_at_once() {
    let registry = TestRegistry::start();
    let image = pier::base_image().config("Labels", json!({"a": "1"}));
    let digest = image.put(&registry, "team/app", Some("1"));
    let source = pier::source(&registry.host(), "team/app");
    let got = pier::get(&source, &version("1", &digest), &json!({"format": "oci"}));
    assert_eq!(names(got.directory.path()), ["digest", "image.tar", "labels.json", "repository", "tag"]);
    assert_eq!(json_of(&got, "labels.json"), json!({"a": "1"}));
    let again = pier::get(&source, &version("1", &digest), &json!({"format": "oci"}));
    assert!(fs::read(got.path("image.tar")).unwrap() == fs::read(again.path("image.tar")).unwrap());

    let name = registry.name("team/app", "1");
    let archive = got.path("image.tar").display().to_string();
    let root = pier::get(&source, &version("1", &digest), &json!({}));
    for from in [format!("docker-archive:{archive}:{name}"), format!("oci-archive:{archive}:1")] {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name).display().to_string();
        run("skopeo", &["--insecure-policy", "copy", "-q", &from, &format!("oci:{}:x", at("oci"))]);
        run("umoci", &["unpack", "--image", &format!("{}:x", at("oci")), &at("bundle")]);
        let theirs = tree::dump(&place.path().join("bundle/rootfs"));
        assert_eq!(theirs, tree::dump(&root.path("rootfs")), "{from}");
    }
    let listed = run("tar", &["-tf", &archive]);
    assert!(listed.contains("manifest.json") && listed.contains("oci-layout"), "{listed}");
}

#[test]
fn a_layout_of_an_index_is_whole_unless_a_platform_is_asked_for() {
    let registry = TestRegistry::start();
    let images = [image_for("amd64"), image_for("arm64")];
    let index = put_index(&registry, "app", "1", &images.each_ref());
    let source = pier::source(&registry.host(), "app");
    let whole = pier::get(&source, &version("1", &index), &json!({"format": "oci-layout"}));
    assert_eq!(names(&whole.path("oci")), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(names(&whole.path("oci/blobs/sha256")).len(), 1 + 2 * 3);
    assert_eq!(json_of(&whole, "oci/index.json")["manifests"][0]["digest"], index.to_string());

    let params = json!({"format": "oci-layout", "platform": {"architecture": "arm64"}});
    let one = pier::get(&source, &version("1", &index), &params);
    assert_eq!(one.read("oci/single-image-digest"), images[1].digest().to_string());
    assert_eq!(names(&one.path("oci/blobs/sha256")).len(), 3);
    assert_eq!(one.read("digest"), index.to_string());
}

#[test]
fn a_layout_is_read_by_skopeo_and_umoci() {
    let registry = DockerRegistry::start();
    let place = tempfile::tempdir().unwrap();
    let layout = place.path().join("layout");
    let image = pier::base_image();
    image.write_layout(&layout, "x");
    let from = format!("oci:{}:x", layout.display());
    let to = format!("docker://{}", registry.name("app", "1"));
    run("skopeo", &["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", &from, &to]);
    let source = pier::source(&registry.host(), "app");
    let got = pier::get(&source, &version("1", &image.digest()), &json!({"format": "oci-layout"}));
    let raw = run("skopeo", &["inspect", "--raw", &format!("oci:{}", got.path("oci").display())]);
    assert_eq!(Digest::of(raw), image.digest());
    let bundle = place.path().join("bundle");
    run(
        "umoci",
        &["unpack", "--image", &format!("{}:1", got.path("oci").display()), bundle.to_str().unwrap()],
    );
    let root = pier::get(&source, &version("1", &image.digest()), &json!({}));
    assert_eq!(tree::dump(&bundle.join("rootfs")), tree::dump(&root.path("rootfs")));
}
