//! What a `path` takes when it isn't a single file: everything in a directory, or what matches a pattern.
//!
//! Decides on paths alone, for the context, for tarballs and for what is removed. No file system is asked here.

use anyhow::{Context as _, Result};

use super::definition::Glob;

/// A directory, and which of what is below it is meant.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The directory, without a slash at its end; empty for the top.
    directory: String,
    /// Over paths relative to it; all of them without one.
    pattern: Option<Glob>,
    text: String,
}

impl Selection {
    /// Reads a `path`; `None` if it names one file.
    ///
    /// # Errors
    /// When it is no pattern.
    pub fn of(path: &str) -> Result<Option<Selection>> {
        let text = path.to_owned();
        if Glob::is_pattern(path) {
            let start = path.find(['*', '?', '[', '\\']).unwrap_or_default();
            let end = path[..start].rfind('/').map_or(0, |slash| slash + 1);
            let pattern = path[end..].trim_end_matches('/');
            let pattern = Glob::new(pattern).with_context(|| format!("cannot read the pattern {path}"))?;
            let directory = path[..end].trim_end_matches('/').to_owned();
            return Ok(Some(Selection { directory, pattern: Some(pattern), text }));
        }
        let directory = match path {
            "." => "",
            _ => path.trim_end_matches('/'),
        };
        let is_directory = directory.len() < path.len();
        Ok(is_directory.then(|| Selection { directory: directory.to_owned(), pattern: None, text }))
    }

    /// Returns the directory that all of it lies in, without a slash at its end; empty for the top.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// Whether only a part of the directory is meant.
    pub fn is_pattern(&self) -> bool {
        self.pattern.is_some()
    }

    /// Returns how it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the path below the directory, if `path` is meant: itself, or a directory that it lies in.
    pub fn take<'p>(&self, path: &'p str) -> Option<&'p str> {
        let below = match self.directory.as_str() {
            "" => path,
            directory => path.strip_prefix(directory)?.strip_prefix('/')?,
        };
        (!below.is_empty() && self.matches_below(below)).then_some(below)
    }

    /// As [`Selection::take`], for a path that is relative to the directory.
    pub fn matches_below(&self, below: &str) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        let ends = below.match_indices('/').map(|(end, _)| end).chain([below.len()]);
        ends.into_iter().any(|end| pattern.matches(&below[..end]))
    }

    /// Whether something below the directory `path`, which itself isn't meant, may be.
    pub fn reaches_below(&self, path: &str) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        let depth = |text: &str| text.matches('/').count();
        let below = path.strip_prefix(&self.directory).unwrap_or(path).trim_start_matches('/');
        pattern.as_str().contains("**") || depth(below) < depth(pattern.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(path: &str, offered: &[&str]) -> Vec<String> {
        let selection = Selection::of(path).unwrap().unwrap();
        offered.iter().filter_map(|path| selection.take(path)).map(str::to_owned).collect()
    }

    #[test]
    fn a_single_file_is_no_selection() {
        assert!(Selection::of("bin/app").unwrap().is_none());
        assert!(Selection::of("/bin/app").unwrap().is_none());
    }

    #[test]
    fn a_directory_takes_what_is_in_it() {
        let offered = ["dist", "dist/.hidden", "dist/a/b", "distant/c", "d"];
        assert_eq!(taken("dist/", &offered), [".hidden", "a/b"]);
        assert_eq!(taken(".", &offered), offered);
    }

    #[test]
    fn a_pattern_takes_what_matches_and_what_lies_in_it() {
        let offered = ["lib/a.so", "lib/a.txt", "lib/x.so/deep/file", "lib/y/b.so", "other/c.so"];
        assert_eq!(taken("lib/*.so", &offered), ["a.so", "x.so/deep/file"]);
        assert_eq!(taken("lib/**.so", &offered), ["a.so", "x.so/deep/file", "y/b.so"]);
        assert_eq!(taken("*/[ab].so", &offered), ["lib/a.so"]);
        assert_eq!(taken("/usr/share/man/**", &["/usr/share/man/de/x", "/usr/share/man"]), ["de/x"]);
    }

    #[test]
    fn only_directories_that_may_hold_something_are_looked_into() {
        let reaches = |path: &str, directory| Selection::of(path).unwrap().unwrap().reaches_below(directory);
        assert!(!reaches("*.sh", "node_modules"));
        assert!(!reaches("lib/*.so", "lib/x"));
        assert!(reaches("lib/*/x.so", "lib/x") && !reaches("lib/*/x.so", "lib/x/y"));
        assert!(reaches("**.so", "a/b/c") && reaches("dist/", "dist/a/b"));
    }
}
