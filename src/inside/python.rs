//! What Python's distributions say of themselves: `METADATA` and `PKG-INFO`
//! (<https://packaging.python.org/en/latest/specifications/core-metadata/>).

use super::{ComponentKind, Found, Package, Place};

/// Whether the file at `path` describes an installed distribution.
pub(super) fn is_note(path: &str) -> bool {
    let lower = path.to_lowercase();
    lower.ends_with("dist-info/metadata")
        || lower.ends_with("egg-info/pkg-info")
        || lower.ends_with(".egg-info")
}

/// Notes a distribution by its headers, which end with the first empty line.
pub(super) fn read(place: &Place, bytes: &[u8], found: &mut Found) {
    let text = String::from_utf8_lossy(bytes);
    let headers = || text.lines().take_while(|line| !line.trim().is_empty());
    let value = |name: &str| {
        let values = headers().filter_map(|line| line.split_once(':'));
        let mut named =
            values.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        named.next().filter(|value| !value.is_empty() && *value != "UNKNOWN").map(str::to_owned)
    };
    let (Some(name), Some(version)) = (value("Name"), value("Version")) else {
        return found.give_up(place, "it describes a Python distribution without name or version");
    };
    let licence = value("License-Expression").or_else(|| value("License"));
    found.add(place, ComponentKind::Pypi, "", Package { name, version, licence, is_main: true });
}
