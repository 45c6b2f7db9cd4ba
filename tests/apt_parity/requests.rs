//! What both sides are asked: all packages of a priority, heavy ones, and a great many by chance.

use std::fmt;

use estaleiro::apt::preferences::{Policy, Preferences};
use estaleiro::apt::resolve::{Request, Wanted, resolve};
use estaleiro::debian::{Priority, Version};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::oracle::Answer;
use super::roots::Root;
use super::suites::Suites;

/// One request.
#[derive(Default, Clone)]
pub(crate) struct Ask {
    /// `name` or `name=version`.
    pub(crate) install: Vec<String>,
    pub(crate) remove: Vec<String>,
    pub(crate) recommends: bool,
    pub(crate) upgrade: bool,
    /// The text of a preferences file.
    pub(crate) preferences: String,
}

/// What has alternatives, virtual packages and conflicts in its closure, or is large.
const HEAVY: [&str; 44] = [
    "ca-certificates jq",
    "btrfs-progs ca-certificates dumb-init iproute2 file iptables",
    "git git-lfs gnupg jq openssh-client symlinks",
    "gnome-core",
    "kde-standard",
    "texlive-full",
    "libreoffice",
    "default-jdk maven gradle",
    "openjdk-17-jdk",
    "build-essential",
    "postgresql",
    "python3-venv python3-pip",
    "nginx",
    "apache2 php mariadb-server",
    "php-cli php-curl php-mysql",
    "golang",
    "rustc cargo",
    "ruby-full rails",
    "nodejs npm",
    "perl libperl-dev",
    "emacs vim-gtk3",
    "systemd sysvinit-core",
    "openssh-server",
    "exim4 postfix",
    "mail-transport-agent",
    "default-mta mailutils",
    "docker.io",
    "qemu-system-x86",
    "ffmpeg",
    "imagemagick",
    "gimp inkscape blender",
    "bind9 dnsmasq",
    "mawk gawk",
    "devscripts debhelper",
    "firefox-esr chromium",
    "samba winbind",
    "task-xfce-desktop",
    "lxde",
    "xorg",
    "r-base octave",
    "gcc-12 g++-12 clang",
    "libcurl4-openssl-dev libcurl4-gnutls-dev",
    "wine",
    "linux-image-amd64",
];

/// Returns `number` requests; `light` leaves out what apt-get takes long for.
pub(crate) fn some(
    suites: &Suites,
    root: &Root,
    number: usize,
    light: bool,
    random: &mut StdRng,
) -> Vec<Ask> {
    let mut asks = Vec::new();
    if !root.is_scratch() {
        asks.push(Ask { upgrade: true, ..Ask::default() });
    }
    for priority in [Priority::Required, Priority::Important, Priority::Standard] {
        let recommends = random.gen_bool(0.5);
        asks.push(Ask { install: of_priority(suites, priority), recommends, ..Ask::default() });
    }
    if light {
        asks = asks.choose_multiple(random, 2).cloned().collect();
    }
    for names in HEAVY.choose_multiple(random, number / 5) {
        let names = names.split(' ').map(str::to_owned).collect();
        asks.push(Ask { install: names, recommends: !light && random.gen_bool(0.3), ..Ask::default() });
    }
    while asks.len() < number {
        asks.push(by_chance(suites, root, random));
    }
    asks.truncate(number);
    asks
}

fn of_priority(suites: &Suites, priority: Priority) -> Vec<String> {
    let packages = suites.universe.preferred().map(|candidate| &candidate.package);
    packages.filter(|package| package.priority == priority).map(|package| package.name.to_string()).collect()
}

fn by_chance(suites: &Suites, root: &Root, random: &mut StdRng) -> Ask {
    let names: Vec<&str> = suites.universe.names().collect();
    let count = random.gen_range(1..=8);
    let install: Vec<String> = names.choose_multiple(random, count).map(|&name| name.to_owned()).collect();
    let ask = Ask { install, recommends: random.gen_bool(0.25), ..Ask::default() };
    match random.gen_range(0..10) {
        0 => with_a_version(ask, suites, random),
        1 => with_pins(ask, suites, random),
        2 if !root.is_scratch() => with_removals(ask, root, random),
        _ => ask,
    }
}

fn with_a_version(mut ask: Ask, suites: &Suites, random: &mut StdRng) -> Ask {
    let several: Vec<&str> =
        suites.universe.names().filter(|name| suites.universe.versions(name).len() > 1).collect();
    let Some(name) = several.choose(random) else { return ask };
    let versions = suites.universe.versions(name);
    let Some(version) = versions.choose(random) else { return ask };
    let version = &suites.universe.candidate(*version).package.version;
    ask.install.truncate(2);
    ask.install.retain(|other| other != name);
    ask.install.insert(0, format!("{name}={version}"));
    ask
}

/// Backports by a pin, a version that is refused, a release preferred over all others.
fn with_pins(mut ask: Ask, suites: &Suites, random: &mut StdRng) -> Ask {
    let first = ask.install[0].clone();
    let archive = suites.last_archive();
    let several: Vec<&str> =
        suites.universe.names().filter(|name| suites.universe.versions(name).len() > 1).collect();
    if let Some(name) = several.choose(random) {
        ask.install.push((*name).to_owned());
        ask.preferences = match random.gen_range(0..4) {
            0 => format!("Package: {name}\nPin: release a={archive}\nPin-Priority: 990\n"),
            1 => format!("Package: *\nPin: release a={archive}\nPin-Priority: 500\n"),
            2 => format!("Package: {first}\nPin: version *\nPin-Priority: -1\n"),
            _ => {
                let initial = &name[..1];
                format!(
                    "Explanation: a glob\nPackage: {initial}* src:{name}\nPin: origin *\nPin-Priority: 600\n"
                )
            }
        };
    }
    ask
}

fn with_removals(mut ask: Ask, root: &Root, random: &mut StdRng) -> Ask {
    let packages = root.installed.iter().map(|one| &one.package);
    let may_go: Vec<_> = packages
        .filter(|package| !package.essential && !package.protected && &*package.name != "apt")
        .map(|package| package.name.to_string())
        .collect();
    ask.remove = may_go.choose_multiple(random, 2).cloned().collect();
    ask.install.truncate(random.gen_range(0..2));
    ask.install.retain(|name| !ask.remove.contains(name));
    ask
}

impl Ask {
    /// Returns our own answer.
    pub(crate) fn answer(&self, suites: &mut Suites, root: &Root) -> Result<Answer, String> {
        let preferences = Preferences::parse(&self.preferences).map_err(|error| error.to_string())?;
        let architecture = suites.universe.architecture().to_owned();
        suites.universe.prefer(Policy { preferences, origins: suites.origins.clone(), architecture });
        let request = Request {
            install: wanted(&self.install),
            remove: self.remove.clone(),
            installed: &root.installed,
            essential: root.is_scratch(),
            recommends: self.recommends,
            upgrade: self.upgrade,
            ..Request::default()
        };
        let selection = resolve(&suites.universe, &request);
        let answer = selection.map_err(|error| error.to_string()).map(|selection| {
            let packages = selection.install.iter().map(|id| &suites.universe.candidate(*id).package);
            let installed = packages.map(|package| format!("+{}={}", package.name, package.version));
            installed.chain(selection.remove.iter().map(|name| format!("-{name}"))).collect()
        });
        suites.universe.prefer(Policy::default());
        answer
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.upgrade { "upgrade" } else { "install" };
        write!(f, "{what}{}", if self.recommends { " with recommends" } else { "" })?;
        self.install.iter().try_for_each(|name| write!(f, " {name}"))?;
        self.remove.iter().try_for_each(|name| write!(f, " {name}-"))?;
        if self.preferences.is_empty() { Ok(()) } else { write!(f, " {:?}", self.preferences) }
    }
}

pub(crate) fn wanted(names: &[String]) -> Vec<Wanted> {
    let one = |name: &String| match name.split_once('=') {
        None => Wanted { name: name.clone(), version: None },
        Some((name, version)) => Wanted {
            name: name.to_owned(),
            version: Some(Version::parse(version).expect("a version of an index")),
        },
    };
    names.iter().map(one).collect()
}
