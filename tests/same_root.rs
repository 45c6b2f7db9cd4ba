//! The roots that we make beside those that apt-get and mmdebstrap make from the same lock: every path with its type,
//! mode, owner, content, link, device and extended attributes. And each of them made twice, elsewhere: the same digest.
//!
//! Needs the mirror that apt is configured for on this machine, and root. `SAME_ROOT=all` takes all images, which takes
//! minutes (`ci/same-root`); else a few that stand for the others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use estaleiro::build::definition::Glob;
use serde_json::Value;
use support::tree;
use support::{DockerRegistry, run};

/// What is made from nothing, and whether it belongs to the few.
const FROM_NOTHING: [(&str, bool); 2] = [("apt", true), ("ca-certificates jq", false)];

/// What is installed on the first of those, and whether it belongs to the few.
const ON_A_BASE: [(&str, bool); 9] = [
    ("openssh-server ssl-cert dbus cron", true),
    ("ca-certificates-java default-jre-headless", false),
    ("fontconfig fonts-dejavu-core man-db git", true),
    ("systemd systemd-sysv dbus", false),
    ("python3 tzdata locales", false),
    ("perl openssh-client man-db", false),
    ("gcc libc6-dev make", false),
    ("nginx ca-certificates", false),
    ("postgresql", false),
];

/// Where ours may differ from theirs, and why.
const DIFFERENCES: [(&str, &str); 38] = [
    ("/etc/*-", "backups of the user database"),
    ("/var/cache/debconf/*-old", "backups"),
    ("/var/lib/dpkg/*-old", "backups"),
    ("/var/lib/dpkg/lock*", "locks"),
    ("/var/lib/dpkg/triggers/Lock", "a lock"),
    ("/var/lib/dpkg/triggers/File", "the same lines, in the order in which packages were unpacked"),
    ("/var/lib/apt/lists/**", "the lists of the apt that installed"),
    ("/var/lib/apt/lists", "made by the apt that installed"),
    ("/var/cache/apt/**", "the caches of the apt that installed"),
    ("/var/lib/apt/extended_states", "the notes of the apt that installed"),
    ("/var/log/apt/**", "logs of the installation"),
    ("/var/log/dpkg.log", "a log of the installation"),
    ("/var/log/alternatives.log", "a log of the installation"),
    ("/var/log/fontconfig.log", "a log of the installation"),
    ("/var/log/postgresql/postgresql-*-main.log", "the log of a cluster, which is withheld"),
    ("/var/cache/ldconfig/aux-cache", "holds inode numbers and times"),
    ("/var/cache/man/**/index.db", "holds manual pages in the order in which they lie on the disk"),
    ("/etc/machine-id", "the identity of a machine"),
    ("/var/lib/dbus/machine-id", "the identity of a machine"),
    ("/etc/ssh/ssh_host_*_key*", "host keys are withheld"),
    ("/etc/ssl/private/ssl-cert-snakeoil.key", "a private key is withheld"),
    ("/etc/ssl/certs/ssl-cert-snakeoil.pem", "the certificate of that key"),
    ("/etc/ssl/certs/9872e5ea.0", "a link to that certificate, by the hash of the host name"),
    ("/etc/ssl/certs/java/cacerts", "holds the time of day for each certificate; ours holds the image's"),
    ("/var/lib/postgresql/*/main{,/**}", "a cluster is withheld"),
    ("/etc/postgresql/*/main{,/**}", "the configuration of that cluster"),
    ("/dev/*", "device nodes are the engine's to make; mmdebstrap makes some"),
    ("/etc/fstab", "mmdebstrap makes one"),
    ("/etc/hostname", "mmdebstrap takes this machine's"),
    ("/etc/resolv.conf", "mmdebstrap takes this machine's"),
    ("/etc/apt/sources.list.d/*", "mmdebstrap writes down where it looked"),
    ("/etc/apt/preferences.d", "mmdebstrap makes one even where there is no apt"),
    ("/etc/apt/sources.list.d", "mmdebstrap makes one even where there is no apt"),
    ("/var/lib/apt", "mmdebstrap makes one even where there is no apt"),
    ("/var/cache/apt", "mmdebstrap makes one even where there is no apt"),
    ("/var/log/apt", "mmdebstrap makes one even where there is no apt"),
    ("/var/lib/dpkg/arch", "mmdebstrap writes it even for the machine's own architecture"),
    ("/var/lib/dpkg/available", "empty, as debootstrap makes it"),
];

/// A place to build in, with a base in a registry once it is made.
struct Yard {
    directory: tempfile::TempDir,
    registry: DockerRegistry,
}

impl Yard {
    fn new() -> Yard {
        support::machine::debian();
        Yard { directory: tempfile::tempdir().unwrap(), registry: DockerRegistry::start() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn base(&self) -> String {
        format!("{}/base:latest", self.registry.host())
    }

    /// Writes the definition of an image with these packages.
    fn define(&self, packages: &str, on_base: bool) -> PathBuf {
        let file = self.path("estaleiro.hcl");
        let base = if on_base { self.base() } else { "scratch".into() };
        let packages: String =
            packages.split(' ').map(|name| format!("    package \"{name}\" {{}}\n")).collect();
        let text =
            format!("image \"test/same\" {{\n  base_image = \"{base}\"\n  apt {{\n{packages}  }}\n}}\n");
        fs::write(&file, text).unwrap();
        file
    }

    /// Returns a verb on a definition, with a state of its own name.
    fn verb(&self, verb: &str, definition: &Path, state: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estaleiro"));
        command.arg(verb).arg(definition).args(["--quiet", "--insecure", "--state"]).arg(state);
        command
    }

    /// Builds into a layout; returns the root that umoci makes of it.
    fn ours(&self, definition: &Path) -> PathBuf {
        let layout = self.path("layout");
        succeeded(self.verb("build", definition, &self.path("state")).arg("--output").arg(oci(&layout)));
        let bundle = self.path("bundle");
        let _ = fs::remove_dir_all(&bundle);
        run("umoci", &["unpack", "--image", &format!("{}:latest", layout.display()), &text(&bundle)]);
        bundle.join("rootfs")
    }

    fn lock(&self, definition: &Path) -> Value {
        let lock = succeeded(self.verb("lock", definition, &self.path("state")).args(["--lock", "-"]));
        serde_json::from_slice(&lock).unwrap()
    }

    /// Makes a root with mmdebstrap, of exactly the packages of a lock.
    fn theirs_from_nothing(&self, lock: &Value) -> PathBuf {
        let root = self.path("theirs");
        let _ = fs::remove_dir_all(&root);
        let packages = lock["platforms"][0]["packages"].as_array().unwrap().iter();
        let field = |package: &Value, name: &str| package[name].as_str().unwrap().to_owned();
        let wanted = packages
            .map(|package| format!("{}={}", field(package, "name"), field(package, "version")))
            .collect::<Vec<_>>()
            .join(",");
        let sources: String = support::machine::debian().iter().map(|source| source.line() + "\n").collect();
        let list = self.path("sources.list");
        fs::write(&list, sources).unwrap();
        let mut command = Command::new("mmdebstrap");
        command
            .args(["--quiet", "--variant=custom", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"])
            .arg(format!("--include={wanted}"))
            .args([support::machine::codename(), text(&root), text(&list)])
            .env("SOURCE_DATE_EPOCH", lock["epoch"].to_string());
        succeeded(&mut command);
        root
    }

    /// Lets apt-get install exactly the packages of a lock in a copy of the base's root.
    fn theirs_on(&self, base: &Path, lock: &Value) -> PathBuf {
        let root = self.path("theirs");
        let _ = fs::remove_dir_all(&root);
        run("cp", &["-a", &text(base), &text(&root)]);
        fs::create_dir(root.join("debs")).unwrap();
        for package in lock["platforms"][0]["packages"].as_array().unwrap() {
            let field = |name: &str| package[name].as_str().unwrap();
            let blob = field("sha256").replacen(':', "/", 1);
            let version = field("version").replace(':', "%3a");
            let name = format!("{}_{version}_{}.deb", field("name"), field("architecture"));
            fs::copy(self.path("state/blobs").join(blob), root.join("debs").join(name)).unwrap();
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/same_root/apt.sh");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--uts", "--pid", "--fork", "--net", "sh", script]);
        let commands = "apt_get install /debs/*.deb; rm -r /debs";
        succeeded(command.args([&text(&root), &lock["epoch"].to_string(), commands]));
        root
    }

    /// Builds once more where all that may differ does; returns what the layout says.
    fn elsewhere(&self, definition: &Path) -> Value {
        // Another file system, where the machine has one.
        let state = tempfile::Builder::new().tempdir_in("/dev/shm").unwrap();
        let layout = self.path("elsewhere");
        let mut command = Command::new("unshare");
        command
            .args(["--uts", "sh", "-c", "hostname elsewhere && umask 077 && exec \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_estaleiro"))
            .arg("build")
            .arg(definition)
            .args(["--quiet", "--insecure", "--state"])
            .arg(state.path())
            .arg("--output")
            .arg(oci(&layout))
            .env("LC_ALL", "de_DE.UTF-8")
            .env("TZ", "Asia/Tokyo");
        succeeded(&mut command);
        index(&layout)
    }
}

fn index(layout: &Path) -> Value {
    let index = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    fs::remove_dir_all(layout).unwrap();
    index
}

fn oci(layout: &Path) -> String {
    format!("oci:{}", layout.display())
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn succeeded(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{}{said}", String::from_utf8_lossy(&output.stdout));
    output.stdout
}

/// Returns the images to be made, and says which one is being made.
fn chosen(images: &'static [(&str, bool)]) -> impl Iterator<Item = &'static str> {
    let all = std::env::var_os("SAME_ROOT").is_some_and(|chosen| chosen == "all");
    let chosen = images.iter().filter(move |(_, is_one_of_the_few)| all || *is_one_of_the_few);
    chosen.map(|(packages, _)| *packages).inspect(|packages| eprintln!("{packages}"))
}

/// Tells where two roots differ and may not.
fn differences(ours: &Path, theirs: &Path) -> Vec<String> {
    let lines = |root: &Path| tree::dump(root).lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (ours, theirs) = (lines(ours), lines(theirs));
    let only = |name: &str, one: &BTreeSet<String>, other: &BTreeSet<String>| {
        let lines = one.difference(other).filter(|line| !may_differ(line));
        lines.map(|line| format!("only {name}: {line}")).collect::<Vec<_>>()
    };
    [only("ours", &ours, &theirs), only("theirs", &theirs, &ours)].concat()
}

fn may_differ(line: &str) -> bool {
    let path = line.split(' ').find(|word| word.starts_with('/')).unwrap();
    DIFFERENCES.iter().any(|(pattern, _)| is_like(pattern, path))
}

/// `{,/**}` at the end of a pattern stands for the path itself and all below it.
fn is_like(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix("{,/**}") {
        Some(top) => is_like(top, path) || is_like(&format!("{top}/**"), path),
        None => Glob::new(pattern).unwrap().matches(path),
    }
}

/// Tells which files hold a private key that no package brought.
fn generated_keys(root: &Path) -> Vec<String> {
    let found =
        Command::new("grep").args(["-rl", "PRIVATE KEY-----", "."]).current_dir(root).output().unwrap();
    let lists = root.join("var/lib/dpkg/info");
    let lists = fs::read_dir(lists).unwrap().map(|entry| entry.unwrap().path());
    let lists = lists.filter(|path| path.extension().is_some_and(|ending| ending == "list"));
    let listed: BTreeSet<String> = lists
        .flat_map(|list| fs::read_to_string(list).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let found = String::from_utf8(found.stdout).unwrap();
    let is_generated = |path: &&str| {
        let path = path.trim_start_matches('.');
        !listed.contains(path) && !listed.contains(path.trim_start_matches("/usr"))
    };
    found.lines().filter(is_generated).map(str::to_owned).collect()
}

#[test]
fn a_root_is_the_one_that_others_make_and_the_same_every_time() {
    let yard = Yard::new();
    let mut wrong = Vec::new();
    for packages in chosen(&FROM_NOTHING) {
        let definition = yard.define(packages, false);
        let ours = yard.ours(&definition);
        let theirs = yard.theirs_from_nothing(&yard.lock(&definition));
        wrong.extend(differences(&ours, &theirs).into_iter().map(|line| format!("{packages}: {line}")));
        assert_eq!(index(&yard.path("layout")), yard.elsewhere(&definition), "{packages}");
    }
    let definition = yard.define(FROM_NOTHING[0].0, false);
    let base = yard.path("base");
    fs::rename(yard.ours(&definition), &base).unwrap();
    succeeded(yard.verb("build", &definition, &yard.path("state")).args(["--push", &yard.base()]));
    for packages in chosen(&ON_A_BASE) {
        let definition = yard.define(packages, true);
        let ours = yard.ours(&definition);
        let theirs = yard.theirs_on(&base, &yard.lock(&definition));
        wrong.extend(differences(&ours, &theirs).into_iter().map(|line| format!("{packages}: {line}")));
        wrong.extend(generated_keys(&ours).into_iter().map(|path| format!("{packages}: a key in {path}")));
        assert_eq!(index(&yard.path("layout")), yard.elsewhere(&definition), "{packages}");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
