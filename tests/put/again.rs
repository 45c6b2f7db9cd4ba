//! Putting again, each time from an empty worker: what the registry knows is neither built nor sent nor brought.

use std::collections::BTreeMap;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::pier::{self, APP, BOM, CACHE, CYCLONEDX, LOCK, SPDX, Yard};
use crate::support::concourse::Outcome;
use crate::support::registry::{Mount, Options};
use crate::support::{DockerRegistry, TestImage, TestRegistry, tree};

const UNCHANGED: &str = "nothing changed: no layer was built, downloaded or uploaded";

/// A registry with a base, and an image upon it that was put once.
struct Harbour {
    registry: TestRegistry,
    yard: Yard,
    first: Outcome,
    first_bom: String,
}

impl Harbour {
    fn new() -> Harbour {
        Harbour::with(Options::default())
    }

    fn with(options: Options) -> Harbour {
        let registry = TestRegistry::with(options);
        pier::base_image().put(&registry, "base", Some("1"));
        let yard = Yard::new(&definition(&registry, "/opt/app"));
        let first = pier::put(&pier::source(&registry.host(), "app"), &yard);
        assert!(!first.stderr.contains("nothing changed"), "{}", first.stderr);
        let first_bom = pier::small_files(&pier::source(&registry.host(), "app"), &first).read("bom.yml");
        registry.log().clear();
        Harbour { registry, yard, first, first_bom }
    }

    fn source(&self) -> Value {
        pier::source(&self.registry.host(), "app")
    }

    fn put(&self) -> Outcome {
        self.registry.log().clear();
        pier::put(&self.source(), &self.yard)
    }

    /// Returns how often what was asked of the image's repository during the last put.
    fn asked(&self) -> Vec<(String, usize)> {
        let mut asked = BTreeMap::new();
        for request in self.registry.log().requests() {
            let Some(rest) = request.path.strip_prefix("/v2/app/") else { continue };
            let is_upload = rest.starts_with("blobs/uploads/");
            let kind = if is_upload { "upload" } else { rest.split('/').next().unwrap() };
            *asked.entry(format!("{} {kind}", request.method)).or_default() += 1;
        }
        asked.into_iter().collect()
    }

    fn layers(&self) -> Vec<Digest> {
        pier::layers(&self.registry, "app", "latest")
    }

    fn referrers(&self) -> Vec<(String, Value)> {
        pier::referrers(&self.registry.host(), "app", &pier::digest(&self.first))
    }

    /// Takes the only artifact of a type away.
    fn delete(&self, kind: &str) {
        let artifact = pier::only(&self.referrers(), kind);
        pier::delete(&self.registry.host(), "app", &format!("manifests/{artifact}"));
    }

    /// Puts a cache record in the place of the image's.
    fn replace_record(&self, content: &[u8]) {
        pier::replace_record(&self.registry, "app", content);
    }

    /// Asserts that a put was of the same image, and that the one after it has nothing to do.
    fn assert_all_is_well(&self, again: &Outcome) {
        assert_eq!(again.version, self.first.version);
        let got = pier::get(&self.source(), &again.version, &json!({}));
        assert_eq!(got.read("bom.yml"), self.first_bom);
        assert!(tree::dump(&got.path("rootfs")).contains("/usr/bin/app -> /opt/app"));
        self.assert_unchanged(&self.put());
    }

    fn assert_unchanged(&self, outcome: &Outcome) {
        assert_eq!(outcome.version, self.first.version);
        assert!(outcome.stderr.contains(UNCHANGED), "{}", outcome.stderr);
        assert_eq!(outcome.metadata("steps"), Some("0 built, 2 cached"));
        assert_eq!(pier::writes(&self.registry), Vec::<String>::new());
        let downloads = pier::downloads(&self.registry);
        assert!(!downloads.iter().any(|blob| self.layers().contains(blob)), "{downloads:?}");
        assert_eq!(downloads.len(), 1, "only the cache record is read");
    }
}

/// Returns a definition of a file and a link upon the base.
fn definition(registry: &TestRegistry, target: &str) -> String {
    APP.replacen('{', &format!("{{\nbase_image = \"{}\"", registry.name("base", "1")), 1)
        .replace("target = \"/opt/app\"", &format!("target = \"{target}\""))
}

#[test]
fn with_nothing_changed_nothing_is_built_sent_or_brought() {
    let harbour = Harbour::new();
    let again = harbour.put();
    harbour.assert_unchanged(&again);
    assert_eq!(again.metadata, replaced(&harbour.first.metadata, "steps", "0 built, 2 cached"));
    let got = pier::small_files(&harbour.source(), &again);
    assert_eq!(got.read("bom.yml"), harbour.first_bom);
    assert!(harbour.first_bom.contains("/opt/app") && harbour.first_bom.contains("caravel"));
    assert_eq!(pier::types(&harbour.referrers()), pier::ARTIFACTS, "nothing is attached twice");
}

fn replaced(metadata: &[(String, String)], name: &str, value: &str) -> Vec<(String, String)> {
    let replaced = |pair: &(String, String)| match pair.0 == name {
        true => (name.to_owned(), value.to_owned()),
        false => pair.clone(),
    };
    metadata.iter().map(replaced).collect()
}

#[test]
fn with_nothing_changed_a_registry_without_a_list_of_referrers_is_left_alone_too() {
    let registry = DockerRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let yard = Yard::new(APP);
    let first = pier::put(&source, &yard);
    let list = pier::fallback_list(&registry.host(), "app", &pier::digest(&first));
    let again = pier::put(&source, &yard);
    assert_eq!(again.version, first.version);
    assert!(again.stderr.contains(UNCHANGED), "{}", again.stderr);
    assert_eq!(pier::fallback_list(&registry.host(), "app", &pier::digest(&first)), list);
}

#[test]
fn with_one_file_changed_only_its_layer_is_built_and_sent() {
    let harbour = Harbour::new();
    let before = harbour.layers();
    harbour.yard.write("app.sh", "#!/bin/sh\necho adeus\n");
    let again = harbour.put();
    let after = harbour.layers();
    assert_eq!(after[..2], before[..2]);
    assert_ne!(after[2], before[2]);
    assert_eq!(after[3], before[3], "the link is the same");
    assert_eq!(layers_among(&pier::uploads(&harbour.registry), &after), [after[2]]);
    assert_eq!(layers_among(&pier::downloads(&harbour.registry), &after), [], "the base isn't pulled");
    assert!(!harbour.registry.log().requests().iter().any(|request| request.query.contains("mount=")));
    let got = pier::get(&harbour.source(), &again.version, &json!({}));
    assert!(got.read("rootfs/opt/app").contains("adeus"));
    let account: Value = serde_saphyr::from_str(&got.read("bom.yml")).unwrap();
    assert_eq!(account["base_image"]["codename"], "caravel", "what is known of the base travels along");
}

fn layers_among(blobs: &[Digest], layers: &[Digest]) -> Vec<Digest> {
    blobs.iter().filter(|blob| layers.contains(blob)).copied().collect()
}

#[test]
fn a_put_asks_the_registry_as_little_as_it_can() {
    let unchanged: [(bool, Vec<(&str, usize)>); 2] = [
        (true, vec![("GET blobs", 1), ("GET manifests", 2), ("GET referrers", 1), ("HEAD blobs", 8)]),
        (
            false,
            vec![
                ("GET blobs", 1),
                ("GET manifests", 3),
                ("GET referrers", 1),
                ("HEAD blobs", 8),
                ("HEAD manifests", 4),
            ],
        ),
    ];
    for (referrers, expected) in unchanged {
        let harbour = Harbour::with(Options { referrers, ..Options::default() });
        harbour.put();
        assert_eq!(shown(&harbour.asked()), expected, "{:#?}", harbour.registry.log().lines());
    }
}

/// The list of referrers is read before and after it is written, and once more for what is there already.
#[test]
fn a_put_of_a_changed_file_asks_once_for_each_thing_it_sends() {
    for (referrers, n_gets, n_puts) in [(true, 2, 8), (false, 6, 9)] {
        let harbour = Harbour::with(Options { referrers, ..Options::default() });
        harbour.yard.write("app.sh", "#!/bin/sh\necho adeus\n");
        harbour.put();
        let expected: [(&str, usize); 8] = [
            ("GET blobs", 1),
            ("GET manifests", n_gets),
            ("GET referrers", if referrers { 2 } else { 1 }),
            ("HEAD blobs", 7),
            ("HEAD manifests", 1),
            ("POST upload", 8),
            ("PUT manifests", n_puts),
            ("PUT upload", 1),
        ];
        assert_eq!(shown(&harbour.asked()), expected, "{:#?}", harbour.registry.log().lines());
    }
}

fn shown(asked: &[(String, usize)]) -> Vec<(&str, usize)> {
    asked.iter().map(|(kind, n)| (kind.as_str(), *n)).collect()
}

#[test]
fn what_comes_before_a_change_is_not_built_again() {
    let harbour = Harbour::new();
    let before = harbour.layers();
    harbour.yard.write("estaleiro.hcl", definition(&harbour.registry, "/opt/./app"));
    let again = harbour.put();
    assert_eq!(again.metadata("steps"), Some("1 built, 1 cached"));
    assert!(again.stderr.contains("copy /opt/app: cached in the registry"), "{}", again.stderr);
    let after = harbour.layers();
    assert_eq!(after[..3], before[..3]);
    assert_eq!(layers_among(&pier::uploads(&harbour.registry), &after), [after[3]]);
    assert_eq!(layers_among(&pier::downloads(&harbour.registry), &after), []);
}

#[test]
fn a_base_that_moved_is_built_upon_anew() {
    let harbour = Harbour::new();
    let base = pier::base_image().config("User", json!("app"));
    let moved = base.put(&harbour.registry, "base", Some("1"));
    let again = harbour.put();
    assert_ne!(again.version, harbour.first.version);
    let annotations = &pier::manifest(&harbour.registry, "app", "latest")["annotations"];
    assert_eq!(annotations["org.opencontainers.image.base.digest"], moved.to_string());
    assert_eq!(pier::config(&harbour.registry, "app", "latest")["config"]["User"], "app");
    assert_eq!(again.metadata("steps"), Some("2 built, 0 cached"));
    let bom = pier::small_files(&harbour.source(), &again).read("bom.yml");
    assert!(bom.contains(&moved.to_string()), "{bom}");
}

#[test]
fn a_base_that_moved_to_other_layers_is_pulled() {
    let harbour = Harbour::new();
    let layer = crate::support::Tarball::new().file("etc/os-release", 0o644, "ID=other\n");
    TestImage::new().layer(&layer).put(&harbour.registry, "base", Some("1"));
    let again = harbour.put();
    assert_eq!(harbour.layers().len(), 3);
    let account: Value =
        serde_saphyr::from_str(&pier::small_files(&harbour.source(), &again).read("bom.yml")).unwrap();
    assert_eq!(account["base_image"]["os"], "other");
}

#[test]
fn a_cache_record_that_is_garbage_is_ignored() {
    for garbage in [&b"\xff\xfe"[..], b"{}", b"[1,2]", br#"{"vertices":[{"key":1}],"bases":[],"lock":null}"#]
    {
        let harbour = Harbour::new();
        harbour.replace_record(garbage);
        let again = harbour.put();
        let text = String::from_utf8_lossy(garbage);
        assert!(again.stderr.contains("warning: the last build's cache record is not used: "), "{text}");
        assert!(!again.stderr.contains(UNCHANGED), "{text}\n{}", again.stderr);
        harbour.assert_all_is_well(&again);
    }
}

#[test]
fn a_cache_record_of_another_image_is_ignored() {
    let harbour = Harbour::new();
    let other = Yard::new(&APP.replace("/usr/bin/app", "/usr/bin/other"));
    let outcome = pier::put(&pier::source(&harbour.registry.host(), "other"), &other);
    let host = harbour.registry.host();
    let record = pier::only(&pier::referrers(&host, "other", &pier::digest(&outcome)), CACHE);
    harbour.replace_record(&pier::content(&host, "other", &record));
    let again = harbour.put();
    let expected = "warning: the last build's cache record is not used: it names the layer sha256:";
    assert!(again.stderr.contains(expected), "{}", again.stderr);
    harbour.assert_all_is_well(&again);
}

#[test]
fn a_cache_record_that_lies_about_the_base_is_ignored() {
    let harbour = Harbour::new();
    let host = harbour.registry.host();
    let record = pier::only(&harbour.referrers(), CACHE);
    let mut record: Value = serde_json::from_slice(&pier::content(&host, "app", &record)).unwrap();
    let layers = record["bases"][0]["image"]["layers"].as_array_mut().unwrap();
    layers.swap(0, 1);
    harbour.replace_record(record.to_string().as_bytes());
    let again = harbour.put();
    let expected = "warning: the last build's cache record is not used: it names the base sha256:";
    assert!(again.stderr.contains(expected), "{}", again.stderr);
    harbour.assert_all_is_well(&again);
}

#[test]
fn a_layer_that_the_registry_lost_is_built_again() {
    let harbour = Harbour::new();
    let lost = harbour.layers()[2];
    pier::delete(&harbour.registry.host(), "app", &format!("blobs/{lost}"));
    let again = harbour.put();
    let expected =
        format!("warning: layer {lost} is gone from {}/app: it is built again", harbour.registry.host());
    assert!(again.stderr.contains(&expected), "{}", again.stderr);
    assert_eq!(layers_among(&pier::uploads(&harbour.registry), &harbour.layers()), [lost]);
    assert!(!again.stderr.contains(UNCHANGED), "{}", again.stderr);
    harbour.assert_all_is_well(&again);
}

#[test]
fn a_layer_that_the_registry_lost_does_not_spoil_the_next_image() {
    let harbour = Harbour::new();
    let lost = harbour.layers()[2];
    pier::delete(&harbour.registry.host(), "app", &format!("blobs/{lost}"));
    harbour.yard.write("estaleiro.hcl", definition(&harbour.registry, "/opt/./app"));
    let again = harbour.put();
    assert_eq!(harbour.layers()[2], lost);
    let got = pier::get(&harbour.source(), &again.version, &json!({}));
    assert!(got.read("rootfs/opt/app").contains("ahoy"));
}

#[test]
fn a_base_layer_that_the_repository_lost_is_taken_from_the_base() {
    for mount in [Mount::Done, Mount::Accepted, Mount::Refused] {
        let harbour = Harbour::new();
        harbour.registry.change(|options| options.mount = mount);
        let lost = harbour.layers()[0];
        pier::delete(&harbour.registry.host(), "app", &format!("blobs/{lost}"));
        let again = harbour.put();
        let (mounts, uploads) = (pier::mounts(&harbour.registry), pier::uploads(&harbour.registry));
        let is_mounted = mounts.get(&lost).is_some_and(|from| from == "base");
        assert_eq!((is_mounted, uploads.contains(&lost)), (mount == Mount::Done, mount != Mount::Done));
        assert_eq!(harbour.registry.n_open_uploads(), 0, "{mount:?}");
        assert!(!again.stderr.contains(UNCHANGED), "{}", again.stderr);
        harbour.assert_all_is_well(&again);
    }
}

#[test]
fn an_account_or_a_lock_that_got_lost_is_attached_again() {
    for kind in pier::ARTIFACTS {
        let harbour = Harbour::new();
        harbour.delete(kind);
        let again = harbour.put();
        assert_eq!(pier::types(&harbour.referrers()), pier::ARTIFACTS, "{kind}");
        assert_eq!(again.stderr.contains(UNCHANGED), kind != CACHE, "{kind}: {}", again.stderr);
        harbour.assert_all_is_well(&again);
    }
}

#[test]
fn an_account_whose_content_got_lost_is_attached_again() {
    for kind in [BOM, CYCLONEDX, SPDX, LOCK] {
        let harbour = Harbour::new();
        let host = harbour.registry.host();
        let content = Digest::of(pier::content(&host, "app", &pier::only(&harbour.referrers(), kind)));
        pier::delete(&host, "app", &format!("blobs/{content}"));
        let again = harbour.put();
        assert!(harbour.registry.has_blob("app", &content), "{kind}");
        harbour.assert_all_is_well(&again);
    }
}

#[test]
fn a_fallback_list_that_got_lost_is_written_again() {
    let registry = DockerRegistry::start();
    let (host, yard) = (registry.host(), Yard::new(APP));
    let source = pier::source(&host, "app");
    let first = pier::put(&source, &yard);
    let list = pier::fallback_list(&host, "app", &pier::digest(&first));
    let tag = first.version["digest"].replace(':', "-");
    let (_, index) = pier::ask(&host, "GET", &format!("/v2/app/manifests/{tag}"));
    pier::delete(&host, "app", &format!("manifests/{}", Digest::of(&index)));
    assert_eq!(pier::ask(&host, "GET", &format!("/v2/app/manifests/{tag}")).0, 404);

    let again = pier::put(&source, &yard);
    assert_eq!(again.version, first.version);
    assert_eq!(pier::fallback_list(&host, "app", &pier::digest(&first)), list);
    assert!(!again.stderr.contains(UNCHANGED), "it was built again: {}", again.stderr);
    assert!(pier::put(&source, &yard).stderr.contains(UNCHANGED));
}

#[test]
fn an_account_that_a_fallback_list_names_and_nobody_has_is_attached_again() {
    let registry = DockerRegistry::start();
    let (host, yard) = (registry.host(), Yard::new(APP));
    let source = pier::source(&host, "app");
    let first = pier::put(&source, &yard);
    let bom = pier::only(&pier::fallback_list(&host, "app", &pier::digest(&first)), BOM);
    let text = pier::small_files(&source, &first).read("bom.yml");
    pier::delete(&host, "app", &format!("manifests/{bom}"));

    let again = pier::put(&source, &yard);
    assert_eq!(again.version, first.version);
    assert_eq!(pier::small_files(&source, &again).read("bom.yml"), text);
}

#[test]
fn of_several_accounts_of_an_image_the_last_one_is_got() {
    let harbour = Harbour::new();
    let text = definition(&harbour.registry, "/opt/app");
    let mut boms = Vec::new();
    for comment in ["# one", "# two", "# one"] {
        harbour.yard.write("estaleiro.hcl", format!("{comment}\n{text}"));
        let again = harbour.put();
        assert_eq!(again.version, harbour.first.version, "a comment changes no bit of the image");
        assert!(again.stderr.contains(UNCHANGED), "{}", again.stderr);
        let bom = pier::small_files(&harbour.source(), &again).read("bom.yml");
        assert_eq!(again.metadata("bom"), Some(Digest::of(&bom).to_string().as_str()));
        boms.push(bom);
    }
    assert_ne!(boms[0], boms[1]);
    assert_eq!(boms[0], boms[2]);
    let lists = harbour.referrers();
    let n_listed = |wanted: &str| lists.iter().filter(|(kind, _)| kind == wanted).count();
    assert_eq!(
        [BOM, CACHE, LOCK].map(n_listed),
        [4, 4, 1],
        "a record tells which forms belong to its account"
    );
}

#[test]
fn a_tag_that_somebody_else_moved_comes_back() {
    let harbour = Harbour::new();
    TestImage::new().put(&harbour.registry, "app", Some("latest"));
    let again = harbour.put();
    assert_eq!(again.version, harbour.first.version);
    assert_eq!(harbour.registry.resolve("app", "latest").unwrap(), pier::digest(&harbour.first));
    assert_eq!(pier::uploads(&harbour.registry), [], "the registry has it all");
}

#[test]
fn a_record_that_is_on_this_machine_is_not_fetched_again() {
    let (harbour, state) = (Harbour::new(), tempfile::tempdir().unwrap());
    let concourse = pier::concourse(state.path());
    for n_downloads in [1, 0] {
        harbour.registry.log().clear();
        let again = concourse.resource(harbour.source()).put(&pier::step(&harbour.yard)).unwrap().0;
        assert!(again.stderr.contains(UNCHANGED), "{}", again.stderr);
        assert_eq!(pier::downloads(&harbour.registry).len(), n_downloads);
    }
}

#[test]
fn what_this_machine_knows_is_not_asked_of_the_registry() {
    let registry = TestRegistry::start();
    let state = tempfile::tempdir().unwrap();
    let concourse = pier::concourse(state.path());
    let yard = Yard::new(APP);
    let first = concourse.resource(pier::source(&registry.host(), "a")).put(&pier::step(&yard)).unwrap().0;
    let again = concourse.resource(pier::source(&registry.host(), "b")).put(&pier::step(&yard)).unwrap().0;
    assert_eq!(again.version, first.version);
    assert_eq!(again.metadata("steps"), Some("0 built, 2 cached"));
    assert!(again.stderr.contains("cached on this machine"), "{}", again.stderr);
    assert!(!again.stderr.contains("nothing changed"), "{}", again.stderr);
    assert_eq!(pier::layers(&registry, "b", "latest"), pier::layers(&registry, "a", "latest"));
}
