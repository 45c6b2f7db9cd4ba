//! Images built upon others: nothing of the base is sent again, and all that it says is inherited.

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::pier::{self, APP, Yard};
use crate::support::image::put_index;
use crate::support::registry::{Mount, Options};
use crate::support::{DockerRegistry, Tarball, TestImage, TestRegistry, tree};

/// Returns the definition of [`APP`] upon a base.
fn upon(base: &str) -> Yard {
    Yard::new(&APP.replacen('{', &format!("{{\nbase_image = \"{base}\""), 1))
}

fn digests(image: &TestImage) -> Vec<Digest> {
    let manifest: Value = serde_json::from_slice(&image.manifest_bytes()).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.map(|layer| layer["digest"].as_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn an_image_upon_one_that_was_put_before_continues_it() {
    let registry = TestRegistry::start();
    let lower = pier::put(&pier::source(&registry.host(), "team/lower"), &Yard::new(APP));
    let lower_layers = pier::layers(&registry, "team/lower", "latest");
    registry.log().clear();

    let yard = Yard::new(&format!(
        r#"image "example/upper" {{
             base_image = "{}"
             file "/etc/motd" {{ from_context {{ path = "app.sh" }} }}
           }}"#,
        registry.name("team/lower", "latest")
    ));
    let source = pier::source(&registry.host(), "team/upper");
    let upper = pier::put(&source, &yard);
    let layers = pier::layers(&registry, "team/upper", "latest");
    assert_eq!((layers.len(), &layers[..2]), (3, &lower_layers[..]));
    let mounts = pier::mounts(&registry);
    assert_eq!(mounts.len(), 2);
    for layer in &lower_layers {
        assert_eq!(mounts[layer], "team/lower");
        assert!(!pier::uploads(&registry).contains(layer));
    }
    let config = pier::config(&registry, "team/upper", "latest");
    assert_eq!(config["config"]["Entrypoint"], json!(["/opt/app"]));
    let bom = pier::small_files(&source, &upper).read("bom.yml");
    let account: Value = serde_saphyr::from_str(&bom).unwrap();
    let base = format!("{}@{}", registry.name("team/lower", "latest"), lower.version["digest"]);
    assert_eq!(account["base_image"]["canonical_name"], base);
}

#[test]
fn layers_of_a_base_are_mounted_from_another_repository() {
    let registry = TestRegistry::start();
    let base = pier::base_image();
    let base_digest = base.put(&registry, "library/base", Some("1"));
    pier::put(&pier::source(&registry.host(), "app"), &upon(&registry.name("library/base", "1")));
    let layers = pier::layers(&registry, "app", "latest");
    assert_eq!((layers.len(), &layers[..2]), (4, &digests(&base)[..]));
    let uploads = pier::uploads(&registry);
    for layer in &layers[..2] {
        assert_eq!(pier::mounts(&registry)[layer], "library/base");
        assert!(!uploads.contains(layer));
    }
    assert!(layers[2..].iter().all(|layer| uploads.contains(layer)));
    let annotations = &pier::manifest(&registry, "app", "latest")["annotations"];
    assert_eq!(annotations["org.opencontainers.image.base.digest"], base_digest.to_string());
    assert_eq!(annotations["org.opencontainers.image.base.name"], registry.name("library/base", "1"));
    assert_eq!(registry.n_open_uploads(), 0);
}

#[test]
fn layers_of_a_base_in_the_same_repository_are_left_alone() {
    let registry = TestRegistry::start();
    let base = pier::base_image();
    base.put(&registry, "app", Some("base"));
    pier::put(&pier::source(&registry.host(), "app"), &upon(&registry.name("app", "base")));
    let layers = pier::layers(&registry, "app", "latest");
    assert_eq!(layers[..2], digests(&base));
    assert!(!pier::uploads(&registry).iter().any(|blob| layers[..2].contains(blob)));
    assert!(!registry.log().requests().iter().any(|request| request.query.contains("mount=")));
}

#[test]
fn where_nothing_can_be_mounted_the_bytes_travel() {
    for mount in [Mount::Accepted, Mount::Refused] {
        let registry = TestRegistry::with(Options { mount, ..Options::default() });
        let base = pier::base_image();
        base.put(&registry, "library/base", Some("1"));
        let source = pier::source(&registry.host(), "app");
        let outcome = pier::put(&source, &upon(&registry.name("library/base", "1")));
        let layers = pier::layers(&registry, "app", "latest");
        assert_eq!(layers[..2], digests(&base));
        let mut uploads = pier::uploads(&registry);
        uploads.retain(|blob| layers.contains(blob));
        uploads.sort();
        let mut all = layers.clone();
        all.sort();
        assert_eq!(uploads, all, "{mount:?}: each layer is sent once");
        assert!(pier::mounts(&registry).is_empty());
        assert_eq!(registry.n_open_uploads(), 0, "{mount:?}");
        let got = pier::get(&source, &outcome.version, &json!({}));
        assert!(tree::dump(&got.path("rootfs")).contains("/var/mail/new"));
    }
}

#[test]
fn layers_of_a_base_travel_from_one_registry_to_another() {
    let (here, there) = (TestRegistry::start(), DockerRegistry::start());
    let base = pier::base_image();
    base.put(&here, "library/base", Some("1"));
    let source = pier::source(&there.host(), "app");
    let outcome = pier::put(&source, &upon(&here.name("library/base", "1")));
    let got = pier::get(&source, &outcome.version, &json!({}));
    assert!(tree::dump(&got.path("rootfs")).contains("/var/mail/new"));
    assert_eq!(pier::writes(&here), Vec::<String>::new(), "a base is only read");
}

#[test]
fn what_a_base_says_is_inherited() {
    let health = json!({"Test": ["CMD", "/bin/ping"], "Interval": 3_000_000_000_u64});
    let base = pier::base_image()
        .config("Env", json!(["PATH=/opt/base/bin:/bin", "LANG=pt_PT.UTF-8"]))
        .config("Entrypoint", json!(["/bin/su"]))
        .config("Cmd", json!(["-"]))
        .config("User", json!("app:mail"))
        .config("WorkingDir", json!("/var/mail"))
        .config("Labels", json!({"vendor": "example", "tier": "base"}))
        .config("Volumes", json!({"/var/mail": {}}))
        .config("ExposedPorts", json!({"25/tcp": {}}))
        .config("StopSignal", json!("SIGQUIT"))
        .config("Healthcheck", health.clone())
        .config("OnBuild", json!(["RUN echo"]))
        .config("Shell", json!(["/bin/bash", "-c"]))
        .config("X-Unheard-Of", json!([1, {"a": null}]))
        .field("os.version", json!("7.1"))
        .field("author", json!("somebody"))
        .field("history", json!([{"created_by": "a", "comment": "x"}, {"created_by": "b"}]));
    let registry = TestRegistry::start();
    base.put(&registry, "base", Some("1"));
    let yard = Yard::new(&format!(
        r#"image "example/app" {{
             base_image = "{}"
             symlink "/usr/bin/app" {{ target = "su" }}
             env    = {{ PATH = "/opt/app:$PATH" }}
             labels = {{ tier = "app" }}
           }}"#,
        registry.name("base", "1")
    ));
    pier::put(&pier::source(&registry.host(), "app"), &yard);
    let config = pier::config(&registry, "app", "latest");
    let mut expected: Value = serde_json::from_slice(&base.config_bytes()).unwrap();
    expected["config"]["Env"][0] = json!("PATH=/opt/app:/opt/base/bin:/bin");
    expected["config"]["Labels"]["tier"] = json!("app");
    assert_eq!(config["config"], expected["config"]);
    for field in ["os.version", "author", "architecture", "os", "created"] {
        assert_eq!(config[field], expected[field], "{field}");
    }
    assert_eq!(config["history"].as_array().unwrap()[..2], expected["history"].as_array().unwrap()[..]);
    let with_layers = config["history"].as_array().unwrap().iter().filter(|step| step["empty_layer"] != true);
    assert_eq!(with_layers.count(), config["rootfs"]["diff_ids"].as_array().unwrap().len());
}

#[test]
fn of_an_index_the_image_for_the_platform_is_continued() {
    let registry = TestRegistry::start();
    let for_platform = |architecture: &str| {
        let layer = Tarball::new().file("made-for", 0o644, architecture);
        TestImage::new().layer(&layer).field("architecture", json!(architecture))
    };
    let (amd64, riscv64) = (for_platform("amd64"), for_platform("riscv64"));
    put_index(&registry, "base", "1", &[&amd64, &riscv64]);
    for (architecture, image) in [("amd64", &amd64), ("riscv64", &riscv64)] {
        let mut source = pier::source(&registry.host(), architecture);
        source["platform"] = json!({"os": "linux", "architecture": architecture});
        let outcome = pier::put(&source, &upon(&registry.name("base", "1")));
        let annotations = &pier::manifest(&registry, architecture, "latest")["annotations"];
        assert_eq!(annotations["org.opencontainers.image.base.digest"], image.digest().to_string());
        assert_eq!(pier::config(&registry, architecture, "latest")["architecture"], architecture);
        let got = pier::get(&source, &outcome.version, &json!({}));
        assert_eq!(got.read("rootfs/made-for"), architecture);
    }
    let mut source = pier::source(&registry.host(), "s390x");
    source["platform"] = json!({"os": "linux", "architecture": "s390x"});
    let failure = pier::put_in_vain(&source, &upon(&registry.name("base", "1")));
    let expected = "it is not made for linux/s390x, but for linux/amd64, linux/riscv64";
    assert!(failure.stderr.contains(expected), "{}", failure.stderr);
}

#[test]
fn layers_of_a_docker_image_get_their_oci_names() {
    let registry = TestRegistry::start();
    let base = pier::base_image();
    base.put(&registry, "base", None);
    let manifest = String::from_utf8(base.manifest_bytes()).unwrap();
    let docker = manifest
        .replace("oci.image.manifest.v1+json", "docker.distribution.manifest.v2+json")
        .replace("oci.image.config.v1+json", "docker.container.image.v1+json")
        .replace("oci.image.layer.v1.tar+gzip", "docker.image.rootfs.diff.tar.gzip");
    let media_type = "application/vnd.docker.distribution.manifest.v2+json";
    registry.put_manifest("base", Some("1"), media_type, docker.as_bytes());
    pier::put(&pier::source(&registry.host(), "app"), &upon(&registry.name("base", "1")));
    let manifest = pier::manifest(&registry, "app", "latest");
    let types: Vec<&Value> =
        manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["mediaType"]).collect();
    assert_eq!(types, ["application/vnd.oci.image.layer.v1.tar+gzip"; 4]);
    assert_eq!(pier::layers(&registry, "app", "latest")[..2], digests(&base));
}

#[test]
fn a_base_that_is_not_there_is_named() {
    let registry = TestRegistry::start();
    let name = registry.name("base", "1");
    let failure = pier::put_in_vain(&pier::source(&registry.host(), "app"), &upon(&name));
    assert_eq!(failure.status, Some(1));
    let expected = format!("error: cannot use base image {name}: the registry has no such image\nhint: ");
    assert!(failure.stderr.contains(&expected), "{}", failure.stderr);
    assert!(registry.tags("app").is_empty());
}
