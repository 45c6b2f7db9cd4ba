//! Packages that are found inside files: what programs, archives and package managers' notes say they are made of.
//!
//! Nothing here touches the disk: bytes come in, [`Component`]s go out. What an operating system's package manager
//! installed is told elsewhere; a file of such a package may hold components all the same. Not read are: programs that
//! don't say what they are (nothing is guessed from their bytes), .NET's assemblies, kernels, and what only asks for
//! packages without having them (lock files, manifests of sources).

mod cargo;
mod component;
mod elf;
mod golang;
mod java;
mod notes;
mod npm;
mod python;

use std::io::{self, Read, Seek, SeekFrom};

pub use component::{Component, ComponentKind, Found, Incomplete};
use component::{Package, Place};

/// No note of a package manager is larger.
const LARGEST_NOTE: u64 = 16 << 20;

/// What a file is read as.
#[derive(Clone, Copy)]
pub struct Form(Reader);

#[derive(Clone, Copy)]
enum Reader {
    /// A program or library.
    Program,
    /// An archive of Java's, or of Python's, which may hold others.
    Archive,
    /// A text, and what reads it.
    Note(notes::Note),
}

/// What can be read at any place.
pub trait Content: Read + Seek {}

impl<T: Read + Seek> Content for T {}

impl Form {
    /// Tells what a file is to be read as, by its path, its size in bytes and how it begins; most are nothing of interest.
    pub fn of(path: &[u8], size: u64, head: &[u8]) -> Option<Form> {
        if size > 64 && head.starts_with(b"\x7fELF") {
            return Some(Form(Reader::Program));
        }
        let path = std::str::from_utf8(path).ok()?;
        if let Some(note) = notes::note_of(path) {
            return Some(Form(Reader::Note(note)));
        }
        java::is_archive(path).then_some(Form(Reader::Archive))
    }

    /// Returns what is found inside the file at `path`, with or without a leading slash.
    pub fn look(self, path: &[u8], content: &mut dyn Content) -> Found {
        let path = format!("/{}", String::from_utf8_lossy(path).trim_start_matches('/'));
        let place = Place { path, within: Vec::new() };
        let mut found = Found::default();
        if let Err(error) = self.0.read(&place, content, &mut found) {
            found.give_up(&place, &format!("it cannot be read: {error}"));
        }
        found
    }
}

impl Reader {
    fn read(self, place: &Place, content: &mut dyn Content, found: &mut Found) -> io::Result<()> {
        match self {
            Reader::Program => program(place, content, found),
            Reader::Archive => java::read(place, content, found),
            Reader::Note(note) => {
                let size = content.seek(SeekFrom::End(0))?;
                let bytes = range(content, 0, size, LARGEST_NOTE)?;
                note(place, &bytes, found);
                Ok(())
            }
        }
    }
}

fn program(place: &Place, content: &mut dyn Content, found: &mut Found) -> io::Result<()> {
    // Not every file that begins as a program is one; it may be a test's, on purpose.
    let Some(elf) = elf::Elf::read(content) else { return Ok(()) };
    golang::read(place, &elf, content, found)?;
    cargo::read(place, &elf, content, found)
}

/// Reads a part of a file that must not be longer than `most` bytes.
fn range(content: &mut dyn Content, offset: u64, size: u64, most: u64) -> io::Result<Vec<u8>> {
    if size > most {
        return Err(io::Error::other(format!("{size} bytes are more than the {most} that are read")));
    }
    content.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    content.take(size).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == size {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests;
