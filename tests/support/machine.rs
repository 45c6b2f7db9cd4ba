//! The machine's own Debian archive, asked for when a test runs: no mirror stands in the code.

use std::process::{Command, Output};
use std::sync::OnceLock;

/// One suite of one archive that the machine's apt knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSource {
    /// The archive's URL.
    pub uri: String,
    /// The suite, as `bookworm` or `bookworm-security`.
    pub suite: String,
    /// The components.
    pub components: Vec<String>,
    /// The key ring's path, or a key's fingerprint; empty if apt trusts all of its keys.
    pub signed_by: String,
}

impl MachineSource {
    /// Returns the line for a `sources.list`.
    pub fn line(&self) -> String {
        let options = match self.signed_by.starts_with('/') {
            true => format!("[signed-by={}] ", self.signed_by),
            false => String::new(),
        };
        format!("deb {options}{} {} {}", self.uri, self.suite, self.components.join(" "))
    }
}

/// Returns Debian's own archives as the machine's apt has them, with fresh lists.
///
/// # Panics
/// On a machine without any: the live tests cannot run there.
pub fn debian() -> &'static [MachineSource] {
    static SOURCES: OnceLock<Vec<MachineSource>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        update();
        let found = parse(&index_targets());
        assert!(
            !found.is_empty(),
            "apt-get indextargets names no Debian archive: this test needs Debian's mirror"
        );
        found
    })
}

/// Returns their lines with the keyring of this machine, for builds whose base brings none.
pub fn signed_lines() -> Vec<String> {
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg".to_owned();
    let sources = debian().iter();
    sources.map(|one| MachineSource { signed_by: keyring.clone(), ..one.clone() }.line()).collect()
}

/// Returns the machine's codename: `bookworm`.
pub fn codename() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    value.expect("os-release names the version").trim_matches('"').to_owned()
}

/// Lists may be stale, and then name files that are gone; another apt-get may hold the lock for a while.
fn update() {
    let mut output = apt_get(&["update"]);
    for _ in 0..20 {
        if output.status.success() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_secs(3));
        output = apt_get(&["update"]);
    }
    panic!("apt-get update: {}", String::from_utf8_lossy(&output.stderr));
}

fn index_targets() -> String {
    let format = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)";
    let output = apt_get(&["indextargets", "--format", format, "Created-By: Packages", "Origin: Debian"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn apt_get(arguments: &[&str]) -> Output {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("LC_ALL", "C.UTF-8");
    command.output().unwrap_or_else(|error| panic!("cannot run apt-get: {error}"))
}

/// Reads `uri|suite|component|signed-by` lines; components of one suite are brought together.
pub fn parse(targets: &str) -> Vec<MachineSource> {
    let mut sources: Vec<MachineSource> = Vec::new();
    for line in targets.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let &[uri, suite, component, signed_by] = fields.as_slice() else { continue };
        let component = component.to_owned();
        match sources.iter_mut().find(|known| known.uri == uri && known.suite == suite) {
            Some(known) if known.components.contains(&component) => {}
            Some(known) => known.components.push(component),
            None => sources.push(MachineSource {
                uri: uri.to_owned(),
                suite: suite.to_owned(),
                components: vec![component],
                signed_by: signed_by.to_owned(),
            }),
        }
    }
    sources
}
