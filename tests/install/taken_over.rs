//! Bases that have an account of their own: it is taken over where it is believed, and the lock says which it was.

use std::process::Command;

use estaleiro::digest::{Digest, Sha512};
use serde_json::{Value, json};

use crate::site::Site;
use crate::support::{Archive, Deb, Key, ServedArchive, TestRegistry};
use crate::yard::account;

const YAML: &str = "application/vnd.estaleiro.bom.v1+yaml";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A base of ours in a registry, and its account.
struct Base {
    _archive: ServedArchive,
    site: Site,
    registry: TestRegistry,
    yaml: String,
}

impl Base {
    /// Builds a base with a package and a file.
    fn new() -> Base {
        let tool = Deb::new("tool", "1:2.0-1").file("/usr/bin/tool", 0o755, "tool");
        let archive = Archive::new()
            .add(tool)
            .add(Deb::new("base", "1").essential())
            .add(Deb::new("usr-is-merged", "1"));
        let archive = archive.sign_with(&Key::ed25519()).serve();
        let registry = TestRegistry::start();
        let site = Site::new(&format!(
            "image \"ours\" {{\n  apt {{\n    essential = false\n    repositories = [{:?}]\n    \
             key \"archive\" {{\n      path = \"archive.asc\"\n    }}\n    package \"tool\" {{}}\n  }}\n  \
             file \"/opt/app\" {{\n    from_context {{ path = \"app\" }}\n  }}\n  \
             labels = {{ \"org.opencontainers.image.vendor\" = \"Ours\" }}\n}}\n",
            archive.line("signed-by=archive")
        ));
        site.put("archive.asc", archive.key());
        site.put("app", "ahoy");
        let name = registry.name("ours", "1");
        site.succeeds(site.verb("build").args(["--push", &name]));
        let yaml = String::from_utf8(site.succeeds(&mut site.estaleiro(&["bom", &name])).stdout).unwrap();
        Base { _archive: archive, site, registry, yaml }
    }

    fn account(&self) -> Value {
        serde_saphyr::from_str(&self.yaml).unwrap()
    }

    /// Returns a site whose image stands on the base.
    fn above(&self, text: &str) -> Site {
        let name = self.registry.name("ours", "1");
        let mut site = Site::new(&format!("image \"above\" {{\n  base_image = \"{name}\"\n{text}\n}}\n"));
        site.call(self.registry.host(), "registry.example");
        site
    }

    /// Attaches another account, which is a later one than all before.
    fn attach(&self, yaml: &str, generation: u32) {
        let subject = self.account()["image"]["digest"].clone();
        let (_, image) = self.registry.manifest("ours", subject.as_str().unwrap()).unwrap();
        let descriptor = |media_type: &str, bytes: &[u8]| {
            let digest = self.registry.put_blob("ours", bytes);
            json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": YAML,
            "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [descriptor(YAML, yaml.as_bytes())],
            "subject": {"mediaType": MANIFEST, "digest": subject, "size": image.len()},
            "annotations": {"vnd.estaleiro.generation": generation.to_string()},
        });
        self.registry.put_manifest("ours", None, MANIFEST, manifest.to_string().as_bytes());
    }
}

fn loud_build(site: &Site) -> Command {
    let mut build = site.loud_verb("build");
    build.args(["--output", "oci:../layout"]);
    build
}

fn taken(site: &Site) -> Value {
    account(site)["base_image"]["account"].clone()
}

#[test]
fn what_a_base_of_ours_tells_of_itself_is_taken_over() {
    let base = Base::new();
    let (own, site) = (base.account(), base.above("  workdir = \"/\""));
    site.succeeds(&mut site.build());
    let account = account(&site);
    let told = &account["base_image"];
    assert_eq!(told["account"], Digest::of(&base.yaml).to_string());
    let (package, known) = (&told["packages"][0], &own["changeset"]["packages"][0]);
    for field in ["name", "version", "location", "repository", "signed_by"] {
        assert!(!known[field].is_null() && package[field] == known[field], "{field}: {package}");
    }
    assert_eq!(told["sources"][0]["sources"], known["sources"]);
    assert_eq!(account["keys"], own["keys"]);
    assert_eq!(told["files"], own["changeset"]["files"]);
    assert_eq!(told["files"][0]["path"], "/opt/app");
    assert_eq!(account["changeset"]["files"], json!([]));
    assert!(account["layers"].as_array().unwrap().iter().all(|layer| layer["is_base"] == true));
}

#[test]
fn a_dockerfiles_base_is_taken_over_from_a_registry_and_from_a_layout() {
    let base = Base::new();
    base.site.succeeds(&mut base.site.build());
    let layout = format!("local=oci-layout://{}", base.site.layout().display());
    let name = base.registry.name("ours", "1");
    for (from, further) in [(name.as_str(), &[][..]), ("local", &["--build-context", &layout])] {
        let site = base.above("");
        site.put("Dockerfile", format!("FROM {from}\nLABEL a=b\n"));
        let arguments =
            ["build", "--quiet", "--state", "../state", "--platform", "linux/amd64", "-f", "Dockerfile"];
        let mut build = site.estaleiro(&arguments);
        site.succeeds(build.args(["--output", "oci:../layout"]).args(further));
        assert_eq!(taken(&site), Digest::of(&base.yaml).to_string(), "{from}");
        assert_eq!(account(&site)["base_image"]["files"][0]["path"], "/opt/app");
    }
}

#[test]
fn the_next_build_stays_with_the_account_without_asking_for_it() {
    let base = Base::new();
    let (site, app) = (base.above("  workdir = \"/\""), base.registry.name("app", "1"));
    let build = || {
        let state = tempfile::tempdir().unwrap();
        let state = state.path().to_str().unwrap();
        let push = ["build", "--quiet", "--platform", "linux/amd64", "--state", state, "--push", &app];
        site.succeeds(&mut site.estaleiro(&push));
        site.succeeds(&mut site.estaleiro(&["bom", &app])).stdout
    };
    let first = build();
    base.attach(&base.yaml.replace("product_name: ours\n", "product_name: ours too\n"), 1);
    base.registry.log().clear();
    assert!(first == build(), "the account is another one");
    let requests = base.registry.log().requests();
    let of_base = requests.iter().filter(|request| request.path.starts_with("/v2/ours/"));
    let of_account =
        of_base.filter(|request| request.path.contains("referrers") || request.path.contains("/blobs/"));
    assert_eq!(of_account.map(|request| &request.path).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn who_answers_for_a_base_answers_for_no_more_and_its_manifest_is_told_by_both_digests() {
    let base = Base::new();
    let own = base.account()["image"].clone();
    assert_eq!(own["labels"], json!({"vendor": "Ours"}));
    let (_, manifest) = base.registry.manifest("ours", own["digest"].as_str().unwrap()).unwrap();
    assert_eq!(own["sha512"], Sha512::of(&manifest).to_string());

    let site = base.above("  labels = { \"org.opencontainers.image.url\" = \"https://team.example\" }");
    site.succeeds(&mut site.build());
    let account = account(&site);
    let told = &account["base_image"];
    assert_eq!((&told["sha512"], &told["labels"]), (&own["sha512"], &own["labels"]));
    assert_eq!(account["image"]["labels"], json!({"url": "https://team.example"}));
}

#[test]
fn files_of_the_base_that_are_replaced_or_removed_are_no_longer_told() {
    let base = Base::new();
    for text in
        ["  remove = [\"/opt\"]", "  file \"/opt/app\" {\n    from_context { path = \"estaleiro.hcl\" }\n  }"]
    {
        let site = base.above(text);
        site.succeeds(&mut site.build());
        let told = &account(&site)["base_image"];
        assert!(told["account"].is_string() && told["files"].is_null(), "{text}: {told}");
    }
}

#[test]
fn an_account_that_is_not_the_images_is_not_believed() {
    let base = Base::new();
    let own = base.account();
    let other = Digest::of("other").to_string();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let cases = [
        ("broken", ": [".to_owned(), "cannot read the bill of materials"),
        ("later", base.yaml.replacen("protocol: v1", "protocol: v2", 1), "its protocol is `v2`"),
        (
            "of another image",
            base.yaml.replacen(&text(&own["image"]["digest"]), &other, 1),
            "it is of the image sha256:DIGEST",
        ),
        (
            "of other layers",
            base.yaml.replace(&text(&own["layers"][0]["diff_id"]), &other),
            "its layers aren't the image's",
        ),
        (
            "silent",
            base.yaml.replace("name: tool\n", "name: tools\n"),
            "it doesn't tell of the package tool 1:2.0-1 (all), which is installed",
        ),
        (
            "outdated",
            base.yaml
                .replace("version: 1:2.0-1\n", "version: 1:3.0-1\n")
                .replace("version: \"1:2.0-1\"\n", "version: \"1:3.0-1\"\n"),
            "it doesn't tell of the package tool 1:2.0-1 (all), which is installed",
        ),
    ];
    for (generation, (what, yaml, why)) in cases.iter().enumerate() {
        assert_ne!(*yaml, base.yaml, "{what}");
        base.attach(yaml, 1 + u32::try_from(generation).unwrap());
        let site = base.above("  workdir = \"/\"");
        let output = site.succeeds(&mut loud_build(&site));
        let said = site.said(&output.stderr);
        assert!(said.contains(" is not taken over: ") && said.contains(why), "{what}: {said}");
        let told = &account(&site)["base_image"];
        assert!(told["account"].is_null() && told["packages"][0]["location"].is_null(), "{what}: {told}");
        assert_eq!(told["packages"][0]["version"], "1:2.0-1", "{what}");
    }
}

#[test]
fn the_lock_says_which_account_is_taken_over() {
    let base = Base::new();
    let site = base.above("  workdir = \"/\"");
    site.succeeds(&mut site.verb("lock"));
    let first = Digest::of(&base.yaml).to_string();
    let lock = site.path("context/estaleiro.lock");
    let text = std::fs::read_to_string(&lock).unwrap();
    let locked: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(locked["platforms"][0]["base"]["account"], first);

    let later = base.yaml.replace("product_name: ours\n", "product_name: ours too\n");
    base.attach(&later, 1);
    site.succeeds(&mut site.build());
    assert_eq!(taken(&site), first, "what was attached later changes nothing");
    std::fs::remove_dir_all(site.layout()).unwrap();

    let output = site.succeeds(&mut site.loud_verb("lock"));
    let said = site.said(&[output.stdout, output.stderr].concat());
    assert!(said.contains("~ base registry.example/ours:1: its account"), "{said}");
    let text = std::fs::read_to_string(&lock).unwrap();
    assert!(text.contains(&Digest::of(&later).to_string()), "{text}");
}

#[test]
fn an_account_that_a_lock_names_and_that_cannot_be_had_fails_the_build() {
    let base = Base::new();
    let site = base.above("  workdir = \"/\"");
    site.succeeds(&mut site.verb("lock"));
    let lock = site.path("context/estaleiro.lock");
    let text = std::fs::read_to_string(&lock).unwrap();
    let silent = base.yaml.replace("name: tool\n", "name: tools\n");
    base.attach(&silent, 1);
    for (account, why) in [
        (
            Digest::of("gone"),
            "of base registry.example/ours@sha256:DIGEST, which the lock names: nothing of that digest is attached\nhint: ",
        ),
        (Digest::of(&silent), "it doesn't tell of the package tool"),
    ] {
        std::fs::write(&lock, text.replace(&Digest::of(&base.yaml).to_string(), &account.to_string()))
            .unwrap();
        let said = site.fails(1, &mut site.build());
        assert!(said.contains(why), "{said}");
    }
}
