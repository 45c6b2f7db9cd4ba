//! What cargo-auditable puts into programs: the crates that they are made of.
//!
//! A section `.dep-v0` holds JSON, deflated (<https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md>).

use std::io::{self, Read};

use flate2::read::ZlibDecoder;
use serde::Deserialize;

use super::elf::{Elf, Span};
use super::{ComponentKind, Content, Found, Package, Place, range};

/// No list of crates is longer; thousands of crates have 1 MB.
const LARGEST: u64 = 16 << 20;

#[derive(Deserialize)]
struct List {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    /// `build` is what ran while it was built; nothing of that need be in the program.
    #[serde(default)]
    kind: String,
    #[serde(default)]
    root: bool,
}

/// Notes the crates of a program that lists them.
pub(super) fn read(place: &Place, elf: &Elf, content: &mut dyn Content, found: &mut Found) -> io::Result<()> {
    let Some(Span { offset, size }) = elf.section(".dep-v0") else { return Ok(()) };
    let packed = range(content, offset, size, LARGEST)?;
    let mut json = Vec::new();
    let read = ZlibDecoder::new(packed.as_slice()).take(LARGEST).read_to_end(&mut json);
    let list = read.ok().and_then(|_| serde_json::from_slice::<List>(&json).ok());
    let Some(list) = list else {
        found.give_up(place, "its list of Rust crates cannot be read");
        return Ok(());
    };
    for one in list.packages.iter().filter(|one| one.kind != "build") {
        let package = Package { is_main: one.root, ..Package::new(&one.name, &one.version) };
        found.add(place, ComponentKind::Cargo, "", package);
    }
    Ok(())
}
