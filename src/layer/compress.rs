//! Compressing a layer that somebody else wrote, as it is.

use std::io::{self, Read};

use super::{Compression, Error};
use crate::digest::HashingWriter;
use crate::oci::{Descriptor, Layer};
use crate::store::BlobWriter;

/// Compresses `tar` into `blob`, on `threads`, on which the bytes don't depend.
pub fn compress(
    mut tar: impl Read,
    blob: BlobWriter,
    threads: usize,
    compression: Compression,
) -> Result<Layer, Error> {
    let mut writer = HashingWriter::new(compression.start(blob, threads).map_err(Error::Write)?);
    io::copy(&mut tar, &mut writer).map_err(Error::Write)?;
    let (compressor, diff_id, _) = writer.finish();
    let (digest, size) = compressor.finish().map_err(Error::Write)?.commit()?;
    Ok(Layer { descriptor: Descriptor::new(compression.media_type(), digest, size), diff_id })
}
