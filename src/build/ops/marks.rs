//! Which packages were asked for and which came along, as apt remembers it in `/var/lib/apt/extended_states`.
//!
//! Only the text is made here. Nothing but apt reads the file, so an image without apt gets none.

use std::collections::{BTreeMap, BTreeSet};

use crate::debian::deb822;

/// A package by name and the architecture under which apt knows it.
pub type Name = (String, String);

/// Returns the file's new text: `automatic` packages came along now, `manual` ones were asked for, `gone` ones are no
/// longer there. What else stood in it stays.
///
/// As with apt a package that came along once and is asked for now counts as asked for.
pub fn extended_states(
    before: &str,
    automatic: &BTreeSet<Name>,
    manual: &BTreeSet<Name>,
    gone: &BTreeSet<String>,
) -> String {
    let mut states: BTreeMap<Name, bool> = BTreeMap::new();
    for paragraph in deb822::paragraphs(before).filter_map(Result::ok) {
        if let (Some(name), Some(architecture)) = (paragraph.get("Package"), paragraph.get("Architecture")) {
            let is_automatic = paragraph.get("Auto-Installed").is_some_and(|value| value.trim() == "1");
            states.insert((name.to_owned(), architecture.to_owned()), is_automatic);
        }
    }
    states.retain(|(name, _), _| !gone.contains(name));
    states.extend(automatic.iter().map(|name| (name.clone(), true)));
    for name in manual {
        states.entry(name.clone()).and_modify(|is_automatic| *is_automatic = false);
    }
    let paragraph = |((name, architecture), is_automatic): (&Name, &bool)| {
        let mark = u8::from(*is_automatic);
        format!("Package: {name}\nArchitecture: {architecture}\nAuto-Installed: {mark}\n\n")
    };
    states.iter().map(paragraph).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<Name> {
        names.iter().map(|name| ((*name).to_owned(), "amd64".to_owned())).collect()
    }

    #[test]
    fn what_came_along_is_marked_and_what_is_asked_for_no_longer() {
        let before = "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: b\nArchitecture: amd64\nAuto-Installed: 1\n\n\
                      Package: c\nArchitecture: amd64\nAuto-Installed: 1\n";
        let after =
            extended_states(before, &names(&["lib"]), &names(&["a", "new"]), &BTreeSet::from(["b".into()]));
        assert_eq!(
            after,
            "Package: a\nArchitecture: amd64\nAuto-Installed: 0\n\nPackage: c\nArchitecture: amd64\nAuto-Installed: 1\n\n\
             Package: lib\nArchitecture: amd64\nAuto-Installed: 1\n\n"
        );
    }
}
