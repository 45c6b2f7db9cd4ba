//! The build's context: a directory whose files a definition may name, and nothing outside it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use super::graph::Source;
use crate::digest::Hasher;

/// A directory that a build may read from.
#[derive(Clone, Debug)]
pub struct Context {
    root: PathBuf,
}

impl Context {
    /// Returns the context at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Context {
        Context { root: root.into() }
    }

    /// Opens a regular file by its relative path; links are followed as long as they stay inside.
    ///
    /// # Errors
    /// When there is none, when it is something else, or when a link leads out.
    pub fn open(&self, path: &str) -> Result<File> {
        let file = self.open_beneath(Path::new(path)).map_err(|error| {
            anyhow::anyhow!("cannot open {path} in the context {}: {}", self.root.display(), reason(&error))
        })?;
        match file.metadata()?.is_file() {
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

    /// Hashes a file: what a graph knows of it; and whether somebody may execute it.
    pub fn source(&self, path: &str) -> Result<(Source, bool)> {
        let mut file = self.open(path)?;
        let is_executable = file.metadata()?.permissions().mode() & 0o111 != 0;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 1 << 17];
        loop {
            match file.read(&mut buffer).with_context(|| format!("cannot read {path} in the context"))? {
                0 => break,
                n => hasher.update(&buffer[..n]),
            }
        }
        let (digest, size) = hasher.finish();
        Ok((Source { path: path.to_owned(), digest, size }, is_executable))
    }

    fn open_beneath(&self, path: &Path) -> io::Result<File> {
        let root = openat2(
            CWD,
            &self.root,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::empty(),
        )?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        Ok(File::from(openat2(&root, path, flags, Mode::empty(), how)?))
    }
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
        assert!(Context::new(&root).open(".").unwrap_err().to_string().contains("no regular file"));
    }
}
