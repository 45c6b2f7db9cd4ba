//! What is put arrives, is found, and comes back.

use std::path::Path;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::pier::{self, APP, BOM, Yard};
use crate::support::concourse::{Concourse, Outcome, Put};
use crate::support::{self, DockerRegistry, TestRegistry, tree};

#[test]
fn an_image_and_its_account_arrive_in_a_registry_that_knows_no_referrers() {
    let registry = DockerRegistry::start();
    let (host, source) = (registry.host(), pier::source(&registry.host(), "team/app"));
    let outcome = pier::put(&source, &Yard::new(APP));
    let digest = pier::digest(&outcome);
    assert_eq!(pier::ask(&host, "GET", &format!("/v2/team/app/referrers/{digest}")).0, 404);

    let artifacts = pier::fallback_list(&host, "team/app", &digest);
    assert_eq!(pier::types(&artifacts), pier::ARTIFACTS);
    let bom = pier::content(&host, "team/app", &pier::only(&artifacts, BOM));
    assert_tells_of_the_app(&outcome, &bom);
    comes_back(&source, &outcome, &bom);
}

#[test]
fn an_image_and_its_account_arrive_in_a_registry_that_keeps_the_list() {
    let registry = TestRegistry::start();
    let (host, source) = (registry.host(), pier::source(&registry.host(), "team/app"));
    let outcome = pier::put(&source, &Yard::new(APP));
    let digest = pier::digest(&outcome);
    assert_eq!(registry.tags("team/app"), ["latest"], "no fallback tag is left behind");

    let artifacts = pier::referrers(&host, "team/app", &digest);
    assert_eq!(pier::types(&artifacts), pier::ARTIFACTS);
    let bom = pier::content(&host, "team/app", &pier::only(&artifacts, BOM));
    assert_tells_of_the_app(&outcome, &bom);
    comes_back(&source, &outcome, &bom);
}

fn assert_tells_of_the_app(outcome: &Outcome, bom: &[u8]) {
    let account: Value = serde_saphyr::from_str(std::str::from_utf8(bom).unwrap()).unwrap();
    assert_eq!(account["product_name"], "example/app");
    let files = account["changeset"]["files"].as_array().unwrap();
    assert_eq!(files.len(), 1, "{account}");
    assert_eq!(files[0]["path"], "/opt/app");
    assert_eq!(files[0]["digest"], Digest::of("#!/bin/sh\necho ahoy\n").to_string());
    assert_eq!(outcome.metadata("bom"), Some(Digest::of(bom).to_string().as_str()));
    assert_eq!(outcome.metadata("steps"), Some("2 built, 0 cached"));
}

fn comes_back(source: &Value, outcome: &Outcome, bom: &[u8]) {
    let mut resource = Concourse::new().resource(source.clone());
    assert_eq!(resource.check().unwrap(), std::slice::from_ref(&outcome.version));
    assert_eq!(outcome.version["tag"], "latest");

    let got = pier::get(source, &outcome.version, &json!({}));
    assert_eq!(got.read("repository"), source["repository"].as_str().unwrap());
    assert_eq!(got.read("tag"), "latest");
    assert_eq!(got.read("digest"), outcome.version["digest"]);
    assert_eq!(got.read("bom.yml").as_bytes(), bom);
    let lock: Value = serde_json::from_str(&got.read("estaleiro.lock")).unwrap();
    assert_eq!(lock["format"], 1);
    let metadata: Value = serde_json::from_str(&got.read("metadata.json")).unwrap();
    assert_eq!(metadata["entrypoint"], json!(["/opt/app"]));
    assert!(metadata["env"][0].as_str().unwrap().starts_with("PATH="), "{metadata}");
    assert_eq!(
        tree::dump(&got.path("rootfs")),
        format!(
            "dir  0755 0:0 /opt\nfile 0755 0:0 {}:{} /opt/app\ndir  0755 0:0 /usr\ndir  0755 0:0 /usr/bin\n\
             link 0777 0:0 /usr/bin/app -> /opt/app",
            20,
            Digest::of("#!/bin/sh\necho ahoy\n").short()
        )
    );
    assert_eq!(file_names(got.directory.path()), FILES);
}

const FILES: [&str; 12] = [
    "bom.cdx.json",
    "bom.html",
    "bom.spdx.json",
    "bom.yml",
    "digest",
    "estaleiro.lock",
    "labels.json",
    "metadata.json",
    "provenance.json",
    "repository",
    "rootfs",
    "tag",
];

fn file_names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_root_comes_back_as_other_peoples_tools_unpack_it() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    pier::base_image().put(&registry, "base", Some("1"));
    let definition = APP.replacen('{', &format!("{{\nbase_image = \"{}\"", registry.name("base", "1")), 1);
    let outcome = pier::put(&source, &Yard::new(&definition));
    let got = pier::get(&source, &outcome.version, &json!({}));

    let directory = tempfile::tempdir().unwrap();
    let layout = format!("{}:latest", directory.path().join("layout").display());
    let image = format!("docker://{}", registry.name("app", "latest"));
    let copy = ["--insecure-policy", "copy", "--src-tls-verify=false", &image, &format!("oci:{layout}")];
    support::run("skopeo", &copy);
    let bundle = directory.path().join("bundle");
    support::run("umoci", &["unpack", "--image", &layout, bundle.to_str().unwrap()]);

    let root = tree::dump(&got.path("rootfs"));
    assert_eq!(root, tree::dump(&bundle.join("rootfs")));
    for line in ["hard 4755", "security.capability", "fifo 0600", "0640 1000:8 3:", "link 0777 0:0 /bin -> "]
    {
        assert!(root.contains(line), "{line} is not in\n{root}");
    }
    assert!(!root.contains("/etc/gone") && !root.contains("/var/mail/old"), "{root}");
}

#[test]
fn the_implicit_get_may_leave_the_layers_where_they_are() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let yard = Yard::new(APP);
    let get_params = json!({"skip_download": true});
    let step = Put { no_get: false, get_params, ..pier::step(&yard) };
    let (outcome, got) = pier::run(&source, &step).unwrap();
    let got = got.expect("the implicit get follows");
    assert_eq!(got.read("digest"), outcome.version["digest"]);
    assert_eq!(
        file_names(got.directory.path()),
        [
            "bom.cdx.json",
            "bom.html",
            "bom.spdx.json",
            "bom.yml",
            "digest",
            "estaleiro.lock",
            "provenance.json",
            "repository",
            "tag"
        ]
    );
    let layers = pier::layers(&registry, "app", "latest");
    assert!(!pier::downloads(&registry).iter().any(|blob| layers.contains(blob)));
}

#[test]
fn a_tag_that_moved_is_a_new_version_and_the_old_one_can_still_be_got() {
    let registry = TestRegistry::start();
    let mut source = pier::source(&registry.host(), "app");
    source["tag"] = json!("latest");
    let mut resource = Concourse::new().resource(source.clone());
    assert_eq!(resource.check().unwrap(), [], "there is nothing yet");
    let yard = Yard::new(APP);
    let first = pier::put(&source, &yard);
    resource.check().unwrap();
    yard.write("app.sh", "#!/bin/sh\necho adeus\n");
    let second = pier::put(&source, &yard);
    assert_eq!(resource.check().unwrap(), [first.version.clone(), second.version.clone()]);
    assert_eq!(resource.versions(), [first.version.clone(), second.version]);
    let got = pier::get(&source, &first.version, &json!({}));
    assert!(got.read("rootfs/opt/app").contains("ahoy"));
}

#[test]
fn an_image_without_an_account_can_be_got_too() {
    let registry = TestRegistry::start();
    let digest = pier::base_image().put(&registry, "base", Some("1"));
    let mut source = pier::source(&registry.host(), "base");
    source["tag"] = json!("1");
    let version = Concourse::new().resource(source.clone()).check().unwrap().remove(0);
    assert_eq!(version["digest"], digest.to_string());
    let got = pier::get(&source, &version, &json!({}));
    assert_eq!(
        file_names(got.directory.path()),
        FILES
            .iter()
            .copied()
            .filter(|f| !f.starts_with("bom.") && !["estaleiro.lock", "provenance.json"].contains(f))
            .collect::<Vec<_>>()
    );
    let gone = version.keys().map(|key| (key.clone(), version[key].clone())).collect();
    pier::delete(&registry.host(), "base", &format!("manifests/{digest}"));
    let failure = Concourse::new().resource(source).get(&gone, &json!({})).unwrap_err();
    assert_eq!(failure.status, Some(1));
    assert!(failure.stderr.contains("the registry has no such image"), "{}", failure.stderr);
}
