//! What a copyright file declares: one expression, the copyright holders, and the texts of what has no identifier.

use std::collections::{BTreeMap, BTreeSet};

use super::{Copyright, Licence, Stanza, Subject, Synopsis, Term};
use crate::digest::Digest;
use crate::licence::{self, Declared, Expression};

/// How many digits of a text's digest tell it from others of the same name.
const N_DIGITS: usize = 8;
/// Where Debian keeps the texts of common licences.
const COMMON_LICENCES: &str = "/usr/share/common-licenses/";

/// Returns what the copyright file of a binary package of `source` declares, whose text this is: its files' licences
/// all count. One that isn't machine-readable declares its own text.
pub fn declared(text: &str, source: &str) -> Declared {
    let whole = Named { name: source, text: text.trim() };
    let mut found = Found { copyright: None, texts: BTreeMap::new(), whole };
    let Some(copyright) = super::parse(text) else {
        let expression = found.reference(whole);
        return Declared { expression, holders: Vec::new(), texts: found.texts };
    };
    found.copyright = Some(Names::of(&copyright));
    let about = |subject: Subject| copyright.stanzas.iter().filter(move |stanza| stanza.subject == subject);
    let subject = if about(Subject::Files).next().is_some() { Subject::Files } else { Subject::Package };
    let expression = Expression::all(about(subject).map(|stanza| found.expression(stanza)));
    let holders: BTreeSet<&String> = copyright.stanzas.iter().flat_map(|stanza| &stanza.holders).collect();
    Declared {
        expression: expression.to_string(),
        holders: holders.into_iter().cloned().collect(),
        texts: found.texts,
    }
}

/// A text, and what it goes by.
#[derive(Clone, Copy)]
struct Named<'a> {
    name: &'a str,
    text: &'a str,
}

/// The texts that a file gives for names, which are compared without regard to case. A stanza of its own counts before
/// what is said in passing.
struct Names<'a>(BTreeMap<String, &'a str>);

impl<'a> Names<'a> {
    fn of(copyright: &'a Copyright) -> Names<'a> {
        let mut names = BTreeMap::new();
        for is_own in [true, false] {
            let stanzas =
                copyright.stanzas.iter().filter(|stanza| (stanza.subject == Subject::Licence) == is_own);
            let licences = stanzas.filter_map(|stanza| stanza.licence.as_ref());
            for licence in licences.filter(|licence| !licence.text.is_empty()) {
                names.entry(licence.synopsis.to_lowercase()).or_insert(&*licence.text);
            }
        }
        Names(names)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(&name.to_lowercase()).copied()
    }
}

/// What was found so far.
struct Found<'a> {
    copyright: Option<Names<'a>>,
    texts: BTreeMap<String, String>,
    /// The whole file, for whatever it doesn't tell apart.
    whole: Named<'a>,
}

impl Found<'_> {
    fn expression(&mut self, stanza: &Stanza) -> Expression {
        let Some(licence) = &stanza.licence else { return Expression::Term(self.reference(self.whole)) };
        match Synopsis::parse(&licence.synopsis) {
            Some(synopsis) => self.join(&synopsis, licence),
            None => Expression::Term(self.as_a_whole(licence)),
        }
    }

    fn join(&mut self, synopsis: &Synopsis, licence: &Licence) -> Expression {
        match synopsis {
            Synopsis::Term(term) => Expression::Term(self.term(term, licence)),
            Synopsis::All(parts) => Expression::all(parts.iter().map(|part| self.join(part, licence))),
            Synopsis::Any(parts) => Expression::any(parts.iter().map(|part| self.join(part, licence))),
        }
    }

    fn term(&mut self, term: &Term, licence: &Licence) -> String {
        let certain = match &term.exception {
            Some(exception) => licence::with_exception(&term.name, exception),
            None => licence::of_short_name(&term.name),
        };
        certain.unwrap_or_else(|| self.uncertain(&term.written(), licence))
    }

    /// A name that is nothing certain by itself: its text may be one that Debian has a place for.
    fn uncertain(&mut self, name: &str, licence: &Licence) -> String {
        let is_alone = licence.synopsis.eq_ignore_ascii_case(name);
        let own = Some(&*licence.text).filter(|text| !text.is_empty());
        let elsewhere = self.copyright.as_ref().and_then(|names| names.text(name));
        let text = own.filter(|_| is_alone).or(elsewhere).or(own);
        let common = text.and_then(common_licence).and_then(|file| licence::of_common_licence(name, file));
        match common {
            Some(identifier) => identifier.to_owned(),
            None => self.reference(Named { name, text: text.unwrap_or(self.whole.text) }),
        }
    }

    /// A synopsis that doesn't follow the format may be the beginning of the text.
    fn as_a_whole(&mut self, licence: &Licence) -> String {
        let text = format!("{}\n{}", licence.synopsis, licence.text);
        let name = if licence.synopsis.is_empty() { self.whole.name } else { &licence.synopsis };
        self.reference(Named { name, text: text.trim() })
    }

    fn reference(&mut self, named: Named<'_>) -> String {
        let digest = Digest::of(named.text).hex();
        let reference = licence::reference(named.name, Some(&digest[..N_DIGITS]));
        self.texts.entry(reference.clone()).or_insert_with(|| named.text.to_owned());
        reference
    }
}

/// The file of `/usr/share/common-licenses` that a text names, if it names just one.
fn common_licence(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let names = text.split(COMMON_LICENCES).skip(1).map(|rest| {
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        rest[..end].trim_end_matches('.')
    });
    let names: BTreeSet<&str> = names.collect();
    (names.len() == 1).then(|| names.first().copied())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n";

    fn of(text: &str) -> Declared {
        declared(&format!("{FORMAT}{text}"), "tool")
    }

    /// What one `License` field of a file means; what follows the name in it is in `rest`.
    fn expression(synopsis: &str, rest: &str) -> String {
        of(&format!("Files: *\nCopyright: Ann\nLicense: {synopsis}\n{rest}")).expression
    }

    #[test]
    fn a_field_becomes_an_expression() {
        for (synopsis, expected) in [
            ("GPL-2+", "GPL-2.0-or-later"),
            ("Expat", "MIT"),
            ("GPL-2+ or Artistic-2, and BSD-3-clause", "BSD-3-Clause AND (Artistic-2.0 OR GPL-2.0-or-later)"),
            ("LGPL-3+ or GPL-2+", "GPL-2.0-or-later OR LGPL-3.0-or-later"),
            ("ISC and Expat or Zlib", "Zlib OR ISC AND MIT"),
            ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
        ] {
            assert_eq!(expression(synopsis, ""), expected, "{synopsis}");
        }
    }

    #[test]
    fn what_is_not_certain_stands_for_its_text() {
        let text = " Take it.\n";
        for (synopsis, expected) in [
            ("public-domain", "LicenseRef-public-domain-ee32b371"),
            ("MIT", "LicenseRef-MIT-ee32b371"),
            ("GPL-2+ with OpenSSL exception", "LicenseRef-GPL-2-or-later-with-OpenSSL-exception-ee32b371"),
            ("Expat or custom", "LicenseRef-custom-ee32b371 OR MIT"),
            ("BSD 3-clause", "LicenseRef-BSD-3-clause-b6611e8a"),
            ("", "LicenseRef-tool-ee32b371"),
        ] {
            assert_eq!(expression(synopsis, text), expected, "{synopsis}");
        }
    }

    #[test]
    fn a_licences_text_is_looked_for_where_the_format_puts_it() {
        let read = of(
            "Files: a\nLicense: custom and other\n\nFiles: b\nLicense: Custom\n own\n\nLicense: custom\n shared\n",
        );
        let texts: Vec<&str> = read.texts.values().map(String::as_str).collect();
        let whole = "Files: a";
        assert!(texts.contains(&"own") && texts.contains(&"shared"), "{texts:?}");
        assert!(
            texts.iter().any(|text| text.contains(whole)),
            "nothing else tells what `other` is: {texts:?}"
        );
        let names = [Digest::of("own").hex(), Digest::of("shared").hex()];
        assert!(names.iter().all(|digest| read.expression.contains(&digest[..8])), "{}", read.expression);
    }

    #[test]
    fn a_common_licence_is_known_by_its_file_where_the_name_agrees() {
        let see = |file: &str| format!(" See `/usr/share/common-licenses/{file}'.\n");
        assert_eq!(expression("Artistic", &see("Artistic")), "Artistic-1.0-Perl");
        assert_eq!(expression("Apache", &see("Apache-2.0")), "Apache-2.0");
        assert!(expression("GPL", &see("GPL-2")).starts_with("LicenseRef-GPL-"));
        assert!(expression("Perl", &see("Artistic")).starts_with("LicenseRef-Perl-"));
        let both = see("Artistic") + &see("GPL");
        assert!(expression("Artistic", &both).starts_with("LicenseRef-Artistic-"));
        let perl = format!("Files: *\nLicense: GPL-1+ or Artistic\n\nLicense: Artistic\n{}", see("Artistic"));
        assert_eq!(of(&perl).expression, "Artistic-1.0-Perl OR GPL-1.0-or-later");
    }

    #[test]
    fn all_files_count_and_the_header_only_without_them() {
        let files =
            "Files: a\nCopyright: 2 B\nLicense: ISC\n\nFiles: b\nCopyright: 1 A\n 2 B\nLicense: Expat\n";
        let header = FORMAT.trim_end().to_owned() + "\nCopyright: 3 C\nLicense: GPL-3\n\n";
        let read = declared(&format!("{header}{files}"), "tool");
        assert_eq!(read.expression, "ISC AND MIT");
        assert_eq!(read.holders, ["1 A", "2 B", "3 C"]);
        assert_eq!(declared(&header, "tool").expression, "GPL-3.0-only");
    }

    #[test]
    fn files_without_a_licence_are_not_passed_over() {
        let read = of("Files: a\nCopyright: x\n\nFiles: b\nLicense: ISC\n");
        assert!(read.expression.starts_with("ISC AND LicenseRef-tool-"), "{}", read.expression);
    }

    #[test]
    fn a_file_for_people_alone_is_its_own_text() {
        let read = declared("It may be used.\n\n", "tool");
        assert_eq!(read.expression, "LicenseRef-tool-bd5ab022");
        assert_eq!(read.texts.values().collect::<Vec<_>>(), ["It may be used."]);
        assert_eq!(declared("It may be used.", "tool"), read, "the same text has the same name");
    }

    #[test]
    fn every_expression_is_one() {
        for synopsis in ["GPL-2+ | BSD", "a or (b)", "é", "LGPLv3+_or_GPLv2+", "..", "MIT/X11 and Expat"] {
            let expression = expression(synopsis, " text\n");
            assert_eq!(licence::of_field(&expression).unwrap().expression, expression, "{synopsis}");
        }
    }
}
