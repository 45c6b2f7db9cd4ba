//! Accounts for pages: a large one, and one whose names would like to run.

use std::path::{Path, PathBuf};

use estaleiro::bom::{self, Document};
use estaleiro::digest::Digest;
use serde_json::{Value, json};

/// A name that is markup, leaves a text, and writes backwards.
pub(crate) const HOSTILE: &str = "<img src=x onerror=\"window.hit=1\">'\"</script></noscript></style><script>window.hit=2</script>\u{202e}\u{1b}[31m";

/// Writes the page of an account.
pub(crate) fn page(account: &Value, directory: &Path) -> PathBuf {
    let document: Document = serde_json::from_value(account.clone()).unwrap();
    let file = directory.join("bom.html");
    std::fs::write(&file, bom::html(&document).unwrap()).unwrap();
    file
}

/// An image of so many packages, with so many files in all, and thirty more of its own.
pub(crate) fn large(n_packages: usize, n_files: usize) -> Value {
    let names: Vec<String> = (0..n_packages).map(|nth| format!("package-{nth:04}")).collect();
    let groups = names.iter().enumerate().map(|(nth, name)| {
        let paths: Vec<String> =
            (0..n_files / n_packages).map(|file| format!("/usr/share/{name}/file-{file:02}.txt")).collect();
        match nth % 10 {
            9 => json!({"origin": "generated", "package": format!("{name}:amd64"), "script": "postinst", "paths": paths}),
            _ => json!({"origin": "package", "package": format!("{name}:amd64"), "paths": paths}),
        }
    });
    let files: Vec<Value> =
        (0..30).map(|nth| file(&format!("/opt/app/tool-{nth:02}"), 1000 * nth * nth + 1)).collect();
    let paths: Vec<Value> = files.iter().map(|file| file["path"].clone()).collect();
    let mut account = empty();
    account["layers"] = json!([
        {"diff_id": digest("base"), "is_base": true},
        {"diff_id": digest("packages"), "groups": groups.collect::<Vec<_>>()},
        {"diff_id": digest("files"), "groups": [{"origin": "file", "paths": paths}]},
    ]);
    account["changeset"]["packages"] =
        names.iter().enumerate().map(|(nth, name)| package(nth, name)).collect();
    account["changeset"]["files"] = files.into();
    account["keys"] =
        json!([{"fingerprint": "AA", "identities": ["Ann <ann@archive.example>"], "from": "tools.asc"}]);
    account["components"] = json!([{
        "path": "/opt/app/tool-01", "kind": "golang", "name": "example.org/module", "version": "v1.2.3",
        "purl": "pkg:golang/example.org/module@v1.2.3"
    }]);
    account["incomplete"] = json!([{"path": "/opt/app/tool-02", "why": "it is cut off"}]);
    account
}

/// An image all of whose names are [`HOSTILE`].
pub(crate) fn hostile() -> Value {
    let mut account = large(3, 9);
    replace(&mut account);
    account
}

/// Only what must have a form keeps it.
fn replace(value: &mut Value) {
    const FORMED: [&str; 8] =
        ["digest", "layer", "config", "definition", "lock", "diff_id", "protocol", "kind"];
    match value {
        Value::String(text) => *text = HOSTILE.to_owned(),
        Value::Array(values) => values.iter_mut().for_each(replace),
        Value::Object(fields) => {
            let kept =
                |name: &str, value: &Value| FORMED.contains(&name) || name == "origin" && value.is_string();
            fields
                .iter_mut()
                .filter(|(name, value)| !kept(name, value))
                .for_each(|(_, value)| replace(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn empty() -> Value {
    json!({
        "product_name": "example/large",
        "protocol": "v1",
        "created": "2026-10-21T09:54:24Z",
        "built_by": "estaleiro",
        "image": {"digest": digest("image"), "config": digest("config"), "platform": "linux/amd64"},
        "definition": digest("definition"),
        "lock": digest("lock"),
        "base_image": {
            "canonical_name": format!("registry.example/debian@{}", Digest::of("base image")),
            "os": "debian", "version": "12", "codename": "bookworm",
            "packages": [{
                "name": "base-files", "version": "12.4", "source_package": "base-files", "source_version": "12.4",
                "architecture": "amd64"
            }],
        },
        "changeset": {"withheld": [{"path": "/etc/key", "what": "a private key"}]},
        "graph": [
            {"title": "base registry.example/debian"},
            {"title": "install everything (2000 packages)", "parent": 0, "layer": digest("packages")},
            {"title": "context app.tgz", "is_material": true},
            {"title": "copy /opt/app", "parent": 1, "mounts": [2], "layer": digest("files")},
        ],
    })
}

fn package(nth: usize, name: &str) -> Value {
    const LICENCES: [&str; 6] = [
        "MIT",
        "GPL-2.0-or-later",
        "Apache-2.0",
        "BSD-3-Clause AND MIT",
        "LGPL-2.1-or-later",
        "LicenseRef-odd",
    ];
    let location = |name: String, size: usize| json!({"uri": format!("https://archive.example/pool/{name}"), "digest": digest(&name), "name": name, "size": size});
    let mut package = json!({
        "name": name,
        "version": format!("1.{nth}-2"),
        "source_package": format!("source-{:03}", nth / 4),
        "source_version": format!("1.{nth}-2"),
        "architecture": "amd64",
        "maintainer": "A team <team@archive.example>",
        "location": location(format!("{name}.deb"), 20_000_000 / (nth + 1)),
        "repository": "https://archive.example stable",
        "signed_by": ["AA"],
        "sources": [location(format!("{name}.dsc"), 2000), location(format!("{name}.orig.tar.xz"), 90_000)],
    });
    if !nth.is_multiple_of(7) {
        let holders = ["2001 Ann Example", "2011 Bob Example"];
        package["licence"] = json!({"expression": LICENCES[nth % 6], "holders": holders});
    }
    package
}

fn file(path: &str, size: usize) -> Value {
    json!({
        "path": path, "digest": digest(path), "size": size, "mode": "0755",
        "source": {
            "tarball": {"name": "app.tgz", "digest": digest("app.tgz"), "member": path},
            "git": {"repository_uri": "https://git.example/app", "ref": "49b6936ef130793fff677038891e517718c2baf8"},
        },
    })
}

fn digest(of: &str) -> Value {
    Digest::of(of).to_string().into()
}
