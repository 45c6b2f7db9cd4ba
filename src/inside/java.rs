//! Java's archives, and those in them: what Maven and the manifest say they are. Python's wheels are zip archives, too.
//!
//! A jar that was put together from others keeps their `pom.properties`; a war or a program of Spring Boot holds whole
//! jars. Where Maven doesn't tell, the file's name does (`name-1.2.jar`), and the manifest.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;
use zip::ZipArchive;

use super::{ComponentKind, Content, Found, Package, Place, python};

const JAVA: [&str; 12] =
    [".jar", ".war", ".ear", ".par", ".sar", ".nar", ".rar", ".jpi", ".hpi", ".kar", ".lpkg", ".aar"];
const PYTHON: [&str; 2] = [".whl", ".egg"];
/// How deep archives in archives are read.
const DEEPEST: usize = 4;
/// How many bytes may be read to understand an archive's directory, which is held in memory.
const MOST_OF_DIRECTORY: u64 = 32 << 20;
/// No manifest is larger.
const LARGEST_TEXT: u64 = 1 << 20;
/// No archive in another is larger, since it is held in memory.
const LARGEST_INNER: u64 = 128 << 20;
/// How many bytes are unpacked of one file altogether.
const MOST_UNPACKED: u64 = 1 << 30;

/// Whether the file at `path` is named as such an archive.
pub(super) fn is_archive(path: &str) -> bool {
    is_named(path, &JAVA) || is_named(path, &PYTHON)
}

fn is_named(path: &str, endings: &[&str]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let end = name.rfind('.').filter(|&start| start > 0).map(|start| name[start..].to_ascii_lowercase());
    end.is_some_and(|end| endings.contains(&end.as_str()))
}

/// Notes what an archive is, and what is in it.
pub(super) fn read(place: &Place, content: &mut dyn Content, found: &mut Found) -> io::Result<()> {
    Reading { found, n_left: MOST_UNPACKED }.archive(place, content);
    Ok(())
}

struct Reading<'a> {
    found: &'a mut Found,
    /// How many bytes may still be unpacked.
    n_left: u64,
}

impl Reading<'_> {
    fn archive(&mut self, place: &Place, content: &mut dyn Content) {
        let n_left = Rc::new(Cell::new(MOST_OF_DIRECTORY));
        let opened = ZipArchive::new(Metered { inner: content, n_left: n_left.clone() });
        let mut archive = match opened {
            Ok(archive) => archive,
            Err(error) => {
                return self.found.give_up(place, &format!("it cannot be read as an archive: {error}"));
            }
        };
        let names = archive.file_names().map(|name| name.map(Cow::into_owned).unwrap_or_default());
        let names: Vec<String> = names.collect();
        // The directory is read; each of the members has a bound of its own.
        n_left.set(u64::MAX);
        let mut jar = Jar::default();
        for (index, name) in names.iter().enumerate() {
            self.member(place, &mut archive, index, name, &mut jar);
        }
        if is_named(place.name(), &JAVA) {
            jar.note(place, self.found);
        }
    }

    fn member<R: Read + Seek>(
        &mut self,
        place: &Place,
        archive: &mut ZipArchive<R>,
        index: usize,
        name: &str,
        jar: &mut Jar,
    ) {
        let is_note = python::is_note(name) || name == MANIFEST || is_pom(name);
        let most = match is_note {
            true => LARGEST_TEXT,
            false if is_archive(name) => LARGEST_INNER,
            false => return,
        };
        let inner = place.member(name);
        let bytes = match self.unpack(archive, index, most) {
            Ok(bytes) => bytes,
            Err(error) => return self.found.give_up(&inner, &format!("it cannot be read: {error}")),
        };
        match name {
            MANIFEST => jar.manifest = Manifest::parse(&String::from_utf8_lossy(&bytes)),
            _ if is_pom(name) => jar.poms.extend(Pom::parse(&String::from_utf8_lossy(&bytes))),
            _ if is_note => python::read(&inner, &bytes, self.found),
            _ if inner.within.len() > DEEPEST => {
                self.found.give_up(&inner, "it lies too deep in other archives");
            }
            _ => self.archive(&inner, &mut Cursor::new(bytes)),
        }
    }

    fn unpack<R: Read + Seek>(
        &mut self,
        archive: &mut ZipArchive<R>,
        index: usize,
        most: u64,
    ) -> io::Result<Vec<u8>> {
        let most = most.min(self.n_left);
        let mut bytes = Vec::new();
        archive.by_index(index)?.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::other("it is larger than what is read"));
        }
        self.n_left -= bytes.len() as u64;
        Ok(bytes)
    }
}

const MANIFEST: &str = "META-INF/MANIFEST.MF";

fn is_pom(name: &str) -> bool {
    name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties")
}

/// What a jar says of itself.
#[derive(Default)]
struct Jar {
    manifest: Manifest,
    poms: Vec<Pom>,
}

impl Jar {
    fn note(self, place: &Place, found: &mut Found) {
        let (stem, version) = stem_and_version(place.name());
        let main = match self.poms.as_slice() {
            [_only] => Some(0),
            poms => poms.iter().position(|pom| pom.artifact == stem),
        };
        for (index, pom) in self.poms.iter().enumerate() {
            let is_main = main == Some(index);
            let licence = is_main.then(|| self.manifest.value(&["Bundle-License"])).flatten();
            let package = Package { licence, is_main, ..Package::new(&pom.artifact, &pom.version) };
            found.add(place, ComponentKind::Maven, &pom.group, package);
        }
        if main.is_none() {
            let stated =
                ["Implementation-Version", "Specification-Version", "Plugin-Version", "Bundle-Version"];
            let version = version.or_else(|| self.manifest.value(&stated)).unwrap_or_default();
            let group = self.manifest.value(&["Implementation-Vendor-Id", "Group-Id"]).unwrap_or_default();
            let licence = self.manifest.value(&["Bundle-License"]);
            let package = Package { licence, is_main: true, ..Package::new(&stem, &version) };
            found.add(place, ComponentKind::Maven, &group, package);
        }
    }
}

/// The main section of a manifest (JAR File Specification): `Name: value`, a blank before what continues a line.
#[derive(Default)]
struct Manifest {
    values: Vec<(String, String)>,
}

impl Manifest {
    fn parse(text: &str) -> Manifest {
        let mut values: Vec<(String, String)> = Vec::new();
        for line in text.lines().take_while(|line| !line.is_empty()) {
            match (line.strip_prefix(' '), values.last_mut()) {
                (Some(rest), Some((_, value))) => value.push_str(rest),
                _ => values.extend(line.split_once(": ").map(|(name, value)| (name.into(), value.into()))),
            }
        }
        Manifest { values }
    }

    fn value(&self, names: &[&str]) -> Option<String> {
        let value = |name: &&str| {
            let named = self.values.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            named.map(|(_, value)| value.trim()).filter(|value| !value.is_empty() && !value.contains("${"))
        };
        names.iter().find_map(value).map(str::to_owned)
    }
}

/// What Maven leaves in what it builds.
#[derive(Debug)]
struct Pom {
    group: String,
    artifact: String,
    version: String,
}

impl Pom {
    fn parse(text: &str) -> Option<Pom> {
        let value = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(['=', ':']));
            let mut values = lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
            values.next().filter(|value| !value.contains("${")).map(str::to_owned)
        };
        let artifact = value("artifactId").filter(|artifact| !artifact.is_empty())?;
        let (group, version) = (value("groupId").unwrap_or_default(), value("version").unwrap_or_default());
        Some(Pom { group, artifact, version })
    }
}

/// Reads `name-1.2.jar`.
fn stem_and_version(file: &str) -> (String, Option<String>) {
    static VERSIONED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(.+?)[-_]v?([0-9][0-9A-Za-z.+_-]*)$").expect("it is a regular expression")
    });
    let stem = file.rfind('.').map_or(file, |end| &file[..end]);
    match VERSIONED.captures(stem) {
        Some(parts) => (parts[1].to_owned(), Some(parts[2].to_owned())),
        None => (stem.to_owned(), None),
    }
}

/// A file of which so many bytes may be read.
struct Metered<'a> {
    inner: &'a mut dyn Content,
    n_left: Rc<Cell<u64>>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let left = self.n_left.get().checked_sub(n as u64);
        let too_long = || io::Error::other("it has more members than are read, or longer names");
        self.n_left.set(left.ok_or_else(too_long)?);
        Ok(n)
    }
}

impl Seek for Metered<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
