//! A put of a real Debian root, from this machine's mirror, and what the registry saves the next ones.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::pier::{self, BOM, Yard};
use crate::support::{self, TestRegistry};

const DEFINITION: &str = r#"
image "example/tool" {
  apt {
    package "hostname" {}
  }
  file "/opt/app" {
    from_context { path = "app.sh" }
    mode = "0755"
  }
}
"#;

#[test]
fn a_debian_root_is_put_once_and_then_continued_without_an_archive_or_a_layer_being_fetched() {
    let registry = TestRegistry::start();
    let lines: Vec<String> =
        support::machine::debian().iter().map(support::machine::MachineSource::line).collect();
    let mut source = pier::source(&registry.host(), "tool");
    source["apt"] = json!({"repositories": lines});
    let yard = Yard::new(DEFINITION);
    let first = pier::put(&source, &yard);

    let got = pier::get(&source, &first.version, &json!({}));
    let root = got.path("rootfs");
    let in_root =
        |arguments: &[&str]| support::run("chroot", &[&[root.to_str().unwrap()], arguments].concat());
    assert!(in_root(&["/opt/app"]).contains("ahoy"));
    assert_eq!(in_root(&["dpkg", "--audit"]), "");
    let installed = in_root(&["dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\\n"]);
    let installed: BTreeSet<String> = installed.lines().map(str::to_owned).collect();
    assert_eq!(packages(&got.read("bom.yml")), installed);
    assert_eq!(first.metadata("packages"), Some(installed.len().to_string().as_str()));

    // Again, with nothing changed and on an empty worker.
    registry.log().clear();
    let state = tempfile::tempdir().unwrap();
    let again = put_with(&source, &yard, state.path());
    assert_eq!(again.version, first.version);
    assert!(again.stderr.contains("nothing changed: no layer was built"), "{}", again.stderr);
    assert_eq!(n_archives(state.path()), 0, "no .deb is fetched");
    assert_eq!(pier::writes(&registry), Vec::<String>::new());
    let layers = pier::layers(&registry, "tool", "latest");
    assert!(!pier::downloads(&registry).iter().any(|blob| layers.contains(blob)));
    let host = registry.host();
    let artifacts = pier::referrers(&host, "tool", &pier::digest(&first));
    assert_eq!(pier::content(&host, "tool", &pier::only(&artifacts, BOM)), got.read("bom.yml").as_bytes());

    // With one file changed.
    registry.log().clear();
    yard.write("app.sh", "#!/bin/sh\necho adeus\n");
    let state = tempfile::tempdir().unwrap();
    let changed = put_with(&source, &yard, state.path());
    assert_eq!(changed.metadata("steps"), Some("1 built, 1 cached"));
    assert_eq!(n_archives(state.path()), 0, "no .deb is fetched");
    let after = pier::layers(&registry, "tool", "latest");
    assert_eq!(after[0], layers[0]);
    assert!(!pier::uploads(&registry).contains(&layers[0]));
    assert!(pier::uploads(&registry).contains(&after[1]));
    assert!(!pier::downloads(&registry).contains(&layers[0]), "the install layer stays where it is");
    assert_eq!(packages(&pier::small_files(&source, &changed).read("bom.yml")), installed);
}

fn put_with(source: &Value, yard: &Yard, state: &Path) -> support::concourse::Outcome {
    let mut resource = pier::concourse(state).resource(source.clone());
    resource.put(&pier::step(yard)).unwrap_or_else(|failure| panic!("{}", failure.stderr)).0
}

/// Returns the packages that an account names, with version and architecture.
fn packages(bom: &str) -> BTreeSet<String> {
    let account: Value = serde_saphyr::from_str(bom).unwrap();
    let packages = account["changeset"]["packages"].as_array().unwrap().iter();
    let text = |package: &Value| {
        ["name", "version", "architecture"].map(|field| package[field].as_str().unwrap().to_owned()).join(" ")
    };
    packages.map(text).collect()
}

/// Returns how many .debs lie in a state directory.
fn n_archives(state: &Path) -> usize {
    let blobs = std::fs::read_dir(state.join("blobs/sha256")).unwrap();
    let is_archive = |path: std::path::PathBuf| {
        let mut start = Vec::new();
        std::fs::File::open(path).unwrap().take(8).read_to_end(&mut start).unwrap();
        start == b"!<arch>\n"
    };
    blobs.filter(|blob| is_archive(blob.as_ref().unwrap().path())).count()
}
