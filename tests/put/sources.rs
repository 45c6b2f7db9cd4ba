//! The sources of packages: recorded, attached to the image, and unpacked by dpkg's own hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::pier::{self, Yard};
use crate::support::archive::{Archive, ServedArchive, Source};
use crate::support::concourse::Outcome;
use crate::support::image::a_base_that_unpacks;
use crate::support::machine::MachineSource;
use crate::support::{self, Deb, DockerRegistry, Key, TestRegistry};

const SOURCES: &str = "application/vnd.estaleiro.sources.v1";
/// What the base has installed.
const STATUS: &str = "Package: here\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\
                      Source: home (1-1)\nMaintainer: x\nDescription: x\n";

/// A registry with a base, and an archive of `tool` from source `tools`, parts of which come from `lib` and `crate`.
struct Harbour {
    registry: TestRegistry,
    archive: ServedArchive,
}

fn tool() -> Deb {
    Deb::new("tool", "2.0-1+b1")
        .field("Source", "tools (1:2.0-1)")
        .field("Built-Using", "lib (= 3-1)")
        .field("X-Cargo-Built-Using", "crate (= 4-1), gone (= 5-1)")
        .file("/usr/bin/tool", 0o755, "tool")
}

fn archive() -> Archive {
    Archive::new()
        .add(tool())
        .add_source(Source::native("tools", "1:2.0-1", "the tools"))
        .add_source(Source::native("lib", "3-1", "the library"))
        .add_source(Source::native("lib", "2-1", "an older library"))
        .add_source(Source::native("crate", "4-1", "the crate"))
        .sign_with(&Key::ed25519())
}

impl Harbour {
    fn new(archive: Archive) -> Harbour {
        let registry = TestRegistry::start();
        a_base_that_unpacks(STATUS).put(&registry, "base", Some("1"));
        Harbour { registry, archive: archive.serve() }
    }

    fn source(&self) -> Value {
        let mut source = pier::source(&self.registry.host(), "app");
        source["platform"] = json!({"architecture": "amd64", "os": "linux"});
        source["apt"] = json!({
            "repositories": [self.archive.line("signed-by=archive")],
            "keys": [{"name": "archive", "key": self.archive.key()}],
        });
        source
    }

    /// Returns a yard whose definition's `apt` block begins with `apt`.
    fn yard(&self, apt: &str) -> Yard {
        let base = self.registry.name("base", "1");
        Yard::new(&format!("image \"example/app\" {{\n base_image = \"{base}\"\n apt {{\n{apt}\n }}\n}}\n"))
    }

    fn put(&self, apt: &str) -> Outcome {
        pier::put(&self.source(), &self.yard(apt))
    }

    fn put_in_vain(&self, apt: &str) -> String {
        pier::put_in_vain(&self.source(), &self.yard(apt)).stderr
    }

    fn account(&self, outcome: &Outcome) -> Value {
        let yaml = pier::small_files(&self.source(), outcome).read("bom.yml");
        serde_saphyr::from_str(&yaml).unwrap()
    }

    /// Returns the requests for source files and their indexes.
    fn asked_for_sources(&self) -> Vec<String> {
        let lines = self.archive.log().lines();
        let is_source =
            |line: &String| line.contains("/source/") || (line.contains("/pool/") && !line.contains(".deb"));
        lines.into_iter().filter(is_source).collect()
    }
}

fn names(files: &Value) -> Vec<&str> {
    files.as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect()
}

#[test]
fn every_source_file_is_named_in_account_and_lock() {
    let harbour = Harbour::new(archive());
    let outcome = harbour.put("package \"tool\" {}");
    let account = harbour.account(&outcome);
    let tool = &account["changeset"]["packages"][0];
    assert_eq!(names(&tool["sources"]), ["tools_2.0-1.dsc", "tools_2.0-1.tar.xz"]);
    let file = &tool["sources"][1];
    let bytes = harbour.archive.file("pool/main/t/tools/tools_2.0-1.tar.xz").unwrap();
    assert_eq!(file["uri"], format!("{}/pool/main/t/tools/tools_2.0-1.tar.xz", harbour.archive.url()));
    assert_eq!(
        (&file["digest"], &file["size"]),
        (&json!(Digest::of(&bytes).to_string()), &json!(bytes.len()))
    );
    let others: Vec<(&str, usize)> = tool["built_using"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| (source["source_package"].as_str().unwrap(), names(&source["sources"]).len()))
        .collect();
    assert_eq!(others, [("crate", 2), ("gone", 0), ("lib", 2)]);

    let lock = pier::small_files(&harbour.source(), &outcome).read("estaleiro.lock");
    let lock: Value = serde_json::from_str(&lock).unwrap();
    let source = &lock["platforms"][0]["packages"][0]["source"];
    assert_eq!((&source["name"], &source["version"]), (&json!("tools"), &json!("1:2.0-1")));
    assert_eq!(source["files"][1]["sha256"], file["digest"]);
}

#[test]
fn a_package_without_sources_is_refused_and_every_way_out_is_one() {
    let harbour = Harbour::new(archive().without_sources());
    let said = harbour.put_in_vain("package \"tool\" {}");
    for part in [
        "cannot record sources: no repository lists those of\n- tool 2.0-1+b1 (source lib 3-1)\n- tool 2.0-1+b1 (source tools 1:2.0-1)\n",
        "deb-src",
        "vcs \"git\"",
        "sources = \"none\"",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let by_hand = "package \"tool\" {\n vcs \"git\" {\n repository = \"https://u:hunter2@git.example/tool\"\n ref = \"v2\"\n }\n }";
    let account = harbour.account(&harbour.put(by_hand));
    let git = json!({"repository_uri": "https://git.example/tool", "ref": "v2"});
    assert_eq!(account["changeset"]["packages"][0]["git"], git);
    harbour.put("without_sources = [\"tool\"]\n package \"tool\" {}");
    let account = harbour.account(&harbour.put("sources = \"none\"\n package \"tool\" {}"));
    assert_eq!(account["changeset"]["packages"][0]["sources"], Value::Null);
}

#[test]
fn sources_may_lie_in_an_archive_of_their_own() {
    let harbour = Harbour::new(archive().without_sources());
    let sources = archive().serve();
    let mut source = harbour.source();
    let line = sources.line("signed-by=sources").replacen("deb ", "deb-src ", 1);
    source["apt"]["repositories"].as_array_mut().unwrap().push(json!(line));
    source["apt"]["keys"].as_array_mut().unwrap().push(json!({"name": "sources", "key": sources.key()}));
    let outcome = pier::put(&source, &harbour.yard("package \"tool\" {}"));
    let account = harbour.account(&outcome);
    let uri = account["changeset"]["packages"][0]["sources"][0]["uri"].as_str().unwrap();
    assert!(uri.starts_with(&sources.url()), "{uri}");
}

const BUNDLE: &str = "sources = \"bundle\"\n package \"tool\" {}";

/// Unpacks a source package with dpkg's own tool and returns its file `content`.
fn unpacked(dsc: &Path) -> String {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("source");
    support::run("dpkg-source", &["--no-check", "-x", dsc.to_str().unwrap(), target.to_str().unwrap()]);
    std::fs::read_to_string(target.join("content")).unwrap()
}

#[test]
fn a_bundle_holds_the_sources_of_what_files_are_taken_from() {
    let harbour = Harbour::new(archive());
    let taken = "sources = \"bundle\"\n }\n file \"/tool\" { from_package \"tool\" { path = \"/usr/bin/tool\" } }\n apt {";
    let outcome = harbour.put(taken);
    let account = harbour.account(&outcome);
    assert_eq!(account["changeset"]["packages"], json!([]));
    let package = &account["changeset"]["opened_packages"][0];
    assert_eq!(names(&package["sources"]), ["tools_2.0-1.dsc", "tools_2.0-1.tar.xz"]);
    let got =
        pier::get(&harbour.source(), &outcome.version, &json!({"skip_download": true, "sources": true}));
    assert_eq!(unpacked(&got.path("sources/tools_2.0-1/tools_2.0-1.dsc")), "the tools");
    assert_eq!(unpacked(&got.path("sources/lib_3-1/lib_3-1.dsc")), "the library");

    // What is known is neither fetched nor made again, and the account is the same.
    harbour.archive.log().clear();
    let again = harbour.put(taken);
    assert_eq!(again.version, outcome.version);
    assert_eq!(harbour.archive.log().count("GET", "/pool/"), 0);
    assert_eq!(harbour.account(&again), account);
}

#[test]
fn a_bundle_arrives_whole_and_dpkg_unpacks_what_a_get_writes() {
    let harbour = Harbour::new(archive());
    let outcome = harbour.put(BUNDLE);
    assert!(outcome.stderr.contains("none are attached, of\n- gone 5-1"), "{}", outcome.stderr);
    assert_eq!(
        titles_of_bundle(&harbour.registry, &outcome),
        [
            "crate_4-1/crate_4-1.dsc",
            "crate_4-1/crate_4-1.tar.xz",
            "lib_3-1/lib_3-1.dsc",
            "lib_3-1/lib_3-1.tar.xz",
            "tools_2.0-1/tools_2.0-1.dsc",
            "tools_2.0-1/tools_2.0-1.tar.xz",
        ]
    );
    let params = json!({"skip_download": true, "sources": true});
    let got = pier::get(&harbour.source(), &outcome.version, &params);
    for (source, content) in
        [("tools_2.0-1", "the tools"), ("lib_3-1", "the library"), ("crate_4-1", "the crate")]
    {
        assert_eq!(unpacked(&got.path(&format!("sources/{source}/{source}.dsc"))), content);
    }
}

#[test]
fn debians_registry_which_knows_no_referrers_keeps_a_bundle_too() {
    let (harbour, registry) = (Harbour::new(archive()), DockerRegistry::start());
    let mut source = harbour.source();
    source["repository"] = json!(format!("{}/app", registry.host()));
    let outcome = pier::put(&source, &harbour.yard(BUNDLE));
    let listed = pier::fallback_list(&registry.host(), "app", &pier::digest(&outcome));
    pier::only(&listed, SOURCES);
    let got = pier::get(&source, &outcome.version, &json!({"skip_download": true, "sources": true}));
    assert_eq!(unpacked(&got.path("sources/tools_2.0-1/tools_2.0-1.dsc")), "the tools");
}

#[test]
fn sources_that_a_registry_has_are_neither_fetched_nor_sent_again() {
    let harbour = Harbour::new(archive());
    let first = harbour.put(BUNDLE);
    harbour.archive.log().clear();
    harbour.registry.log().clear();
    let again = harbour.put(BUNDLE);
    assert_eq!(again.version, first.version);
    assert!(again.stderr.contains("nothing changed"), "{}", again.stderr);
    assert_eq!(harbour.asked_for_sources(), Vec::<String>::new());
    assert_eq!(pier::writes(&harbour.registry), Vec::<String>::new());

    // Another image of the repository, with the same package.
    harbour.registry.log().clear();
    let mut source = harbour.source();
    source["tag"] = json!("other");
    let yard = harbour.yard(&format!("{BUNDLE}\n }}\n env = {{ A = \"1\" }}\n apt {{"));
    let other = pier::put(&source, &yard);
    assert_ne!(other.version, first.version);
    let sources: BTreeSet<Digest> = ["tools_2.0-1.dsc", "tools_2.0-1.tar.xz"]
        .map(|name| Digest::of(harbour.archive.file(&format!("pool/main/t/tools/{name}")).unwrap()))
        .into();
    assert!(pier::uploads(&harbour.registry).iter().all(|blob| !sources.contains(blob)));
    let pool: Vec<String> =
        harbour.asked_for_sources().into_iter().filter(|line| line.contains("/pool/")).collect();
    assert_eq!(pool, Vec::<String>::new());
    let listed = pier::referrers(&harbour.registry.host(), "app", &pier::digest(&other));
    pier::only(&listed, SOURCES);
}

#[test]
fn a_source_that_got_lost_in_the_registry_is_brought_again() {
    let harbour = Harbour::new(archive());
    let outcome = harbour.put(BUNDLE);
    let bytes = harbour.archive.file("pool/main/t/tools/tools_2.0-1.dsc").unwrap();
    let lost = Digest::of(&bytes);
    pier::delete(&harbour.registry.host(), "app", &format!("blobs/{lost}"));
    assert_eq!(harbour.put(BUNDLE).version, outcome.version);
    assert!(harbour.registry.has_blob("app", &lost));
}

#[test]
fn the_bases_sources_come_along_if_they_are_asked_for() {
    let with_base = archive().add_source(Source::native("home", "1-1", "the home"));
    let harbour = Harbour::new(with_base);
    let asked = format!("sources_of_base = true\n{BUNDLE}");
    let outcome = harbour.put(&asked);
    let account = harbour.account(&outcome);
    assert_eq!(account["base_image"]["sources"][0]["source_package"], "home");
    let got =
        pier::get(&harbour.source(), &outcome.version, &json!({"skip_download": true, "sources": true}));
    assert_eq!(unpacked(&got.path("sources/home_1-1/home_1-1.dsc")), "the home");

    let said = Harbour::new(archive()).put_in_vain(&asked);
    assert!(said.contains("\n- here 1 (source home 1-1)\n"), "{said}");
}

#[test]
fn a_get_of_sources_that_are_not_attached_says_so() {
    let harbour = Harbour::new(archive());
    let outcome = harbour.put("package \"tool\" {}");
    let resource = support::Concourse::new().environment("NO_COLOR", "1").resource(harbour.source());
    let failure =
        resource.get(&outcome.version, &json!({"skip_download": true, "sources": true})).unwrap_err();
    assert!(
        failure.stderr.contains("cannot get sources: none are attached to it\nhint: "),
        "{}",
        failure.stderr
    );
}

#[test]
fn a_source_file_that_is_not_what_the_index_says_is_refused() {
    use crate::support::archive::Wrong;
    let harbour = Harbour::new(archive().wrong(Wrong::PoolBytes("tools_2.0-1.tar.xz".into())));
    let said = harbour.put_in_vain(BUNDLE);
    assert!(
        said.contains("cannot attach sources: cannot fetch tools_2.0-1.tar.xz: expected sha256:"),
        "{said}"
    );
    assert_eq!(harbour.registry.tags("app"), Vec::<String>::new());
}

#[test]
fn source_files_that_are_gone_are_all_named_and_left_out_if_that_is_allowed() {
    use crate::support::archive::Wrong;
    let gone = archive().wrong(Wrong::MissingPoolFile("tools_2.0-1".into()));
    let harbour = Harbour::new(gone.wrong(Wrong::MissingPoolFile("lib_3-1.dsc".into())));
    let said = harbour.put_in_vain(BUNDLE);
    let listed: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("- ")?.split_once(": sha256:"))
        .map(|(path, _)| path)
        .collect();
    let paths = ["lib_3-1/lib_3-1.dsc", "tools_2.0-1/tools_2.0-1.dsc", "tools_2.0-1/tools_2.0-1.tar.xz"];
    assert_eq!(listed, paths, "{said}");
    assert!(said.contains("\nhint: name a mirror that keeps them; or do without"), "{said}");

    let outcome = harbour.put(&format!("without_sources = [\"tool\"]\n{BUNDLE}"));
    assert!(outcome.stderr.contains("- tools_2.0-1/tools_2.0-1.dsc: sha256:"), "{}", outcome.stderr);
    let params = json!({"skip_download": true, "sources": true});
    let got = pier::get(&harbour.source(), &outcome.version, &params);
    assert_eq!(unpacked(&got.path("sources/crate_4-1/crate_4-1.dsc")), "the crate");
    assert!(!got.path("sources/tools_2.0-1").exists());
}

/// A dpkg database that has what small packages of Debian need.
const WITH_LIBC: &str = "Package: libc6\nStatus: install ok installed\nVersion: 99\nArchitecture: amd64\n\
                         Maintainer: x\nDescription: x\n";
/// Packages of Debian that need no other, and one that needs two. Every file of their sources is on the mirrors of a
/// release: of others a mirror may lack some for ever.
const SMALL: [&str; 10] =
    ["cpio", "dos2unix", "ed", "hello", "hostname", "jq", "pv", "pwgen", "symlinks", "tree"];

#[test]
fn every_source_file_of_a_dozen_real_packages_arrives_and_dpkg_unpacks_them_all() {
    let registry = TestRegistry::start();
    a_base_that_unpacks(WITH_LIBC).put(&registry, "base", Some("1"));
    let mut source = pier::source(&registry.host(), "app");
    source["apt"] = json!({"repositories": lines_of_this_machine()});
    let base = registry.name("base", "1");
    let packages = SMALL.map(|name| format!("  package \"{name}\" {{}}\n")).concat();
    let yard = Yard::new(&format!(
        "image \"example/app\" {{\n base_image = \"{base}\"\n apt {{\n  sources = \"bundle\"\n{packages} }}\n}}\n"
    ));
    let outcome = pier::put(&source, &yard);
    let got = pier::get(&source, &outcome.version, &json!({"skip_download": true, "sources": true}));
    let account: Value = serde_saphyr::from_str(&got.read("bom.yml")).unwrap();
    let packages = account["changeset"]["packages"].as_array().unwrap();
    assert_eq!(packages.len(), SMALL.len() + 2, "jq brings libjq1 and libonig5");

    let sources = files_by_source(packages);
    assert_eq!(sources.len(), SMALL.len() + 1, "jq and libjq1 come from one source");
    let mut titles = Vec::new();
    for (stem, files) in &sources {
        for (name, digest) in files {
            assert!(registry.has_blob("app", digest), "{stem}/{name}");
            let written = std::fs::read(got.path(&format!("sources/{stem}/{name}"))).unwrap();
            assert_eq!(Digest::of(written), *digest, "{stem}/{name}");
            titles.push(format!("{stem}/{name}"));
        }
        let unpacked = tempfile::tempdir().unwrap();
        let target = unpacked.path().join("source");
        let dsc = got.path(&format!("sources/{stem}/{stem}.dsc"));
        support::run("dpkg-source", &["-x", dsc.to_str().unwrap(), target.to_str().unwrap()]);
        assert!(target.join("debian/control").exists(), "{stem}");
    }
    assert_eq!(titles_of_bundle(&registry, &outcome), titles);
}

/// Returns what an account says of sources: the files of each, with their digests, by the name of its `.dsc`.
fn files_by_source(packages: &[Value]) -> BTreeMap<String, BTreeMap<String, Digest>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let stem = |package: &Value| {
        let version = text(&package["source_version"]);
        let version = version.split_once(':').map_or(&*version, |(_, version)| version);
        format!("{}_{version}", text(&package["source_package"]))
    };
    let files = |package: &Value| {
        let files = package["sources"].as_array().unwrap().iter();
        files.map(|file| (text(&file["name"]), text(&file["digest"]).parse().unwrap())).collect()
    };
    packages.iter().map(|package| (stem(package), files(package))).collect()
}

/// Returns the names of the files that are attached to an image as its sources.
fn titles_of_bundle(registry: &TestRegistry, outcome: &Outcome) -> Vec<String> {
    let listed = pier::referrers(&registry.host(), "app", &pier::digest(outcome));
    let manifest = pier::manifest(registry, "app", &pier::only(&listed, SOURCES).to_string());
    assert_eq!(manifest["artifactType"], SOURCES);
    let layers = manifest["layers"].as_array().unwrap().iter();
    let title =
        |layer: &Value| layer["annotations"]["org.opencontainers.image.title"].as_str().unwrap().to_owned();
    layers.map(title).collect()
}

/// Returns this machine's release without its updates, with the keyring of this machine: the base brings none.
fn lines_of_this_machine() -> Vec<String> {
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg".to_owned();
    let released = support::machine::debian().iter().filter(|one| one.suite == support::machine::codename());
    released.map(|one| MachineSource { signed_by: keyring.clone(), ..one.clone() }.line()).collect()
}

/// Returns image and account of a put from an empty worker into a registry of its own.
fn image_and_account(harbour: &Harbour, source: &Value) -> (Value, String) {
    let outcome = pier::put(source, &harbour.yard("package \"tool\" {}"));
    let account = pier::small_files(source, &outcome).read("bom.yml");
    (json!(outcome.version["digest"]), account)
}

#[test]
fn another_day_or_another_mirror_changes_neither_image_nor_account() {
    let key = Key::ed25519();
    let of_key = || {
        let sources = [("tools", "1:2.0-1"), ("lib", "3-1"), ("crate", "4-1")];
        let sources = sources.map(|(name, version)| Source::native(name, version, name));
        sources.into_iter().fold(Archive::new().add(tool()), Archive::add_source).sign_with(&key)
    };
    let harbour = Harbour::new(of_key());
    let in_repository = |name: &str| {
        let mut source = harbour.source();
        source["repository"] = json!(format!("{}/{name}", harbour.registry.host()));
        source
    };
    let first = image_and_account(&harbour, &in_repository("first"));

    harbour.archive.publish(&of_key().date("Mon, 03 Jun 2024 00:00:00 UTC"));
    assert_eq!(image_and_account(&harbour, &in_repository("another-day")), first);

    // The archive has the indexes alone by now, and what they name lies elsewhere.
    let mirror = of_key().serve();
    harbour.archive.publish(&of_key().wrong(crate::support::archive::Wrong::MissingPoolFile(String::new())));
    let mut source = in_repository("another-mirror");
    source["apt"]["mirrors"] = json!([mirror.url()]);
    assert_eq!(image_and_account(&harbour, &source), first);
    assert!(mirror.log().lines().iter().any(|line| line.contains(".deb")));

    // Another archive is named in the account, and makes the same image.
    let mut source = in_repository("another-archive");
    source["apt"]["repositories"] = json!([mirror.line("signed-by=archive")]);
    let (image, account) = image_and_account(&harbour, &source);
    assert_eq!(image, first.0);
    let without_lock = |account: &str| {
        let lines = account.lines().filter(|line| !line.starts_with("lock: ")).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let named_alike = account.replace(&mirror.url(), &harbour.archive.url());
    assert_eq!(without_lock(&named_alike), without_lock(&first.1));
}
