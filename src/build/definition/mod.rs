//! What `estaleiro.hcl` says, as types; every mistake in it, with line, caret and a way out.
//!
//! Nothing here reads a file, asks a network or decides which bytes a name means: that is the
//! lock's. Only this room knows HCL. The language is described in `docs/definition.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, Range};

use serde::Serialize;

use crate::bom::Formats;
use crate::digest::Digest;
use crate::oci::Reference;

mod diagnostic;
mod glob;
mod parse;
mod policy;
#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Diagnostics, SourceText};
pub use glob::{Glob, InvalidGlob};
pub use policy::{PackagePattern, Policy, RepositoryPattern};

/// Reads a definition.
///
/// `variables` are the values handed in from outside; they win over the defaults in the text.
/// All mistakes are reported at once, in the order of the text; a syntax error stands alone.
pub fn parse(
    text: &str,
    file_name: &str,
    variables: &BTreeMap<String, String>,
) -> Result<Definition, Diagnostics> {
    parse::parse(text, file_name, variables)
}

/// Reads a text that holds a `policy` block and nothing else.
pub fn parse_policy(text: &str, file_name: &str) -> Result<Policy, Diagnostics> {
    parse::parse_policy(text, file_name)
}

/// A value and the bytes of the definition that say it.
#[derive(Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where in the text it stands.
    pub span: Range<usize>,
}

/// Everything that one `estaleiro.hcl` says.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The text itself, so that later refusals can point at it too.
    pub source: SourceText,
    /// The image to be built.
    pub image: ImageBlock,
    /// Dockerfile stages whose files are used.
    pub steps: Vec<Step>,
    /// Tarballs of the context whose files are used.
    pub tarballs: Vec<Tarball>,
    /// What it says of which images are allowed.
    pub policy: Option<Policy>,
    /// Variables that were handed in and are neither declared nor used: perhaps misspelled.
    pub unused_variables: Vec<String>,
}

/// `image "product name" { … }`.
#[derive(Clone, Debug)]
pub struct ImageBlock {
    /// How the bill of materials calls the product.
    pub product_name: Spanned<String>,
    /// What the image is built upon.
    pub base: Base,
    /// All `apt` blocks, added up.
    pub apt: Apt,
    /// Files put into the image, in the order written.
    pub files: Vec<FileBlock>,
    /// Symbolic links made in the image.
    pub symlinks: Vec<Symlink>,
    /// Paths or globs removed from the image.
    pub removes: Vec<Spanned<String>>,
    /// Users made in the image.
    pub users: Vec<User>,
    /// What the image's configuration is to say.
    pub config: ImageConfig,
    /// The forms in which the bill of materials is attached, where it says so.
    pub bom_formats: Option<Formats>,
}

/// What an image is built upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// Another image.
    Image(Spanned<Reference>),
}

/// What is installed from apt repositories.
#[derive(Clone, Debug, Default)]
pub struct Apt {
    /// `deb …` and `deb-src …` lines (or deb822 paragraphs); none: those of the base image.
    pub repositories: Vec<Spanned<String>>,
    /// Further places where what the archives hold may be had.
    pub mirrors: Vec<Spanned<String>>,
    /// Keys that repositories are signed by.
    pub keys: Vec<Key>,
    /// The packages asked for.
    pub packages: Vec<PackageRequest>,
    /// Whether the base's packages are upgraded first; false unless said.
    pub upgrade: Spanned<bool>,
    /// Whether recommended packages come along; false unless said.
    pub recommends: Spanned<bool>,
    /// Whether a root from scratch holds the Essential packages; true unless said.
    pub essential: Spanned<bool>,
    /// Packages to be removed.
    pub remove: Vec<Spanned<String>>,
    /// Texts of apt's preferences: which versions are preferred.
    pub preferences: Vec<Spanned<String>>,
    /// Packages installed from a file rather than a repository.
    pub debs: Vec<Deb>,
    /// Answers to debconf questions, `package/question` → answer.
    pub debconf: BTreeMap<String, Spanned<String>>,
    /// What becomes of the packages' sources; they are recorded unless said otherwise.
    pub sources: Spanned<SourcePolicy>,
    /// Whether the base image's packages count too; false unless said.
    pub sources_of_base: Spanned<bool>,
    /// Packages whose sources need not be had.
    pub without_sources: Vec<Spanned<String>>,
}

impl Apt {
    /// Whether the sources of the base image's packages are to be recorded.
    pub fn wants_sources_of_base(&self) -> bool {
        self.sources_of_base.value && self.sources.value != SourcePolicy::None
    }
}

/// What becomes of the sources of packages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourcePolicy {
    /// Nothing.
    None,
    /// They are named, with address and digest.
    #[default]
    Record,
    /// They are named, and attached to the image.
    Bundle,
}

impl fmt::Display for SourcePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SourcePolicy::None => "none",
            SourcePolicy::Record => "record",
            SourcePolicy::Bundle => "bundle",
        })
    }
}

/// `key "name" { … }`.
#[derive(Clone, Debug)]
pub struct Key {
    /// What `signed-by=` calls it.
    pub name: Spanned<String>,
    /// Where it comes from.
    pub source: KeySource,
    /// The fingerprint it must have: 40 upper-case hexadecimal digits.
    pub fingerprint: Option<Spanned<String>>,
}

/// Where a key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// It is fetched over HTTP.
    Uri(Spanned<String>),
    /// It lies in the context.
    Path(Spanned<String>),
}

/// `package "name" { … }`.
#[derive(Clone, Debug)]
pub struct PackageRequest {
    /// The package.
    pub name: Spanned<String>,
    /// Exactly this version, where one is written.
    pub version: Option<Spanned<String>>,
    /// Which of its versions is preferred, as apt's preferences write it.
    pub pin: Option<Spanned<String>>,
    /// Its source, where it is declared by hand.
    pub vcs: Option<Vcs>,
}

/// `deb "path or name" { … }`.
#[derive(Clone, Debug)]
pub struct Deb {
    /// The label: its path in the context or, where it is fetched, a name.
    pub name: Spanned<String>,
    /// Where it comes from.
    pub origin: DebOrigin,
    /// Its source, where it is declared by hand.
    pub vcs: Option<Vcs>,
}

/// Where a `.deb` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DebOrigin {
    /// The path in the context.
    Context(Spanned<String>),
    /// It is fetched.
    Url(Download),
}

/// Something fetched, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// An http or https address.
    pub url: Spanned<String>,
    /// The digest that the bytes must have.
    pub sha256: Spanned<Digest>,
}

/// `file "/path/in/the/image" { … }`.
#[derive(Clone, Debug)]
pub struct FileBlock {
    /// Absolute; one that ends in `/` is the directory that the files land in.
    pub path: Spanned<String>,
    /// Where the bytes come from.
    pub origin: FileOrigin,
    /// Permission bits, where they are written.
    pub mode: Option<u32>,
    /// Owner and group, where they are written.
    pub owner: Option<Owner>,
}

/// Where a file comes from. Each `path` may end in `/` (a directory) or be a [`Glob`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOrigin {
    /// A stage of a Dockerfile.
    Step {
        /// The `step`'s label; such a step is declared.
        step: Spanned<String>,
        /// Absolute, in the step's file system.
        path: Spanned<String>,
    },
    /// A tarball of the context.
    Tarball {
        /// The `tarball`'s label; such a tarball is declared.
        tarball: Spanned<String>,
        /// The member's name, without a leading `./`.
        path: Spanned<String>,
    },
    /// Another image.
    Image {
        /// That image.
        reference: Spanned<Reference>,
        /// Absolute, in its file system.
        path: Spanned<String>,
    },
    /// A package that is not installed for it.
    Package {
        /// The package's name.
        package: Spanned<String>,
        /// Absolute, as the package would install it.
        path: Spanned<String>,
    },
    /// The context.
    Context {
        /// Relative to the context, without a leading `./`.
        path: Spanned<String>,
        /// Where it was kept, where that is declared by hand.
        vcs: Option<Vcs>,
    },
}

/// `owner = "user:group"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The user.
    pub uid: Id,
    /// The group; where only a user is written, the group of the same number or name.
    pub gid: Id,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Id {
    /// By number.
    Number(u32),
    /// By name, as the image's `/etc/passwd` and `/etc/group` know it.
    Name(String),
}

/// `symlink "/path" { target = "…" }`.
#[derive(Clone, Debug)]
pub struct Symlink {
    /// Where the link is; absolute.
    pub path: Spanned<String>,
    /// What it says; never resolved here.
    pub target: Spanned<String>,
}

/// `user "name" { … }`.
#[derive(Clone, Debug)]
pub struct User {
    /// Its name.
    pub name: Spanned<String>,
    /// Its number; none: the next free one.
    pub uid: Option<u32>,
    /// Its group's number; none: the same as the user's.
    pub gid: Option<u32>,
    /// Its home directory; absolute.
    pub home: Option<String>,
}

/// What the image's configuration is to say. What isn't written here stays as the base has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// In the order written; `$NAME` in a value is the base's, and is still to be put in.
    pub env: Vec<(String, String)>,
    /// What is run.
    pub entrypoint: Option<Vec<String>>,
    /// Its default arguments; written as `[]` they are none.
    pub cmd: Option<Vec<String>>,
    /// Absolute paths.
    pub volumes: Vec<String>,
    /// As `8080/tcp`.
    pub ports: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The signal that ends it.
    pub stop_signal: Option<String>,
    /// User, or `user:group`, that it runs as.
    pub run_as: Option<String>,
    /// Where it starts; absolute.
    pub workdir: Option<String>,
}

/// `step "name" { … }`: a stage of a Dockerfile.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name.
    pub name: Spanned<String>,
    /// The Dockerfile, relative to the definition's context; `Dockerfile` unless said.
    pub dockerfile: Spanned<String>,
    /// The stage; the last one unless said.
    pub target: Option<Spanned<String>>,
    /// What its `COPY` reads, relative to the definition's context; `.` unless said.
    pub context: Spanned<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Where its files come from.
    pub source_files: Vec<SourceFile>,
}

/// `tarball "path" { … }`: a tarball of the context.
#[derive(Clone, Debug)]
pub struct Tarball {
    /// Its path in the context, without a leading `./`.
    pub path: Spanned<String>,
    /// Where its members come from.
    pub source_files: Vec<SourceFile>,
}

/// `source_file "glob" { … }`: where the files that match come from.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// What it is about.
    pub pattern: Spanned<Glob>,
    /// Where that comes from.
    pub origin: SourceOrigin,
}

/// Where a file was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceOrigin {
    /// A repository of sources.
    Vcs(Vcs),
    /// Something to be fetched.
    Url(Download),
}

/// `vcs "git" { repository = "…" ref = "…" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vcs {
    /// Which system.
    pub kind: VcsKind,
    /// Where the repository is.
    pub repository: Spanned<String>,
    /// `ref`: a commit, tag or branch; empty where a variable left it empty.
    pub reference: Spanned<String>,
}

/// Which system a repository is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VcsKind {
    /// Git.
    Git,
}

/// A step or tarball, by the place that refers to it.
#[derive(Clone, Copy, Debug)]
pub enum Container<'a> {
    /// A step's name.
    Step(&'a Spanned<String>),
    /// A tarball's path.
    Tarball(&'a Spanned<String>),
}

impl Definition {
    /// Returns where the file `path` of a step or tarball comes from: what the first `source_file` that
    /// matches says.
    ///
    /// Without one the error points at the place that refers to the step or tarball, names the file,
    /// and says both ways to declare its origin.
    pub fn origin_of(&self, container: Container<'_>, path: &str) -> Result<&SourceOrigin, Diagnostic> {
        let (kind, name) = match container {
            Container::Step(name) => ("step", name),
            Container::Tarball(name) => ("tarball", name),
        };
        let found = self.source_files(container).iter().find(|source_file| source_file.matches(path));
        found.map(|source_file| &source_file.origin).ok_or_else(|| {
            let (message, hint) = undeclared_origin(kind, name, path);
            self.source.diagnostic(name.span.clone(), message, hint)
        })
    }

    /// Whether the root begins with nothing and gets no Essential packages.
    pub fn is_without_essential(&self) -> bool {
        matches!(self.image.base, Base::Scratch) && !self.image.apt.essential.value
    }

    /// Returns the step called `name`.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name.value == name)
    }

    /// Returns the steps that files are taken from, in the order of their names.
    pub fn steps_of_files(&self) -> impl Iterator<Item = &Step> {
        let names = self.image.files.iter().filter_map(|file| match &file.origin {
            FileOrigin::Step { step, .. } => Some(step.value.as_str()),
            FileOrigin::Tarball { .. }
            | FileOrigin::Image { .. }
            | FileOrigin::Package { .. }
            | FileOrigin::Context { .. } => None,
        });
        names.collect::<BTreeSet<&str>>().into_iter().filter_map(|name| self.step(name))
    }

    /// Returns the images that files are taken from, each where it is first named, in the order of their names.
    pub fn images_of_files(&self) -> impl Iterator<Item = &Spanned<Reference>> {
        let references = self.image.files.iter().rev().filter_map(|file| match &file.origin {
            FileOrigin::Image { reference, .. } => Some((reference.value.to_string(), reference)),
            FileOrigin::Step { .. }
            | FileOrigin::Tarball { .. }
            | FileOrigin::Package { .. }
            | FileOrigin::Context { .. } => None,
        });
        references.collect::<BTreeMap<String, _>>().into_values()
    }

    /// Returns an error of something that stands at `place`, as a mistake there.
    pub fn failure<T>(&self, place: &Spanned<T>, error: &anyhow::Error) -> Diagnostics {
        Diagnostics::from(self.source.failure(place.span.clone(), error))
    }

    /// Returns the tarball declared at `path`.
    pub fn tarball(&self, path: &str) -> Option<&Tarball> {
        self.tarballs.iter().find(|tarball| tarball.path.value == path)
    }

    fn source_files(&self, container: Container<'_>) -> &[SourceFile] {
        match container {
            Container::Step(name) => self.step(name).map_or(&[], |step| &step.source_files),
            Container::Tarball(path) => self.tarball(path).map_or(&[], |tarball| &tarball.source_files),
        }
    }
}

fn undeclared_origin(kind: &str, name: &str, path: &str) -> (String, String) {
    let message = format!("nobody says where `{path}` of {kind} `{name}` comes from");
    let hint = format!(
        "in {kind} \"{name}\", write: source_file \"{path}\" {{ vcs \"git\" {{ repository = \"…\" ref = \"…\" }} }}, \
         or: source_file \"{path}\" {{ url = \"https://…\" sha256 = \"…\" }}"
    );
    (message, hint)
}

impl SourceFile {
    /// Returns whether this is about `path`: absolute in a step; in a tarball a `./` before it doesn't count.
    pub fn matches(&self, path: &str) -> bool {
        self.pattern.value.matches(path.trim_start_matches("./"))
    }
}

impl FileBlock {
    /// Returns whether the path is a directory that files land in.
    pub fn is_into_directory(&self) -> bool {
        self.path.value.ends_with('/')
    }
}

impl<T> Spanned<T> {
    /// Returns `value` with the place that says it.
    pub fn new(value: T, span: Range<usize>) -> Spanned<T> {
        Spanned { value, span }
    }
}

impl<T: Default> Default for Spanned<T> {
    fn default() -> Spanned<T> {
        Spanned { value: T::default(), span: 0..0 }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The value alone: places would drown it.
impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
