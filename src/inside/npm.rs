//! `package.json`, by which JavaScript's packages say what they are (<https://docs.npmjs.com/cli/configuring-npm/package-json>).

use serde_json::Value;

use super::{ComponentKind, Found, Package, Place};

/// Whether the file at `path` may describe a package.
pub(super) fn is_note(path: &str) -> bool {
    path.rsplit('/').next() == Some("package.json")
}

/// Notes a package. Many of these files name none: they tell how the files of a directory are to be loaded.
pub(super) fn read(place: &Place, bytes: &[u8], found: &mut Found) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else {
        // Those of tests are wrong on purpose.
        if is_installed(&place.path) {
            found.give_up(place, "it is no JSON");
        }
        return;
    };
    let text = |name: &str| json[name].as_str().map(str::trim).unwrap_or_default();
    let (name, version) = (text("name"), text("version"));
    if !name.is_empty() && !version.is_empty() {
        let package = Package { licence: licence(&json), is_main: true, ..Package::new(name, version) };
        found.add(place, ComponentKind::Npm, "", package);
    }
}

/// Whether it stands at the top of a package's own directory.
fn is_installed(path: &str) -> bool {
    let mut names = path.rsplit('/').skip(1);
    let (_, parent, above) = (names.next(), names.next(), names.next());
    let is_scoped = parent.is_some_and(|name| name.starts_with('@'));
    parent == Some("node_modules") || is_scoped && above == Some("node_modules")
}

/// A text; once it was an object, or a list of these.
fn licence(json: &Value) -> Option<String> {
    let one = |value: &Value| value.as_str().or_else(|| value["type"].as_str()).map(str::to_owned);
    one(&json["license"]).or_else(|| {
        let all: Vec<String> = json["licenses"].as_array()?.iter().filter_map(one).collect();
        (!all.is_empty()).then(|| all.join(" OR "))
    })
}
