//! The build's context: a directory whose files a definition may name, and nothing outside it.

mod scan;
mod sums;

pub use scan::{Scan, Wanted};
pub use sums::Sums;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, readlinkat, statat};

use super::graph::SourceFile;
use super::selection::Selection;

/// A selection takes no more.
const MOST_ENTRIES: usize = 1_000_000;

/// A directory that a build may read from.
#[derive(Clone, Debug)]
pub struct Context {
    root: PathBuf,
    /// Which directory below that it is; empty for the root itself.
    directory: String,
    /// Others that the build may read from, by their names.
    named: BTreeMap<String, Context>,
    /// What is remembered of its files.
    sums: Sums,
}

/// What of the context a selection takes, by paths relative to its directory, sorted.
#[derive(Debug, Default)]
pub struct Tree {
    /// Files: where they land, and their paths in the context.
    pub files: Vec<(String, String)>,
    /// Directories.
    pub directories: Vec<String>,
    /// Links, and what they say.
    pub links: Vec<(String, String)>,
}

impl Context {
    /// Returns the context at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Context {
        let (directory, named, sums) = (String::new(), BTreeMap::new(), Sums::default());
        Context { root: root.into(), directory, named, sums }
    }

    /// Returns it with others, by their names.
    pub fn beside(self, named: BTreeMap<String, Context>) -> Context {
        Context { named, ..self }
    }

    /// Returns it with a memory for what its files hold.
    pub fn remembering(self, sums: Sums) -> Context {
        Context { sums, ..self }
    }

    /// Returns the context of this name; without one, this.
    pub fn called(&self, name: Option<&str>) -> Result<&Context> {
        let Some(name) = name else { return Ok(self) };
        self.named.get(name).with_context(|| format!("internal error: there is no context {name}"))
    }

    /// Returns the context that a directory of this one is. It is looked for when something of it is opened; links are
    /// followed as long as they stay inside of this one.
    pub fn below(&self, directory: &str) -> Context {
        let names = [self.directory.as_str(), directory].into_iter().flat_map(|path| path.split('/'));
        let names: Vec<&str> = names.filter(|name| !name.is_empty() && *name != ".").collect();
        Context { directory: names.join("/"), sums: self.sums.clone(), ..Context::new(&self.root) }
    }

    /// Returns which directory of the whole it is; empty for the whole.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// Returns where a path of it is on this machine; links may lead it elsewhere.
    pub fn on_disk(&self, path: &str) -> PathBuf {
        self.root.join(&self.directory).join(path)
    }

    /// Checks that there is such a directory.
    pub fn check(&self) -> Result<()> {
        let opened = self.open_root();
        opened.map(drop).map_err(|error| anyhow!("cannot open {}: {}", self.shown(), reason(&error)))
    }

    /// Opens a regular file by its relative path; links are followed as long as they stay inside.
    ///
    /// # Errors
    /// When there is none, when it is something else, or when a link leads out.
    pub fn open(&self, path: &str) -> Result<File> {
        let file = self.open_beneath(Path::new(path)).map_err(|error| {
            anyhow!("cannot open {path} in the context {}: {}", self.shown(), reason(&error))
        })?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            bail!(
                "cannot use {path} in the context: it is a directory\nhint: to take all that is in it, write a `/` at its end: {path}/"
            );
        }
        match metadata.is_file() {
            true => Ok(file),
            false => bail!("cannot use {path} in the context: it is no regular file"),
        }
    }

    /// Reads a small file whole.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > limit {
            true => bail!("cannot use {path} in the context: it is larger than {limit} bytes"),
            false => Ok(bytes),
        }
    }

    /// As [`Context::read`]; nothing where there is no such file.
    pub fn read_if_there(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.open_beneath(Path::new(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Ok(_) | Err(_) => self.read(path, limit).map(Some),
        }
    }

    /// Hashes a file: what a graph knows of it; and whether somebody may execute it.
    pub fn source(&self, path: &str) -> Result<(SourceFile, bool)> {
        let file = self.open(path)?;
        let is_executable = file.metadata()?.permissions().mode() & 0o111 != 0;
        let read = self.sums.of_file(file);
        let (digest, size) = read.with_context(|| format!("cannot read {path} in the context"))?;
        Ok((SourceFile { path: path.to_owned(), digest, size }, is_executable))
    }

    /// Finds what a selection takes: hidden files too, links as links. Nothing is read but directories.
    ///
    /// # Errors
    /// When there is nothing, or something that is neither file nor directory nor a link that stays in the context.
    pub fn tree(&self, selection: &Selection) -> Result<Tree> {
        let mut tree = Tree::default();
        let top = selection.directory().to_owned();
        self.walk(&top, selection, &mut tree)?;
        let is_empty = tree.files.is_empty() && tree.directories.is_empty() && tree.links.is_empty();
        if selection.is_pattern() && is_empty {
            bail!("cannot use {} in the context: nothing matches it", selection.as_str());
        }
        tree.files.sort();
        tree.directories.sort();
        tree.links.sort();
        Ok(tree)
    }

    fn walk(&self, top: &str, selection: &Selection, tree: &mut Tree) -> Result<()> {
        let mut waiting = vec![top.to_owned()];
        let mut n_entries = 0;
        while let Some(directory) = waiting.pop() {
            let opened = self.open_directory(&directory)?;
            for name in names_in(&opened, &directory)? {
                n_entries += 1;
                if n_entries > MOST_ENTRIES {
                    bail!(
                        "cannot use {} in the context: it has more than {MOST_ENTRIES} entries",
                        selection.as_str()
                    );
                }
                let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
                let below = selection.take(&path);
                let kind =
                    FileType::from_raw_mode(statat(&opened, &name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
                let is_directory = kind == FileType::Directory;
                if is_directory && (below.is_some() || selection.reaches_below(&path)) {
                    waiting.push(path.clone());
                }
                let Some(below) = below.map(str::to_owned) else { continue };
                match kind {
                    FileType::Directory => tree.directories.push(below),
                    FileType::RegularFile => tree.files.push((below, path)),
                    FileType::Symlink => tree.links.push((below, link(&opened, &name, &path)?)),
                    FileType::CharacterDevice
                    | FileType::BlockDevice
                    | FileType::Fifo
                    | FileType::Socket
                    | FileType::Unknown => {
                        bail!("cannot use {path} in the context: it is no file, directory or link")
                    }
                }
            }
        }
        Ok(())
    }

    fn open_directory(&self, path: &str) -> Result<File> {
        let shown = if path.is_empty() { "." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.open_as(Path::new(shown), flags).map_err(|error| {
            anyhow!("cannot open {shown}/ in the context {}: {}", self.shown(), reason(&error))
        })
    }

    fn open_beneath(&self, path: &Path) -> io::Result<File> {
        self.open_as(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK)
    }

    fn open_as(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        open_in(&self.open_root()?, path.as_os_str().as_bytes(), flags, how)
    }

    fn open_root(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat2(CWD, &self.root, flags, Mode::empty(), ResolveFlags::empty())?;
        match self.directory.as_bytes() {
            b"" => Ok(root),
            directory => Ok(OwnedFd::from(open_in(
                &root,
                directory,
                flags,
                ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
            )?)),
        }
    }

    fn shown(&self) -> String {
        match self.directory.as_str() {
            "" => self.root.display().to_string(),
            directory => self.root.join(directory).display().to_string(),
        }
    }
}

fn open_in(root: &OwnedFd, path: &[u8], flags: OFlags, how: ResolveFlags) -> io::Result<File> {
    Ok(File::from(openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), how)?))
}

fn names_in(directory: &File, path: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        let Ok(name) = name.into_string() else {
            bail!("cannot use {path}/ in the context: a name in it is no UTF-8")
        };
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Reads a link, which is kept as it is; what it says must not lead out of the context.
fn link(directory: &File, name: &str, path: &str) -> Result<String> {
    let target = readlinkat(directory, name, Vec::new())?;
    let Ok(target) = target.into_string() else {
        bail!("cannot use the link {path} in the context: its target is no UTF-8")
    };
    if stays_inside(path, &target) {
        return Ok(target);
    }
    bail!(
        "cannot use the link {path} in the context: it leads to {target}, out of the context\nhint: to have such a link in the image, write symlink \"/…\" {{ target = \"{target}\" }}"
    )
}

/// Whether a relative target leads to somewhere below the top, name by name.
fn stays_inside(link: &str, target: &str) -> bool {
    let mut depth = link.matches('/').count();
    for name in target.split('/').filter(|name| !name.is_empty() && *name != ".") {
        match name {
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    !target.starts_with('/')
}

fn reason(error: &io::Error) -> String {
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::XDEV) => "it leads out of the context".into(),
        Some(rustix::io::Errno::NOENT) => {
            "there is no such file\nhint: in a put, an input is there only if params name it (or `inputs: all`)".into()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_found_and_hashed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), "abc").unwrap();
        symlink("a", directory.path().join("link")).unwrap();
        let (source, is_executable) = Context::new(directory.path()).source("link").unwrap();
        assert_eq!((source.digest, source.size, is_executable), (Digest::of("abc"), 3, false));
    }

    fn context(make: impl Fn(&Path)) -> (tempfile::TempDir, Context) {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path());
        let context = Context::new(directory.path());
        (directory, context)
    }

    fn tree(context: &Context, path: &str) -> Result<Tree> {
        context.tree(&Selection::of(path).unwrap().unwrap())
    }

    #[test]
    fn a_directory_is_listed_with_hidden_files_and_links_in_order() {
        let (_directory, context) = context(|root| {
            std::fs::create_dir_all(root.join("dist/b/empty")).unwrap();
            std::fs::write(root.join("dist/b/.hidden"), "").unwrap();
            std::fs::write(root.join("dist/a"), "").unwrap();
            symlink("../dist/a", root.join("dist/link")).unwrap();
        });
        let found = tree(&context, "dist/").unwrap();
        assert_eq!(found.directories, ["b", "b/empty"]);
        let files: Vec<&str> = found.files.iter().map(|(below, _)| below.as_str()).collect();
        assert_eq!(files, ["a", "b/.hidden"]);
        assert_eq!(found.links, [("link".to_owned(), "../dist/a".to_owned())]);
        assert_eq!(tree(&context, "*/b/.*").unwrap().files[0].1, "dist/b/.hidden");
    }

    #[test]
    fn a_pattern_without_a_match_is_an_error_and_so_is_what_is_special() {
        let (_directory, context) = context(|root| {
            std::fs::create_dir(root.join("d")).unwrap();
            std::os::unix::net::UnixListener::bind(root.join("d/socket")).unwrap();
        });
        assert!(
            tree(&context, "*.so").unwrap_err().to_string().contains("*.so in the context: nothing matches")
        );
        assert!(tree(&context, "d/").unwrap_err().to_string().contains("d/socket"));
        assert!(tree(&context, "none/").unwrap_err().to_string().contains("there is no such"));
    }

    #[test]
    fn links_that_lead_out_of_the_context_are_refused() {
        for target in ["/etc/passwd", "../../secret", "b/../../../x"] {
            let (_directory, context) = context(|root| {
                std::fs::create_dir(root.join("d")).unwrap();
                symlink(target, root.join("d/link")).unwrap();
            });
            let error = tree(&context, "d/").unwrap_err().to_string();
            assert!(error.contains("out of the context"), "{error}");
        }
    }

    #[test]
    fn nothing_outside_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("context");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(directory.path().join("secret"), "s").unwrap();
        symlink("../secret", root.join("up")).unwrap();
        symlink(directory.path().join("secret"), root.join("absolute")).unwrap();
        for path in ["up", "absolute", "../secret"] {
            let error = Context::new(&root).open(path).unwrap_err().to_string();
            assert!(error.ends_with("it leads out of the context"), "{error}");
        }
        assert!(Context::new(&root).open("none").unwrap_err().to_string().contains("there is no such file"));
        assert!(Context::new(&root).open(".").unwrap_err().to_string().contains("it is a directory"));
    }
}
