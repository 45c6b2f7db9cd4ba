//! The cleartext signature framework: a text, and signatures over just that text.
//!
//! ```text
//! -----BEGIN PGP SIGNED MESSAGE-----
//! Hash: SHA512
//!
//! Origin: Example
//! - -a line that begins with a dash
//! -----BEGIN PGP SIGNATURE-----
//! …
//! -----END PGP SIGNATURE-----
//! ```
//!
//! Only what RFC 9580, section 7 allows, and of that only one text: whoever reads more leniently
//! than the one who signed can be made to read something else.

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// A clear-signed document, taken apart.
#[derive(Debug)]
pub(super) struct Cleartext {
    /// The text's lines, without escapes and white space at their ends.
    lines: Vec<String>,
    /// The armoured signatures.
    pub(super) signatures: String,
}

impl Cleartext {
    /// Takes a document apart; whatever does not belong is refused.
    pub(super) fn split(bytes: &[u8]) -> Result<Cleartext, String> {
        let document = super::verify::text(bytes)?;
        let mut lines = document.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        if lines.next() != Some(BEGIN) {
            return Err(not_clear_signed(document));
        }
        skip_headers(&mut lines)?;
        let text = signed_lines(&mut lines)?;
        let signatures = armour(&mut lines)?;
        match lines.all(|line| line.trim().is_empty()) {
            true => Ok(Cleartext { lines: text, signatures }),
            false => Err("there is text after the signature".to_owned()),
        }
    }

    /// Returns what was hashed: the line end before the signature is not part of it.
    pub(super) fn canonical(&self) -> String {
        self.lines.join("\r\n")
    }

    /// Returns the text for reading.
    pub(super) fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

fn not_clear_signed(document: &str) -> String {
    match document.contains(BEGIN) {
        true => "there is text before the signed text".to_owned(),
        false => "it is not signed".to_owned(),
    }
}

fn skip_headers<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<(), String> {
    for line in lines {
        match line {
            "" => return Ok(()),
            header if header.starts_with("Hash: ") => {}
            _ => return Err("there is an unknown header before the signed text".to_owned()),
        }
    }
    Err("it breaks off".to_owned())
}

fn signed_lines<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let mut text = Vec::new();
    for line in lines {
        if line == SIGNATURE {
            return Ok(text);
        }
        let line = match line.strip_prefix("- ") {
            None if line.starts_with('-') => {
                return Err("a dash in the signed text is not escaped".to_owned());
            }
            None => line,
            Some(line) => line,
        };
        if line.starts_with("-----BEGIN PGP") || line.starts_with("-----END PGP") {
            return Err("a signed text lies inside the signed text".to_owned());
        }
        text.push(line.trim_end_matches([' ', '\t']).to_owned());
    }
    Err("it breaks off before the signature".to_owned())
}

fn armour<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<String, String> {
    let mut armour = format!("{SIGNATURE}\n");
    for line in lines {
        armour.push_str(line);
        armour.push('\n');
        if line == END {
            return Ok(armour);
        }
    }
    Err("the signature breaks off".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: Example \t\n- -dash\n\
        -----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn only_the_signed_text_comes_out() {
        for document in [SIGNED.to_owned(), SIGNED.replace('\n', "\r\n")] {
            let cleartext = Cleartext::split(document.as_bytes()).unwrap();
            assert_eq!(cleartext.text(), "Origin: Example\n-dash\n");
            assert_eq!(cleartext.canonical(), "Origin: Example\r\n-dash");
        }
    }

    #[test]
    fn whatever_else_is_in_it_is_refused() {
        let nested = format!("Suite: evil\n{SIGNED}");
        for (from, to, expected) in [
            ("-----BEGIN PGP SIGNED", "\n-----BEGIN PGP SIGNED", "text before"),
            ("-----BEGIN PGP SIGNED", "Suite: evil\n-----BEGIN PGP SIGNED", "text before"),
            ("-----BEGIN PGP SIGNED MESSAGE-----", "", "not signed"),
            ("Hash: SHA512\n", "Suite: evil\n", "unknown header"),
            ("Hash: SHA512\n", "Hash: SHA512\n \nSuite: evil\n", "unknown header"),
            ("- -dash", "-dash", "not escaped"),
            ("- -dash", nested.as_str(), "not escaped"),
            ("- -dash", "- -----BEGIN PGP SIGNED MESSAGE-----", "inside the signed text"),
            ("Origin", "Ori\rgin", "control character"),
            ("Origin", "Ori\0gin", "control character"),
            ("-----BEGIN PGP SIGNATURE-----\n", "", "not escaped"),
            ("-----END PGP SIGNATURE-----\n", "", "signature breaks off"),
            ("-----END PGP SIGNATURE-----\n", "-----END PGP SIGNATURE-----\nSuite: evil\n", "text after"),
        ] {
            let document = SIGNED.replacen(from, to, 1);
            let error = Cleartext::split(document.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{to:?}: {error}");
        }
        let twice = format!("{SIGNED}{SIGNED}");
        assert!(Cleartext::split(twice.as_bytes()).unwrap_err().contains("text after"));
        assert!(Cleartext::split(b"\xff").unwrap_err().contains("UTF-8"));
    }
}
