//! Compressing a layer that somebody else wrote, as it is.

use std::io::{self, Read};

use super::Error;
use super::gzip::GzipWriter;
use crate::digest::HashingWriter;
use crate::oci::{Descriptor, Layer, media_type};
use crate::store::BlobWriter;

/// Compresses `tar` into `blob` with gzip, at `level` (1 to 9) and on `threads`, on which the bytes don't depend.
pub fn compress(mut tar: impl Read, blob: BlobWriter, threads: usize, level: u32) -> Result<Layer, Error> {
    let gzip = GzipWriter::new(blob, threads, level).map_err(Error::Write)?;
    let mut writer = HashingWriter::new(gzip);
    io::copy(&mut tar, &mut writer).map_err(Error::Write)?;
    let (gzip, diff_id, _) = writer.finish();
    let (digest, size) = gzip.finish().map_err(Error::Write)?.commit()?;
    Ok(Layer { descriptor: Descriptor::new(media_type::LAYER_GZIP, digest, size), diff_id })
}
