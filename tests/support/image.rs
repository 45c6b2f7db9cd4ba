//! Small images, written as JSON by hand, for registries and for OCI layout directories.

use std::fs;
use std::path::Path;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use super::deb::{Compression, compress};
use super::registry::TestRegistry;
use super::tarball::Tarball;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// What of busybox goes by a name of its own.
const APPLETS: [&str; 26] = [
    "cat", "chmod", "chown", "cp", "echo", "env", "false", "find", "grep", "head", "id", "kill", "ls",
    "mkdir", "mv", "printf", "pwd", "rm", "sh", "sleep", "stat", "test", "touch", "true", "uname", "wc",
];

struct Layer {
    media_type: &'static str,
    bytes: Vec<u8>,
    diff_id: Digest,
}

/// An image in the making.
pub struct TestImage {
    layers: Vec<Layer>,
    config: Value,
}

impl Default for TestImage {
    fn default() -> TestImage {
        TestImage::new()
    }
}

impl TestImage {
    /// Returns an image for linux/amd64 without layers.
    pub fn new() -> TestImage {
        TestImage {
            layers: Vec::new(),
            config: json!({"architecture": "amd64", "os": "linux", "config": {}}),
        }
    }

    /// Adds a layer, compressed by gzip.
    pub fn layer(self, tarball: &Tarball) -> TestImage {
        self.layer_in(tarball, Compression::Gz)
    }

    /// Adds a layer.
    ///
    /// # Panics
    /// For xz, of which the OCI knows nothing.
    pub fn layer_in(mut self, tarball: &Tarball, compression: Compression) -> TestImage {
        let media_type = match compression {
            Compression::Gz => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zst => "application/vnd.oci.image.layer.v1.tar+zstd",
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Xz => panic!("there are no xz layers"),
        };
        let plain = tarball.build();
        let diff_id = Digest::of(&plain);
        self.layers.push(Layer { media_type, bytes: compress(compression, &plain), diff_id });
        self
    }

    /// Adds a layer that somebody else wrote, compressed by gzip.
    pub fn gzip_layer(mut self, bytes: Vec<u8>) -> TestImage {
        let diff_id = Digest::of(super::tree::decompress(&bytes));
        self.layers.push(Layer { media_type: "application/vnd.oci.image.layer.v1.tar+gzip", bytes, diff_id });
        self
    }

    /// Sets a field of the inner `config`: `Env`, `Entrypoint`, `User` …
    pub fn config(mut self, key: &str, value: Value) -> TestImage {
        self.config["config"][key] = value;
        self
    }

    /// Sets a field of the whole configuration: `created`, `architecture` …
    pub fn field(mut self, key: &str, value: Value) -> TestImage {
        self.config[key] = value;
        self
    }

    /// Returns the configuration's bytes.
    pub fn config_bytes(&self) -> Vec<u8> {
        let mut config = self.config.clone();
        let diff_ids: Vec<String> = self.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        config.to_string().into_bytes()
    }

    /// Returns the manifest's bytes.
    pub fn manifest_bytes(&self) -> Vec<u8> {
        let layers: Vec<Value> =
            self.layers.iter().map(|layer| descriptor(layer.media_type, &layer.bytes)).collect();
        let config = descriptor(CONFIG, &self.config_bytes());
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
            .to_string()
            .into_bytes()
    }

    /// Returns the manifest's digest.
    pub fn digest(&self) -> Digest {
        Digest::of(self.manifest_bytes())
    }

    /// Puts it into a registry, without a request; no tag leaves it reachable by digest alone.
    pub fn put(&self, registry: &TestRegistry, repository: &str, tag: Option<&str>) -> Digest {
        for bytes in self.blobs() {
            registry.put_blob(repository, &bytes);
        }
        registry.put_manifest(repository, tag, MANIFEST, &self.manifest_bytes())
    }

    /// Writes it as an OCI layout directory.
    pub fn write_layout(&self, directory: &Path, tag: &str) {
        self.write_blobs(directory);
        write_index(directory, tag, descriptor(MANIFEST, &self.manifest_bytes()));
    }

    /// Returns it as `docker save` writes it: a configuration, and a directory for each layer.
    pub fn saved(&self) -> Tarball {
        let config = self.config_bytes();
        let config_name = format!("{}.json", Digest::of(&config).hex());
        let name = |nth: usize| format!("{nth}/layer.tar");
        let names: Vec<String> = (0..self.layers.len()).map(name).collect();
        let manifest = json!([{"Config": config_name, "RepoTags": ["example/app:1"], "Layers": names}]);
        let mut tarball = Tarball::new().file(&config_name, 0o644, config);
        for (layer, name) in self.layers.iter().zip(&names) {
            tarball = tarball.file(name, 0o644, &layer.bytes);
        }
        tarball.file("manifest.json", 0o644, manifest.to_string())
    }

    fn write_blobs(&self, directory: &Path) {
        for bytes in self.blobs().into_iter().chain([self.manifest_bytes()]) {
            write_blob(directory, &bytes);
        }
    }

    fn blobs(&self) -> Vec<Vec<u8>> {
        let layers = self.layers.iter().map(|layer| layer.bytes.clone());
        layers.chain([self.config_bytes()]).collect()
    }

    fn platform(&self) -> Value {
        let mut platform = json!({"os": self.config["os"], "architecture": self.config["architecture"]});
        if let Some(variant) = self.config.get("variant") {
            platform["variant"] = variant.clone();
        }
        platform
    }
}

/// What stands for dpkg in [`a_base_that_unpacks`]: it unpacks, writes down what, and configures nothing.
pub const UNPACKS: &str = "#!/bin/sh
info=/var/lib/dpkg/info
unpack() {
  name=${1##*/}
  /bin/busybox dpkg-deb -x \"$1\" /
  /bin/busybox mkdir -p $info
  /bin/busybox dpkg-deb -c \"$1\" | while read -r mode owner size day time path; do
    path=${path#.}
    path=${path%% -> *}
    echo \"${path%/}\"
  done > $info/${name%%_*}.list
}
for word; do
  case $word in
    --unpack | --install) unpack=yes ;;
    *.deb) [ -z \"$unpack\" ] || unpack \"$word\" ;;
  esac
done
";

/// Returns a base image of busybox alone, whose dpkg database is `status`, and whose dpkg only unpacks.
///
/// # Panics
/// Without Debian's `busybox-static`.
pub fn a_base_that_unpacks(status: &str) -> TestImage {
    let busybox = fs::read("/bin/busybox").expect("this test needs Debian's busybox-static");
    let root = Tarball::new()
        .directory("bin/", 0o755)
        .file("bin/busybox", 0o755, busybox)
        .symlink("bin/sh", "busybox")
        .directory("usr/", 0o755)
        .directory("usr/bin/", 0o755)
        .file("usr/bin/dpkg", 0o755, UNPACKS)
        .directory("var/", 0o755)
        .directory("var/lib/", 0o755)
        .directory("var/lib/dpkg/", 0o755)
        .file("var/lib/dpkg/status", 0o644, status);
    TestImage::new().layer(&root).field("created", json!("2024-02-03T04:05:06Z"))
}

/// Returns busybox with its applets, and lists of users and groups: root, and `ann`, 1000:1000, who is in `staff`, too.
///
/// # Panics
/// Without Debian's `busybox-static`.
pub fn busybox() -> TestImage {
    let busybox = fs::read("/bin/busybox").expect("this test needs Debian's busybox-static");
    let mut root = Tarball::new().directory("bin/", 0o755).file("bin/busybox", 0o755, busybox);
    for applet in APPLETS {
        root = root.symlink(&format!("bin/{applet}"), "busybox");
    }
    let root = root
        .directory("etc/", 0o755)
        .file("etc/passwd", 0o644, "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")
        .file("etc/group", 0o644, "root:x:0:\nann:x:1000:\nstaff:x:50:ann\n")
        .directory("tmp/", 0o1777);
    TestImage::new()
        .layer(&root)
        .config("Env", json!(["PATH=/bin"]))
        .field("created", json!("2024-02-03T04:05:06Z"))
}

/// Puts an index of several images into a registry, without a request.
pub fn put_index(registry: &TestRegistry, repository: &str, tag: &str, images: &[&TestImage]) -> Digest {
    for image in images {
        image.put(registry, repository, None);
    }
    registry.put_manifest(repository, Some(tag), INDEX, &index_of(images))
}

/// Writes an index of several images as an OCI layout directory.
pub fn write_layout_of_index(directory: &Path, tag: &str, images: &[&TestImage]) {
    for image in images {
        image.write_blobs(directory);
    }
    let index = index_of(images);
    write_blob(directory, &index);
    write_index(directory, tag, descriptor(INDEX, &index));
}

fn index_of(images: &[&TestImage]) -> Vec<u8> {
    let describe = |image: &&TestImage| {
        let mut descriptor = descriptor(MANIFEST, &image.manifest_bytes());
        descriptor["platform"] = image.platform();
        descriptor
    };
    let manifests: Vec<Value> = images.iter().map(describe).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string().into_bytes()
}

/// Returns a directory, with all that is in it, as an archive.
pub fn archive_of(directory: &Path) -> Vec<u8> {
    let directory = directory.to_str().unwrap();
    let output = std::process::Command::new("tar").args(["-C", directory, "-cf", "-", "."]).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn write_blob(directory: &Path, bytes: &[u8]) {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
}

fn write_index(directory: &Path, tag: &str, mut entry: Value) {
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    fs::write(directory.join("index.json"), index.to_string()).unwrap();
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}
