//! The NDB form: pages of slots, each of which tells where the header of a package lies.
//!
//! See `lib/backend/ndb/rpmpkg.c` of rpm's sources. All numbers begin with their lowest byte.

use super::Error;
use super::bytes::Bytes;

const MAGIC: &[u8] = b"RpmP";
const SLOT_MAGIC: &[u8] = b"Slot";
const BLOB_MAGIC: &[u8] = b"BlbS";
const PAGE: usize = 4096;
const SLOT: usize = 16;
/// The file's own header takes the room of these.
const N_HEADER_SLOTS: usize = 2;
/// Offsets count these.
const BLOCK: usize = 16;
const BLOB_HEADER: usize = 16;

pub(super) fn blobs(file: Bytes<'_>) -> Vec<Result<Vec<u8>, Error>> {
    let mut left = file.len();
    match slots(file) {
        Err(error) => vec![Err(error)],
        Ok(slots) => slots.filter_map(|place| blob(file, place, &mut left).transpose()).collect(),
    }
}

fn slots(file: Bytes<'_>) -> Result<impl Iterator<Item = usize>, Error> {
    if file.at(0, 4, "its beginning is missing")? != MAGIC {
        return Err(Error { what: "it is no NDB file", place: 0 });
    }
    let n_slots = file.le32(12, "its beginning is missing")?.saturating_mul(PAGE) / SLOT;
    // A slot that lies outside of the file is told once.
    let n_there = file.len() / SLOT + 1;
    Ok((N_HEADER_SLOTS..n_slots.min(n_there)).map(|slot| slot * SLOT))
}

/// Returns what a slot leads to; nothing of a free one. All together are no larger than the file.
fn blob(file: Bytes<'_>, slot: usize, left: &mut usize) -> Result<Option<Vec<u8>>, Error> {
    let what = "a slot is missing";
    if file.at(slot, 4, what)? != SLOT_MAGIC {
        return Err(Error { what: "there is no slot", place: slot });
    }
    let package = file.le32(slot + 4, what)?;
    if package == 0 {
        return Ok(None);
    }
    let place = file.le32(slot + 8, what)?.saturating_mul(BLOCK);
    let what = "a package's header is missing";
    let is_it = file.at(place, 4, what)? == BLOB_MAGIC && file.le32(place + 4, what)? == package;
    if !is_it {
        return Err(Error { what: "there is no header of the package", place });
    }
    let n = file.le32(place + 12, what)?;
    *left = left.checked_sub(n).ok_or(Error { what: "there is more than fits into the file", place })?;
    Ok(Some(file.at(place + BLOB_HEADER, n, what)?.to_vec()))
}
