//! What is decided once and not again: packages, while all that decides about them is the same.

use std::cell::Cell;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::pier::{self, CACHE, Yard};
use crate::support::concourse::Outcome;
use crate::support::image::a_base_that_unpacks;
use crate::support::{Archive, Compression, Deb, Key, ServedArchive, TestRegistry};

const STATUS: &str = "Package: here\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\
                      Maintainer: x\nDescription: x\n";
const AS_BEFORE: &str = ", as decided before";
const UNCHANGED: &str = "nothing changed: no layer was built, downloaded or uploaded";
const LATER: &str = "Sun, 02 Jun 2024 00:00:00 UTC";

/// A registry with a base, an archive of two versions of a tool, and an image with the newer one.
struct Harbour {
    registry: TestRegistry,
    archive: ServedArchive,
    keys: [Key; 2],
    components: Cell<&'static str>,
    yard: Yard,
}

fn tool(version: &str) -> Deb {
    Deb::new("tool", version).file("/usr/bin/tool", 0o755, version)
}

fn local(version: &str) -> Vec<u8> {
    Deb::new("local", version).build(Compression::Xz)
}

fn archive() -> Archive {
    let other = Deb::new("other", "1").file("/usr/bin/other", 0o755, "other");
    Archive::new().add(tool("1")).add(tool("2")).add(other).component("contrib").add(Deb::new("more", "1"))
}

impl Harbour {
    fn new(apt: &str) -> Harbour {
        let registry = TestRegistry::start();
        a_base_that_unpacks(STATUS).put(&registry, "base", Some("1"));
        let keys = [Key::ed25519(), Key::ed25519()];
        let archive = archive().sign_with(&keys[0]).serve();
        let components = Cell::new("main");
        let harbour = Harbour { registry, archive, keys, components, yard: Yard::new("") };
        harbour.yard.write("local.deb", local("1"));
        harbour.define(apt);
        harbour
    }

    fn define(&self, apt: &str) {
        let base = self.registry.name("base", "1");
        let text = format!("image \"example/app\" {{\n base_image = \"{base}\"\n apt {{\n{apt}\n }}\n}}\n");
        self.yard.write("estaleiro.hcl", text);
    }

    fn source(&self) -> Value {
        let mut source = pier::source(&self.registry.host(), "app");
        source["platform"] = json!({"architecture": "amd64", "os": "linux"});
        let keys = self.keys.iter().enumerate().map(|(nth, key)| {
            let name = format!("key{nth}");
            json!({"name": name, "key": key.public_armored()})
        });
        let (url, components) = (self.archive.url(), self.components.get());
        source["apt"] = json!({
            "repositories": [format!("deb [signed-by=key0,key1] {url} bookworm {components}")],
            "keys": keys.collect::<Vec<_>>(),
        });
        source
    }

    /// Puts from an empty worker; what the archive was asked is asked anew.
    fn put(&self) -> Outcome {
        self.put_with(&json!({"definition": "source"}))
    }

    fn put_with(&self, params: &Value) -> Outcome {
        self.archive.log().clear();
        let step = pier::with_params(&self.yard, params.clone());
        pier::run(&self.source(), &step).unwrap_or_else(|failure| panic!("{}", failure.stderr)).0
    }

    fn lock(&self, outcome: &Outcome) -> Value {
        serde_json::from_str(&pier::small_files(&self.source(), outcome).read("estaleiro.lock")).unwrap()
    }

    fn record(&self, outcome: &Outcome) -> Value {
        let host = self.registry.host();
        let record = pier::only(&pier::referrers(&host, "app", &pier::digest(outcome)), CACHE);
        serde_json::from_slice(&pier::content(&host, "app", &record)).unwrap()
    }

    fn n_indexes_read(&self) -> usize {
        self.archive.log().count("GET", "binary-amd64") + self.archive.log().count("GET", "/source/")
    }
}

#[test]
fn while_the_indexes_are_the_same_none_is_read() {
    let harbour = Harbour::new("package \"tool\" {}");
    let first = harbour.put();
    assert!(harbour.n_indexes_read() > 0 && !first.stderr.contains(AS_BEFORE), "{}", first.stderr);

    harbour.archive.publish(&archive().sign_with(&harbour.keys[0]).date(LATER));
    let again = harbour.put();
    assert!(again.stderr.contains(AS_BEFORE) && again.stderr.contains(UNCHANGED), "{}", again.stderr);
    let asked = harbour.archive.log().lines();
    assert_eq!(asked, ["GET /dists/bookworm/InRelease 200"], "the signature is verified all the same");
    assert_eq!(again.version, first.version);

    let anew = harbour.put_with(&json!({"definition": "source", "no_cache": true}));
    assert!(harbour.n_indexes_read() > 0 && !anew.stderr.contains(AS_BEFORE), "{}", anew.stderr);
    assert_eq!((&anew.version, harbour.lock(&anew)), (&first.version, harbour.lock(&first)));
}

#[test]
fn whatever_decides_makes_it_decide_again() {
    type Change = fn(&Harbour);
    let changes: [(&str, Change); 13] = [
        ("a component", |it| it.components.set("main contrib")),
        ("a file in the place of another", |it| it.yard.write("local.deb", local("2"))),
        ("a package more", |it| it.define("package \"tool\" {}\n package \"other\" {}")),
        ("a version", |it| it.define("package \"tool\" { version = \"1\" }")),
        ("a pin", |it| it.define("package \"tool\" { pin = \"version 1\" }")),
        ("a preference", |it| {
            it.define("package \"tool\" {}\n preferences = \"Package: *\\nPin: release c=main\\nPin-Priority: 400\"");
        }),
        ("recommends", |it| it.define("package \"tool\" {}\n recommends = true")),
        ("sources", |it| it.define("package \"tool\" {}\n sources = \"none\"")),
        ("an excuse", |it| it.define("package \"tool\" {}\n without_sources = [\"tool\"]")),
        ("a deb", |it| {
            it.define("package \"tool\" {}\n deb \"local.deb\" {}\n without_sources = [\"local\"]");
        }),
        ("a base", |it| {
            a_base_that_unpacks(&STATUS.replace("here", "there")).put(&it.registry, "base", Some("1"));
        }),
        ("a key", |it| it.archive.publish(&archive().sign_with(&it.keys[1]).date(LATER))),
        ("an index", |it| {
            it.archive
                .publish(&archive().component("main").add(tool("3")).sign_with(&it.keys[0]).date(LATER));
        }),
    ];
    for (what, change) in changes {
        let begins_with = match what {
            "a file in the place of another" => {
                "package \"tool\" {}\n deb \"local.deb\" {}\n without_sources = [\"local\"]"
            }
            _ => "package \"tool\" {}",
        };
        let harbour = Harbour::new(begins_with);
        harbour.put();
        change(&harbour);
        let after = harbour.put();
        assert!(
            !after.stderr.contains(AS_BEFORE) && harbour.n_indexes_read() > 0,
            "{what}: {}",
            after.stderr
        );
        let again = harbour.put();
        assert!(
            again.stderr.contains(AS_BEFORE) && harbour.n_indexes_read() == 0,
            "{what}: {}",
            again.stderr
        );
        assert_eq!(again.version, after.version, "{what}");
    }
}

#[test]
fn by_what_a_record_says_of_packages_none_is_fetched() {
    let harbour = Harbour::new("package \"tool\" {}");
    let first = harbour.put();
    let mut record = harbour.record(&first);
    let package = &mut record["lock"]["platforms"][0]["packages"][0];
    assert_eq!(package["version"], "2");
    let name = tool("1").file_name();
    let old = harbour.archive.file(&format!("pool/main/t/tool/{name}")).unwrap();
    package["version"] = json!("1");
    package["uri"] = json!(format!("{}/pool/main/t/tool/{name}", harbour.archive.url()));
    package["size"] = json!(old.len());
    package["sha256"] = json!(Digest::of(&old).to_string());
    pier::replace_record(&harbour.registry, "app", record.to_string().as_bytes());
    let again = harbour.put();
    assert!(harbour.n_indexes_read() > 0, "{}", again.stderr);
    assert_eq!(harbour.archive.log().count("GET", &name), 0, "{}", again.stderr);
    assert_eq!(again.version, first.version);
    assert_eq!(harbour.lock(&again), harbour.lock(&first));
}

#[test]
fn an_answer_that_lacks_what_is_asked_for_is_none() {
    let harbour = Harbour::new("package \"tool\" {}");
    let first = harbour.put();
    let mut record = harbour.record(&first);
    record["lock"]["platforms"][0]["packages"] = json!([]);
    pier::replace_record(&harbour.registry, "app", record.to_string().as_bytes());
    let again = harbour.put();
    assert!(!again.stderr.contains(AS_BEFORE) && harbour.n_indexes_read() > 0, "{}", again.stderr);
    assert_eq!(again.version, first.version);
}

#[test]
fn a_lock_is_the_same_whether_its_packages_are_decided_or_taken_over() {
    let harbour = Harbour::new(
        "package \"tool\" {}\n package \"other\" {}\n deb \"local.deb\" {}\n without_sources = [\"local\"]",
    );
    let (state, step) = (tempfile::tempdir().unwrap(), pier::step(&harbour.yard));
    let locks = [("app", false), ("elsewhere", true)].map(|(repository, is_known)| {
        let mut source = harbour.source();
        source["repository"] = json!(format!("{}/{repository}", harbour.registry.host()));
        let put = pier::concourse(state.path()).resource(source.clone()).put(&step);
        let outcome = put.unwrap_or_else(|failure| panic!("{}", failure.stderr)).0;
        assert_eq!(outcome.stderr.contains(AS_BEFORE), is_known, "{}", outcome.stderr);
        pier::small_files(&source, &outcome).read("estaleiro.lock")
    });
    assert_eq!(locks[0], locks[1]);
}
