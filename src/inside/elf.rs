//! Programs and libraries (ELF, System V gABI): where their sections and segments lie.

use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, ReadCache, elf};

use super::Content;

/// Where the parts of a program lie in its file.
pub(super) struct Elf {
    sections: Vec<(Vec<u8>, Span)>,
    pub(super) segments: Vec<Segment>,
}

/// A part of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// A part of a file that is loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) span: Span,
    pub(super) address: u64,
    pub(super) is_writable: bool,
}

impl Elf {
    /// Reads the headers; there is nothing where they make no sense.
    pub(super) fn read(content: &mut dyn Content) -> Option<Elf> {
        let cache = ReadCache::new(content);
        let data = &cache;
        of::<elf::FileHeader64<Endianness>, _>(data).or_else(|| of::<elf::FileHeader32<Endianness>, _>(data))
    }

    /// Returns where a section lies that has bytes in the file.
    pub(super) fn section(&self, name: &str) -> Option<Span> {
        self.sections.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, span)| *span)
    }

    /// Whether it names its sections at all.
    pub(super) fn has_sections(&self) -> bool {
        !self.sections.is_empty()
    }

    /// Returns where the `size` bytes lie that are loaded at `address`.
    pub(super) fn at(&self, address: u64, size: u64) -> Option<Span> {
        self.segments.iter().find_map(|segment| {
            let inside = address.checked_sub(segment.address)?;
            let is_there = inside.checked_add(size)? <= segment.span.size;
            is_there.then_some(Span { offset: segment.span.offset.checked_add(inside)?, size })
        })
    }
}

fn of<'data, H, R>(data: R) -> Option<Elf>
where
    H: FileHeader<Endian = Endianness>,
    R: object::ReadRef<'data>,
{
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let table = header.sections(endian, data).ok()?;
    let sections = table.iter().filter_map(|section| {
        let (offset, size) = section.file_range(endian)?;
        Some((table.section_name(endian, section).ok()?.to_vec(), Span { offset, size }))
    });
    let loaded = header.program_headers(endian, data).ok()?.iter();
    let loaded = loaded.filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
    let segments = loaded.map(|segment| {
        let (offset, size) = segment.file_range(endian);
        Segment {
            span: Span { offset, size },
            address: segment.p_vaddr(endian).into(),
            is_writable: segment.p_flags(endian).contains(elf::PF_W),
        }
    });
    Some(Elf { sections: sections.collect(), segments: segments.collect() })
}
