//! Texts that people write: definitions, Dockerfiles and what those ignore, tables of values.
//!
//! What they say is not known here, nor where they lie.

use std::io::Read;

use anyhow::{Context as _, Result, bail};

use crate::dockerfile;

/// None is longer, in bytes.
pub const LONGEST: u64 = dockerfile::LONGEST_TEXT as u64;

/// Reads one to its end.
///
/// # Errors
/// When it can't be read, is longer than [`LONGEST`], or no UTF-8; whose text it is, the caller knows.
pub fn read(reader: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    reader.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        bail!("it is longer than {LONGEST} bytes");
    }
    String::from_utf8(bytes).ok().context("it is no UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::repeat;

    #[test]
    fn a_text_is_read_whole_or_not_at_all() {
        assert_eq!(read(&b"a\xc3\xa4"[..]).unwrap(), "aä");
        assert_eq!(read(repeat(b'a').take(LONGEST)).unwrap().len() as u64, LONGEST);
        for (bytes, reason) in
            [(repeat(b'a'), "it is longer than 1048576 bytes"), (repeat(255), "it is longer")]
        {
            assert!(read(bytes).unwrap_err().to_string().starts_with(reason));
        }
        assert_eq!(read(&[255][..]).unwrap_err().to_string(), "it is no UTF-8");
    }
}
