//! `debian/copyright` in its machine-readable form (DEP-5), and what such a file declares.
//!
//! See <https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>. Real files are read as they are: with
//! fields that nobody knows, lines that are indented too little or too much, and blank lines within a text.

mod declared;
mod lines;
mod synopsis;

pub use declared::declared;
pub use synopsis::{Synopsis, Term};

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use lines::Field;

/// No copyright file that is read is larger, compressed or not; chromium's has 2 MB.
pub const LARGEST: u64 = 16 << 20;

/// A machine-readable copyright file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copyright {
    /// Its stanzas, in the order written.
    pub stanzas: Vec<Stanza>,
}

/// What one stanza says of licences and copyright.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// What it is about.
    pub subject: Subject,
    /// Its copyright statements, one a line.
    pub holders: Vec<String>,
    /// Its licence, where it names one.
    pub licence: Option<Licence>,
}

/// What a stanza is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The package as a whole: the header.
    Package,
    /// Some of its files.
    Files,
    /// A licence that others name.
    Licence,
}

/// The field `License` of a stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence {
    /// Its first line: names of licences.
    pub synopsis: String,
    /// What follows: the terms themselves, or where they are. The format's own marks are gone.
    pub text: String,
}

/// Returns the text of a copyright file, which may be compressed with gzip, and may be in Latin-1; none where it is too
/// large or broken. Control characters, which are there to please printers, are gone.
pub fn decode(bytes: &[u8]) -> Option<String> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let mut unpacked = Vec::new();
    let bytes = if bytes.starts_with(&GZIP) {
        MultiGzDecoder::new(bytes).take(LARGEST + 1).read_to_end(&mut unpacked).ok()?;
        &unpacked
    } else {
        bytes
    };
    if bytes.len() as u64 > LARGEST {
        return None;
    }
    let is_kept = |character: &char| !character.is_control() || matches!(character, '\n' | '\t');
    let text: String = match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').chars().filter(is_kept).collect(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).filter(is_kept).collect(),
    };
    Some(text)
}

/// Reads a copyright file; none of one that isn't machine-readable. One may have forgotten to say so.
pub fn parse(text: &str) -> Option<Copyright> {
    let read = lines::read(text);
    let names_format = read.stanzas.first().is_some_and(|fields| fields.iter().any(is_format));
    let stanzas: Vec<Stanza> = read.stanzas.iter().filter_map(|fields| stanza(fields)).collect();
    let has =
        |subject: Subject| stanzas.iter().any(|stanza| stanza.subject == subject && stanza.licence.is_some());
    let is_readable = match names_format {
        true => has(Subject::Files) || has(Subject::Package),
        false => has(Subject::Files) && !read.has_strays,
    };
    is_readable.then_some(Copyright { stanzas })
}

/// Whether a field names this format or one of its drafts, which lay at several addresses.
fn is_format(field: &Field<'_>) -> bool {
    let names = ["Format", "Format-Specification"];
    let value = field.value().to_lowercase();
    names.iter().any(|name| field.is(name))
        && ["copyright-format", "copyrightformat", "dep5", "dep-5"].iter().any(|known| value.contains(known))
}

/// Reads a stanza; none where it says nothing of this.
fn stanza(fields: &[Field<'_>]) -> Option<Stanza> {
    let get = |name: &str| fields.iter().find(|field| field.is(name));
    let licence = get("License").map(licence).filter(|licence| !licence.is_empty());
    let holders: Vec<String> = get("Copyright").map(holders).unwrap_or_default();
    let subject = match (get("Files"), &licence, holders.is_empty()) {
        (Some(_), _, _) => Subject::Files,
        (None, _, _) if fields.iter().any(is_format) => Subject::Package,
        (None, Some(_), true) => Subject::Licence,
        (None, Some(_) | None, _) => return None,
    };
    Some(Stanza { subject, holders, licence })
}

impl Licence {
    fn is_empty(&self) -> bool {
        self.synopsis.is_empty() && self.text.is_empty()
    }
}

fn licence(field: &Field<'_>) -> Licence {
    let synopsis = field.lines[0].split_whitespace().collect::<Vec<_>>().join(" ");
    let text: Vec<&str> = field.lines[1..].iter().map(|line| unmarked(line)).collect();
    Licence { synopsis, text: text.join("\n").trim_matches('\n').trim_end().to_owned() }
}

/// A continued line without what marks it as one, and as blank (Debian policy 5.6.13).
fn unmarked(line: &str) -> &str {
    match line.trim() {
        "." => "",
        _ => line.strip_prefix([' ', '\t']).unwrap_or(line).trim_end(),
    }
}

fn holders(field: &Field<'_>) -> Vec<String> {
    let lines = field.lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty() && line != ".").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: tool

Files: *
Copyright: 2010  Ann
           2011, Bob
License: GPL-2+
 Take it.
 .
   Indented.
Files-Excluded: x

License: BSL
 Boost.
";

    #[test]
    fn stanzas_say_what_they_are_about() {
        let read = parse(FILE).unwrap();
        let [header, files, licence] = &read.stanzas[..] else { panic!("{read:?}") };
        assert_eq!((header.subject, files.subject), (Subject::Package, Subject::Files));
        assert_eq!(files.holders, ["2010 Ann", "2011, Bob"]);
        let text = "Take it.\n\n  Indented.";
        assert_eq!(files.licence, Some(Licence { synopsis: "GPL-2+".into(), text: text.into() }));
        assert_eq!(licence.subject, Subject::Licence);
    }

    #[test]
    fn a_file_in_latin_1_or_compressed_is_read_too() {
        assert_eq!(decode(b"\xa9 Andr\xe9\r\n\x0c").unwrap(), "© André\n");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, "© André".as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(decode(&gzip).unwrap(), "© André");
        assert_eq!(decode(&gzip[..gzip.len() - 9]), None);
    }

    #[test]
    fn what_isnt_machine_readable_is_not_read_as_if_it_were() {
        let prose = "This package was debianized by Ann.\n\nLicense: GPL\n\nFiles: many\n";
        assert_eq!(parse(prose), None);
        assert_eq!(parse("Format: 1.0\n\nSomething: else\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_forgotten_or_older_format_is_no_hindrance() {
        let body = "Files: *\nCopyright: x\nLicense: Expat\n";
        for header in [
            "",
            "Upstream-Name: x\n\n",
            "Format: http://svn.example/wsvn/dep/web/deps/dep5.mdwn?rev=174\n\n",
            "Format-Specification: http://wiki.example/Proposals/CopyrightFormat\n\n",
        ] {
            let read = parse(&format!("{header}{body}")).unwrap();
            assert_eq!(read.stanzas.last().unwrap().subject, Subject::Files, "{header}");
        }
    }
}
