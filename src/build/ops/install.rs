//! Debian packages, installed by the root's own dpkg in the sandbox, from archives that stay outside.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::ahead::Ahead;
use super::archives::{Archive, all, all_installed, from_nothing, in_order, lay_out, open_archives, rest};
use super::debconf::{self, Questions};
use super::ground::{Ground, Maker};
use super::marks::{self, Changes, Name};
use super::owned::Owned;
use super::paths::Paths;
use super::paths::dpkg::{Scene, explain};
use super::paths::timeline::{Doer, Timeline};
use super::present::Present;
use super::{bootstrap, copyrights, sha512, system, tidy, withhold};
use crate::apt::order::{self, Departure, Step};
use crate::bom::{
    AddedPackage, BomDelta, Git, Location, Package as Account, Source, SourceFile, Voucher, Withheld,
};
use crate::build::graph::{Delta, Install};
use crate::build::lock::{LockedDeb, LockedPackage, LockedSource, LockedSourceFile};
use crate::debian::{Installed, Package};
use crate::layer::{self, LayerWriter, Moments};
use crate::progress::{Progress, Task};
use crate::sandbox::{Cancel, Exit, Mount, Network, Removing, Root, Run, Sandbox, Watch};
use crate::store::{Scratch, Store};

/// Where the archives are seen in the sandbox, and nowhere else.
const ARCHIVES: &str = "/.estaleiro/archives";
/// What takes answers in.
const SET_SELECTIONS: &str = "usr/bin/debconf-set-selections";
/// How many of a failed run's last lines are shown.
const N_LINES_SHOWN: usize = 40;

/// What an installation has at hand.
pub struct Site<'a> {
    /// Holds the archives.
    pub store: &'a Store,
    /// Runs the maintainer scripts.
    pub sandbox: Sandbox,
    /// Ends them early.
    pub cancel: &'a Cancel,
    /// Tells how it goes.
    pub progress: &'a Progress,
    /// The latest time in the image.
    pub epoch: i64,
    /// Debian's name of the architecture.
    pub architecture: &'a str,
    /// What is installed in the base.
    pub installed: &'a [Installed],
    /// The base's record of which packages came along, where it has one.
    pub extended_states: Option<&'a str>,
}

/// Installs packages on top of `base`, a root that is shared, or from nothing.
pub fn install(op: &Install, base: Option<&Path>, site: &Site<'_>, mut writer: LayerWriter) -> Result<Delta> {
    let scratch = site.store.scratch()?;
    let archives = open_archives(&op.packages, site.store)?;
    let task = site.progress.start("install");
    let order = match base {
        Some(_) => in_order(&archives, &all(&archives), site.installed)?,
        None => from_nothing(&archives)?,
    };
    let ahead = lay_out(&order, &scratch, site.sandbox, writer.ready()?)?;
    let preseed = Preseed::new(op, archives.iter(), site);
    let timeline = Timeline::new(scratch.path())?;
    let dpkg = Dpkg { site, scratch: &scratch, task: &task, preseed: &preseed, timeline: &timeline };
    let (below, changed, moments) = match base {
        Some(base) => {
            let mut ground = dpkg.above(base, &mut |run| {
                run.change(&archives, &op.remove)?;
                run.check_answered()?;
                run.mark(op, &archives)
            })?;
            let moments = ground.moments()?;
            let (below, upper) = ground.end();
            (Some(below), upper, moments)
        }
        None => {
            let place = scratch.path().join("root");
            let run = dpkg.in_root(Root::Plain(place.clone()));
            run.install_from_nothing(&archives, &place, &ahead)?;
            run.check_answered()?;
            run.mark(op, &archives)?;
            let moments = Moments::read(&place)?;
            (None, place, moments)
        }
    };
    let changes = open_changes(&changed)?;
    let present = Present::read(&changes)?;
    let mut bom = account(op, archives.iter().map(|archive| &archive.package), site.installed, &present);
    sha512::add(&mut bom.packages, site.store)?;
    let root: Vec<&Path> = base.into_iter().chain([&*changed]).collect();
    copyrights::add(&mut bom, &layer::Stack::open(&root)?, site.store)?;
    bom.withheld = clean(&changes, site.epoch)?;
    bom.operating_system = if below.is_none() { system::of(&changes)? } else { None };
    task.done(&format!("{} packages", archives.len()));

    let task = site.progress.start("pack the layer");
    let changes = match below {
        Some(below) => layer::diff::overlay(&below, &changed)?,
        None => layer::diff::trees(None, &changed)?,
    };
    let lowers: Vec<PathBuf> = base.into_iter().map(Path::to_owned).collect();
    let scene = Scene { lowers: &lowers, upper: &changed, timeline: Some(&timeline), moments: &moments };
    let paths = explain(&changes, &scene, None)?;
    drop(ahead);
    layer::pack(&changes, &changed, &mut writer)?;
    let packed = writer.finish()?;
    scratch.leave();
    task.advance(packed.layer.descriptor.size);
    task.done(&format!("{} paths", packed.paths.len() + packed.removed.len()));
    paths.delta(packed, bom)
}

fn open_changes(path: &Path) -> Result<layer::Root> {
    layer::Root::open(path).with_context(|| format!("cannot open {}", path.display()))
}

/// Installs packages from nothing in the directory `lower`, and others on top of them; returns where the changes of the
/// latter are, what was withheld of them, and what they belong to.
pub(super) fn install_beside(
    (essential, others): (&[Archive], &[Archive]),
    lower: &Path,
    op: &Install,
    site: &Site<'_>,
    scratch: &Scratch,
) -> Result<(PathBuf, Vec<Withheld>, Paths)> {
    let installed = all_installed(essential.iter());
    let later = in_order(others, &all(others), &installed)?;
    let ahead = lay_out(&[from_nothing(essential)?, later].concat(), scratch, site.sandbox, None)?;
    let task = site.progress.start("install");
    let preseed = Preseed::new(op, essential.iter().chain(others), site);
    let timeline = Timeline::new(scratch.path())?;
    let dpkg = Dpkg { site, scratch, task: &task, preseed: &preseed, timeline: &timeline };
    dpkg.in_root(Root::Plain(lower.to_owned())).install_from_nothing(essential, lower, &ahead)?;
    let above = Dpkg { site: &Site { installed: &installed, ..*site }, ..dpkg };
    let mut ground = above.above(lower, &mut |run| {
        run.change(others, &[])?;
        run.check_answered()
    })?;
    let moments = ground.moments()?;
    let withheld = clean(&open_changes(&ground.upper)?, site.epoch)?;
    let changes = layer::diff::overlay(&ground.below, &ground.upper)?;
    let scene =
        Scene { lowers: &ground.lowers, upper: &ground.upper, timeline: Some(&timeline), moments: &moments };
    let paths = explain(&changes, &scene, None)?;
    task.done(&format!("{} packages beside {}", others.len(), essential.len()));
    Ok((ground.upper, withheld, paths))
}

/// Takes out of the changes what no image should hold; returns what must be told.
fn clean(changes: &layer::Root, epoch: i64) -> Result<Vec<Withheld>> {
    let owned = Owned::read(changes)?;
    tidy::tidy(changes, &owned, epoch)?;
    withhold::withhold(changes, &owned)
}

/// What an installation works with.
#[derive(Clone, Copy)]
struct Dpkg<'a> {
    site: &'a Site<'a>,
    scratch: &'a Scratch,
    task: &'a Task,
    preseed: &'a Preseed,
    timeline: &'a Timeline,
}

/// The root's own dpkg.
struct Running<'a> {
    at: Dpkg<'a>,
    root: Root,
    /// Whether something was there before, which may be removed.
    is_above: bool,
}

impl<'a> Dpkg<'a> {
    fn in_root(self, root: Root) -> Running<'a> {
        Running { at: self, root, is_above: false }
    }

    /// Works above `base`, a root that is shared; on a ground that is a copy perhaps more than once.
    fn above(self, base: &Path, work: &mut dyn FnMut(&Running<'a>) -> Result<()>) -> Result<Ground> {
        let (site, is_waiting) = (self.site, self.preseed.is_waiting.get());
        let maker = Maker { sandbox: site.sandbox, store: site.store, progress: site.progress };
        let mut ground = maker.ground(vec![base.to_owned()], self.scratch.path(), None)?;
        maker.work(&mut ground, &mut |ground| {
            self.preseed.is_waiting.set(is_waiting);
            self.timeline.reset();
            work(&Running { is_above: true, ..self.in_root(ground.root()) })
        })?;
        Ok(ground)
    }
}

/// Answers for the root's debconf, which takes them in as soon as it is there.
struct Preseed {
    selections: Vec<u8>,
    is_waiting: Cell<bool>,
}

impl Preseed {
    fn new<'a>(op: &Install, archives: impl Iterator<Item = &'a Archive>, site: &Site<'_>) -> Preseed {
        let mut questions = Questions::new();
        for archive in archives {
            debconf::add_questions(&mut questions, &archive.package.name, &archive.templates);
        }
        for name in debconf::unasked(&op.debconf, &questions) {
            site.progress.warn(format!(
                "the answer to {name} may change nothing: no package that is installed now asks that"
            ));
        }
        let is_waiting = Cell::new(!op.debconf.is_empty());
        Preseed { selections: debconf::selections(&op.debconf, &questions), is_waiting }
    }
}

impl Running<'_> {
    fn install_from_nothing(&self, archives: &[Archive], root: &Path, ahead: &Ahead) -> Result<()> {
        let laid_out = self.at.scratch.path().join("archives");
        let (architecture, laid_out) = (self.at.site.architecture, (&*laid_out, ahead));
        let essential = bootstrap::bootstrap(root, architecture, archives, laid_out, self.at.task)?;
        self.answer()?;
        let files = essential.iter().map(|&index| archives[index].file_name()).collect();
        self.run("--install", &["--force-depends"], files)?;
        let installed = all_installed(essential.iter().map(|&index| &archives[index]));
        self.install(archives, &rest(archives, &essential), &installed)?;
        self.finish()
    }

    /// Brings the base's packages to what is asked for, in apt's steps: what is to go is marked, so that dpkg lets it be
    /// broken, and goes as early as it may; its configuration goes last. Triggers wait for the very end.
    fn change(&self, archives: &[Archive], remove: &[String]) -> Result<()> {
        let departures = order::departures(remove, self.at.site.installed)?;
        let going = |when: Departure| {
            let names = departures.iter().filter(move |(_, departure)| **departure == when);
            names.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        self.select_for_purge(remove)?;
        self.remove(going(Departure::First))?;
        self.install(archives, &all(archives), self.at.site.installed)?;
        self.remove(going(Departure::WhenUnpacked))?;
        if !remove.is_empty() {
            self.run("--configure", &["--no-triggers", "--pending"], Vec::new())?;
            self.run("--purge", &["--no-triggers"], remove.to_vec())?;
        }
        self.finish()
    }

    fn select_for_purge(&self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut run = self.command(vec!["dpkg".into(), "--set-selections".into()])?;
        run.stdin = names.iter().flat_map(|name| format!("{name} purge\n").into_bytes()).collect();
        self.execute(&run, "dpkg --set-selections")
    }

    fn remove(&self, names: Vec<String>) -> Result<()> {
        match names.is_empty() {
            true => Ok(()),
            false => self.run("--remove", &["--no-triggers", "--force-depends"], names),
        }
    }

    /// Configures whatever is unpacked, in dpkg's own order, and runs the triggers that are left.
    fn finish(&self) -> Result<()> {
        self.run("--configure", &["--pending"], Vec::new())
    }

    /// Notes which packages came along, for an apt that is in the image.
    fn mark(&self, op: &Install, archives: &[Archive]) -> Result<()> {
        let site = self.at.site;
        let is_apt = |there: &Installed| there.is_installed() && &*there.package.name == "apt";
        let has_apt =
            op.packages.iter().any(|package| package.name == "apt") || site.installed.iter().any(is_apt);
        if !has_apt && site.extended_states.is_none() {
            return Ok(());
        }
        let text = marks_of(op, archives, site);
        let mut run =
            self.command(["/bin/sh", "-c", "cat > /var/lib/apt/extended_states"].map(String::from).to_vec())?;
        run.stdin = text.into_bytes();
        self.execute(&run, "cat > /var/lib/apt/extended_states")
    }

    /// Unpacks in an order that Depends and Pre-Depends allow, and configures what must be before something else is
    /// unpacked.
    fn install(&self, archives: &[Archive], chosen: &[usize], installed: &[Installed]) -> Result<()> {
        self.answer()?;
        let packages: Vec<&Package> = chosen.iter().map(|&index| &archives[index].package).collect();
        for step in order::plan(&packages, installed)? {
            match step {
                Step::Unpack(places) => {
                    let files = places.iter().map(|&place| archives[chosen[place]].file_name()).collect();
                    self.run("--unpack", &["--no-triggers", "--auto-deconfigure"], files)?;
                    self.answer()?;
                    places.iter().for_each(|&place| self.at.task.advance(archives[chosen[place]].size));
                }
                Step::Configure(places) => {
                    let names = places.iter().map(|&place| {
                        let package = packages[place];
                        format!("{}:{}", package.name, package.architecture)
                    });
                    self.run("--configure", &["--no-triggers"], names.collect())?;
                }
            }
        }
        Ok(())
    }

    /// Hands the answers over, once, when there is somebody to take them.
    fn answer(&self) -> Result<()> {
        let places = self.root.places();
        let is_there = places.iter().any(|place| place.join(SET_SELECTIONS).exists());
        if !self.at.preseed.is_waiting.get() || !is_there {
            return Ok(());
        }
        self.at.preseed.is_waiting.set(false);
        let mut run = self.command(vec![format!("/{SET_SELECTIONS}")])?;
        run.stdin.clone_from(&self.at.preseed.selections);
        self.execute(&run, "debconf-set-selections")
    }

    /// Answers that nobody took would be forgotten in silence.
    fn check_answered(&self) -> Result<()> {
        match self.at.preseed.is_waiting.get() {
            true => bail!(
                "cannot answer debconf's questions: the image has no debconf\nhint: install it too: package \"debconf\" {{}}"
            ),
            false => Ok(()),
        }
    }

    fn run(&self, action: &str, options: &[&str], operands: Vec<String>) -> Result<()> {
        let is_file = matches!(action, "--unpack" | "--install");
        let operands =
            operands.into_iter().map(|name| if is_file { format!("{ARCHIVES}/{name}") } else { name });
        let mut argv: Vec<String> = DPKG.iter().map(|&word| word.to_owned()).collect();
        argv.extend(options.iter().chain([&action]).map(|&word| word.to_owned()));
        argv.extend(operands);
        self.execute(&self.command(argv)?, &format!("dpkg {action}"))
    }

    fn execute(&self, run: &Run, name: &str) -> Result<()> {
        let mut last_lines = VecDeque::new();
        let timeline = self.at.timeline;
        let is_dpkg = run.argv.first().is_some_and(|program| program == "dpkg");
        timeline.turn(if is_dpkg { Doer::Dpkg } else { Doer::Builder });
        let removals = |removing: &mut Removing<'_>| timeline.see_removal(|| removing.path());
        let watch = Watch {
            starts: &|starting| timeline.see(starting),
            removals: self.is_above.then_some(&removals),
        };
        let (site, root) = (self.at.site, &self.root);
        let exit = site.sandbox.run_watched(root, run, watch, site.cancel, &mut |_, line| {
            self.at.task.advance(0);
            if last_lines.len() == N_LINES_SHOWN {
                last_lines.pop_front();
            }
            last_lines.push_back(String::from_utf8_lossy(line).into_owned());
        })?;
        let ending = match exit {
            Exit::Code(0) => return Ok(()),
            Exit::Code(code) => format!("it ended with {code}"),
            Exit::Signal(signal) => format!("signal {signal} ended it"),
        };
        let shown: Vec<String> = last_lines.into_iter().collect();
        bail!("cannot run {name}: {ending}; it said last:\n{}", shown.join("\n"))
    }

    fn command(&self, argv: Vec<String>) -> Result<Run> {
        let policy = self.at.scratch.path().join("policy-rc.d");
        fs::write(&policy, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(&policy, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let mut run = Run::new(argv);
        run.env = self.environment();
        run.network = Network::None;
        run.mounts = vec![
            Mount::of_host(self.at.scratch.path().join("archives"), ARCHIVES),
            // No service starts in an image (Debian policy 9.3.3).
            Mount::of_host(policy, "/usr/sbin/policy-rc.d"),
        ];
        Ok(run)
    }

    fn environment(&self) -> Vec<(String, String)> {
        let epoch = self.at.site.epoch.to_string();
        [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/root"),
            // All else is as in C, and each program that starts would read the same from a dozen files.
            ("LC_CTYPE", "C.UTF-8"),
            ("TERM", "dumb"),
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
            ("SOURCE_DATE_EPOCH", epoch.as_str()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

/// As apt does it, by what was planned: what disappears while dpkg works keeps its mark.
fn marks_of(op: &Install, archives: &[Archive], site: &Site<'_>) -> String {
    // What is for all architectures goes by the root's own.
    let name = |package: &Package| match &*package.architecture {
        "all" => (package.name.to_string(), site.architecture.to_owned()),
        architecture => (package.name.to_string(), architecture.to_owned()),
    };
    let before = site.installed.iter().filter(|there| there.is_installed()).map(|there| &there.package);
    let is_to_go = |package: &&Package| op.remove.iter().any(|name| **name == *package.name);
    let kept: BTreeSet<Name> = before.filter(|package| !is_to_go(package)).map(name).collect();
    let came = || archives.iter().map(|archive| &archive.package);
    let is_requested = |name: &Name| op.requested.contains(&name.0);
    let asked_for = kept.iter().cloned().chain(came().map(name)).filter(is_requested).collect();
    // The Essential ones are nobody's dependency: apt never takes them away.
    let along = came().filter(|package| !package.essential).map(name);
    let along = along.filter(|name| !is_requested(name) && !kept.contains(name)).collect();
    marks::extended_states(site.extended_states.unwrap_or_default(), &Changes { along, asked_for, kept })
}

/// Whether a package that was there is not there any more.
fn is_gone(op: &Install, package: &Package, present: &Present) -> bool {
    op.remove.iter().any(|name| **name == *package.name)
        || present.lacks(&package.name, &package.architecture)
}

/// Keep what is there when nobody can be asked; write no log; spare the syncs, the root is thrown away on failure.
const DPKG: [&str; 5] =
    ["dpkg", "--force-unsafe-io", "--force-confdef", "--force-confold", "--log=/dev/null"];

/// Returns what an installation changes in the account, where dpkg has the last word on what is present; `opened` are the
/// packages as their archives say, in the order of the operation.
pub(super) fn account<'a>(
    op: &Install,
    opened: impl Iterator<Item = &'a Package>,
    installed: &[Installed],
    present: &Present,
) -> BomDelta {
    let before = installed.iter().filter(|there| there.is_installed()).map(|there| &there.package);
    let gone = before.filter(|package| is_gone(op, package, present));
    let key = |package: &Package| (package.name.to_string(), package.architecture.to_string());
    let came = op.packages.iter().zip(opened);
    let came = came.filter(|(locked, _)| !present.lacks(&locked.name, &locked.architecture));
    BomDelta {
        removed_packages: gone.map(key).collect(),
        packages: came.map(|(locked, package)| installed_now(locked, package, op)).collect(),
        keys: op.keys.clone(),
        ..BomDelta::default()
    }
}

fn installed_now(locked: &LockedPackage, package: &Package, op: &Install) -> AddedPackage {
    AddedPackage {
        package: package.into(),
        without_essential: op.beside.is_some(),
        ..added(locked, op.declared.get(&locked.name))
    }
}

/// Returns the account of a package whose source may be declared by hand.
pub(super) fn added(locked: &LockedPackage, declared: Option<&Git>) -> AddedPackage {
    AddedPackage {
        package: named(locked),
        location: Location {
            uri: locked.uri.clone(),
            digest: locked.sha256,
            name: locked.uri.rsplit('/').next().unwrap_or_default().to_owned(),
            size: locked.size,
            sha512: None,
        },
        repository: locked.repository.clone(),
        signed_by: locked.signed_by.clone(),
        without_essential: false,
        vouched_by: locked.deb.as_ref().map(voucher),
        git: declared.cloned(),
        sources: locked.source.files.iter().map(source_file).collect(),
        built_using: locked.built_using.iter().map(account_of_source).collect(),
    }
}

pub(super) fn named(locked: &LockedPackage) -> Account {
    Account {
        name: locked.name.clone(),
        version: locked.version.clone(),
        source_package: locked.source.name.clone(),
        source_version: locked.source.version.clone(),
        architecture: locked.architecture.clone(),
        ..Account::default()
    }
}

fn voucher(deb: &LockedDeb) -> Voucher {
    match deb {
        LockedDeb::Url(_) => Voucher::Definition,
        LockedDeb::Context(_) => Voucher::Context,
    }
}

/// Returns the account of a source package.
pub fn account_of_source(locked: &LockedSource) -> Source {
    Source {
        source_package: locked.name.clone(),
        source_version: locked.version.clone(),
        sources: locked.files.iter().map(source_file).collect(),
    }
}

fn source_file(locked: &LockedSourceFile) -> SourceFile {
    SourceFile {
        uri: locked.uri.clone(),
        digest: locked.sha256,
        name: locked.name.clone(),
        size: locked.size,
    }
}
