//! A package's tar that doesn't say what user and group 0 are called.
//!
//! dpkg asks the system for the number of each name that it reads, and so reads the lists of users and groups twice for
//! each path of a package. That root is 0 is known: without a name dpkg takes the number, which is there anyway. What lies
//! in the files is of no interest here, and what isn't an entry as dpkg-deb writes it ends the reading, not the passing on.

use std::io::{self, Write};
use std::ops::Range;

const BLOCK: usize = 512;

const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const CHECKSUM: Range<usize> = 148..156;
const KIND: usize = 156;
const MAGIC: Range<usize> = 257..262;
const USER: Range<usize> = 265..297;
const GROUP: Range<usize> = 297..329;

/// Passes on a tar that is written to it, without those names.
pub(super) struct Unnamed<W> {
    to: W,
    /// What there is of the next header.
    header: Vec<u8>,
    /// How many bytes of the last entry are still to come.
    n_left: u64,
    /// Whether what comes is still understood.
    reads: bool,
}

impl<W: Write> Unnamed<W> {
    pub(super) fn new(to: W) -> Unnamed<W> {
        Unnamed { to, header: Vec::with_capacity(BLOCK), n_left: 0, reads: true }
    }

    /// Passes on what is left, where the tar ends within a header.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.to.write_all(&self.header)
    }

    fn pass_header(&mut self) -> io::Result<()> {
        match size(&self.header) {
            Some(size) => {
                self.n_left = size.next_multiple_of(BLOCK as u64);
                take_names(&mut self.header);
            }
            None => self.reads = false,
        }
        self.to.write_all(&self.header)?;
        self.header.clear();
        Ok(())
    }
}

impl<W: Write> Write for Unnamed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.reads {
            return self.to.write(bytes);
        }
        if self.n_left > 0 {
            let n = usize::try_from(self.n_left).unwrap_or(usize::MAX).min(bytes.len());
            let n = self.to.write(&bytes[..n])?;
            self.n_left -= n as u64;
            return Ok(n);
        }
        let n = bytes.len().min(BLOCK - self.header.len());
        self.header.extend_from_slice(&bytes[..n]);
        if self.header.len() == BLOCK {
            self.pass_header()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Returns how many bytes follow on a header, if that is one of those that dpkg reads as is done here.
fn size(header: &[u8]) -> Option<u64> {
    if header[MAGIC] != *b"ustar" || octal(&header[CHECKSUM])? != checksum(header) {
        return None;
    }
    let size = octal(&header[SIZE])?;
    match header[KIND] {
        // A file, and a long name of GNU's.
        b'0' | b'\0' | b'L' | b'K' => Some(size),
        // Links, devices, directories and pipes.
        b'1'..=b'6' if size == 0 => Some(0),
        _ => None,
    }
}

fn take_names(header: &mut [u8]) {
    let mut is_taken = false;
    for (number, name) in [(UID, USER), (GID, GROUP)] {
        if octal(&header[number]) == Some(0) && header[name.clone()].starts_with(b"root\0") {
            header[name].fill(0);
            is_taken = true;
        }
    }
    if is_taken {
        let sum = format!("{:07o}\0", checksum(header));
        header[CHECKSUM].copy_from_slice(sum.as_bytes());
    }
}

/// The sum of all bytes, where its own count as blanks.
fn checksum(header: &[u8]) -> u64 {
    let own: u64 = header[CHECKSUM].iter().map(|&byte| u64::from(byte)).sum();
    let all: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
    all - own + CHECKSUM.len() as u64 * u64::from(b' ')
}

fn octal(field: &[u8]) -> Option<u64> {
    let end = field.iter().position(|byte| matches!(byte, b' ' | 0)).unwrap_or(field.len());
    let digits = std::str::from_utf8(field.get(..end)?).ok()?;
    u64::from_str_radix(digits, 8).ok().filter(|_| !digits.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry: kind, user, number, content.
    type Of<'a> = (tar::EntryType, &'a str, u64, &'a [u8]);

    fn tar_of(entries: &[Of<'_>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, user, number, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_username(user).unwrap();
            header.set_groupname(user).unwrap();
            header.set_uid(*number);
            header.set_gid(*number);
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn passed_on(tar: &[u8], n_at_once: usize) -> Vec<u8> {
        let mut passed = Vec::new();
        let mut unnamed = Unnamed::new(&mut passed);
        tar.chunks(n_at_once).for_each(|piece| unnamed.write_all(piece).unwrap());
        unnamed.finish().unwrap();
        passed
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;

    #[test]
    fn only_root_loses_its_name_and_only_where_it_is_0() {
        let (link, directory, long) =
            (tar::EntryType::Symlink, tar::EntryType::Directory, tar::EntryType::GNULongName);
        let inner = tar_of(&[(FILE, "root", 0, b"in a file")]);
        let tar = |of_root: &str| {
            tar_of(&[
                (directory, of_root, 0, b""),
                (long, of_root, 0, &[b'x'; 700]),
                (FILE, of_root, 0, &inner),
                (link, "mail", 8, b""),
                (FILE, "root", 8, b"x"),
                (FILE, "roots", 0, b"x"),
                (FILE, of_root, 0, b""),
            ])
        };
        for n_at_once in [1, 100, 512, 5000, 1 << 20] {
            assert!(passed_on(&tar("root"), n_at_once) == tar(""), "{n_at_once}");
        }
    }

    #[test]
    fn what_is_not_understood_is_passed_on_as_it_is_with_all_that_follows() {
        let whole = tar_of(&[(FILE, "root", 0, b"x")]);
        let header = whole[..1024].to_vec();
        let odd = tar_of(&[(tar::EntryType::XHeader, "root", 0, b"x")]);
        let mut sums_wrong = header.clone();
        sums_wrong[0] = b'y';
        let mut in_base_256 = header.clone();
        in_base_256[124] = 0x80;
        let directory_with_content = tar_of(&[(tar::EntryType::Directory, "root", 0, b"x")]);
        for first in [odd[..1024].to_vec(), sums_wrong, in_base_256, directory_with_content, vec![b'x'; 700]]
        {
            let tar = [first, header.clone()].concat();
            assert!(passed_on(&tar, 300) == tar);
        }
        assert!(passed_on(&whole[..300], 300) == whole[..300]);
    }
}
