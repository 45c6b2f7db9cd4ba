//! A root to run things in.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use estaleiro::layer::make_root;
use estaleiro::sandbox::{Cancel, Error, Exit, Root, Run, Sandbox, Stream, User};

/// A root with busybox in it.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) exit: Exit,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

const APPLETS: [&str; 40] = [
    "sh", "ls", "cat", "sleep", "id", "ps", "hostname", "mkdir", "rm", "grep", "readlink", "head", "stat",
    "od", "wc", "uname", "kill", "chmod", "chown", "touch", "ln", "su", "env", "mknod", "mount", "chroot",
    "nc", "find", "tr", "test", "[", "true", "seq", "diff", "mv", "setsid", "nohup", "sort", "dd", "ping",
];

impl Place {
    pub(crate) fn new() -> Place {
        let place = Place { directory: tempfile::tempdir().unwrap() };
        make_root(&place.path("root")).unwrap();
        fs::create_dir(place.path("root/bin")).unwrap();
        let busybox = Path::new("/bin/busybox");
        assert!(busybox.exists(), "this test needs Debian's busybox-static");
        fs::copy(busybox, place.path("root/bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", place.path(&format!("root/bin/{applet}"))).unwrap();
        }
        place
    }

    /// Returns a line for all that lies in the root.
    pub(crate) fn tree(&self) -> Vec<String> {
        let mut lines = Vec::new();
        list(&self.path("root"), &mut lines);
        lines.sort();
        lines
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn try_tell(&self, run: &Run) -> Result<Told, Error> {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let root = Root::Plain(self.path("root"));
        let exit = Sandbox::Chroot.run(&root, run, &Cancel::new().unwrap(), &mut |stream, line| {
            let text = match stream {
                Stream::Stdout => &mut stdout,
                Stream::Stderr => &mut stderr,
            };
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        })?;
        Ok(Told { exit, stdout, stderr })
    }

    /// Runs a command, which must start.
    pub(crate) fn tell(&self, run: &Run) -> Told {
        self.try_tell(run).unwrap()
    }

    /// Returns what a script that ends well writes.
    pub(crate) fn says(&self, script: &str) -> String {
        let told = self.tell(&sh(script));
        assert_eq!(told.exit, Exit::Code(0), "{told:?}");
        told.stdout
    }
}

fn list(directory: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        lines.push(format!("{} {:o} {}", path.display(), metadata.mode(), metadata.mtime()));
        if metadata.is_dir() {
            list(&path, lines);
        }
    }
}

/// Whether the builder could install its filter without giving up privileges for all that comes after.
pub(crate) fn may_keep_privileges() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap() >> 21 & 1 == 1
}

/// The same run, as somebody with this number.
pub(crate) fn as_user(uid: u32, run: Run) -> Run {
    Run { user: Some(User { uid, gid: uid, groups: Vec::new() }), ..run }
}

pub(crate) fn run<const N: usize>(argv: [&str; N]) -> Run {
    Run { env: vec![("PATH".into(), "/bin".into())], ..Run::new(argv) }
}

/// Returns a run of a shell's script.
pub(crate) fn sh(script: &str) -> Run {
    run(["sh", "-c", script])
}
