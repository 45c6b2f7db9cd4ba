//! The lines of a copyright file as stanzas of fields, read as leniently as real files need it.

/// What was read.
pub(super) struct Lines<'a> {
    pub(super) stanzas: Vec<Vec<Field<'a>>>,
    /// Whether there were lines that belong to no field.
    pub(super) has_strays: bool,
}

/// A field of a stanza.
pub(super) struct Field<'a> {
    name: &'a str,
    /// The first is what follows the colon; the others are as written. There is always one.
    pub(super) lines: Vec<&'a str>,
}

impl Field<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    pub(super) fn value(&self) -> String {
        self.lines.join(" ")
    }
}

/// Reads lines. A field that a stanza has already begins another one, for the blank line between them is forgotten at
/// times. What is indented goes on, even after a blank line; what isn't, and is no field, does so too, but is a stray.
pub(super) fn read(text: &str) -> Lines<'_> {
    let mut read = Lines { stanzas: Vec::new(), has_strays: false };
    let mut n_blank = 0;
    for line in text.lines() {
        if line.trim().is_empty() {
            n_blank += 1;
        } else if line.starts_with('#') {
            continue;
        } else {
            read.add(line, std::mem::take(&mut n_blank));
        }
    }
    read
}

impl<'a> Lines<'a> {
    fn add(&mut self, line: &'a str, n_blank: usize) {
        let field = match line.starts_with([' ', '\t']) {
            true => self.indented(line),
            false => field(line),
        };
        let Some(field) = field else {
            self.go_on(line, n_blank);
            return;
        };
        let is_known = |fields: &Vec<Field<'_>>| fields.iter().any(|known| known.is(field.name));
        match self.stanzas.last_mut() {
            Some(fields) if n_blank == 0 && !is_known(fields) => fields.push(field),
            Some(_) | None => self.stanzas.push(vec![field]),
        }
    }

    fn go_on(&mut self, line: &'a str, n_blank: usize) {
        let last = self.stanzas.last_mut().and_then(|fields| fields.last_mut());
        self.has_strays |= last.is_none() || !line.starts_with([' ', '\t']);
        if let Some(field) = last {
            field.lines.extend(std::iter::repeat_n("", n_blank));
            field.lines.push(line);
        }
    }

    /// A field that was indented by mistake: where one of lists stands before it, which hold no such lines.
    fn indented(&self, line: &'a str) -> Option<Field<'a>> {
        let fields = self.stanzas.last()?;
        let last = fields.last()?;
        let found = field(line.trim_start())?;
        let is_next = match found.name {
            "Copyright" => last.is("Files"),
            "License" => last.is("Files") || last.is("Copyright"),
            _ => false,
        };
        (is_next && !fields.iter().any(|known| known.is(found.name))).then_some(found)
    }
}

/// `Name: value`. An address is none, nor is a word that begins a line of prose.
fn field(line: &str) -> Option<Field<'_>> {
    let (name, value) = line.split_once(':')?;
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !value.starts_with("//");
    is_name.then(|| Field { name, lines: vec![value.trim()] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stanzas as `Name=lines`, for people.
    fn shown(text: &str) -> Vec<String> {
        let show = |field: &Field<'_>| format!("{}={}", field.name, field.lines.join("|"));
        let stanzas = read(text).stanzas;
        stanzas.iter().map(|fields| fields.iter().map(show).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_forgotten_blank_line_and_one_too_many_are_understood() {
        let text = "Files: a\nLicense: X\n one\n\n two\nFiles: b\nLicense: Y\n";
        assert_eq!(shown(text), ["Files=a License=X| one|| two", "Files=b License=Y"]);
    }

    #[test]
    fn lines_that_are_indented_too_little_or_too_much_are_understood() {
        let text =
            "Files: *\nCopyright: Ann\n License: X\nsee http://x.example: all of it\n\nhttps://y.example\n";
        let lines = read(text);
        assert!(lines.has_strays);
        assert_eq!(
            shown(text),
            ["Files=* Copyright=Ann License=X|see http://x.example: all of it||https://y.example"]
        );
    }

    #[test]
    fn comments_and_what_comes_before_any_field_are_passed_over() {
        assert_eq!(shown(" lost\n# note\nFormat: 1\n# more\nSource: x\n"), ["Format=1 Source=x"]);
    }
}
