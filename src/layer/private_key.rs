//! Private keys in the armour of RFC 7468, section 2: PKCS #1 and #8, SEC 1, OpenSSH, OpenPGP. They are told by the line
//! that begins one, while bytes pass; nothing is decoded.

/// No line that begins a key is longer, in bytes.
const LONGEST_LINE: usize = 128;

/// Looks for a private key in bytes that pass.
#[derive(Debug, Default)]
pub(super) struct PrivateKeySearch {
    line: Vec<u8>,
    is_long: bool,
    is_found: bool,
}

impl PrivateKeySearch {
    /// Looks at the next bytes.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        if self.is_found {
            return;
        }
        let mut lines = bytes.split(|&byte| byte == b'\n');
        self.keep(lines.next().unwrap_or_default());
        for line in lines {
            self.end_line();
            self.keep(line);
        }
    }

    /// Returns whether there was one.
    pub(super) fn finish(mut self) -> bool {
        self.end_line();
        self.is_found
    }

    fn keep(&mut self, part: &[u8]) {
        self.is_long |= self.line.len() + part.len() > LONGEST_LINE;
        if !self.is_long {
            self.line.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) {
        self.is_found |= !self.is_long && begins_private_key(&self.line);
        self.line.clear();
        self.is_long = false;
    }
}

fn begins_private_key(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let label = line.strip_prefix(b"-----BEGIN ").and_then(|rest| rest.strip_suffix(b"-----"));
    label.is_some_and(|label| label.ends_with(b"PRIVATE KEY") || label.ends_with(b"PRIVATE KEY BLOCK"))
}

/// Returns whether a text holds a private key.
pub fn holds_private_key(content: &[u8]) -> bool {
    let mut search = PrivateKeySearch::default();
    search.pass(content);
    search.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_the_line_that_begins_it_however_the_bytes_come() {
        let long = "x".repeat(1000);
        for (text, is_key) in [
            ("-----BEGIN PRIVATE KEY-----\nAA", true),
            ("a\r\n  -----BEGIN RSA PRIVATE KEY-----\r\nAA", true),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----", true),
            (&format!("{long}\n-----BEGIN EC PRIVATE KEY-----\n"), true),
            ("-----BEGIN PUBLIC KEY-----\nAA", false),
            ("printf '-----BEGIN PRIVATE KEY-----'\n", false),
            (&format!("{long}-----BEGIN PRIVATE KEY-----\n"), false),
            (&format!("-----BEGIN {long} PRIVATE KEY-----\n"), false),
            ("", false),
        ] {
            for size in [1, 7, 4096] {
                let mut search = PrivateKeySearch::default();
                text.as_bytes().chunks(size).for_each(|part| search.pass(part));
                assert_eq!(search.finish(), is_key, "{text} by {size}");
            }
        }
    }
}
