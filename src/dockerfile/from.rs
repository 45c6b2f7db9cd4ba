//! FROM, which begins a stage.
//!
//! What the name of a base means, an image or a stage, is said in `stages`.

use super::mistake::Mistake;
use super::read::{FROM_FLAGS, Reading};

/// What FROM says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct From {
    pub(super) base: String,
    pub(super) platform: Option<String>,
    /// In small letters.
    pub(super) name: Option<String>,
}

impl From {
    pub(super) fn read(reading: &Reading<'_>) -> Result<From, Mistake> {
        let words = reading.split.blank_separated();
        let (base, name) = match words.as_slice() {
            [base] => (base, None),
            [base, word, name] if word.text.eq_ignore_ascii_case("AS") => (base, Some(name)),
            [] => {
                return Err(reading.mistake("cannot read FROM: it has no image", "write FROM image AS name"));
            }
            _ => return Err(reading.mistake_at_rest("cannot read FROM: it has too many words", SHAPE)),
        };
        let name = match name {
            None => None,
            Some(name) if is_name(&name.text) => Some(name.text.to_lowercase()),
            Some(name) => {
                let message = format!("cannot name a stage `{}`", name.text);
                return Err(Mistake::new(name.span.clone(), message, NAME_SHAPE));
            }
        };
        let flags = reading.flags(&FROM_FLAGS)?;
        Ok(From { base: base.text.clone(), platform: flags.value("platform"), name })
    }
}

const SHAPE: &str = "write FROM image or FROM image AS name";
const NAME_SHAPE: &str = "a name begins with a letter and has letters, digits, `-`, `_` and `.`";

fn is_name(name: &str) -> bool {
    let lower = name.to_lowercase();
    let belongs = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    lower.starts_with(|c: char| c.is_ascii_lowercase()) && lower.chars().all(belongs)
}
