//! The build information of Go programs (`debug/buildinfo`): which modules they are made of.
//!
//! It is a block that begins with fourteen bytes of its own. Since Go 1.18 the texts follow in the block; before, it
//! held the addresses of two strings (<https://go.dev/src/debug/buildinfo/buildinfo.go>).

use std::collections::BTreeSet;
use std::io;
use std::sync::LazyLock;

use regex::Regex;

use super::elf::{Elf, Span};
use super::{ComponentKind, Content, Found, Package, Place, range};

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The block's header.
const HEADER: usize = 32;
/// No list of modules is longer; the largest programs have some 100 KB.
const LARGEST: u64 = 16 << 20;
/// How much of a program without sections is searched, as Go's own reader did.
const SEARCHED: u64 = 1 << 20;

/// Notes the modules of a program, if it is one of Go's.
pub(super) fn read(place: &Place, elf: &Elf, content: &mut dyn Content, found: &mut Found) -> io::Result<()> {
    let Some(block) = block(elf, content)? else { return Ok(()) };
    match texts(&block, elf, content) {
        Some((version, modules)) => note(place, &version, &modules, found),
        None => found.give_up(place, "it is a Go program whose build information cannot be read"),
    }
    Ok(())
}

/// Finds the block: in its own section, else, where a program names no sections, where data begins.
fn block(elf: &Elf, content: &mut dyn Content) -> io::Result<Option<Vec<u8>>> {
    if let Some(Span { offset, size }) = elf.section(".go.buildinfo") {
        return range(content, offset, size, LARGEST).map(Some);
    }
    let writable = elf.segments.iter().find(|segment| segment.is_writable).filter(|_| !elf.has_sections());
    let Some(segment) = writable else { return Ok(None) };
    let data = range(content, segment.span.offset, segment.span.size.min(SEARCHED), SEARCHED)?;
    let start = (0..data.len()).step_by(16).find(|&start| data[start..].starts_with(MAGIC));
    Ok(start.map(|start| data[start..].to_vec()))
}

/// Returns the version of Go and the list of modules.
fn texts(block: &[u8], elf: &Elf, content: &mut dyn Content) -> Option<(String, Vec<u8>)> {
    if !block.starts_with(MAGIC) || block.len() < HEADER {
        return None;
    }
    let (pointer_size, flags) = (usize::from(block[14]), block[15]);
    let (version, modules) = match flags & 2 != 0 {
        true => {
            let (version, rest) = counted(&block[HEADER..])?;
            (version.to_vec(), counted(rest)?.0.to_vec())
        }
        false => {
            let mut pointers = Pointers { size: pointer_size, is_big_endian: flags & 1 != 0, elf, content };
            let version = pointers.text(block.get(16..)?)?;
            (version, pointers.text(block.get(16 + pointer_size..)?)?)
        }
    };
    Some((String::from_utf8(version).ok()?, modules))
}

/// Reads a text with its length before it, seven bits a byte.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes[index + 1..].split_at_checked(usize::try_from(length).ok()?);
        }
    }
    None
}

/// Follows addresses as the program would when it is loaded.
struct Pointers<'a> {
    size: usize,
    is_big_endian: bool,
    elf: &'a Elf,
    content: &'a mut dyn Content,
}

impl Pointers<'_> {
    /// Reads the address of a string, which is the address of its bytes and their number.
    fn text(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let header = self.loaded(self.number(bytes)?, 2 * self.size as u64)?;
        let (address, size) = (self.number(&header)?, self.number(&header[self.size..])?);
        match size {
            0 => Some(Vec::new()),
            _ => self.loaded(address, size),
        }
    }

    fn loaded(&mut self, address: u64, size: u64) -> Option<Vec<u8>> {
        let span = self.elf.at(address, size)?;
        range(self.content, span.offset, span.size, LARGEST).ok()
    }

    fn number(&self, bytes: &[u8]) -> Option<u64> {
        let number = bytes.get(..self.size)?;
        let place = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match self.size {
            4 | 8 if self.is_big_endian => Some(number.iter().fold(0, place)),
            4 | 8 => Some(number.iter().rev().fold(0, place)),
            _ => None,
        }
    }
}

fn note(place: &Place, version: &str, modules: &[u8], found: &mut Found) {
    if version.is_empty() && modules.is_empty() {
        return found.give_up(place, "it is a Go program whose build information was taken out");
    }
    // What follows a blank names experiments that the compiler was told to try.
    let version = version.split(' ').next().unwrap_or_default();
    found.add(place, ComponentKind::Golang, "", Package::new("stdlib", version));
    let Some(text) = unwrapped(modules) else {
        return found.give_up(place, "it is a Go program that was built without a list of its modules");
    };
    let modules = Module::list(&String::from_utf8_lossy(text));
    if modules.iter().all(|module| module.is_package) {
        found.give_up(place, "it is a Go program that was built without modules, and names none");
    }
    for module in modules {
        let package = Package { is_main: module.is_main, ..Package::new(&module.name, &module.version) };
        found.add(place, ComponentKind::Golang, "", package);
    }
}

/// The list stands between two marks of sixteen bytes.
fn unwrapped(modules: &[u8]) -> Option<&[u8]> {
    let inner = modules.get(16..modules.len().checked_sub(16)?)?;
    inner.ends_with(b"\n").then_some(inner)
}

#[derive(Debug)]
struct Module {
    name: String,
    version: String,
    is_main: bool,
    /// Whether it is only the package that was built, of a module that isn't told.
    is_package: bool,
}

impl Module {
    /// Reads `mod` and `dep` lines; `=>` says what stands in the place of the one before it, and `path` what was built.
    fn list(text: &str) -> Vec<Module> {
        let mut modules: Vec<Module> = Vec::new();
        let mut settings = Settings::default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let module = |name: &str, rest: &[&str], is_main| Module {
                name: name.to_owned(),
                version: rest.first().unwrap_or(&"").replace("(devel)", ""),
                is_main,
                is_package: false,
            };
            match fields.as_slice() {
                // Whatever is fetched from somewhere has a host's name.
                ["path", name] if name.split('/').next().is_some_and(|host| host.contains('.')) => {
                    modules.push(Module { is_package: true, ..module(name, &[], true) });
                }
                ["mod", name, rest @ ..] => {
                    modules.retain(|module| !module.is_package);
                    modules.push(module(name, rest, true));
                }
                ["dep", name, rest @ ..] => modules.push(module(name, rest, false)),
                ["=>", name, rest @ ..] => {
                    if let Some(replaced) = modules.last_mut() {
                        *replaced = replaced.by(module(name, rest, replaced.is_main));
                    }
                }
                ["build", setting] => settings.note(setting),
                _ => {}
            }
        }
        if let Some(module) = modules.iter_mut().find(|module| module.is_main && module.version.is_empty()) {
            module.version = settings.version(&module.name).unwrap_or_default();
        }
        modules
    }

    /// A module may be replaced by a directory, which has no version and no name that means anything elsewhere.
    fn by(&self, other: Module) -> Module {
        let is_directory = other.name.starts_with(['.', '/']);
        match is_directory {
            true => Module { name: self.name.clone(), version: String::new(), ..other },
            false => other,
        }
    }
}

/// How a program was built, as far as that tells its version.
#[derive(Default)]
struct Settings<'a> {
    revision: &'a str,
    time: &'a str,
    linker_flags: &'a str,
}

impl<'a> Settings<'a> {
    fn note(&mut self, setting: &'a str) {
        match setting.split_once('=') {
            Some(("vcs.revision", value)) => self.revision = value,
            Some(("vcs.time", value)) => self.time = value,
            Some(("-ldflags", value)) => self.linker_flags = value,
            _ => {}
        }
    }

    /// Returns the version that the linker was told, or that of the commit.
    fn version(&self, module: &str) -> Option<String> {
        self.told_version(module).or_else(|| pseudo_version(self.revision, self.time))
    }

    /// Many programs are given their version as `-X main.version=1.2.3`, in a variable of theirs, so that they can print it;
    /// one that is set in two ways counts for nothing.
    fn told_version(&self, module: &str) -> Option<String> {
        static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
            let text = r#"-X[ =]['"\\]*([^\s'"=]+)\.[vV]ersion=v?([0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*)"#;
            Regex::new(text).expect("it is a regular expression")
        });
        let is_own = |package: &str| {
            package == "main"
                || package.strip_prefix(module).is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'/', ..]))
        };
        let variables = VARIABLE.captures_iter(self.linker_flags).filter(|set| is_own(&set[1]));
        let versions: BTreeSet<String> = variables.map(|set| format!("v{}", &set[2])).collect();
        versions.first().filter(|_| versions.len() == 1).cloned()
    }
}

/// Returns the version that Go itself gives to a commit without a tag (<https://go.dev/ref/mod#pseudo-versions>).
fn pseudo_version(revision: &str, time: &str) -> Option<String> {
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    let is_whole = digits.len() == 14 && time.ends_with('Z');
    is_whole.then_some(())?;
    Some(format!("v0.0.0-{digits}-{}", revision.get(..12)?))
}
