//! A text of paragraphs, read one at a time: an index has fifty megabytes, of which a paragraph has one or two kilobytes.

use std::io::{self, BufRead, Read as _};

use crate::debian::deb822::{self, Paragraph};

/// No paragraph is longer; that of the kernel's source has some 200 kB.
const LONGEST_PARAGRAPH: usize = 16 << 20;

/// The text of one paragraph.
#[derive(Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    line: usize,
    n_lines: usize,
}

impl Text {
    /// Takes the next paragraph in the place of the last; whether there was one.
    ///
    /// # Errors
    /// When it can't be read or unpacked, or is longer than any.
    pub(super) fn read(&mut self, reader: &mut impl BufRead) -> io::Result<bool> {
        self.bytes.clear();
        loop {
            let begin = self.bytes.len();
            let room = LONGEST_PARAGRAPH - begin;
            let n_bytes = reader.by_ref().take(room as u64).read_until(b'\n', &mut self.bytes)?;
            if n_bytes == room {
                return Err(too_long());
            }
            if n_bytes == 0 {
                return Ok(begin > 0);
            }
            self.n_lines += 1;
            if !is_blank(&self.bytes[begin..]) {
                if begin == 0 {
                    self.line = self.n_lines;
                }
                continue;
            }
            self.bytes.truncate(begin);
            if begin > 0 {
                return Ok(true);
            }
        }
    }

    /// Returns its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the line it begins at, counted from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Returns its fields.
    ///
    /// # Errors
    /// When it is no text, or none of fields.
    pub(super) fn paragraph(&self) -> io::Result<Result<Paragraph<'_>, deb822::Error>> {
        let text = std::str::from_utf8(&self.bytes).map_err(|_| self.no_text())?;
        let paragraph = deb822::paragraphs_from(text, self.line).next();
        paragraph.ok_or_else(|| io::Error::other("a paragraph is empty"))
    }

    fn no_text(&self) -> io::Error {
        let problem = format!("the paragraph at line {} is not UTF-8", self.line);
        io::Error::new(io::ErrorKind::InvalidData, problem)
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a paragraph has more than {LONGEST_PARAGRAPH} bytes"))
}

/// A line of spaces is blank for nobody: it continues a field.
fn is_blank(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n" | b"\r")
}
