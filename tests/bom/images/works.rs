//! Where the images are built, pushed and unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use estaleiro::bom::Format;

use crate::support::{TestRegistry, run};
use crate::views::Views;

/// One state for all of them, and the registry that they are pushed to.
pub(super) struct Works {
    directory: PathBuf,
    registry: TestRegistry,
}

/// An image: in the registry, in a layout, and as the root that umoci makes of it.
pub(super) struct Image {
    directory: tempfile::TempDir,
    /// Its name in the registry.
    pub(super) name: String,
    /// What is attached to it there.
    pub(super) views: Views,
}

impl Works {
    /// What they leave goes away with the next run.
    pub(super) fn open() -> Works {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        Works { directory, registry: TestRegistry::start() }
    }

    /// Builds what these files say, a definition or a Dockerfile, and pushes it.
    pub(super) fn build(&self, name: &str, files: &[(&str, &[u8])]) -> Image {
        let directory = tempfile::tempdir_in(&self.directory).unwrap();
        let context = directory.path().join("context");
        fs::create_dir(&context).unwrap();
        for (file, content) in files {
            fs::write(context.join(file), content).unwrap();
        }
        let (name, layout) = (self.registry.name(name, "1"), directory.path().join("layout"));
        let mut command = estaleiro(&["build", "--quiet", "--push", &name]);
        command.args(["--state", text(&self.state()), "--output", &format!("oci:{}", layout.display())]);
        if context.join("Dockerfile").exists() {
            command.arg("--file").arg(context.join("Dockerfile"));
        }
        succeeded(command.arg(context));
        let (image, bundle) = (format!("{}:latest", layout.display()), directory.path().join("bundle"));
        run("umoci", &["unpack", "--image", &image, text(&bundle)]);
        let view = |format: Format| {
            succeeded(&mut estaleiro(&["bom", &name, "--format", &format.to_string()])).stdout
        };
        let views = Views::made(view);
        Image { directory, name, views }
    }

    /// Returns where the bytes lie that were pushed, and those that were fetched.
    pub(super) fn blobs(&self) -> [PathBuf; 2] {
        [self.registry.blobs(), self.state().join("blobs/sha256")]
    }

    fn state(&self) -> PathBuf {
        self.directory.join("state")
    }
}

impl Image {
    pub(super) fn context(&self) -> PathBuf {
        self.directory.path().join("context")
    }

    pub(super) fn layout(&self) -> PathBuf {
        self.directory.path().join("layout")
    }

    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().join("bundle/rootfs")
    }
}

pub(super) fn estaleiro(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estaleiro"));
    command.args(arguments);
    command
}

pub(super) fn succeeded(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
