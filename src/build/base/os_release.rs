//! What a root says of itself in its os-release (os-release(5)): assignments as a shell has them, of which none is run.

/// What a root says of itself in its os-release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OsRelease {
    /// `debian`, `ubuntu` …; `linux` where a file doesn't say.
    pub id: String,
    /// `12`, `24.04` …
    pub version_id: String,
    /// `bookworm` …
    pub codename: String,
    /// What it is made from: `debian`, `rhel` …
    pub id_like: Vec<String>,
}

impl OsRelease {
    /// Reads an os-release file (os-release(5)); what it doesn't say stays empty. Of what is said twice the last counts.
    pub fn parse(text: &str) -> OsRelease {
        let assignments = assignments(text);
        let last = |wanted: &str| {
            let named = assignments.iter().rev().find(|(name, _)| name == wanted);
            named.map(|(_, value)| value.clone())
        };
        let id = last("ID").filter(|id| !id.is_empty());
        let version = last("VERSION").unwrap_or_default();
        let codename = last("VERSION_CODENAME").or_else(|| last("UBUNTU_CODENAME"));
        OsRelease {
            id: id.unwrap_or_else(|| if text.is_empty() { "" } else { "linux" }.into()),
            version_id: last("VERSION_ID").unwrap_or_default(),
            codename: codename.unwrap_or_else(|| codename_in(&version)),
            id_like: last("ID_LIKE").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        }
    }
}

/// Older releases name it in words only: `9 (stretch)`. Others have something else between the brackets.
fn codename_in(version: &str) -> String {
    let word = version.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(word, _)| word);
    let is_codename = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    word.filter(is_codename).unwrap_or_default().to_owned()
}

fn assignments(text: &str) -> Vec<(String, String)> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut rest = text.as_str();
    let mut assignments = Vec::new();
    while !rest.is_empty() {
        rest = rest.trim_start();
        let name_ends = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_ends);
        rest = match (name, after.strip_prefix('=')) {
            ("export", _) if after.starts_with([' ', '\t']) => after,
            ("", _) | (_, None) => after.split_once('\n').map_or("", |(_, next)| next),
            (name, Some(value)) => {
                let (value, next) = word(value);
                assignments.push((name.to_owned(), value));
                next.split_once('\n').map_or("", |(_, next)| next)
            }
        };
    }
    assignments
}

/// Reads a word with a shell's quotes and escapes; returns it, and what comes after it.
fn word(text: &str) -> (String, &str) {
    let (mut value, mut quote) = (String::new(), None);
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None | Some('"'), '\\') => match characters.next() {
                // A line that goes on in the next.
                Some((_, '\n')) | None => {}
                Some((_, escaped @ ('"' | '\\' | '$' | '`'))) => value.push(escaped),
                Some((_, other)) if quote.is_none() => value.push(other),
                Some((_, other)) => value.extend(['\\', other]),
            },
            (None, _) if character.is_whitespace() => return (value, &text[index..]),
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_os_release_is_read_in_all_its_forms() {
        let cases = [
            (
                "ID=debian\nVERSION_ID=\"12\"\n# x\nVERSION_CODENAME='bookworm'\n",
                ["debian", "12", "bookworm"],
            ),
            ("\u{feff}ID=debian\r\nVERSION_ID='12'\r\n", ["debian", "12", ""]),
            ("export ID=a\n  VERSION_ID=1 # one\n#ID=b\n\n", ["a", "1", ""]),
            ("ID=\\d\\e\nVERSION_ID=\"\\\"\\$1\\x\"\n", ["de", "\"$1\\x", ""]),
            ("ID=de\\\nbian\nVERSION_ID=\"1\\\n2\"\n", ["debian", "12", ""]),
            ("ID=a\nID=b\nVERSION=\"9 (stretch)\"", ["b", "", "stretch"]),
            ("ID=fedora\nVERSION=\"36 (Container Image)\"\nVERSION_CODENAME=\"\"", ["fedora", "", ""]),
            ("ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME=\"Alpine Linux v3.19\"", ["alpine", "3.19.1", ""]),
            ("NAME=x\nnonsense\n=y\nVERSION_ID=1", ["linux", "1", ""]),
            ("", ["", "", ""]),
            ("ID=\"open", ["open", "", ""]),
        ];
        for (text, expected) in cases {
            let release = OsRelease::parse(text);
            assert_eq!([&*release.id, &*release.version_id, &*release.codename], expected, "{text:?}");
        }
        assert_eq!(OsRelease::parse("ID_LIKE=\"ubuntu debian\"").id_like, ["ubuntu", "debian"]);
    }
}
