//! Which packages were asked for and which came along, as apt remembers it in `/var/lib/apt/extended_states`.
//!
//! Only the text is made here. Nothing but apt reads the file, so an image without apt gets none.

use std::collections::{BTreeMap, BTreeSet};

use crate::debian::deb822::{self, Paragraph};

/// A package by name and the architecture under which apt knows it.
pub type Name = (String, String);

/// What an installation changes about who asked for what.
#[derive(Debug, Default)]
pub struct Changes {
    /// What came along now.
    pub along: BTreeSet<Name>,
    /// What was asked for, whether it came now or was there.
    pub asked_for: BTreeSet<Name>,
    /// What was there and still is.
    pub kept: BTreeSet<Name>,
}

/// What the file says of one package.
#[derive(Default)]
struct Mark {
    is_automatic: bool,
    /// Its fields that are nobody's business here.
    others: String,
}

/// Returns the file's new text.
///
/// As with apt a package that came along once and is asked for now counts as asked for, and so does what isn't there; of
/// those nothing is noted, unless there are fields of another kind.
pub fn extended_states(before: &str, changes: &Changes) -> String {
    let mut marks: BTreeMap<Name, Mark> = BTreeMap::new();
    for paragraph in deb822::paragraphs(before).filter_map(Result::ok) {
        if let (Some(name), Some(architecture)) = (paragraph.get("Package"), paragraph.get("Architecture")) {
            marks.insert((name.to_owned(), architecture.to_owned()), Mark::of(&paragraph));
        }
    }
    for (name, mark) in &mut marks {
        mark.is_automatic &= changes.kept.contains(name) && !changes.asked_for.contains(name);
    }
    for name in &changes.along {
        marks.entry(name.clone()).or_default().is_automatic = true;
    }
    marks.retain(|_, mark| mark.is_automatic || !mark.others.is_empty());
    marks.iter().map(|(name, mark)| mark.paragraph(name)).collect()
}

impl Mark {
    fn of(paragraph: &Paragraph<'_>) -> Mark {
        let is_own = |name: &str| {
            ["Package", "Architecture", "Auto-Installed"].iter().any(|own| own.eq_ignore_ascii_case(name))
        };
        let others = paragraph.fields().iter().filter(|field| !is_own(field.name));
        Mark {
            is_automatic: paragraph.get("Auto-Installed").is_some_and(|value| value.trim() == "1"),
            others: others.map(|field| format!("{}: {}\n", field.name, field.value)).collect(),
        }
    }

    fn paragraph(&self, (name, architecture): &Name) -> String {
        let Mark { is_automatic, others } = self;
        let mark = u8::from(*is_automatic);
        format!("Package: {name}\nArchitecture: {architecture}\nAuto-Installed: {mark}\n{others}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<Name> {
        names.iter().map(|name| ((*name).to_owned(), "amd64".to_owned())).collect()
    }

    #[test]
    fn what_came_along_is_marked_and_what_is_asked_for_no_longer() {
        let mark = |name: &str, mark: u8, more: &str| {
            format!("Package: {name}\nArchitecture: amd64\nAuto-Installed: {mark}\n{more}\n")
        };
        let before = [
            mark("asked", 1, ""),
            mark("gone", 1, ""),
            mark("kept", 1, ""),
            mark("manual", 0, ""),
            mark("noted", 1, "Note: x\n"),
        ];
        let changes = Changes {
            along: names(&["lib"]),
            asked_for: names(&["asked", "new", "noted"]),
            kept: names(&["asked", "kept", "manual", "noted"]),
        };
        assert_eq!(
            extended_states(&before.concat(), &changes),
            [mark("kept", 1, ""), mark("lib", 1, ""), mark("noted", 0, "Note: x\n")].concat()
        );
    }
}
