//! Compressed files, read with a limit on what comes out.

use std::io::{self, BufReader, Read};

use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// What a decoder may use: `xz -9` needs 65 MiB, and nobody needs more.
const MEMORY_LIMIT: u64 = 128 << 20;
/// The same for zstd, as a power of two.
const WINDOW_LOG_LIMIT: u32 = 27;
const BUFFER_SIZE: usize = 256 << 10;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`
    Gzip,
    /// `.xz`
    Xz,
    /// `.zst`
    Zstd,
}

impl Compression {
    /// Returns what the ending of `name` says; none for one that we cannot read, such as `.bz2`.
    pub fn of(name: &str) -> Option<Compression> {
        let file_name = name.rsplit('/').next().unwrap_or(name);
        match file_name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("gz") => Some(Compression::Gzip),
            Some("xz") => Some(Compression::Xz),
            Some("zst") => Some(Compression::Zstd),
            Some("bz2" | "lzma" | "lz4" | "br" | "Z") => None,
            Some(_) | None => Some(Compression::None),
        }
    }
}

/// Reads `reader`, compressed as the ending of `name` says; more than `limit` bytes out of it are an error.
pub fn decompress<'a, R: Read + Send + 'a>(
    reader: R,
    name: &str,
    limit: u64,
) -> io::Result<impl Read + Send + 'a> {
    let compression = Compression::of(name).ok_or_else(|| {
        io::Error::new(io::ErrorKind::Unsupported, format!("cannot read {name}: expected .xz, .zst or .gz"))
    })?;
    let reader = BufReader::with_capacity(BUFFER_SIZE, reader);
    let inner: Box<dyn Read + Send + 'a> = match compression {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Compression::Xz => Box::new(xz(reader)?),
        Compression::Zstd => Box::new(zstd(reader)?),
    };
    Ok(Limited { inner, n_left: limit, limit })
}

fn xz<R: Read>(reader: R) -> io::Result<XzDecoder<R>> {
    Ok(XzDecoder::new_stream(reader, Stream::new_stream_decoder(MEMORY_LIMIT, CONCATENATED)?))
}

fn zstd<'a, R: io::BufRead + 'a>(reader: R) -> io::Result<zstd::stream::read::Decoder<'a, R>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
    decoder.window_log_max(WINDOW_LOG_LIMIT)?;
    Ok(decoder)
}

/// Unlike [`Read::take`], says so when there is more.
struct Limited<R> {
    inner: R,
    n_left: u64,
    limit: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.n_left == 0 {
            return self.expect_end(buffer.is_empty());
        }
        let room = buffer.len().min(usize::try_from(self.n_left).unwrap_or(usize::MAX));
        let n = self.inner.read(&mut buffer[..room])?;
        self.n_left -= n as u64;
        Ok(n)
    }
}

impl<R: Read> Limited<R> {
    fn expect_end(&mut self, nothing_is_asked_for: bool) -> io::Result<usize> {
        if nothing_is_asked_for || self.inner.read(&mut [0])? == 0 {
            return Ok(0);
        }
        let message = format!("it unpacks to more than {} bytes", self.limit);
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(text: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn packed(text: &[u8]) -> [(&'static str, Vec<u8>); 4] {
        [
            ("main/binary-amd64/Packages", text.to_vec()),
            ("Packages.gz", gzip(text)),
            ("Packages.xz", xz(text)),
            ("Packages.zst", zstd::encode_all(text, 1).unwrap()),
        ]
    }

    fn unpack(bytes: &[u8], name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        decompress(bytes, name, limit)?.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn every_compression_unpacks_to_the_same() {
        let text = b"Package: jq\n".repeat(1000);
        for (name, bytes) in packed(&text) {
            assert_eq!(unpack(&bytes, name, 12_000).unwrap(), text, "{name}");
        }
    }

    #[test]
    fn several_members_one_after_the_other_are_one_text() {
        for (name, mut bytes) in packed(b"one\n") {
            let again = bytes.clone();
            bytes.extend(again);
            assert_eq!(unpack(&bytes, name, 100).unwrap(), b"one\none\n", "{name}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        for (name, bytes) in packed(&vec![0; 10_000_000]) {
            let mut reader = decompress(&bytes[..], name, 1000).unwrap();
            let mut n_bytes = 0;
            let error = loop {
                match reader.read(&mut [0; 300]) {
                    Ok(n) => n_bytes += n,
                    Err(error) => break error,
                }
            };
            assert_eq!(n_bytes, 1000, "{name}");
            assert_eq!(error.to_string(), "it unpacks to more than 1000 bytes", "{name}");
        }
    }

    #[test]
    fn a_truncated_member_is_an_error_and_not_a_short_text() {
        let text: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
        for (name, bytes) in packed(&text).into_iter().skip(1) {
            assert!(unpack(&bytes[..bytes.len() / 2], name, 1 << 20).is_err(), "{name}");
            assert!(unpack(&bytes[..bytes.len() - 1], name, 1 << 20).is_err(), "{name}");
        }
    }

    #[test]
    fn an_xz_dictionary_beyond_the_memory_limit_is_refused() {
        let mut options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
        options.dict_size(512 << 20);
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(&options);
        let stream = Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32);
        let Ok(stream) = stream else { panic!("the encoder needs memory for its dictionary") };
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(b"x").unwrap();
        assert!(unpack(&encoder.finish().unwrap(), "Packages.xz", 100).is_err());
    }

    #[test]
    fn what_we_cannot_unpack_is_said_so() {
        let error = unpack(b"BZh", "main/Packages.bz2", 100).unwrap_err();
        assert_eq!(error.to_string(), "cannot read main/Packages.bz2: expected .xz, .zst or .gz");
    }
}
