//! For which names apt has a package once it has read one, and in which order: where nothing else decides, that does.

use crate::debian::package::RelationField;
use crate::debian::{MultiArch, Package};

/// Calls with each name that a package mentions, its own first.
///
/// With an architecture or `any` a name counts as one of its own; one that says an architecture brings the bare name
/// along. A name for another architecture stands as `name::architecture`, which no package can be called.
pub(in crate::apt) fn for_each(package: &Package, architecture: &str, mut call: impl FnMut(&str)) {
    call(&package.name);
    for field in RelationField::ALL {
        let is_allowed = field == RelationField::Provides && package.multi_arch == MultiArch::Allowed;
        for name in names_in(package.relation_text(field)) {
            if is_allowed {
                call(&format!("{name}:any"));
            }
            mention(name, architecture, &mut call);
        }
    }
    if package.multi_arch == MultiArch::Allowed {
        call(&format!("{}:any", package.name));
    }
}

fn mention(name: &str, architecture: &str, call: &mut impl FnMut(&str)) {
    match name.split_once(':') {
        None | Some((_, "any")) => call(name),
        Some((bare, word)) if word == architecture || word == "native" => {
            call(&format!("{bare}:{architecture}"));
            call(bare);
        }
        Some((bare, other)) => {
            call(name);
            call(&format!("{bare}::{other}"));
        }
    }
}

/// Returns the names in a relation field.
fn names_in(field: &str) -> impl Iterator<Item = &str> {
    let words = field.split([',', '|']).map(str::trim_start).filter(|word| !word.is_empty());
    words.map(|word| word.split([' ', '(', '[', '\n', '\t']).next().unwrap_or(word))
}
