//! Puts of images that were built elsewhere: from an OCI layout or from what `docker save` writes, whole, unchanged, and
//! with their tags moved last.

use std::fs;
use std::path::Path;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::pier;
use crate::support::concourse::{Failure, Outcome, Put};
use crate::support::image::{archive_of, put_index, write_layout_of_index};
use crate::support::tarball::Entry;
use crate::support::{Compression, DockerRegistry, Tarball, TestImage, TestRegistry, run, tree};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Returns an image of two layers, compressed in this way.
pub(crate) fn image(compression: Compression) -> TestImage {
    let lower =
        Tarball::new().directory("etc/", 0o755).file("etc/motd", 0o644, "ahoy").file("etc/gone", 0o644, "");
    let upper = Tarball::new().file("etc/.wh.gone", 0o644, "").file("app", 0o755, "#!/bin/sh\n");
    TestImage::new().layer_in(&lower, compression).layer_in(&upper, compression).config("Env", json!(["A=1"]))
}

/// Puts `image`, a path in the input `image` that `write` fills.
fn put_with(source: &Value, write: impl FnOnce(&Path), params: Value) -> Result<Outcome, Failure> {
    let input = tempfile::tempdir().unwrap();
    write(input.path());
    let step = Put { no_get: true, ..Put::new(params).artifact("image", input.path()) };
    pier::run(source, &step).map(|(outcome, _)| outcome)
}

fn put(source: &Value, write: impl FnOnce(&Path), path: &str) -> Outcome {
    let put = put_with(source, write, json!({"image": format!("image/{path}")}));
    put.unwrap_or_else(|failure| panic!("{}", failure.stderr))
}

fn put_in_vain(write: impl FnOnce(&Path), path: &str) -> String {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let failure = put_with(&source, write, json!({"image": format!("image/{path}")})).unwrap_err();
    assert_eq!(registry.tags("app"), Vec::<String>::new());
    assert_eq!((failure.status, failure.stdout.as_str()), (Some(1), ""));
    failure.stderr
}

/// Returns the unpacked root of what was put.
fn root(source: &Value, outcome: &Outcome) -> String {
    let got = pier::get(source, &outcome.version, &json!({}));
    tree::dump(&got.path("rootfs"))
}

#[test]
fn a_layout_is_pushed_byte_by_byte_from_a_directory_and_from_an_archive() {
    let image = image(Compression::Gz);
    let in_archive = |directory: &Path| {
        let layout = tempfile::tempdir().unwrap();
        image.write_layout(layout.path(), "some");
        fs::write(directory.join("image.tar"), archive_of(layout.path())).unwrap();
    };
    for (path, write) in [
        ("oci", &(|directory: &Path| image.write_layout(&directory.join("oci"), "some")) as &dyn Fn(&Path)),
        ("image.tar", &in_archive),
        ("*.tar", &in_archive),
    ] {
        let registry = TestRegistry::start();
        let source = pier::source(&registry.host(), "app");
        let outcome = put(&source, write, path);
        assert_eq!(outcome.version["digest"], image.digest().to_string(), "{path}");
        assert_eq!(outcome.version["tag"], "latest");
        assert_eq!(outcome.metadata("tags"), Some("latest"));
        assert_eq!(outcome.metadata("repository"), Some(&*format!("{}/app", registry.host())));
        let (media_type, bytes) = registry.manifest("app", "latest").unwrap();
        assert_eq!((media_type.as_str(), bytes), (OCI_MANIFEST, image.manifest_bytes()));
        assert_eq!(registry.n_blobs_uploaded(), 3);
        assert!(root(&source, &outcome).contains("etc/motd"));
    }
}

#[test]
fn what_docker_saves_gets_the_manifest_that_registry_image_makes() {
    let registry = TestRegistry::start();
    let image = image(Compression::Gz);
    let write = |directory: &Path| fs::write(directory.join("image.tar"), image.saved().build()).unwrap();
    let outcome = put(&pier::source(&registry.host(), "app"), write, "image.tar");
    let (media_type, bytes) = registry.manifest("app", "latest").unwrap();
    let theirs: Value = serde_json::from_slice(&image.manifest_bytes()).unwrap();
    let blob = |blob: &Value, kind: &str| {
        format!(r#"{{"mediaType":"{kind}","size":{},"digest":{}}}"#, blob["size"], blob["digest"])
    };
    let layers = theirs["layers"].as_array().unwrap().iter();
    let layers: Vec<String> =
        layers.map(|layer| blob(layer, "application/vnd.docker.image.rootfs.diff.tar.gzip")).collect();
    // The bytes of go-containerregistry, down to the order of fields.
    let expected = format!(
        r#"{{"schemaVersion":2,"mediaType":"{DOCKER_MANIFEST}","config":{},"layers":[{}]}}"#,
        blob(&theirs["config"], "application/vnd.docker.container.image.v1+json"),
        layers.join(",")
    );
    assert_eq!((media_type.as_str(), String::from_utf8(bytes).unwrap()), (DOCKER_MANIFEST, expected.clone()));
    assert_eq!(outcome.version["digest"], Digest::of(expected).to_string());
}

#[test]
fn layers_that_docker_saves_uncompressed_are_compressed_the_same_each_time() {
    let mut digests = Vec::new();
    for _ in 0..2 {
        let registry = TestRegistry::start();
        let source = pier::source(&registry.host(), "app");
        let image = image(Compression::None);
        let write = |directory: &Path| fs::write(directory.join("image.tar"), image.saved().build()).unwrap();
        let outcome = put(&source, write, "image.tar");
        for layer in pier::layers(&registry, "app", "latest") {
            assert_eq!(registry.blob(&layer).unwrap()[..2], [0x1f, 0x8b]);
        }
        assert_eq!(pier::config(&registry, "app", "latest")["config"]["Env"], json!(["A=1"]));
        assert!(root(&source, &outcome).contains("etc/motd"));
        digests.push(outcome.version["digest"].clone());
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn zstd_layers_that_were_saved_make_an_oci_manifest() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let image = image(Compression::Zst);
    let write = |directory: &Path| fs::write(directory.join("image.tar"), image.saved().build()).unwrap();
    let outcome = put(&source, write, "image.tar");
    let manifest = pier::manifest(&registry, "app", "latest");
    assert_eq!(manifest["mediaType"], OCI_MANIFEST);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    assert!(root(&source, &outcome).contains("etc/motd"));
}

#[test]
fn old_archives_name_a_layer_twice_by_a_link() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let layer = Tarball::new().file("x", 0o644, "x");
    let image = TestImage::new().layer(&layer).layer(&layer);
    let gzip = layer.build_gzip();
    let config = image.config_bytes();
    let saved = Tarball::new()
        .directory("a/", 0o755)
        .file("a/layer.tar", 0o644, gzip)
        .directory("b/", 0o755)
        .symlink("b/layer.tar", "../a/layer.tar")
        .file("config.json", 0o644, config)
        .file(
            "manifest.json",
            0o644,
            json!([{"Config": "config.json", "RepoTags": null, "Layers": ["a/layer.tar", "b/layer.tar"]}])
                .to_string(),
        );
    let outcome =
        put(&source, |directory| fs::write(directory.join("i.tar"), saved.build()).unwrap(), "i.tar");
    let layers = pier::layers(&registry, "app", "latest");
    assert_eq!((layers.len(), layers[0]), (2, layers[1]));
    assert!(root(&source, &outcome).contains('x'));
}

#[test]
fn of_an_archive_that_is_both_the_layout_counts_unless_its_layers_are_uncompressed() {
    for (compression, is_as_it_is) in [(Compression::Gz, true), (Compression::None, false)] {
        let registry = TestRegistry::start();
        let image = image(compression);
        let write = |directory: &Path| {
            let both = tempfile::tempdir().unwrap();
            image.write_layout(both.path(), "some");
            let manifest: Value = serde_json::from_slice(&image.manifest_bytes()).unwrap();
            let name = |blob: &Value| format!("blobs/{}", blob["digest"].as_str().unwrap().replace(':', "/"));
            let layers: Vec<String> = manifest["layers"].as_array().unwrap().iter().map(name).collect();
            let saved = json!([{"Config": name(&manifest["config"]), "RepoTags": ["a:1"], "Layers": layers}]);
            fs::write(both.path().join("manifest.json"), saved.to_string()).unwrap();
            fs::write(directory.join("image.tar"), archive_of(both.path())).unwrap();
        };
        let outcome = put(&pier::source(&registry.host(), "app"), write, "image.tar");
        assert_eq!(outcome.version["digest"] == image.digest().to_string(), is_as_it_is);
        let layer = pier::layers(&registry, "app", "latest")[0];
        assert_eq!(registry.blob(&layer).unwrap()[..2], [0x1f, 0x8b]);
    }
}

fn two_platforms() -> [TestImage; 2] {
    let of = |architecture: &str| {
        let layer = Tarball::new().file("arch", 0o644, architecture);
        TestImage::new().layer(&layer).field("architecture", json!(architecture))
    };
    [of("amd64"), of("arm64")]
}

#[test]
fn an_index_is_pushed_whole_and_after_all_that_it_names() {
    let [amd64, arm64] = two_platforms();
    let expected = {
        let elsewhere = TestRegistry::start();
        put_index(&elsewhere, "app", "x", &[&amd64, &arm64])
    };
    let registry = TestRegistry::start();
    let write = |directory: &Path| write_layout_of_index(&directory.join("oci"), "x", &[&amd64, &arm64]);
    let outcome = put(&pier::source(&registry.host(), "app"), write, "oci");
    assert_eq!(outcome.version["digest"], expected.to_string());
    assert_eq!(registry.manifest("app", "latest").unwrap().0, OCI_INDEX);
    let puts = registry.log().requests().into_iter().filter(|r| r.is("PUT", "/manifests/"));
    let names: Vec<String> = puts.map(|r| r.path.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(
        names,
        [amd64.digest().to_string(), arm64.digest().to_string(), expected.to_string(), "latest".into()]
    );
}

#[test]
fn an_index_json_of_several_platforms_is_itself_the_index() {
    let [amd64, arm64] = two_platforms();
    let registry = TestRegistry::start();
    let mut index = Vec::new();
    let write = |directory: &Path| {
        let layout = directory.join("oci");
        write_layout_of_index(&layout, "x", &[&amd64, &arm64]);
        let nested: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let digest = nested["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
        index = fs::read(layout.join("blobs").join(digest)).unwrap();
        fs::write(layout.join("index.json"), &index).unwrap();
    };
    put(&pier::source(&registry.host(), "app"), write, "oci");
    assert_eq!(registry.manifest("app", "latest").unwrap(), (OCI_INDEX.into(), index));
}

#[test]
fn registry_image_s_marker_says_which_image_is_meant() {
    let registry = TestRegistry::start();
    let [amd64, arm64] = two_platforms();
    let write = |directory: &Path| {
        let layout = directory.join("oci");
        arm64.write_layout(&layout, "b");
        let entry = |image: &TestImage| {
            let size = image.manifest_bytes().len();
            json!({"mediaType": OCI_MANIFEST, "digest": image.digest().to_string(), "size": size})
        };
        amd64.write_layout(&layout, "a");
        let index = json!({"schemaVersion": 2, "manifests": [entry(&arm64), entry(&amd64)]});
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
        fs::write(layout.join("single-image-digest"), amd64.digest().to_string()).unwrap();
    };
    let outcome = put(&pier::source(&registry.host(), "app"), write, "oci");
    assert_eq!(outcome.version["digest"], amd64.digest().to_string());
}

#[test]
fn what_is_no_image_to_push_is_told() {
    let image = image(Compression::Gz);
    let write_layout = |directory: &Path| image.write_layout(&directory.join("oci"), "x");
    let blob = |directory: &Path, digest: &Digest| directory.join("oci/blobs/sha256").join(digest.hex());
    let layer: Digest = {
        let manifest: Value = serde_json::from_slice(&image.manifest_bytes()).unwrap();
        manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap()
    };
    let saved_with = |from: &str, to: &str| {
        let config = String::from_utf8(image.config_bytes()).unwrap().replacen(from, to, 1);
        let names = ["0/layer.tar", "1/layer.tar"];
        let manifest = json!([{"Config": "c.json", "Layers": names}]).to_string();
        image.saved().file("c.json", 0o644, config).file("manifest.json", 0o644, manifest)
    };
    for (what, write, path, told) in [
        (
            "a layer is missing",
            &(|d: &Path| {
                write_layout(d);
                fs::remove_file(blob(d, &layer)).unwrap();
            }) as &dyn Fn(&Path),
            "oci",
            format!("its blob {layer} is missing"),
        ),
        (
            "a layer is another",
            &|d| {
                write_layout(d);
                let path = blob(d, &layer);
                let mut bytes = fs::read(&path).unwrap();
                bytes[20] ^= 1;
                fs::write(path, bytes).unwrap();
            },
            "oci",
            format!("expected the blob to be {layer}, got sha256:"),
        ),
        (
            "a layer is cut off",
            &|d| {
                write_layout(d);
                fs::write(blob(d, &layer), "short").unwrap();
            },
            "oci",
            "bytes, got 5".into(),
        ),
        (
            "a manifest is another",
            &|d| {
                write_layout(d);
                fs::write(blob(d, &image.digest()), "{}").unwrap();
            },
            "oci",
            format!("its manifest {} has the digest", image.digest()),
        ),
        (
            "a diff ID is another",
            &|d| fs::write(d.join("i.tar"), saved_with("sha256:", "sha256:0").build()).unwrap(),
            "i.tar",
            "its configuration cannot be read".into(),
        ),
        (
            "two images in one archive",
            &|d| {
                let two = json!([{"Config": "a", "RepoTags": ["a:1"]}, {"Config": "b", "RepoTags": ["b:2"]}]);
                let tarball = Tarball::new().file("manifest.json", 0o644, two.to_string());
                fs::write(d.join("i.tar"), tarball.build()).unwrap();
            },
            "i.tar",
            "it holds 2 images: a:1, b:2".into(),
        ),
        (
            "no archive",
            &|d| fs::write(d.join("i.tar"), "x".repeat(600)).unwrap(),
            "i.tar",
            "no tar archive".into(),
        ),
        (
            "something else",
            &|d| fs::write(d.join("i.tar"), Tarball::new().file("x", 0o644, "").build()).unwrap(),
            "i.tar",
            "it is no image".into(),
        ),
        (
            "compressed",
            &|d| fs::write(d.join("i.tar"), image.saved().build_gzip()).unwrap(),
            "i.tar",
            "it is a compressed archive\nhint: decompress it".into(),
        ),
        ("nothing", &|_| {}, "i.tar", "the input image has no such file".into()),
        ("nothing that matches", &|_| {}, "*.tar", "no file matches".into()),
        (
            "links in a circle",
            &|d| {
                let circle = Tarball::new().symlink("manifest.json", "b").symlink("b", "manifest.json");
                fs::write(d.join("i.tar"), circle.build()).unwrap();
            },
            "i.tar",
            "too many links".into(),
        ),
    ] {
        let said = put_in_vain(write, path);
        assert!(said.contains(&told), "{what}: {said}");
    }
}

#[test]
fn a_saved_layer_that_is_another_is_told_with_both_digests() {
    let image = image(Compression::Gz);
    let other = Tarball::new().file("other", 0o644, "");
    let saved = image.saved().entry(Entry::file("0/layer.tar", 0o644, other.build_gzip()));
    let write = |d: &Path| fs::write(d.join("i.tar"), saved.build()).unwrap();
    let said = put_in_vain(write, "i.tar");
    let config: Value = serde_json::from_slice(&image.config_bytes()).unwrap();
    let expected = config["rootfs"]["diff_ids"][0].as_str().unwrap();
    let told = format!(
        "layer 0/layer.tar has the digest {}, its configuration says {expected}",
        Digest::of(other.build())
    );
    assert!(said.contains(&told), "{said}");
}

#[test]
fn a_put_of_what_is_there_takes_few_requests() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let image = image(Compression::Gz);
    let write = |directory: &Path| image.write_layout(&directory.join("oci"), "x");
    let first = put(&source, write, "oci");
    registry.log().clear();
    let second = put(&source, write, "oci");
    assert_eq!(first.version, second.version);
    assert_eq!(registry.log().lines().len(), 2, "{:#?}", registry.log().lines());
    assert_eq!(pier::writes(&registry), Vec::<String>::new());
}

#[test]
fn what_others_write_is_read_and_they_read_what_is_pushed() {
    let registry = DockerRegistry::start();
    let directory = tempfile::tempdir().unwrap();
    let image = image(Compression::Gz);
    image.write_layout(&directory.path().join("layout"), "x");
    let at = |name: &str| directory.path().join(name).display().to_string();
    let from = format!("oci:{}:x", at("layout"));
    for (kind, to) in [
        ("docker-archive", format!("docker-archive:{}:example/app:1", at("docker.tar"))),
        ("oci-archive", format!("oci-archive:{}", at("oci.tar"))),
        ("oci", format!("oci:{}", at("oci"))),
    ] {
        run("skopeo", &["--insecure-policy", "copy", "-q", &from, &to]);
        let name = match kind {
            "docker-archive" => "docker.tar",
            "oci-archive" => "oci.tar",
            _ => "oci",
        };
        let mut source = pier::source(&registry.host(), "app");
        source["tag"] = json!(kind);
        let copy = |input: &Path| drop(run("cp", &["-a", &at(name), input.to_str().unwrap()]));
        let outcome = put(&source, copy, name);
        if kind != "docker-archive" {
            assert_eq!(outcome.version["digest"], image.digest().to_string(), "{kind}");
        }
        let pushed = format!("docker://{}", registry.name("app", kind));
        let back = format!("oci:{}:x", at(&format!("back-{kind}")));
        run("skopeo", &["--insecure-policy", "copy", "-q", "--src-tls-verify=false", &pushed, &back]);
        let bundle = at(&format!("bundle-{kind}"));
        let layout = format!("{}:x", at(&format!("back-{kind}")));
        run("umoci", &["unpack", "--image", &layout, &bundle]);
        let theirs = tree::dump(&Path::new(&bundle).join("rootfs"));
        assert_eq!(root(&source, &outcome), theirs, "{kind}");
    }
}
