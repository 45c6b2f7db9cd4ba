//! Accounts for tests: one of everything, what it may become, and one whose names mean harm.

use serde_json::{Value, json};

use crate::bom::{Document, ImageId, Subject};
use crate::digest::Digest;

/// What stands on top of an account.
pub(in crate::bom) fn subject() -> Subject {
    Subject {
        product_name: "example/app".into(),
        created: "1970-01-01T00:00:00Z".into(),
        built_by: "estaleiro 0".into(),
        image: ImageId {
            digest: Digest::of("manifest"),
            config: Digest::of("config"),
            platform: "linux/amd64".into(),
            sha512: None,
            labels: Default::default(),
        },
        definition: Digest::of("definition"),
        lock: Digest::of("lock"),
        dockerfile: None,
    }
}

/// An image on a base, with two packages and two files.
pub(in crate::bom) fn document() -> Document {
    serde_json::from_value(account()).unwrap()
}

/// The same image some time later.
pub(in crate::bom) fn later() -> Document {
    let mut later = account();
    later["image"] = image("two");
    later["created"] = "2026-11-02T08:00:00Z".into();
    later["lock"] = digest("another lock");
    later["base_image"]["packages"][1]["version"] = "2.36-10".into();
    let packages = &mut later["changeset"]["packages"];
    packages[0]["signed_by"] = json!(["BB"]);
    packages[0]["location"]["digest"] = digest("another jq");
    packages[1]["version"] = "7.2-1~bpo1".into();
    packages.as_array_mut().unwrap().push(added("zstd", "1.5", "BSD-3-Clause OR GPL-2.0-only"));
    later["changeset"]["files"] = json!([file("/opt/app", "app, again", "77aa001")]);
    later["changeset"]["withheld"] = json!([]);
    later["changeset"]["users"][0]["uid"] = 1001.into();
    later["keys"].as_array_mut().unwrap().push(key("BB", "Bob <bob@archive.example>"));
    later["components"] = json!([component("example.org/mod", "v1.3.0")]);
    later["layers"][1]["groups"][1]["paths"] = json!(["/etc/jq.cache", "/var/cache/jq"]);
    serde_json::from_value(later).unwrap()
}

/// An image in which whatever may be named has a name that would like to be more.
pub(in crate::bom) fn hostile() -> Document {
    let name = "<img src=x onerror=alert(1)></script></noscript>\"'|`\u{1b}[31m\u{202e}&amp;\\";
    let mut hostile = account();
    hostile["product_name"] = name.into();
    hostile["changeset"]["packages"] = json!([added(name, name, name)]);
    hostile["changeset"]["packages"][0]["location"]["uri"] = "javascript:alert(1)".into();
    hostile["changeset"]["files"] = json!([file(&format!("/{name}"), name, name)]);
    hostile["keys"] = json!([key(name, name)]);
    hostile["components"] = json!([component(name, name)]);
    hostile["incomplete"][0]["why"] = name.into();
    hostile["changeset"]["withheld"][0]["what"] = name.into();
    hostile["graph"][0]["title"] = name.into();
    hostile["licence_texts"] = json!({name: name});
    serde_json::from_value(hostile).unwrap()
}

fn account() -> Value {
    json!({
        "product_name": "example/app",
        "protocol": "v1",
        "created": "2026-10-21T09:54:24Z",
        "built_by": "estaleiro 0.2.0",
        "image": image("one"),
        "definition": digest("definition"),
        "lock": digest("lock"),
        "base_image": {
            "canonical_name": format!("registry.example/debian@{}", Digest::of("base image")),
            "os": "debian",
            "version": "12",
            "codename": "bookworm",
            "packages": [package("dash", "0.5", "BSD-3-Clause"), package("libc6", "2.36-9", "LGPL-2.1-or-later")],
        },
        "changeset": {
            "packages": [added("jq", "1.6-2.1", "MIT"), added("nano", "7.2-1", "GPL-3.0-or-later")],
            "files": [file("/opt/app", "app", "49b6936"), notes()],
            "withheld": [{"path": "/etc/key", "what": "a private key"}],
            "users": [{"name": "app", "uid": 1000, "gid": 1000}],
        },
        "keys": [key("AA", "Ann <ann@archive.example>")],
        "layers": [{"diff_id": digest("base"), "is_base": true}, layer()],
        "components": [component("example.org/mod", "v1.2.3")],
        "incomplete": [{"path": "/opt/app.jar", "why": "it is no archive"}],
        "licence_texts": {"LicenseRef-odd": "Do as you like."},
        "graph": [
            {"title": "base registry.example/debian"},
            {"title": "context app.tgz", "is_material": true},
            {"title": "copy /opt/app", "parent": 0, "mounts": [1], "layer": digest("layer")},
        ],
    })
}

fn digest(of: &str) -> Value {
    Digest::of(of).to_string().into()
}

fn image(name: &str) -> Value {
    json!({"digest": digest(name), "config": digest(&format!("{name} config")), "platform": "linux/amd64"})
}

fn package(name: &str, version: &str, licence: &str) -> Value {
    json!({
        "name": name,
        "version": version,
        "source_package": name,
        "source_version": version,
        "architecture": "amd64",
        "licence": {
            "expression": licence,
            "holders": ["2001 Ann Example"],
            "declared_by": format!("/usr/share/doc/{name}/copyright"),
        },
    })
}

fn added(name: &str, version: &str, licence: &str) -> Value {
    let file = |name: String, size: u64| json!({"uri": format!("https://archive.example/pool/{name}"), "digest": digest(&name), "name": name, "size": size});
    let mut added = package(name, version, licence);
    added["location"] = file(format!("{name}_{version}_amd64.deb"), 40_000);
    added["repository"] = "https://archive.example stable".into();
    added["signed_by"] = json!(["AA"]);
    added["sources"] = json!([file(format!("{name}_{version}.dsc"), 2_000)]);
    added
}

fn file(path: &str, content: &str, commit: &str) -> Value {
    json!({
        "path": path,
        "digest": digest(content),
        "size": content.len(),
        "mode": "0755",
        "source": {
            "git": {"repository_uri": "https://git.example/app", "ref": commit},
            "tarball": {"name": "app.tgz", "digest": digest(commit), "member": "bin/app"},
        },
    })
}

fn notes() -> Value {
    json!({
        "path": "/opt/notes",
        "digest": digest("notes"),
        "size": 5,
        "mode": "0644",
        "source": {"context": {"path": "notes", "unversioned": true}},
    })
}

fn key(fingerprint: &str, identity: &str) -> Value {
    json!({"fingerprint": fingerprint, "identities": [identity], "from": "tools.asc"})
}

fn component(name: &str, version: &str) -> Value {
    let purl = format!("pkg:golang/{name}@{version}");
    json!({"path": "/opt/app", "kind": "golang", "name": name, "version": version, "purl": purl})
}

fn layer() -> Value {
    json!({
        "diff_id": digest("layer"),
        "groups": [
            {"origin": "package", "package": "jq:amd64", "paths": ["/usr/bin/jq"]},
            {"origin": "generated", "package": "jq:amd64", "script": "postinst", "paths": ["/etc/jq.cache"]},
            {"origin": "file", "paths": ["/opt/app", "/opt/notes"]},
            {"origin": "directory", "paths": ["/opt"]},
        ],
    })
}
