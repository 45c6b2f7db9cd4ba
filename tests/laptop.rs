//! A laptop, where somebody who isn't root builds: in a user namespace, with the numbers of `/etc/subuid` or with nobody's but
//! their own. The images are root's.
//!
//! Needs root, to be somebody else, and `newuidmap`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::image::{a_base_that_unpacks, busybox};
use support::{Archive, Deb, Key, TestRegistry, tree};

/// The user's number; nobody of this machine has it.
const ANN: u32 = 12_345;

/// Gives `ann` a name and numbers, for the programs that are started here and nobody else.
const WITH_NUMBERS: &str = "for file in passwd subuid subgid; do mount --bind \"$0/$file\" \"/etc/$file\" || exit; done; exec \"$@\"";

/// Forbids user namespaces within another, which needs somebody who has that one mapped.
const WITHOUT_NAMESPACES: &str = "
unshare --user sleep 600 & holder=$!
until [ \"$(readlink /proc/$holder/ns/user)\" != \"$(readlink /proc/$$/ns/user)\" ]; do :; done
echo 0 0 100000 >/proc/$holder/uid_map && echo 0 0 100000 >/proc/$holder/gid_map
nsenter --user --target $holder --setuid 0 --setgid 0 \\
  sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"' sh \"$@\"
status=$?
kill $holder
exit $status";

/// Who builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Root,
    /// Has no numbers but the own.
    Alone,
    /// Has numbers in `/etc/subuid` and `/etc/subgid`.
    Ann,
    /// May make no user namespace.
    Bound,
}

/// A machine with a registry, a context, and a home for each.
struct Laptop {
    directory: tempfile::TempDir,
    registry: TestRegistry,
}

impl Laptop {
    fn new() -> Laptop {
        let laptop = Laptop { directory: tempfile::tempdir().unwrap(), registry: TestRegistry::start() };
        fs::set_permissions(laptop.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_estaleiro"), laptop.path("estaleiro")).unwrap();
        fs::create_dir(laptop.path("context")).unwrap();
        let users = fs::read_to_string("/etc/passwd").unwrap();
        laptop.write("passwd", &format!("{users}ann:x:{ANN}:{ANN}::/:/bin/sh\n"));
        for file in ["subuid", "subgid"] {
            laptop.write(file, "bob:100000:65536\nann:200000:65536\n");
        }
        busybox().put(&laptop.registry, "base", Some("1"));
        laptop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Returns the home of who builds, which holds state and image.
    fn home(&self, who: Who) -> PathBuf {
        self.path(&format!("{who:?}"))
    }

    fn layout(&self, who: Who) -> PathBuf {
        self.home(who).join("image")
    }

    /// Builds what the arguments say.
    fn run(&self, who: Who, arguments: &[&str]) -> Output {
        let home = self.home(who);
        if !home.exists() {
            fs::create_dir(&home).unwrap();
            let owner = (who != Who::Root).then_some(ANN);
            chown(&home, owner, owner).unwrap();
        }
        let mut command = self.command(who);
        command.arg("build").args(arguments).arg("--state").arg(home.join("state"));
        command.arg("--output").arg(format!("oci:{}", self.layout(who).display()));
        command.current_dir(self.path("context")).env("HOME", &home).env("NO_COLOR", "1");
        command.env_remove("SOURCE_DATE_EPOCH").env_remove("ESTALEIRO_SANDBOX").output().unwrap()
    }

    /// Returns the program, still without arguments, as it is started by somebody.
    fn command(&self, who: Who) -> Command {
        let mut words: Vec<PathBuf> = match who {
            Who::Root | Who::Alone => Vec::new(),
            Who::Ann => {
                vec!["unshare".into(), "--mount".into(), "sh".into(), "-c".into(), WITH_NUMBERS.into()]
            }
            Who::Bound => vec!["sh".into(), "-c".into(), WITHOUT_NAMESPACES.into()],
        };
        if matches!(who, Who::Ann | Who::Bound) {
            words.push(self.directory.path().into());
        }
        if who != Who::Root {
            let number = ANN.to_string();
            words.extend(
                ["setpriv", "--reuid", &number, "--regid", &number, "--clear-groups"].map(PathBuf::from),
            );
        }
        words.push(self.path("estaleiro"));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// Builds, and returns the image's digest and what was said.
    fn build(&self, who: Who, arguments: &[&str]) -> (String, String) {
        let output = self.run(who, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{who:?}: {said}");
        (String::from_utf8(output.stdout).unwrap(), said)
    }

    /// Returns what is said when it fails.
    fn fail(&self, who: Who, arguments: &[&str]) -> String {
        let output = self.run(who, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{who:?}: {said}");
        said
    }

    /// Writes a Dockerfile, in which `@` before a name stands for the registry.
    fn dockerfile(&self, text: &str) {
        self.write("context/Dockerfile", &text.replace('@', &format!("{}/", self.registry.host())));
    }
}

const DOCKERFILE: [&str; 3] = ["-f", "Dockerfile", "."];

/// Returns the owners of everything below a directory, each once.
fn owners(directory: &Path) -> Vec<u32> {
    let mut owners = vec![fs::symlink_metadata(directory).unwrap().uid()];
    if directory.is_dir() && !directory.is_symlink() {
        fs::read_dir(directory)
            .unwrap()
            .for_each(|entry| owners.extend(self::owners(&entry.unwrap().path())));
    }
    owners.sort_unstable();
    owners.dedup();
    owners
}

#[test]
fn a_dockerfile_s_image_is_root_s_and_its_files_are_the_user_s() {
    let laptop = Laptop::new();
    laptop.write("context/hello", "hello");
    laptop.dockerfile(
        "FROM @base:1\nCOPY hello /hello\nRUN id -u >/tmp/who && cat </dev/null >>/hello && mkdir /a && rm /bin/ls\n\
         RUN --mount=type=cache,target=/kept --network=none test -d /proc/self/fd && chmod 4755 /hello\n",
    );
    let (digest, said) = laptop.build(Who::Root, &DOCKERFILE);
    assert!(said.contains("sandbox: namespaces"), "{said}");
    for who in [Who::Alone, Who::Ann] {
        let (built, said) = laptop.build(who, &DOCKERFILE);
        assert!(said.contains("sandbox: chroot"), "{said}");
        assert_eq!(built, digest, "{who:?}: {}", tree::dump_layout(&laptop.layout(who)));
        assert_eq!(owners(&laptop.layout(who)), [ANN]);
    }
}

#[test]
fn other_owners_have_the_user_s_numbers_and_what_is_kept_goes_away_again() {
    let laptop = Laptop::new();
    laptop.write("context/mine", "mine");
    laptop.dockerfile(
        "FROM @base:1\nCOPY --chown=ann:staff mine /mine\nRUN chown 33:34 /tmp && chmod 700 /mine\nUSER ann\n\
         RUN id >/mine && mkdir -m 700 /tmp/ann\nRUN touch /tmp/ann/x\n",
    );
    let (digest, _) = laptop.build(Who::Root, &DOCKERFILE);
    assert_eq!(laptop.build(Who::Ann, &DOCKERFILE).0, digest);
    let state = laptop.home(Who::Ann).join("state");
    assert!(owners(&state).contains(&(200_000 + 999)), "{:?}", owners(&state));
    assert_eq!(owners(&laptop.layout(Who::Ann)), [ANN]);

    let pruned = laptop.build(Who::Ann, &["--cache-max", "1B", "-f", "Dockerfile", "."]);
    assert_eq!(pruned.0, digest);
    assert_eq!(owners(&state), [ANN], "{}", pruned.1);
}

#[test]
fn without_numbers_the_owner_that_cannot_be_made_is_named() {
    let laptop = Laptop::new();
    laptop.dockerfile("FROM @base:1\nCOPY --chown=5:7 Dockerfile /mine\nRUN true\n");
    let said = laptop.fail(Who::Alone, &DOCKERFILE);
    assert!(said.contains("cannot set up `mine`: cannot make 5:7 its owner"), "{said}");
    assert!(
        said.contains("hint: install uidmap (newuidmap, newgidmap), and give this user a range"),
        "{said}"
    );
}

#[test]
fn where_users_may_make_no_namespaces_the_setting_is_named() {
    let laptop = Laptop::new();
    laptop.dockerfile("FROM @base:1\nCOPY Dockerfile /\n");
    let (digest, _) = laptop.build(Who::Root, &DOCKERFILE);
    assert_eq!(laptop.build(Who::Bound, &DOCKERFILE).0, digest, "nothing is run here");
    laptop.dockerfile("FROM @base:1\nRUN true\n");
    let said = laptop.fail(Who::Bound, &DOCKERFILE);
    let reason = "cannot make a sandbox: cannot be root in a user namespace: user.max_user_namespaces is 0; as root, \
                  `sysctl -w user.max_user_namespaces=10000` allows it";
    assert!(said.contains(reason), "{said}");
}

#[test]
fn packages_are_installed_as_root_installs_them() {
    let laptop = Laptop::new();
    let tool = Deb::new("tool", "1").file("/usr/bin/tool", 0o4755, "tool").symlink("/usr/bin/link", "tool");
    let archive = Archive::new().add(tool).sign_with(&Key::ed25519()).serve();
    a_base_that_unpacks("").put(&laptop.registry, "debian", Some("1"));
    laptop.write("context/archive.asc", &archive.key());
    laptop.write(
        "context/estaleiro.hcl",
        &format!(
            "image \"x\" {{\n  base_image = \"{}\"\n  apt {{\n    repositories = [\"{}\"]\n    \
             key \"archive\" {{\n      path = \"archive.asc\"\n    }}\n    package \"tool\" {{}}\n  }}\n}}\n",
            laptop.registry.name("debian", "1"),
            archive.line("signed-by=archive"),
        ),
    );
    let (digest, _) = laptop.build(Who::Root, &["."]);
    for who in [Who::Alone, Who::Ann] {
        assert_eq!(laptop.build(who, &["."]).0, digest, "{who:?}");
    }
}
