//! Which conversions a repository may do between what it keeps and what it checks out (gitattributes(5)).
//!
//! Patterns aren't matched: what is asked for anywhere may be done to a file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// No file of attributes is read further, in bytes.
const LONGEST: u64 = 1 << 20;

/// What may be converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversions {
    /// The ends of lines.
    pub(super) lines: bool,
    /// Something else, by programs or in ways that aren't known here.
    pub(super) others: bool,
}

impl Conversions {
    /// Reads what is asked for on the way from the top of a checkout to a file, and in the repository itself.
    pub(super) fn of(top: &Path, path: &Path, git_dir: &Path) -> Conversions {
        let directories = path.parent().into_iter().flat_map(Path::ancestors);
        let files = directories.map(|directory| top.join(directory).join(".gitattributes"));
        let mut found = Conversions::default();
        for file in files.chain([git_dir.join("info/attributes")]) {
            let mut text = Vec::new();
            if File::open(file).and_then(|file| file.take(LONGEST).read_to_end(&mut text)).is_ok() {
                String::from_utf8_lossy(&text).lines().for_each(|line| found.add(line));
            }
        }
        found
    }

    fn add(&mut self, line: &str) {
        if line.trim_start().starts_with('#') {
            return;
        }
        for attribute in line.split_whitespace().skip(1) {
            let name = attribute.split('=').next().unwrap_or_default();
            match name {
                "text" | "eol" | "crlf" => self.lines = true,
                // What git-lfs keeps is known.
                "filter" => self.others |= attribute != "filter=lfs",
                "ident" | "working-tree-encoding" => self.others = true,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_say_what_may_be_converted() {
        for (line, lines, others) in [
            ("* text=auto", true, false),
            ("*.bat eol=crlf", true, false),
            ("*.bin filter=lfs diff=lfs merge=lfs -text", false, false),
            ("*.key filter=crypt", false, true),
            ("*.c ident", false, true),
            ("# * text", false, false),
            ("text linguist-vendored", false, false),
        ] {
            let mut found = Conversions::default();
            found.add(line);
            assert_eq!(found, Conversions { lines, others }, "{line}");
        }
    }
}
