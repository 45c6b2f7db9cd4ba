//! The root file systems of containers, made of programs of this machine and the libraries that they need.
//!
//! They lie in cargo's directory for tests and are made anew when a program is another one. `ci/in-containers` has the
//! tests run in our image as `ci/ship` built it, which SHIPPED names.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use super::{owners, run};

/// What a root file system holds.
#[derive(Clone, Debug)]
pub struct Root {
    name: String,
    /// All that is in it, if that isn't made here.
    tree: Option<PathBuf>,
    /// Where each program comes from and goes to.
    programs: Vec<(PathBuf, PathBuf)>,
    /// Links, and what they name.
    links: Vec<(PathBuf, PathBuf)>,
}

/// Returns the root of the image that this crate is in Concourse, with links as in `estaleiro.hcl`.
pub fn root() -> Root {
    if let Some(shipped) = std::env::var_os("SHIPPED") {
        return Root::shipped(&Path::new(&shipped).join("got"));
    }
    let program = Path::new(env!("CARGO_BIN_EXE_estaleiro"));
    let root = Root::new("image").program(program, "usr/local/bin/estaleiro");
    let root = root.link("usr/local/bin/build", "estaleiro");
    let names = ["check", "in", "out"].map(|name| format!("opt/resource/{name}"));
    names.iter().fold(root, |root, name| root.link(name, "../../usr/local/bin/estaleiro"))
}

impl Root {
    /// Returns a root without programs; equal names are equal roots.
    pub fn new(name: &str) -> Root {
        Root { name: name.to_owned(), tree: None, programs: Vec::new(), links: Vec::new() }
    }

    /// Returns the root of an image that was got.
    fn shipped(got: &Path) -> Root {
        let digest = fs::read_to_string(got.join("digest")).unwrap_or_else(|error| {
            panic!("{}: {error}\nhint: SHIPPED names a directory that ci/ship made", got.display())
        });
        Root { tree: Some(got.join("rootfs")), ..Root::new(digest.split_once(':').unwrap().1) }
    }

    /// Returns a root of busybox, with links for these of its applets in `/bin`.
    pub fn busybox(name: &str, applets: &[&str]) -> Root {
        let root = Root::new(name).program(Path::new("/bin/busybox"), "bin/busybox");
        applets.iter().fold(root, |root, applet| root.link(&format!("bin/{applet}"), "busybox"))
    }

    /// Adds a program of this machine.
    pub fn program(mut self, from: &Path, to: &str) -> Root {
        self.programs.push((from.to_owned(), to.into()));
        self
    }

    /// Adds a symbolic link.
    pub fn link(mut self, at: &str, target: &str) -> Root {
        self.links.push((at.into(), target.into()));
        self
    }

    /// Returns the directory where it lies, in which all is `owner`'s.
    pub(super) fn owned_by(&self, owner: u32) -> PathBuf {
        let directory = place().join(format!("{}-{owner}", self.name));
        let lock = File::create(directory.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        if let Some(tree) = &self.tree {
            copy(tree, &directory, owner);
            return directory;
        }
        let maker = Maker { directory: &directory, owner };
        for name in ["etc", "tmp", "usr/share/keyrings"] {
            maker.directory(Path::new(name));
        }
        fs::set_permissions(directory.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        maker.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        maker.text("etc/group", "root:x:0:\n");
        for (from, to) in self.programs.iter().cloned().chain(keyrings()) {
            maker.file(&from, &to);
        }
        for library in self.programs.iter().flat_map(|(program, _)| libraries(program)) {
            maker.file(&library, library.strip_prefix("/").unwrap());
        }
        self.links.iter().for_each(|(at, target)| maker.link(at, target));
        directory
    }
}

/// Copies a root once.
fn copy(tree: &Path, directory: &Path, owner: u32) {
    if directory.exists() {
        return;
    }
    let new = directory.with_extension("new");
    let _ = fs::remove_dir_all(&new);
    run("cp", &["-a", tree.to_str().unwrap(), new.to_str().unwrap()]);
    owners::change(&new, 0, owner);
    fs::rename(&new, directory).unwrap();
}

struct Maker<'a> {
    directory: &'a Path,
    owner: u32,
}

impl Maker<'_> {
    fn directory(&self, name: &Path) {
        let path = self.directory.join(name);
        if path.is_dir() {
            return;
        }
        if let Some(parent) = name.parent() {
            self.directory(parent);
        }
        fs::create_dir(&path).unwrap();
        self.own(&path);
    }

    /// Copies a file, unless it is there already.
    fn file(&self, from: &Path, name: &Path) {
        let metadata = fs::metadata(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        let (path, modified) = (self.directory.join(name), metadata.modified().unwrap());
        let is_there = fs::metadata(&path)
            .is_ok_and(|known| known.len() == metadata.len() && known.modified().unwrap() == modified);
        if is_there {
            return;
        }
        self.directory(name.parent().unwrap());
        // A program that runs can't be written to.
        let new = path.with_extension("new");
        fs::copy(from, &new).unwrap();
        File::options().write(true).open(&new).unwrap().set_modified(modified).unwrap();
        self.own(&new);
        fs::rename(&new, &path).unwrap();
    }

    fn text(&self, name: &str, text: &str) {
        let path = self.directory.join(name);
        fs::write(&path, text).unwrap();
        self.own(&path);
    }

    fn link(&self, at: &Path, target: &Path) {
        self.directory(at.parent().unwrap());
        let path = self.directory.join(at);
        let _ = fs::remove_file(&path);
        symlink(target, &path).unwrap();
        self.own(&path);
    }

    fn own(&self, path: &Path) {
        std::os::unix::fs::lchown(path, Some(self.owner), Some(self.owner)).unwrap();
    }
}

/// The archive keyrings of Debian and Ubuntu that this machine has.
fn keyrings() -> Vec<(PathBuf, PathBuf)> {
    let Ok(entries) = fs::read_dir("/usr/share/keyrings") else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_archive = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("debian-archive-") || name.starts_with("ubuntu-archive-")
    };
    paths.filter(is_archive).map(|path| (path.clone(), path.strip_prefix("/").unwrap().to_owned())).collect()
}

/// Returns the shared libraries and the loader that a program needs; none if it is static.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = std::process::Command::new("ldd").arg(program).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

const INIT: &str = "#include <signal.h>
#include <unistd.h>
int main(void) {
  char c;
  signal(SIGCHLD, SIG_IGN);
  if (write(1, \"up\\n\", 3) != 3) return 1;
  while (read(0, &c, 1) > 0);
  return 0;
}
";

/// Returns the program of containers' first processes: it says `up`, lets the kernel bury the dead, and ends with its input.
pub(super) fn init() -> PathBuf {
    let (program, source) = (place().join("init"), place().join("init.c"));
    let lock = File::create(place().join("init.lock")).unwrap();
    lock.lock().unwrap();
    if fs::read_to_string(&source).is_ok_and(|text| text == INIT) && program.exists() {
        return program;
    }
    fs::write(&source, INIT).unwrap();
    run("cc", &["-static", "-O1", "-s", "-o", program.to_str().unwrap(), source.to_str().unwrap()]);
    program
}

fn place() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("containers");
    fs::create_dir_all(&place).unwrap();
    place
}
