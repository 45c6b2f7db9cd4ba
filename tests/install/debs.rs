//! `deb`: packages that come as files, chosen as `apt-get install ./x.deb` chooses them.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use estaleiro::digest::{Digest, Sha512};
use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::oracle::Oracle;
use crate::site::{Site, assert_said};
use crate::support::archive::Source;
use crate::support::http::{self, Handler, Server};
use crate::support::image::a_base_that_unpacks;
use crate::support::machine;
use crate::support::{Archive, Compression, Deb, Key, ServedArchive, TestRegistry};
use crate::yard::{self, account};

/// What the base has installed.
const STATUS: &str = "Package: here\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\
                      Maintainer: x\nDescription: x\n";

/// A site with a base, an archive, and packages in its context.
struct Harbour {
    site: Site,
    archive: ServedArchive,
    registry: TestRegistry,
}

impl Harbour {
    fn new(archive: Archive, apt: &str) -> Harbour {
        let registry = TestRegistry::start();
        a_base_that_unpacks(STATUS).put(&registry, "base", Some("1"));
        let archive = archive.sign_with(&Key::ed25519()).serve();
        let mut site = Site::new("");
        site.put("archive.asc", archive.key());
        site.call(archive.url(), "http://archive.example");
        let harbour = Harbour { site, archive, registry };
        harbour.define(apt);
        harbour
    }

    fn define(&self, apt: &str) {
        self.site.put(
            "estaleiro.hcl",
            format!(
                "image \"x\" {{\n  base_image = \"{}\"\n  apt {{\n    repositories = [\"{}\"]\n    \
                 key \"archive\" {{\n      path = \"archive.asc\"\n    }}\n{apt}\n  }}\n}}\n",
                self.registry.name("base", "1"),
                self.archive.line("signed-by=archive"),
            ),
        );
    }

    fn with(self, deb: &Deb) -> Harbour {
        self.site.put(&deb.file_name(), deb.build(Compression::Xz));
        self
    }

    /// Returns the packages of the lock.
    fn locked(&self) -> Vec<Value> {
        self.site.succeeds(&mut self.site.verb("lock"));
        let lock = fs::read(self.site.path("context/estaleiro.lock")).unwrap();
        let lock: Value = serde_json::from_slice(&lock).unwrap();
        lock["platforms"][0]["packages"].as_array().unwrap().clone()
    }

    /// Returns what the lock installs, as `name=version`.
    fn chosen(&self) -> BTreeSet<String> {
        names(&self.locked())
    }

    fn refused(&self) -> String {
        self.site.fails(1, &mut self.site.build())
    }

    /// Returns what apt-get would install when it is asked for `words`, as `name=version`; none if it fails.
    fn apt_get(&self, words: &[&str]) -> Option<BTreeSet<String>> {
        let key = self.site.path("archive.asc");
        fs::write(&key, self.archive.key()).unwrap();
        let line = self.archive.line(&format!("signed-by={}", key.display()));
        let oracle = Oracle::new(&self.site.path("oracle"), &[line], STATUS);
        oracle.chosen(words, &self.site.path("context"))
    }
}

/// Returns packages of a lock as `name=version`.
fn names(packages: &[Value]) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    packages.iter().map(|one| format!("{}={}", text(&one["name"]), text(&one["version"]))).collect()
}

fn tool() -> Deb {
    Deb::new("tool", "1.0").depends("lib (>= 1), mail | post").file("/usr/bin/tool", 0o755, "tool 1.0")
}

fn archive() -> Archive {
    Archive::new()
        .add(Deb::new("lib", "1.0"))
        .add(Deb::new("lib", "1.5"))
        .add(Deb::new("post", "1").field("Provides", "mail"))
        .add(Deb::new("tool", "2.0").depends("lib (>= 3)"))
        .add(Deb::new("exact", "1").depends("tool (= 1.0)"))
        .add(Deb::new("newer", "1").depends("tool (>= 1.5)"))
        .add(Deb::new("same", "1").depends("lib").file("/usr/share/same", 0o644, "the archive's"))
        .add(Deb::new("rival", "1").field("Conflicts", "tool"))
        .add_source(Source::new("tool", "1.0"))
        .add_source(Source::new("other", "1"))
}

#[test]
fn what_comes_along_is_what_apt_get_chooses() {
    let same = || Deb::new("same", "1").depends("post").file("/usr/share/same", 0o644, "ours");
    let other = || Deb::new("other", "1").depends("tool (= 1.0)");
    for (debs, packages, is_possible) in [
        (vec![tool()], vec![], true),
        (vec![tool()], vec!["exact"], true),
        (vec![tool(), other()], vec!["lib"], true),
        (vec![same()], vec![], true),
        (vec![tool(), same()], vec!["same"], true),
        (vec![tool()], vec!["newer"], false),
        (vec![tool()], vec!["rival"], false),
        (vec![other()], vec![], false),
    ] {
        let blocks = debs.iter().map(|deb| format!("    deb \"{}\" {{}}\n", deb.file_name()));
        let wanted = packages.iter().map(|name| format!("    package \"{name}\" {{}}\n"));
        let harbour = Harbour::new(archive(), &wanted.chain(blocks).collect::<String>());
        let harbour = debs.iter().fold(harbour, Harbour::with);
        let files: Vec<String> = debs.iter().map(|deb| format!("./{}", deb.file_name())).collect();
        let words: Vec<&str> = packages.iter().copied().chain(files.iter().map(String::as_str)).collect();
        let theirs = harbour.apt_get(&words);
        assert_eq!(theirs.is_some(), is_possible, "{words:?}");
        match theirs {
            Some(theirs) => assert_eq!(harbour.chosen(), theirs, "{words:?}"),
            None => assert!(harbour.refused().contains("cannot install "), "{words:?}"),
        }
    }
}

#[test]
fn lock_and_account_say_where_it_is_from_and_that_no_archive_signed_it() {
    let harbour = Harbour::new(archive(), "    deb \"tool_1.0_all.deb\" {}").with(&tool());
    let packages = harbour.locked();
    let tool_locked = packages.iter().find(|package| package["name"] == "tool").unwrap();
    let bytes = tool().build(Compression::Xz);
    assert_eq!(tool_locked["deb"], json!({"context": "tool_1.0_all.deb"}));
    assert_eq!(tool_locked["sha256"], Digest::of(&bytes).to_string());
    assert_eq!((tool_locked.get("repository"), &tool_locked["signed_by"]), (None, &json!([])));
    assert_eq!(tool_locked["source"]["files"][0]["name"], "tool_1.0.dsc");

    let root = yard::root(&harbour.site);
    assert_eq!(fs::read_to_string(root.join("usr/bin/tool")).unwrap(), "tool 1.0");
    let account = account(&harbour.site);
    let packages = account["changeset"]["packages"].as_array().unwrap();
    let ours = packages.iter().find(|package| package["name"] == "tool").unwrap();
    assert_eq!((&ours["vouched_by"], &ours["signed_by"]), (&json!("context"), &json!([])));
    assert_eq!(
        ours["location"],
        json!({
            "uri": "tool_1.0_all.deb",
            "digest": Digest::of(&bytes).to_string(),
            "name": "tool_1.0_all.deb",
            "size": bytes.len(),
            "sha512": Sha512::of(&bytes).to_string(),
        })
    );
    let lib = packages.iter().find(|package| package["name"] == "lib").unwrap();
    assert_eq!((lib.get("vouched_by"), &lib["signed_by"]), (None, &json!([harbour.archive.fingerprint()])));
}

#[test]
fn what_is_fetched_is_what_the_definition_says_it_is() {
    let harbour = Harbour::new(archive(), "");
    let bytes = tool().build(Compression::Xz);
    harbour.archive.set("files/tool.deb", Some(bytes.clone()));
    let block = |digest: &Digest| {
        let uri = format!("{}/files/tool.deb", harbour.archive.url());
        format!("    deb \"tool\" {{\n      url = \"{uri}\"\n      sha256 = \"{}\"\n    }}", digest.hex())
    };
    harbour.define(&block(&Digest::of("another")));
    let said = harbour.refused();
    assert!(
        said.contains(
            "cannot use deb \"tool\": cannot fetch tool: expected sha256:DIGEST, got sha256:DIGEST"
        ),
        "{said}"
    );

    harbour.define(&block(&Digest::of(&bytes)));
    let packages = harbour.locked();
    let ours = packages.iter().find(|package| package["name"] == "tool").unwrap();
    assert_eq!(ours["deb"], json!({"url": "tool"}));
    yard::root(&harbour.site);
    let account = account(&harbour.site);
    let packages = account["changeset"]["packages"].as_array().unwrap();
    let ours = packages.iter().find(|package| package["name"] == "tool").unwrap();
    assert_eq!(ours["vouched_by"], "definition");
    assert_eq!(ours["location"]["uri"], format!("{}/files/tool.deb", harbour.archive.url()));
    let said = harbour.site.said(&harbour.site.succeeds(harbour.site.verb("lock").arg("--check")).stderr);
    assert_said(&said, "");
}

/// Serves one file to those who name themselves.
fn guarded(bytes: Vec<u8>) -> Server {
    let handler: Handler = Arc::new(move |request| {
        // `ferry:hunter2`
        let is_let_in =
            request.headers().get("authorization").is_some_and(|given| given == "Basic ZmVycnk6aHVudGVyMg==");
        let answer = if is_let_in { http::bytes(200, bytes.clone()) } else { http::plain(401) };
        async move { answer }.boxed()
    });
    Server::start(|_| handler)
}

#[test]
fn a_password_in_its_address_is_used_and_kept_nowhere() {
    let bytes = tool().build(Compression::Xz);
    let server = guarded(bytes.clone());
    let uri = server.url().replace("http://", "http://ferry:hunter2@");
    let digest = Digest::of(&bytes);
    let block = format!(
        "    deb \"tool\" {{\n      url = \"{uri}/tool.deb\"\n      sha256 = \"{}\"\n    }}",
        digest.hex()
    );
    let harbour = Harbour::new(archive(), &block);
    harbour.locked();
    // A locked build on a worker that has nothing asks again.
    fs::remove_dir_all(harbour.site.path("state")).unwrap();
    yard::root(&harbour.site);
    assert_eq!(server.log.count("GET", "tool.deb"), 2);
    fs::remove_file(harbour.site.path("context/estaleiro.hcl")).unwrap();
    for (path, content) in harbour.site.everything_kept() {
        assert!(!String::from_utf8_lossy(&content).contains("hunter2"), "{}", path.display());
    }
}

#[test]
fn a_lock_is_refused_when_the_file_is_another_one() {
    let harbour = Harbour::new(archive(), "    deb \"tool_1.0_all.deb\" {}").with(&tool());
    harbour.locked();
    harbour.site.put("tool_1.0_all.deb", tool().field("Description", "another").build(Compression::Xz));
    let said = harbour.site.fails(2, &mut harbour.site.build());
    assert_said(
        &said,
        "error: cannot use lock: deb \"tool_1.0_all.deb\" is sha256:DIGEST, the lock has sha256:DIGEST\n\
         hint: write it anew with `estaleiro lock`",
    );
    harbour.define("    package \"tool\" {}");
    let said = harbour.site.fails(2, &mut harbour.site.build());
    assert!(said.contains("the lock has deb tool_1.0_all.deb, the definition hasn't"), "{said}");
}

#[test]
fn its_source_is_found_or_declared_or_done_without() {
    let own = Deb::new("own", "1").file("/usr/bin/own", 0o755, "own");
    let harbour = Harbour::new(archive(), "    deb \"own_1_all.deb\" {}").with(&own);
    let said = harbour.refused();
    for part in [
        "cannot record sources: no repository lists those of\n- own 1 (source own 1)\n",
        "deb \"file\" { vcs \"git\" { … } }",
        "without_sources = [\"name\"]",
    ] {
        assert!(said.contains(part), "{said}");
    }
    harbour.define("    deb \"own_1_all.deb\" {}\n    without_sources = [\"own\"]");
    assert_eq!(harbour.chosen(), BTreeSet::from(["own=1".to_owned()]));
    harbour.define(
        "    deb \"own_1_all.deb\" {\n      vcs \"git\" {\n        repository = \"https://git.example/own\"\n        \
         ref = \"v1\"\n      }\n    }",
    );
    assert_eq!(harbour.chosen(), BTreeSet::from(["own=1".to_owned()]));
    yard::root(&harbour.site);
    let git = &account(&harbour.site)["changeset"]["packages"][0]["git"];
    assert_eq!(*git, json!({"repository_uri": "https://git.example/own", "ref": "v1"}));
}

#[test]
fn it_needs_no_repository_if_nothing_else_does() {
    let registry = TestRegistry::start();
    a_base_that_unpacks(STATUS).put(&registry, "base", Some("1"));
    let site = Site::new(&format!(
        "image \"x\" {{\n  base_image = \"{}\"\n  apt {{\n    sources = \"none\"\n    deb \"own.deb\" {{}}\n  }}\n}}\n",
        registry.name("base", "1")
    ));
    site.put("own.deb", Deb::new("own", "1").file("/own", 0o644, "own").build(Compression::Gz));
    assert_eq!(fs::read_to_string(yard::root(&site).join("own")).unwrap(), "own");
    site.put("own.deb", Deb::new("own", "1").depends("lib").build(Compression::Gz));
    fs::remove_dir_all(site.layout()).unwrap();
    let said = site.fails(1, &mut site.build());
    assert!(said.contains("cannot install own (1): it depends on lib"), "{said}");
}

#[test]
fn what_cannot_be_used_is_named() {
    let story = |apt: &str, debs: &[(&str, Vec<u8>)]| {
        let harbour = Harbour::new(archive(), apt);
        debs.iter().for_each(|(name, bytes)| harbour.site.put(name, bytes));
        harbour.refused()
    };
    let one = |bytes: Vec<u8>| story("deb \"x.deb\" {}", &[("x.deb", bytes)]);
    let built = |deb: Deb| deb.build(Compression::Xz);
    assert_said(
        &one(built(tool().architecture("arm64"))),
        "error: cannot use deb \"x.deb\": it is for arm64, and the image for amd64",
    );
    assert_said(
        &one(b"no archive".to_vec()),
        "error: cannot use deb \"x.deb\": cannot read package archive: it is not an ar archive",
    );
    assert_said(
        &one(built(tool().field("Filename", "../../x"))),
        "error: cannot use deb \"x.deb\": its control file has a field Filename, which is for an archive to write",
    );
    assert_said(
        &one(built(tool().field("Description", "x\n\nPackage: other\nVersion: 1\nArchitecture: all"))),
        "error: cannot use deb \"x.deb\": its control file has more than one paragraph",
    );
    let said = one(built(Deb::new("../evil", "1")));
    assert!(said.starts_with("error: cannot use deb \"x.deb\": "), "{said}");
    assert!(said.contains("Package"), "{said}");
    let said = story("deb \"x.deb\" {}", &[]);
    assert!(
        said.starts_with(
            "error: cannot use deb \"x.deb\": cannot open x.deb in the context .: there is no such file"
        ),
        "{said}"
    );
    let said = one(built(Deb::new("here", "1")));
    assert!(
        said.contains(
            "cannot use deb \"x.deb\": the base image has here 1 already, and apt installs no version twice"
        ),
        "{said}"
    );
    let two = [("x.deb", built(tool())), ("y.deb", built(Deb::new("tool", "3")))];
    let said = story("deb \"x.deb\" {}\n deb \"y.deb\" {}", &two);
    assert!(said.contains("cannot use deb \"y.deb\": deb \"x.deb\" is package tool too"), "{said}");
    let two_versions = "package \"tool\" { version = \"2.0\" }\n deb \"x.deb\" {}";
    let said = story(two_versions, &[("x.deb", built(tool()))]);
    assert!(said.contains("cannot install tool: it is asked for in two versions"), "{said}");
    let said = story("remove = [\"here\"]\n deb \"x.deb\" {}", &[("x.deb", built(Deb::new("here", "2")))]);
    assert!(said.contains("cannot use deb \"x.deb\": it is package here, which is to be removed"), "{said}");
    let said = one(built(tool().depends("lib (")));
    assert!(said.contains("tool"), "{said}");
}

#[test]
fn a_package_of_debian_in_a_file_brings_what_apt_get_brings_with_it() {
    let lines = machine::signed_lines();
    let site = Site::new("");
    let oracle = Oracle::new(&site.path("oracle"), &lines, "");
    let file = oracle.download("jq", &site.path("context"));
    site.put(
        "estaleiro.hcl",
        format!(
            "image \"x\" {{\n  apt {{\n    essential = false\n    repositories = {}\n    deb \"{file}\" {{}}\n  }}\n}}\n",
            json!(lines)
        ),
    );
    let lock = site.succeeds(site.verb("lock").args(["--lock", "-"]));
    let lock: Value = serde_json::from_slice(&lock.stdout).unwrap();
    let packages = lock["platforms"][0]["packages"].as_array().unwrap();
    let theirs = oracle.chosen(&[&format!("./{file}")], &site.path("context")).unwrap();
    assert!(theirs.len() > 3, "{theirs:?}");
    assert_eq!(names(packages), theirs);
    let jq = packages.iter().find(|package| package["name"] == "jq").unwrap();
    assert_eq!(jq["deb"], json!({ "context": file }));
    assert!(!jq["source"]["files"].as_array().unwrap().is_empty());
    assert!(yard::root(&site).join("usr/bin/jq").exists());
}
