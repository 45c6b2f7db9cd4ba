//! Locks on the command line: which are asked for, refused, and written.

use super::*;

#[test]
fn a_lock_that_is_asked_for_must_be_there() {
    let site = sound();
    assert_said(
        &site.fails(2, site.build().arg("--locked")),
        "error: cannot build --locked: there is no estaleiro.lock\n\
         hint: write one with `estaleiro lock`",
    );
    assert_said(
        &site.fails(2, site.build().args(["--lock", "other.lock"])),
        "error: cannot read lock other.lock: No such file or directory (os error 2)\n\
         hint: write one with `estaleiro lock`",
    );
}

/// Returns the lock of a site's definition.
fn lock(site: &Site) -> Value {
    serde_json::from_slice(&site.succeeds(site.verb("lock").args(["--lock", "-"])).stdout).unwrap()
}

/// Returns what a build says of a lock.
fn told_of_lock(site: &Site, lock: &Value) -> String {
    site.put("estaleiro.lock", lock.to_string());
    site.fails(2, &mut site.build())
}

#[test]
fn a_lock_that_cannot_be_read_is_refused() {
    let site = sound();
    let sound = lock(&site);
    let with = |name: &str, value: Value| {
        let mut lock = sound.clone();
        lock[name] = value;
        lock
    };
    assert_said(
        &told_of_lock(&site, &with("format", json!(9))),
        "error: cannot read lock estaleiro.lock: it has format 9, this builder knows format 1\n\
         hint: write it anew with `estaleiro lock`",
    );
    assert!(told_of_lock(&site, &with("surprise", json!(1))).contains("unknown field `surprise`"));
    assert_said(
        &told_of_lock(&site, &json!("no lock")),
        "error: cannot read lock estaleiro.lock: invalid type: string \"no lock\", expected struct Header at line 1 column 9\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.lock", "");
    assert_said(
        &site.fails(2, &mut site.build()),
        "error: cannot read lock estaleiro.lock: EOF while parsing a value at line 1 column 0\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.lock", sound.to_string());
    site.succeeds(site.build().arg("--locked"));
}

#[test]
fn a_lock_that_is_of_another_definition_is_refused() {
    let site = sound();
    let sound = lock(&site);
    let mut other = sound.clone();
    other["platforms"][0]["platform"] = json!("linux/s390x");
    assert_said(
        &told_of_lock(&site, &other),
        "error: cannot use lock: it holds nothing for linux/amd64\n\
         hint: write it anew with `estaleiro lock`",
    );
    let mut based = sound.clone();
    based["platforms"][0]["base"] =
        json!({"name": "registry.example/base:1", "digest": format!("sha256:{}", "0".repeat(64))});
    assert_said(
        &told_of_lock(&site, &based),
        "error: cannot use lock: the definition's base is scratch, the lock's registry.example/base:1\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.hcl", "image \"x\" {\n  base_image = \"registry.example/base:2\"\n}\n");
    assert_said(
        &told_of_lock(&site, &sound),
        "error: cannot use lock: the definition's base is registry.example/base:2, the lock's scratch\n\
         hint: write it anew with `estaleiro lock`",
    );
}

#[test]
fn a_lock_holds_the_packages_that_the_definition_names() {
    let (first, second) = (Deb::new("jq", "1.6-2").essential(), Deb::new("jo", "1"));
    let archive = Archive::new().add(first).add(second).sign_with(&Key::ed25519()).serve();
    let site = Site::of_archive(&archive);
    let lock_of_jq = lock(&site);
    site.put("estaleiro.hcl", definition_of(&archive, "scratch", "package \"jo\" {}"));
    assert_said(
        &told_of_lock(&site, &lock_of_jq),
        "error: cannot use lock: it is of another definition\n\
         - the definition has package jo, the lock hasn't\n\
         - the lock has package jq, the definition hasn't\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.hcl", definition_of(&archive, "scratch", "package \"jq\" { version = \"1.7\" }"));
    assert_said(
        &told_of_lock(&site, &lock_of_jq),
        "error: cannot use lock: it is of another definition\n\
         - the definition has package jq = 1.7, the lock hasn't\n\
         - the lock has package jq, the definition hasn't\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.hcl", "image \"x\" {}\n");
    let said = told_of_lock(&site, &lock_of_jq);
    for difference in ["package jq", "repository deb [signed-by=archive] ", "key archive"] {
        assert!(said.contains(&format!("\n- the lock has {difference}")), "{said}");
    }

    // On a base, what the base has itself need not be in the lock; what it has not must be.
    let registry = TestRegistry::start();
    let status = "Package: here\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n";
    let root = support::Tarball::new().file("var/lib/dpkg/status", 0o644, status);
    TestImage::new().layer(&root).put(&registry, "base", Some("1"));
    let site = Site::of_archive(&archive);
    let base = registry.name("base", "1");
    site.put("estaleiro.hcl", definition_of(&archive, &base, "package \"here\" {}"));
    let lock_of_nothing = lock(&site);
    site.put("estaleiro.hcl", definition_of(&archive, &base, "package \"here\" {}\n    package \"jq\" {}"));
    assert_said(
        &told_of_lock(&site, &lock_of_nothing),
        "error: cannot use lock: the definition has package jq, the lock hasn't\n\
         hint: write it anew with `estaleiro lock`",
    );
    site.put("estaleiro.hcl", definition_of(&archive, &base, "package \"here\" {}"));
    site.succeeds(site.build().arg("--locked"));
}

#[test]
fn a_lock_that_was_edited_still_has_to_hold_what_it_says() {
    let archive = Archive::new().add(Deb::new("jq", "1.6-2").essential()).sign_with(&Key::ed25519()).serve();
    let site = Site::of_archive(&archive);
    let mut edited = lock(&site);
    edited["platforms"][0]["packages"] = json!([]);
    assert_said(
        &told_of_lock(&site, &edited),
        "error: cannot use lock: it does not hold package jq\n\
         hint: write it anew with `estaleiro lock`",
    );
}

#[test]
fn a_lock_beside_the_definition_is_whole_or_as_it_was() {
    let site = sound();
    site.succeeds(&mut site.verb("lock"));
    let first = fs::read(site.path("context/estaleiro.lock")).unwrap();
    let names = names_in(&site.path("context"));
    assert_eq!(names, ["estaleiro.hcl", "estaleiro.lock", "tool"]);
    site.put("estaleiro.hcl", "image \"x\" {");
    site.fails(2, &mut site.verb("lock"));
    assert_eq!(fs::read(site.path("context/estaleiro.lock")).unwrap(), first);
    assert_eq!(names_in(&site.path("context")), names);
}
