//! Undoing an archive's compression, told by its first bytes.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// How many bytes tell how an archive is compressed.
const N_MAGIC: usize = 6;
/// What a decoder of xz may use: `xz -9` needs 65 MiB, and nobody needs more.
const XZ_MEMORY: u64 = 128 << 20;
/// The largest window of zstd that is accepted, as a power of two: 128 MiB.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Returns the uncompressed bytes of `reader`, which holds gzip (of one or more members), bzip2, xz, zstd, or
/// none of them.
pub fn decompress(mut reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::new();
    reader.by_ref().take(N_MAGIC as u64).read_to_end(&mut magic)?;
    let form = Form::of(&magic);
    let whole = Cursor::new(magic).chain(reader);
    Ok(match form {
        Form::Gzip => Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(64 << 10, whole))),
        Form::Bzip2 => Box::new(MultiBzDecoder::new(whole)),
        Form::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
            Box::new(XzDecoder::new_stream(whole, stream))
        }
        Form::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(whole)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Form::Plain => Box::new(whole),
    })
}

/// Whether [`decompress`] would leave a file's bytes as they are.
pub fn is_plain(file: &File) -> io::Result<bool> {
    let mut magic = [0; N_MAGIC];
    let n = file.read_at(&mut magic, 0)?;
    Ok(Form::of(&magic[..n]) == Form::Plain)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
    Plain,
}

impl Form {
    fn of(magic: &[u8]) -> Form {
        match magic {
            [0x1f, 0x8b, ..] => Form::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', b'1' | 0x17, ..] => Form::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Form::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Form::Zstd,
            _ if is_skippable(magic) => Form::Zstd,
            _ => Form::Plain,
        }
    }
}

/// A zstd file may begin with a frame that is no data, as eStargz and zstd:chunked have it.
fn is_skippable(magic: &[u8]) -> bool {
    matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn undone(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompress(Cursor::new(bytes))?.read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn compression_is_told_by_its_first_bytes() {
        let skippable =
            [&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9][..], &zstd::encode_all(&b"abcd"[..], 3).unwrap()];
        for bytes in [
            b"abcd".to_vec(),
            gzip(b"abcd"),
            [gzip(b"ab"), gzip(b"cd")].concat(),
            bzip2(b"abcd"),
            [bzip2(b"ab"), bzip2(b"cd")].concat(),
            xz(b"abcd"),
            [xz(b"ab"), xz(b"cd")].concat(),
            zstd::encode_all(&b"abcd"[..], 3).unwrap(),
            skippable.concat(),
        ] {
            assert_eq!(undone(bytes).unwrap(), b"abcd");
        }
        assert_eq!(undone(Vec::new()).unwrap(), b"");
        assert_eq!(undone(b"ab".to_vec()).unwrap(), b"ab");
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        for mut bytes in
            [gzip(b"abcd"), bzip2(b"abcd"), xz(b"abcd"), zstd::encode_all(&b"abcd"[..], 3).unwrap()]
        {
            bytes.truncate(bytes.len() - 3);
            assert!(undone(bytes).is_err());
        }
    }

    #[test]
    fn an_xz_dictionary_beyond_the_memory_limit_is_refused() {
        let mut options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
        options.dict_size(512 << 20);
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(&options);
        let stream = Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32).unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(b"abcd").unwrap();
        assert!(undone(encoder.finish().unwrap()).is_err());
    }
}
