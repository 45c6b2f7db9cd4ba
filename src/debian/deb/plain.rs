//! A `.deb` whose data isn't compressed, which deb(5) allows, and doesn't name root: the same package to dpkg, and sooner
//! read. What reads it is not of interest here.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use super::unnamed::Unnamed;
use super::{Compression, Error, HEADER_LENGTH, open, read_error};

const MEMBER: &str = "data.tar";
/// Where the size stands in a member's header, in 10 digits.
const SIZE: usize = 48;
const LARGEST: u64 = 9_999_999_999;

/// Writes the archive `from` to `to`, with its data uncompressed. Nothing is written of one that isn't compressed with xz:
/// the other ways to compress are read fast enough, and not by every dpkg.
///
/// # Errors
/// When it can't be read or written, or its data is longer than an archive may say.
pub fn plain<R: Read + Seek, W: Write + Seek>(from: R, to: &mut W) -> Result<bool, Error> {
    let mut from = BufReader::with_capacity(1 << 17, from);
    let deb = open(&mut from)?;
    if deb.compression != Compression::Xz {
        return Ok(false);
    }
    let failed = |source| read_error(MEMBER, source);
    let start = deb.data.reader.stream_position().map_err(failed)?;
    from.rewind().map_err(failed)?;
    let header_at = start - HEADER_LENGTH as u64;
    io::copy(&mut from.by_ref().take(header_at), to).map_err(failed)?;
    let mut header = [0; HEADER_LENGTH];
    from.read_exact(&mut header).map_err(failed)?;
    to.write_all(&header).map_err(failed)?;
    from.rewind().map_err(failed)?;
    let mut data = open(&mut from)?.data()?;
    let mut unnamed = Unnamed::new(&mut *to);
    let size = io::copy(&mut data, &mut unnamed).map_err(failed)?;
    unnamed.finish().map_err(failed)?;
    finish(to, header, header_at, size).map_err(failed)?;
    Ok(true)
}

/// Pads the data, and puts what is known of it now into its header.
fn finish(
    to: &mut (impl Write + Seek),
    mut header: [u8; HEADER_LENGTH],
    header_at: u64,
    size: u64,
) -> io::Result<()> {
    if size > LARGEST {
        return Err(io::Error::other(format!("its {size} bytes are more than an archive can say")));
    }
    header[..16].copy_from_slice(format!("{MEMBER:<16}").as_bytes());
    header[SIZE..SIZE + 10].copy_from_slice(format!("{size:<10}").as_bytes());
    to.write_all(if size % 2 == 1 { b"\n" } else { b"" })?;
    to.seek(SeekFrom::Start(header_at))?;
    to.write_all(&header)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::tests::{ar, deb, tar_of};
    use super::*;

    #[test]
    fn only_the_compression_of_the_data_differs() {
        for content in ["even", "odd"] {
            let data = [&tar_of(&[("./usr/", ""), ("./usr/file", content)])[..], content.as_bytes()].concat();
            let mut written = Cursor::new(Vec::new());
            assert!(plain(Cursor::new(deb(".xz", &data)), &mut written).unwrap());
            let bytes = written.into_inner();
            let (was, now) = (deb(".xz", &data), open(&bytes[..]).unwrap());
            let control = was.windows(8).position(|word| word == b"data.tar").unwrap();
            assert!(bytes[..control] == was[..control] && bytes.len().is_multiple_of(2));
            assert_eq!((now.compression, now.archive_time), (Compression::None, 9));
            let mut read = Vec::new();
            now.data().unwrap().read_to_end(&mut read).unwrap();
            assert!(read == data);
        }
    }

    #[test]
    fn what_is_not_compressed_with_xz_is_left_alone() {
        for suffix in ["", ".gz", ".zst"] {
            let mut written = Cursor::new(Vec::new());
            assert!(!plain(Cursor::new(deb(suffix, b"data")), &mut written).unwrap(), "{suffix}");
            assert!(written.into_inner().is_empty(), "{suffix}");
        }
    }

    #[test]
    fn one_that_is_cut_short_is_an_error() {
        let mut bytes = deb(".xz", &tar_of(&[("./file", &"content ".repeat(500))]));
        bytes.truncate(bytes.len() - 20);
        assert!(plain(Cursor::new(bytes), &mut Cursor::new(Vec::new())).is_err());
        assert!(plain(Cursor::new(ar(&[])), &mut Cursor::new(Vec::new())).is_err());
    }
}
