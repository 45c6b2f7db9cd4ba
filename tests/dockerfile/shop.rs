//! What the stories of Dockerfiles have in common: a registry with a small base, a context, and a build whose result other
//! people's tools look at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) use crate::support::image::busybox;
use crate::support::image::put_index;
use crate::support::{self, TestImage, TestRegistry, tree};

/// A registry with the image `base`, a context, and a state of one's own.
pub(crate) struct Shop {
    directory: tempfile::TempDir,
    pub(crate) registry: TestRegistry,
}

/// An image that was built.
pub(crate) struct Built {
    layout: PathBuf,
    pub(crate) digest: String,
    pub(crate) stderr: String,
}

impl Shop {
    /// Opens a shop whose base has busybox, root and a user `ann`, 1000:1000, who is in the group `staff`, too.
    pub(crate) fn new() -> Shop {
        let shop = Shop { directory: tempfile::tempdir().unwrap(), registry: TestRegistry::start() };
        fs::create_dir(shop.context()).unwrap();
        shop.offer("base", &busybox());
        shop
    }

    /// Offers an image under a name.
    pub(crate) fn offer(&self, name: &str, image: &TestImage) {
        image.put(&self.registry, name, Some("latest"));
    }

    /// Offers images for several platforms under one name.
    pub(crate) fn offer_index(&self, name: &str, images: &[&TestImage]) {
        put_index(&self.registry, name, "latest", images);
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.directory.path().join("context")
    }

    /// Returns a path beside the context.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of the context.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        self.write_beside(&format!("context/{path}"), content);
    }

    /// Writes a file beside the context.
    pub(crate) fn write_beside(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.beside(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Builds `dockerfile`, in which `@` before a name stands for the registry.
    pub(crate) fn try_build(&self, dockerfile: &str, arguments: &[&str]) -> Result<Built, String> {
        let output = self.run(dockerfile, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.success() {
            true => Ok(Built {
                layout: self.beside("out"),
                digest: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
                stderr,
            }),
            false => Err(stderr),
        }
    }

    pub(crate) fn build(&self, dockerfile: &str, arguments: &[&str]) -> Built {
        self.try_build(dockerfile, arguments).unwrap_or_else(|stderr| panic!("{dockerfile}\n{stderr}"))
    }

    pub(crate) fn fail(&self, dockerfile: &str, arguments: &[&str]) -> String {
        self.try_build(dockerfile, arguments).err().unwrap_or_else(|| panic!("it was built:\n{dockerfile}"))
    }

    pub(crate) fn run(&self, dockerfile: &str, arguments: &[&str]) -> Output {
        self.command(dockerfile, "state").args(arguments).arg(self.context()).output().unwrap()
    }

    /// Returns a build with the state `state`, which still needs a context.
    pub(crate) fn command(&self, dockerfile: &str, state: &str) -> Command {
        let file = self.beside("Dockerfile");
        fs::write(&file, dockerfile.replace('@', &format!("{}/", self.registry.host()))).unwrap();
        let _ = fs::remove_dir_all(self.beside("out"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_estaleiro"));
        command
            .args(["build", "-f"])
            .arg(&file)
            .arg("--output")
            .arg(format!("oci:{}", self.beside("out").display()))
            .arg("--state")
            .arg(self.beside(state))
            .env("NO_COLOR", "1")
            .env_remove("SOURCE_DATE_EPOCH");
        command
    }
}

impl Built {
    /// Returns the image's configuration, as skopeo reads it.
    pub(crate) fn config(&self) -> Value {
        let image = format!("oci:{}:latest", self.layout.display());
        serde_json::from_str(&support::run("skopeo", &["inspect", "--raw", "--config", &image])).unwrap()
    }

    /// Unpacks the image, as umoci does, and returns its root.
    pub(crate) fn root(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        let image = format!("{}:latest", self.layout.display());
        support::run("umoci", &["raw", "unpack", "--image", &image, root.to_str().unwrap()]);
        directory
    }

    /// Returns what is in the image below `prefix`, a line an entry.
    pub(crate) fn tree(&self, prefix: &str) -> String {
        tree::dump_below(&self.root().path().join("root"), prefix)
    }

    /// Returns the content of a file.
    pub(crate) fn read(&self, path: &str) -> String {
        let root = self.root();
        let path = root.path().join("root").join(path.trim_start_matches('/'));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns the bill of materials.
    pub(crate) fn bom(&self) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_estaleiro"))
            .args(["bom", &format!("oci:{}", self.layout.display())])
            .output()
            .unwrap();
        serde_saphyr::from_slice(&output.stdout).unwrap()
    }

    /// Returns the lock that is attached to the image.
    pub(crate) fn lock(&self) -> Vec<u8> {
        let blobs = fs::read_dir(self.layout.join("blobs/sha256")).unwrap();
        let mut blobs = blobs.map(|blob| fs::read(blob.unwrap().path()).unwrap());
        let is_lock = |bytes: &[u8]| {
            serde_json::from_slice::<Value>(bytes).is_ok_and(|json| json["platforms"].is_array())
        };
        blobs.find(|bytes| is_lock(bytes)).expect("a lock is attached")
    }

    /// Returns all bytes of the layout, blobs unpacked: whatever must not be in it is looked for here.
    pub(crate) fn holds(&self, needle: &str) -> bool {
        let found = Command::new("sh")
            .arg("-c")
            .arg("find \"$1\" -type f | while read -r f; do cat \"$f\"; zcat \"$f\" 2>/dev/null; done | grep -qaF -- \"$2\"")
            .args(["sh", self.layout.to_str().unwrap(), needle])
            .status();
        found.unwrap().success()
    }
}

/// Returns whether anything below a directory holds a text.
pub(crate) fn any_file_holds(directory: &Path, needle: &str) -> bool {
    Command::new("grep").args(["-raqF", "--", needle]).arg(directory).status().unwrap().success()
}
