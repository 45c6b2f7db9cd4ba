//! How a layer is compressed: gzip, which everybody reads, or zstd, which is faster and smaller.

use std::fmt;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use super::gzip::{GzipWriter, Ready};
use crate::oci::media_type;

/// The levels of gzip, which are libdeflate's, and the one that is taken without any: smaller than what `gzip -6` makes.
const GZIP: (RangeInclusive<u32>, u32) = (1..=9, 5);

/// The same of zstd: higher levels need more memory than those who unpack may want to give.
const ZSTD: (RangeInclusive<u32>, u32) = (1..=19, 3);

/// How a layer is compressed; its bytes depend on it, their meaning doesn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Compression {
    /// Gzip (RFC 1952), of a level from 1 to 9.
    Gzip(u32),
    /// Zstandard (RFC 8878), of a level from 1 to 19.
    Zstd(u32),
}

/// A compression that there is none of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected gzip, gzip:LEVEL (1 to 9), zstd or zstd:LEVEL (1 to 19)")]
pub struct InvalidCompression;

impl Default for Compression {
    fn default() -> Compression {
        Compression::Gzip(GZIP.1)
    }
}

impl FromStr for Compression {
    type Err = InvalidCompression;

    fn from_str(text: &str) -> Result<Compression, InvalidCompression> {
        let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
        match name {
            "gzip" => level_of(level, GZIP).map(Compression::Gzip),
            "zstd" => level_of(level, ZSTD).map(Compression::Zstd),
            _ => Err(InvalidCompression),
        }
    }
}

fn level_of(
    text: Option<&str>,
    (range, default): (RangeInclusive<u32>, u32),
) -> Result<u32, InvalidCompression> {
    let Some(text) = text else { return Ok(default) };
    text.parse().ok().filter(|level| range.contains(level)).ok_or(InvalidCompression)
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compression::Gzip(level) => write!(f, "gzip:{level}"),
            Compression::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

impl Compression {
    /// For layers that are in no image: that costs little time, and less of the disk than nothing would.
    pub const DRAFT: Compression = Compression::Zstd(1);

    /// Returns how a layer that is compressed like this is called.
    pub fn media_type(self) -> &'static str {
        match self {
            Compression::Gzip(_) => media_type::LAYER_GZIP,
            Compression::Zstd(_) => media_type::LAYER_ZSTD,
        }
    }

    /// Starts to compress into `sink`; the bytes do not depend on the number of threads.
    pub(super) fn start<W: Write>(self, sink: W, threads: usize) -> io::Result<Compressor<W>> {
        match self {
            Compression::Gzip(level) => GzipWriter::new(sink, threads, level).map(Compressor::Gzip),
            Compression::Zstd(level) => zstd_encoder(sink, level, threads).map(Compressor::Zstd),
        }
    }
}

/// One worker or many make the same bytes, none makes others.
fn zstd_encoder<W: Write>(
    sink: W,
    level: u32,
    threads: usize,
) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    let level = i32::try_from(level).map_err(io::Error::other)?;
    let mut encoder = zstd::stream::write::Encoder::new(sink, level)?;
    encoder.multithread(u32::try_from(threads.clamp(1, 64)).unwrap_or(1))?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

/// What is compressed on its way.
pub(super) enum Compressor<W: Write> {
    Gzip(GzipWriter<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    /// Returns what compresses large files before their turn, where each is compressed by itself; what that makes waits in
    /// `directory`.
    pub(super) fn ready(&mut self, directory: &Path) -> io::Result<Option<Arc<Ready>>> {
        match self {
            Compressor::Gzip(gzip) => gzip.ready(directory).map(Some),
            Compressor::Zstd(_) => Ok(None),
        }
    }

    /// Ends the compressed bytes and returns where they went.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Compressor::Gzip(gzip) => gzip.finish(),
            Compressor::Zstd(zstd) => zstd.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Compressor::Gzip(gzip) => gzip.write(bytes),
            Compressor::Zstd(zstd) => zstd.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Compressor::Gzip(gzip) => gzip.flush(),
            Compressor::Zstd(zstd) => zstd.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_compression_is_a_name_and_maybe_a_level() {
        for (text, expected) in [
            ("gzip", Ok(Compression::Gzip(5))),
            ("gzip:9", Ok(Compression::Gzip(9))),
            ("zstd", Ok(Compression::Zstd(3))),
            ("zstd:19", Ok(Compression::Zstd(19))),
            ("zstd:20", Err(InvalidCompression)),
            ("zstd:0", Err(InvalidCompression)),
            ("gzip:10", Err(InvalidCompression)),
            ("gzip:", Err(InvalidCompression)),
            ("xz", Err(InvalidCompression)),
            ("", Err(InvalidCompression)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        assert_eq!(Compression::default().to_string().parse(), Ok(Compression::default()));
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        let mut n = 1_u64;
        let mut next = || {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            [(n >> 60) as u8, (n >> 33) as u8, 0, 0]
        };
        let bytes: Vec<u8> = (0..3_000_000).flat_map(|_| next()).collect();
        for compression in [Compression::Gzip(1), Compression::Zstd(1), Compression::Zstd(3)] {
            let compressed = [1, 2, 5].map(|threads| {
                let mut compressor = compression.start(Vec::new(), threads).unwrap();
                // Neither do they depend on how the bytes come.
                bytes.chunks(100_000 * threads + 7).for_each(|piece| compressor.write_all(piece).unwrap());
                compressor.finish().unwrap()
            });
            assert!(compressed.iter().all(|other| *other == compressed[0]), "{compression}");
            let mut back = Vec::new();
            let whole = io::Cursor::new(compressed[0].clone());
            crate::layer::decompress(whole).unwrap().read_to_end(&mut back).unwrap();
            assert!(back == bytes, "{compression}");
        }
    }
}
