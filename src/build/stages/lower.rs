//! From evaluated stages to vertices: the place where a Dockerfile becomes the graph that a definition becomes, too.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail};

use super::canonical_name;
use super::contents::Contents;
use super::downloads;
use super::evaluate::{Evaluated, Ground, Step};
use super::mounts::Mounts;
use super::repositories;
use super::text::Text;
use crate::build::context::{Context, Scan, Wanted};
use crate::build::graph::{
    self, ContextTree, Download, Graph, Instruction, Op, Pull, Run, RunMount, RunMountKind, SecretVariable,
    Settle, Sharing, Transfer, TransferSource, VertexId, Workdir,
};
use crate::build::lock::{InvalidLock, PlatformLock};
use crate::build::tree::rooted;
use crate::dockerfile::{self, Ignore, Kind, Mistake, Mount, Network, Owner, RunCommand, Security};
use crate::sandbox::Host;

/// Where secrets are seen unless said.
const SECRETS: &str = "/run/secrets";
/// Where the socket of an agent is seen unless said.
const AGENT: &str = "/run/buildkit/ssh_agent";
/// The permissions of a new cache, of a secret, of an agent's socket, of a script.
const CACHE_MODE: u32 = 0o755;
const SECRET_MODE: u32 = 0o400;
const SOCKET_MODE: u32 = 0o600;
const SCRIPT_MODE: u32 = 0o755;

/// The contexts that files are taken from.
pub(super) struct Scans<'a> {
    own: Scan<'a>,
    named: BTreeMap<&'a str, Scan<'a>>,
}

impl<'a> Scans<'a> {
    pub(super) fn new(context: &'a Context, ignore: &'a Ignore, contents: &'a Contents) -> Result<Scans<'a>> {
        let named = contents.with_ignored();
        let named = named.map(|(name, context, ignore)| Ok((name, Scan::new(context, ignore)?)));
        Ok(Scans { own: Scan::new(context, ignore)?, named: named.collect::<Result<_>>()? })
    }

    /// Returns what is wanted of the context of this name; without one, of the build's own.
    fn tree(&self, name: Option<&str>, wanted: &Wanted<'_>) -> Result<ContextTree> {
        let Some(name) = name else { return self.own.tree(wanted) };
        let scan = self.named.get(name);
        let tree =
            scan.with_context(|| format!("internal error: there is no context {name}"))?.tree(wanted)?;
        Ok(ContextTree { name: format!("{name}: {}", tree.name), context: Some(name.to_owned()), ..tree })
    }
}

/// Lowers stages into `graph`, one after the other.
pub(super) struct Lowering<'a> {
    graph: &'a mut Graph,
    text: &'a Text,
    scans: &'a Scans<'a>,
    lock: &'a PlatformLock,
    hosts: &'a [Host],
    /// The last vertex of each stage, by its number.
    tops: BTreeMap<usize, VertexId>,
    /// The names of stages that have one.
    names: BTreeMap<usize, String>,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(
        graph: &'a mut Graph,
        text: &'a Text,
        scans: &'a Scans<'a>,
        lock: &'a PlatformLock,
        hosts: &'a [Host],
    ) -> Lowering<'a> {
        Lowering { graph, text, scans, lock, hosts, tops: BTreeMap::new(), names: BTreeMap::new() }
    }

    /// Adds the vertices of a stage; those that it needs were added before.
    pub(super) fn stage(&mut self, stage: &Evaluated) -> Result<VertexId> {
        let mut top = self.ground(&stage.ground)?;
        for step in &stage.steps {
            top = self.step(step, top)?;
        }
        self.tops.insert(stage.number, top);
        self.names.extend(stage.name.clone().map(|name| (stage.number, name)));
        Ok(top)
    }

    fn ground(&mut self, ground: &Ground) -> Result<VertexId> {
        match ground {
            Ground::Scratch => Ok(self.graph.add_once(Op::Scratch, None, vec![])),
            Ground::Stage(number) => self.top(*number),
            Ground::Image { name, digest } => {
                let pull = Pull { name: name.clone(), digest: *digest, sources: vec![] };
                Ok(self.graph.add_once(Op::Pull(pull), None, vec![]))
            }
            Ground::Directory(name) => self.directory(name),
        }
    }

    /// Adds a root that holds the files of a directory that a name stands for.
    fn directory(&mut self, name: &str) -> Result<VertexId> {
        let sources = [".".to_owned()];
        let tree = self.scans.tree(Some(name), &Wanted { sources: &sources, ..Wanted::default() })?;
        let instruction = Instruction { text: format!("FROM {name}"), ..Instruction::default() };
        let transfer = Transfer {
            instruction,
            sources: vec![TransferSource::Path { mount: 0, path: ".".into(), from: None }],
            target: "/".into(),
            owner: None,
            mode: None,
            unpacks: false,
            keeps_parents: false,
            is_link: false,
            exclude: Vec::new(),
        };
        let scratch = self.graph.add_once(Op::Scratch, None, vec![]);
        let files = self.graph.add_once(Op::Context(tree), None, vec![]);
        Ok(self.graph.add_once(Op::Transfer(transfer), Some(scratch), vec![files]))
    }

    /// Returns what the account calls something that files are taken from.
    fn called(&self, ground: &Ground) -> String {
        match ground {
            Ground::Scratch => "scratch".into(),
            Ground::Directory(name) => format!("context {name}"),
            Ground::Stage(number) => self
                .names
                .get(number)
                .map_or_else(|| format!("stage {number}"), |name| format!("stage {name}")),
            Ground::Image { name, digest } => canonical_name(name, digest),
        }
    }

    fn top(&self, number: usize) -> Result<VertexId> {
        match self.tops.get(&number) {
            Some(top) => Ok(*top),
            None => bail!("internal error: stage {number} was not lowered"),
        }
    }

    fn step(&mut self, step: &Step, top: VertexId) -> Result<VertexId> {
        let instruction = step.instruction.clone();
        let (op, mounts) = match &step.kind {
            Kind::Run(run) => self.run(step, run)?,
            Kind::Copy(copy) => self.copy(step, copy)?,
            Kind::Add(add) => self.add(step, add)?,
            Kind::Workdir(_) => {
                let config = step.config.config.clone();
                let (path, user) = (config.working_dir.clone(), config.user.clone());
                (Op::Workdir(Workdir { instruction, path, user, config }), vec![])
            }
            Kind::Arg(_) => return Ok(top),
            Kind::Cmd(_)
            | Kind::Entrypoint(_)
            | Kind::Env(_)
            | Kind::Expose(_)
            | Kind::Healthcheck(_)
            | Kind::Label(_)
            | Kind::Maintainer(_)
            | Kind::Onbuild(_)
            | Kind::Shell(_)
            | Kind::Stopsignal(_)
            | Kind::User(_)
            | Kind::Volume(_) => {
                let (config, author) = (step.config.config.clone(), step.config.author.clone());
                (Op::Settle(Settle { instruction, config, author }), vec![])
            }
        };
        Ok(self.graph.add_once(op, Some(top), mounts))
    }

    fn copy(&mut self, step: &Step, copy: &dockerfile::Copy) -> Result<(Op, Vec<VertexId>)> {
        let mut mounts = Mounts::default();
        let taken = match step.from(copy.from.as_deref()) {
            None => self.of_context(step, None, &copy.transfer, copy.parents, &mut mounts)?,
            Some(Ground::Directory(name)) => {
                self.of_context(step, Some(name), &copy.transfer, copy.parents, &mut mounts)?
            }
            Some(ground) => {
                let mount = mounts.add(self.ground(ground)?);
                let from = Some(self.called(ground));
                let source =
                    |path: &String| TransferSource::Path { mount, path: path.clone(), from: from.clone() };
                copy.transfer.sources.iter().map(source).collect()
            }
        };
        let transfer = Transfer { keeps_parents: copy.parents, ..transfer(step, &copy.transfer, taken) };
        Ok((Op::Transfer(transfer), mounts.into_vertices()))
    }

    fn add(&mut self, step: &Step, add: &dockerfile::Add) -> Result<(Op, Vec<VertexId>)> {
        let mut mounts = Mounts::default();
        if let Some(mistake) = needless_checksum(step, add) {
            return Err(self.text.error(mistake));
        }
        let mut repositories = Vec::new();
        let mut others = Vec::new();
        for source in &add.transfer.sources {
            let repository = repositories::repository(step, add, source);
            match repository.map_err(|mistake| self.text.error(mistake))? {
                Some(repository) => repositories.push(repository),
                None => others.push(source.clone()),
            }
        }
        let (afar, near): (Vec<String>, Vec<String>) =
            others.into_iter().partition(|source| downloads::is_address(source));
        let near = dockerfile::Transfer { sources: near, ..add.transfer.clone() };
        let mut taken = self.of_context(step, None, &near, false, &mut mounts)?;
        for address in afar {
            let download = self.download(step, &address)?;
            let name = downloads::file_name(&address);
            let mount = mounts.add(self.graph.add_once(Op::Download(download), None, vec![]));
            taken.push(TransferSource::Download { mount, name, unpacks: add.unpack == Some(true) });
        }
        for repository in repositories {
            let op = self.repository(step, &repository)?;
            let source = op.told();
            let scratch = self.graph.add_once(Op::Scratch, None, vec![]);
            let mount = mounts.add(self.graph.add_once(Op::Repository(op), Some(scratch), vec![]));
            taken.push(TransferSource::Repository { mount, source });
        }
        let transfer =
            Transfer { unpacks: add.unpack.unwrap_or(true), ..transfer(step, &add.transfer, taken) };
        Ok((Op::Transfer(transfer), mounts.into_vertices()))
    }

    /// Names what sources mean in a context, and returns them as what is to be taken of it.
    fn of_context(
        &mut self,
        step: &Step,
        name: Option<&str>,
        said: &dockerfile::Transfer,
        keeps_parents: bool,
        mounts: &mut Mounts,
    ) -> Result<Vec<TransferSource>> {
        let dockerfile::Transfer { sources, exclude, .. } = said;
        if sources.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = Wanted { sources, exclude, keeps_parents };
        let tree = self.scans.tree(name, &wanted).map_err(|error| self.text.at(&step.span, &error))?;
        let mount = mounts.add(self.graph.add_once(Op::Context(tree), None, vec![]));
        let source = |path: &String| TransferSource::Path { mount, path: path.clone(), from: None };
        Ok(sources.iter().map(source).collect())
    }

    fn download(&self, step: &Step, address: &str) -> Result<Download> {
        let uri = downloads::shown(address);
        let locked = self.lock.files.iter().find(|file| file.uri == uri);
        let missing = || anyhow!("cannot use lock: it does not hold {uri}\nhint: write it anew");
        let locked = locked.ok_or_else(|| self.text.at(&step.span, &missing()))?;
        Ok(Download { uri, address: address.to_owned(), digest: locked.digest, mtime: None })
    }

    fn repository(&self, step: &Step, repository: &dockerfile::Repository) -> Result<graph::Repository> {
        let locked = repositories::locked(self.lock, repository);
        let missing =
            || InvalidLock::Unfit(vec![format!("it does not hold {}", downloads::shown(&repository.remote))]);
        let locked = locked.ok_or_else(|| self.text.at(&step.span, &missing().into()))?;
        Ok(repositories::lowered(repository, locked))
    }

    fn run(&mut self, step: &Step, run: &dockerfile::Run<Mount>) -> Result<(Op, Vec<VertexId>)> {
        if run.security == Security::Insecure {
            return Err(self.text.error(insecure(step)));
        }
        let mut mounts = Mounts::default();
        let mut seen = Vec::new();
        for mount in &run.mounts {
            seen.extend(self.run_mount(step, mount, &mut mounts)?);
        }
        seen.extend(script(&run.command));
        let op = Run {
            instruction: step.instruction.clone(),
            argv: run.command.words(&step.config.shell()),
            env: step.env.clone(),
            proxies: step.proxies.clone(),
            workdir: step.config.config.working_dir.clone(),
            user: step.config.config.user.clone(),
            has_network: run.network != Network::None,
            hosts: self.hosts.to_vec(),
            mounts: seen,
            secret_env: run.mounts.iter().filter_map(secret_variable).collect(),
        };
        Ok((Op::Run(op), mounts.into_vertices()))
    }

    /// Returns what is seen where; a secret that is only a variable is seen nowhere.
    fn run_mount(&mut self, step: &Step, mount: &Mount, mounts: &mut Mounts) -> Result<Option<RunMount>> {
        let (target, what) = match mount {
            Mount::Bind { from, source, target, read_only } => {
                let (mount, source) = self.mounted(step, from.as_deref(), source.as_deref(), mounts)?;
                (target.clone(), RunMountKind::Bind { mount, source, is_writable: !read_only })
            }
            Mount::Cache { id, from, source, target, sharing, owner, read_only } => {
                let seed = match from {
                    None => None,
                    Some(_) => Some(self.mounted(step, from.as_deref(), source.as_deref(), mounts)?),
                };
                let (mode, uid, gid) = owned(owner, CACHE_MODE);
                let id = id.clone().unwrap_or_else(|| step.config.absolute(target));
                let (id, sharing) = (cache_name(id, mode, uid, gid), sharing_of(*sharing));
                let is_read_only = *read_only;
                (target.clone(), RunMountKind::Cache { id, sharing, seed, is_read_only, mode, uid, gid })
            }
            Mount::Tmpfs { target, size } => (target.clone(), RunMountKind::Tmpfs { size: *size }),
            Mount::Secret { id, target, variable, required, owner } => {
                let by_default = || variable.is_none().then(|| format!("{SECRETS}/{}", base_name(id)));
                let Some(target) = target.clone().or_else(by_default) else { return Ok(None) };
                let (mode, uid, gid) = owned(owner, SECRET_MODE);
                let (id, is_required) = (id.clone(), *required);
                (target, RunMountKind::Secret { id, is_required, mode, uid, gid })
            }
            Mount::Ssh { id, target, required, owner } => {
                let nth = mounts.next_agent();
                let target = target.clone().unwrap_or_else(|| format!("{AGENT}.{nth}"));
                let (mode, uid, gid) = owned(owner, SOCKET_MODE);
                (target, RunMountKind::Ssh { id: id.clone(), is_required: *required, mode, uid, gid })
            }
        };
        Ok(Some(RunMount { target: step.config.absolute(&target), what }))
    }

    /// Adds what a mount shows, the context below `source` or another image, and returns it with the path in there.
    fn mounted(
        &mut self,
        step: &Step,
        from: Option<&str>,
        source: Option<&str>,
        mounts: &mut Mounts,
    ) -> Result<(usize, String)> {
        let source = rooted(source.unwrap_or_default());
        let name = match step.from(from) {
            Some(Ground::Directory(name)) => Some(name.as_str()),
            Some(_) | None => None,
        };
        let vertex = match step.from(from).filter(|_| name.is_none()) {
            Some(ground) => self.ground(ground)?,
            None => {
                let sources = std::slice::from_ref(&source);
                let wanted = Wanted { sources, ..Wanted::default() };
                let below =
                    self.scans.tree(name, &wanted).map_err(|error| self.text.at(&step.span, &error))?;
                self.graph.add_once(Op::Context(below), None, vec![])
            }
        };
        Ok((mounts.add(vertex), source))
    }
}

fn insecure(step: &Step) -> Mistake {
    let message =
        "cannot run a command with --security=insecure: none has more rights than the sandbox gives";
    let hint = "leave it out, or do what needs the rights outside of the build";
    Mistake { span: step.span.clone(), message: message.into(), hint: hint.into() }
}

fn needless_checksum(step: &Step, add: &dockerfile::Add) -> Option<Mistake> {
    let is_near = |source: &String| {
        !downloads::is_address(source) && matches!(dockerfile::Repository::parse(source), Ok(None))
    };
    let is_needless = add.checksum.is_some() && add.transfer.sources.iter().any(is_near);
    let message =
        "cannot check a file of the context by its checksum: only what is fetched from afar has one";
    let hint = "leave --checksum out";
    is_needless.then(|| Mistake { span: step.span.clone(), message: message.into(), hint: hint.into() })
}

/// A cache that is somebody else's is another one.
fn cache_name(id: String, mode: u32, uid: u32, gid: u32) -> String {
    match (mode, uid, gid) {
        (CACHE_MODE, 0, 0) => id,
        _ => format!("{id} {mode:04o} {uid}:{gid}"),
    }
}

/// Returns mode, user and group of what is mounted; it is root's where nobody says otherwise.
fn owned(owner: &Owner, mode: u32) -> (u32, u32, u32) {
    (owner.mode.unwrap_or(mode), owner.user.unwrap_or(0), owner.group.unwrap_or(0))
}

/// Returns the variable that a secret is in, if it is in one.
fn secret_variable(mount: &Mount) -> Option<SecretVariable> {
    match mount {
        Mount::Secret { id, variable, required, .. } => {
            let name = variable.clone()?;
            Some(SecretVariable { name, secret: id.clone(), is_required: *required })
        }
        Mount::Bind { .. } | Mount::Cache { .. } | Mount::Tmpfs { .. } | Mount::Ssh { .. } => None,
    }
}

/// Returns the file that a command in a here-document is in.
fn script(command: &RunCommand) -> Option<RunMount> {
    match command {
        RunCommand::Script { name, text } => {
            let what = RunMountKind::Text { content: text.clone(), mode: SCRIPT_MODE };
            Some(RunMount { target: RunCommand::place(name), what })
        }
        RunCommand::Shell(_) | RunCommand::Exec(_) => None,
    }
}

fn transfer(step: &Step, said: &dockerfile::Transfer, mut sources: Vec<TransferSource>) -> Transfer {
    sources.extend(said.documents.iter().map(|document| TransferSource::Text {
        name: document.name.clone(),
        content: document.text.clone(),
    }));
    Transfer {
        instruction: step.instruction.clone(),
        sources,
        target: destination(step, &said.destination),
        owner: said.chown.clone(),
        mode: said.chmod.clone(),
        unpacks: false,
        keeps_parents: false,
        is_link: said.link,
        exclude: said.exclude.clone(),
    }
}

/// Returns where files go; a slash at the end says that it is a directory, as `.` does.
fn destination(step: &Step, said: &str) -> String {
    let is_directory = said.ends_with('/') || matches!(said, "" | "." | "..") || said.ends_with("/.");
    let path = step.config.absolute(said);
    match is_directory && !path.ends_with('/') {
        true => path + "/",
        false => path,
    }
}

fn sharing_of(sharing: dockerfile::Sharing) -> Sharing {
    match sharing {
        dockerfile::Sharing::Shared => Sharing::Shared,
        dockerfile::Sharing::Private => Sharing::Private,
        dockerfile::Sharing::Locked => Sharing::Locked,
    }
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}
