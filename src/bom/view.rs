//! The forms that an account is published in. Each is made of the [`Document`] alone, so that it can be made later, too.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufWriter, Write as _};
use std::panic::resume_unwind;
use std::str::FromStr;
use std::thread::{self, ScopedJoinHandle};

use super::{Document, cyclonedx, spdx, spdx3};
use crate::digest::{Digest, HashingWriter};

/// A form of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// estaleiro's own, which the others are made of.
    Yaml,
    /// CycloneDX 1.6, as JSON.
    Cyclonedx,
    /// SPDX 2.3, as JSON.
    Spdx,
    /// SPDX 3.0.1, as JSON-LD.
    Spdx3,
}

/// The forms that are attached to an image: estaleiro's own always, for the others are made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats(BTreeSet<Format>);

/// A text that names no form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the format of a bill of materials `{0}`: expected {names}", names = Format::names())]
pub struct UnknownFormat(String);

impl Format {
    /// All of them, estaleiro's own first.
    pub const ALL: [Format; 4] = [Format::Yaml, Format::Cyclonedx, Format::Spdx, Format::Spdx3];
    /// Those that scanners read, and what they are made of.
    pub const USUAL: [Format; 3] = [Format::Yaml, Format::Cyclonedx, Format::Spdx];

    /// Returns the names of all, for people.
    pub fn names() -> String {
        let names = Format::ALL.map(|format| format.to_string());
        let (last, others) =
            names.split_last().map_or(("", &[][..]), |(last, others)| (last.as_str(), others));
        format!("{} or {last}", others.join(", "))
    }

    /// Returns the media type, and artifact type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Yaml => super::YAML_MEDIA_TYPE,
            Format::Cyclonedx => "application/vnd.cyclonedx+json",
            Format::Spdx => "application/spdx+json",
            // Who asks for the former expects version 2.
            Format::Spdx3 => "application/vnd.estaleiro.spdx.v3+json",
        }
    }

    /// Returns the name of the file that it is written to.
    pub fn file_name(self) -> &'static str {
        match self {
            Format::Yaml => "bom.yml",
            Format::Cyclonedx => "bom.cdx.json",
            Format::Spdx => "bom.spdx.json",
            Format::Spdx3 => "bom.spdx3.json",
        }
    }
}

impl Default for Formats {
    fn default() -> Formats {
        Formats::of(Format::USUAL)
    }
}

impl Formats {
    /// Returns these, and estaleiro's own.
    pub fn of(formats: impl IntoIterator<Item = Format>) -> Formats {
        Formats(formats.into_iter().chain([Format::Yaml]).collect())
    }

    /// Reads names of forms; without any, nothing is said.
    ///
    /// # Errors
    /// When one is none.
    pub fn parse(names: &[String]) -> Result<Option<Formats>, UnknownFormat> {
        let formats: Vec<Format> = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        Ok((!formats.is_empty()).then(|| Formats::of(formats)))
    }

    /// Returns them in their order, estaleiro's own first.
    pub fn iter(&self) -> impl Iterator<Item = Format> {
        self.0.iter().copied()
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        let known = Format::ALL.into_iter().find(|format| format.to_string() == text);
        known.ok_or_else(|| UnknownFormat(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Yaml => "yaml",
            Format::Cyclonedx => "cyclonedx",
            Format::Spdx => "spdx",
            Format::Spdx3 => "spdx3",
        })
    }
}

/// Raised when an account is written otherwise than by older builders, in any form.
const RECIPE: u32 = 1;

/// Makes a form of an account that others have, which bears the account's name.
type Maker = fn(&Document, &str) -> Vec<u8>;

impl Document {
    /// Returns a digest of all that the account says, and of how this builder writes it: of what has the same one, all forms
    /// are the same.
    pub fn digest(&self) -> Digest {
        let mut hasher = HashingWriter::new(io::sink());
        let mut buffered = BufWriter::new(&mut hasher);
        let said = (RECIPE, env!("CARGO_PKG_VERSION"), self);
        serde_json::to_writer(&mut buffered, &said).expect("an account has a JSON form");
        buffered.flush().expect("what is hashed goes nowhere");
        drop(buffered);
        hasher.finish().1
    }

    /// Returns the account in this form: the same bytes for the same account.
    ///
    /// # Errors
    /// When the account has no such form, which is a mistake in its types.
    pub fn view(&self, format: Format) -> Result<Vec<u8>, serde_saphyr::ser_error::Error> {
        let yaml = self.to_yaml()?.into_bytes();
        Ok(match format.maker() {
            None => yaml,
            Some(make) => make(self, &uuid(&yaml)),
        })
    }

    /// Returns the account in these forms, estaleiro's own first; the others are made at the same time.
    ///
    /// # Errors
    /// As [`Document::view`].
    pub fn views(&self, formats: &Formats) -> Result<Vec<(Format, Vec<u8>)>, serde_saphyr::ser_error::Error> {
        let yaml = self.to_yaml()?.into_bytes();
        let name = &uuid(&yaml);
        let makers = formats.iter().filter_map(|format| Some((format, format.maker()?)));
        let others: Vec<(Format, Vec<u8>)> = thread::scope(|scope| {
            let making = makers.map(|(format, make)| (format, scope.spawn(move || make(self, name))));
            let making: Vec<_> = making.collect();
            let join = |form: ScopedJoinHandle<'_, Vec<u8>>| form.join().unwrap_or_else(|e| resume_unwind(e));
            making.into_iter().map(|(format, form)| (format, join(form))).collect()
        });
        Ok([(Format::Yaml, yaml)].into_iter().chain(others).collect())
    }
}

impl Format {
    /// Returns what makes this form; estaleiro's own is what the others are made of.
    fn maker(self) -> Option<Maker> {
        match self {
            Format::Yaml => None,
            Format::Cyclonedx => Some(cyclonedx::view),
            Format::Spdx => Some(spdx::view),
            Format::Spdx3 => Some(spdx3::view),
        }
    }
}

/// Whether `view` is one of the account whose YAML form this is: it bears its name.
pub fn is_view_of(view: &[u8], yaml: &[u8]) -> bool {
    let name = uuid(yaml);
    view.windows(name.len()).any(|window| window == name.as_bytes())
}

/// Returns a name that no other account has: a UUID of version 8 from a SHA-256 digest (RFC 9562, sections 5.8 and B.2).
fn uuid(content: &[u8]) -> String {
    let hex = Digest::of(content).hex();
    let variant = ['8', '9', 'a', 'b'][usize::from(hex.as_bytes()[16]) % 4];
    format!("{}-{}-8{}-{variant}{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_goes_by_its_name() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "xml".parse::<Format>().unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot read the format of a bill of materials `xml`: expected yaml, cyclonedx, spdx or spdx3"
        );
    }

    #[test]
    fn an_account_has_a_name_of_its_own() {
        assert_eq!(uuid(b"a"), "ca978112-ca1b-8dca-aac2-31b39a23dc4d");
        assert_ne!(uuid(b"a"), uuid(b"b"));
    }
}
