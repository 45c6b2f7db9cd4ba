//! Where an archive that passes by is cut: right before the content of each large file, and right behind it. So what holds
//! that content depends on it alone, whatever else is in the archive.
//!
//! What is no archive that can be understood isn't cut here: nothing is refused.

use tar::{EntryType, Header};

/// Smaller files than this, compressed alone, make a layer larger.
const LARGE: u64 = 128 << 10;
const BLOCK: usize = 512;

/// Whether a file's content is held by members of its own.
pub(super) fn is_large(size: u64) -> bool {
    size >= LARGE
}

/// An archive that passes by.
#[derive(Default)]
pub(super) struct Cuts {
    /// What has come of the next header.
    header: Vec<u8>,
    /// How many bytes are to come of an entry's content, and of what fills its last block up.
    n_left: (u64, u64),
    is_large: bool,
    /// Whether it is not understood any more.
    is_lost: bool,
}

impl Cuts {
    /// Lets bytes pass: returns how many of them, no cut among them, have passed, and whether they are of a large file's
    /// content.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        if self.is_lost {
            return (bytes.len(), false);
        }
        let (content, padding) = &mut self.n_left;
        if *content > 0 {
            return (take(content, bytes), self.is_large);
        }
        if *padding > 0 {
            return (take(padding, bytes), false);
        }
        let n = bytes.len().min(BLOCK - self.header.len());
        self.header.extend_from_slice(&bytes[..n]);
        if self.header.len() == BLOCK {
            self.begin_entry();
        }
        (n, false)
    }

    fn begin_entry(&mut self) {
        match content_of(&self.header) {
            Some((size, is_file)) => {
                self.n_left = (size, size.wrapping_neg() % BLOCK as u64);
                self.is_large = is_file && is_large(size);
            }
            None => self.is_lost = true,
        }
        self.header.clear();
    }
}

fn take(n_left: &mut u64, bytes: &[u8]) -> usize {
    let n = usize::try_from(*n_left).map_or(bytes.len(), |n_left| n_left.min(bytes.len()));
    *n_left -= n as u64;
    n
}

/// Returns how much content comes behind a header, and whether that is a file's.
fn content_of(header: &[u8]) -> Option<(u64, bool)> {
    if header.iter().all(|&byte| byte == 0) {
        return Some((0, false));
    }
    let header = Header::from_byte_slice(header);
    if header.as_ustar().is_none() && header.as_gnu().is_none() {
        return None;
    }
    match header.entry_type() {
        EntryType::Regular | EntryType::Continuous => Some((header.entry_size().ok()?, true)),
        EntryType::Link
        | EntryType::Symlink
        | EntryType::Char
        | EntryType::Block
        | EntryType::Directory
        | EntryType::Fifo => Some((0, false)),
        _ => Some((header.entry_size().ok()?, false)),
    }
}
