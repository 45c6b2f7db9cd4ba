//! Keys as texts (RFC 7468): a label, and base64 between two lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::InvalidKey;

/// No key is longer, in bytes.
const LONGEST: usize = 64 << 10;
/// What `openssl ecparam -genkey` writes before a key says nothing that the key doesn't.
const PARAMETERS: &str = "EC PARAMETERS";

/// What a text holds.
pub(super) struct Block<'t> {
    /// What it calls it.
    pub(super) label: &'t str,
    /// The bytes.
    pub(super) content: Vec<u8>,
}

/// Reads the first key of a text.
pub(super) fn read(text: &str) -> Result<Block<'_>, InvalidKey> {
    if text.len() > LONGEST {
        return Err(InvalidKey::TooLong);
    }
    let (label, rest) = begin(text).ok_or(InvalidKey::NoPem)?;
    let (body, rest) = rest.split_once(&format!("-----END {label}-----")).ok_or(InvalidKey::CutShort)?;
    if label == PARAMETERS {
        return read(rest);
    }
    let packed: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    let content = STANDARD.decode(packed).map_err(|_| InvalidKey::NotBase64)?;
    Ok(Block { label, content })
}

/// Returns the label of the first line BEGIN, and what comes after that line.
fn begin(text: &str) -> Option<(&str, &str)> {
    text.split_once("-----BEGIN ")?.1.split_once("-----").filter(|(label, _)| !label.contains('\n'))
}
