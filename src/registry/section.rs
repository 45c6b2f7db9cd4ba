//! Some bytes of a file: a blob that lies in a layout's directory, or in the middle of an archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Reason;
use crate::digest::{Digest, HashingReader};
use crate::oci::Descriptor;

/// Some bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The file.
    pub path: PathBuf,
    /// Where they begin.
    pub offset: u64,
    /// How many they are.
    pub size: u64,
}

impl Section {
    /// Opens them to be read from the beginning.
    pub fn open(&self) -> io::Result<io::Take<File>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.size))
    }

    /// Reads them whole; more than `limit` bytes are refused.
    pub fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        if self.size > limit {
            let why = format!("expected at most {limit} bytes, got {}", self.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Returns their digest.
    pub fn digest(&self) -> io::Result<Digest> {
        let mut reader = HashingReader::new(io::BufReader::with_capacity(1 << 18, self.open()?));
        io::copy(&mut reader, &mut io::sink())?;
        Ok(reader.finish().1)
    }

    /// Checks that they are `blob`.
    pub(super) async fn verify(&self, blob: &Descriptor) -> Result<(), Reason> {
        if self.size != blob.size {
            return Err(Reason::Unexpected(format!("expected {} bytes, got {}", blob.size, self.size)));
        }
        let section = self.clone();
        let hashed = tokio::task::spawn_blocking(move || section.digest()).await;
        let hashed = hashed.map_err(|e| Reason::Unexpected(e.to_string()))?;
        match hashed.map_err(Reason::io("read", &self.path))? {
            digest if digest == blob.digest => Ok(()),
            digest => Err(Reason::mismatch(&blob.digest, &digest, "the blob")),
        }
    }
}

/// Finds a file that is one, and no link: what lies there may come from anywhere.
pub fn whole_file(path: &Path) -> io::Result<Option<Section>> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {
            Ok(Some(Section { path: path.to_owned(), offset: 0, size: found.len() }))
        }
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(offset: u64, size: u64) -> (tempfile::NamedTempFile, Section) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abcdef").unwrap();
        let section = Section { path: file.path().to_owned(), offset, size };
        (file, section)
    }

    #[tokio::test]
    async fn a_blob_in_the_middle_of_a_file_is_checked_by_size_and_digest() {
        let (_file, section) = section(2, 3);
        assert_eq!(section.read(3).unwrap(), b"cde");
        assert!(section.read(2).is_err());
        section.verify(&Descriptor::of("x", b"cde")).await.unwrap();
        for other in [&b"cdf"[..], b"cdef"] {
            let error = section.verify(&Descriptor::of("x", other)).await.unwrap_err().to_string();
            assert!(error.starts_with("expected "), "{error}");
        }
    }
}
