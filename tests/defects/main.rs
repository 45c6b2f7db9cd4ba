//! What the original got wrong, a story for each: none of it may come back.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../hostile/base.rs"]
mod base;
#[path = "../hostile/site.rs"]
mod site;
#[path = "../support/mod.rs"]
mod support;
#[path = "../install/yard.rs"]
#[allow(dead_code, reason = "these stories need less of it")]
mod yard;

use std::fs;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use site::{Site, manifest, names_in};
use support::archive::Source;
use support::image::a_base_that_unpacks;
use support::{Archive, Deb, GitRepository, Key, ServedArchive, Tarball, TestRegistry, tree};
use yard::{account, files, root};

const DEB: &str = "pool/main/j/jq/jq_1.6_all.deb";
const ORIGIN: &str = "vcs \"git\" {\n repository = \"https://git.example/tool\"\n ref = \"v1\"\n }";

fn jq(version: &str) -> Deb {
    Deb::new("jq", version).file("/usr/bin/jq", 0o755, format!("jq {version}"))
}

/// A base, an archive, and a definition that installs jq on it.
struct Harbour {
    site: Site,
    archive: ServedArchive,
    registry: TestRegistry,
}

impl Harbour {
    fn new() -> Harbour {
        let archive = Archive::new().add(jq("1.6")).add_source(Source::native("jq", "1.6", "source"));
        let (archive, registry) = (archive.sign_with(&Key::ed25519()).serve(), TestRegistry::start());
        a_base_that_unpacks("")
            .config("Entrypoint", json!(["/bin/sh"]))
            .config("Env", json!(["PATH=/bin", "SHIP=nau"]))
            .config("Healthcheck", json!({"Test": ["CMD", "/bin/sh"]}))
            .put(&registry, "base", Some("1"));
        let base = registry.name("base", "1");
        let site = Site::new(&site::definition_of(&archive, &base, "package \"jq\" {}"));
        site.put("archive.asc", archive.key());
        Harbour { site, archive, registry }
    }

    fn file(&self, path: &str) -> Vec<u8> {
        self.archive.file(path).unwrap().to_vec()
    }
}

/// Builds, and returns the account.
fn built(site: &Site) -> Value {
    site.succeeds(&mut site.build());
    account(site)
}

/// Returns the digest of the image in the layout, which is removed.
fn image(site: &Site) -> String {
    let index: Value = serde_json::from_slice(&fs::read(site.layout().join("index.json")).unwrap()).unwrap();
    fs::remove_dir_all(site.layout()).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn key_fingerprints_were_announced_and_lost_in_the_merge() {
    let harbour = Harbour::new();
    let account = built(&harbour.site);
    let fingerprint = harbour.archive.fingerprint();
    assert_eq!(account["keys"][0]["fingerprint"], fingerprint);
    assert_eq!(account["keys"][0]["from"], "archive");
    assert_eq!(account["changeset"]["packages"][0]["signed_by"], json!([fingerprint]));
}

#[test]
fn sha256_values_were_labelled_md5() {
    let harbour = Harbour::new();
    let account = built(&harbour.site);
    assert!(!account.to_string().contains("md5"));
    let package = &account["changeset"]["packages"][0];
    assert_eq!(package["location"]["digest"], Digest::of(harbour.file(DEB)).to_string());
    let sources = package["sources"].as_array().unwrap();
    assert!(!sources.is_empty());
    for source in sources {
        let path = source["uri"].as_str().unwrap().strip_prefix(&harbour.archive.url()).unwrap();
        let bytes = harbour.file(path.trim_start_matches('/'));
        assert_eq!(source["digest"], Digest::of(bytes).to_string());
    }
}

#[test]
fn downloads_were_never_checked_and_installed_as_trusted() {
    let harbour = Harbour::new();
    let other = jq("1.7").build(support::Compression::Xz);
    harbour.archive.set(DEB, Some(other));
    let said = harbour.site.fails(1, &mut harbour.site.build());
    assert!(said.contains("cannot fetch jq 1.6: expected sha256:"), "{said}");

    let harbour = Harbour::new();
    harbour.site.put("archive.asc", Key::ed25519().public_armored());
    let said = harbour.site.fails(1, &mut harbour.site.build());
    assert!(said.contains("sign"), "{said}");
}

#[test]
fn files_from_a_step_had_no_digest() {
    let site = Site::new(&format!(
        "image \"x\" {{\n file \"/tool\" {{ from_step \"build\" {{ path = \"/made\" }} }}\n}}\nstep \"build\" {{\n source_file \"/made\" {{ {ORIGIN} }}\n}}\n"
    ));
    site.put("Dockerfile", "FROM scratch\nCOPY tool /made\n");
    site.put("tool", "tool");
    let file = built(&site)["changeset"]["files"][0].clone();
    assert_eq!((&file["digest"], &file["size"]), (&json!(Digest::of("tool").to_string()), &json!(4)));
}

#[test]
fn nested_members_were_broken_and_the_second_tarballs_digests_overwrote_the_firsts() {
    let site = Site::new(&format!(
        r#"image "x" {{
             file "/one" {{ from_tarball "one.tar" {{ path = "a/b/c/tool" }} }}
             file "/two" {{ from_tarball "two.tgz" {{ path = "a/b/c/tool" }} }}
           }}
           tarball "one.tar" {{ source_file "**" {{ {ORIGIN} }} }}
           tarball "two.tgz" {{ source_file "**" {{ {ORIGIN} }} }}"#
    ));
    let tarball = |content: &str| Tarball::new().file("./a/b/c/tool", 0o755, content);
    let (one, two) = (tarball("one").build(), tarball("two").build_gzip());
    site.put("one.tar", &one);
    site.put("two.tgz", &two);
    let account = built(&site);
    for (nth, (content, bytes)) in [("one", one), ("two", two)].into_iter().enumerate() {
        let file = &account["changeset"]["files"][nth];
        assert_eq!(file["digest"], Digest::of(content).to_string());
        assert_eq!(file["source"]["tarball"]["digest"], Digest::of(bytes).to_string());
        assert_eq!(file["source"]["tarball"]["member"], "a/b/c/tool");
    }
}

#[test]
fn copied_archives_unpacked_themselves() {
    let site =
        Site::new("image \"x\" {\n file \"/opt/data.tar\" { from_context { path = \"data.tar\" } }\n}\n");
    let archive = Tarball::new().file("inside", 0o644, "x").build();
    site.put("data.tar", &archive);
    let root = root(&site);
    assert_eq!(names_in(&root.join("opt")), ["data.tar"]);
    assert_eq!(fs::read(root.join("opt/data.tar")).unwrap(), archive);
}

#[test]
fn the_bases_configuration_was_dropped() {
    let harbour = Harbour::new();
    built(&harbour.site);
    let digest = manifest(&harbour.site.layout())["config"]["digest"].as_str().unwrap().replacen(':', "/", 1);
    let config = fs::read(harbour.site.layout().join("blobs").join(digest)).unwrap();
    let config = serde_json::from_slice::<Value>(&config).unwrap()["config"].clone();
    assert_eq!(config["Entrypoint"], json!(["/bin/sh"]));
    assert_eq!(config["Env"], json!(["PATH=/bin", "SHIP=nau"]));
    assert_eq!(config["Healthcheck"], json!({"Test": ["CMD", "/bin/sh"]}));
}

#[test]
fn a_dangling_sources_list_was_left_in_the_image() {
    let harbour = Harbour::new();
    let dump = tree::dump(&root(&harbour.site));
    assert!(dump.contains("/usr/bin/jq"), "{dump}");
    for left in ["sources.list", "/etc/apt", "/var/lib/apt", "/var/cache/apt", ".asc"] {
        assert!(!dump.contains(left), "{left} in {dump}");
    }
}

#[test]
fn there_was_one_distribution_and_architecture_only() {
    for (suite, architecture) in [("noble", "arm64"), ("trixie", "amd64"), ("hurrikan", "riscv64")] {
        let deb = jq("1.6").architecture(architecture);
        let archive = Archive::new().suite(suite).architecture(architecture).add(deb).without_sources();
        let archive = archive.sign_with(&Key::ed25519()).serve();
        let packages = "sources = \"none\"\n essential = false\n package \"jq\" {}";
        let site = Site::new(&site::definition_of(&archive, "scratch", packages));
        site.put("archive.asc", archive.key());
        let platform = format!("linux/{architecture}");
        let arguments =
            ["lock", "--quiet", "--state", "../state", "--apt-config", "../apt", "--platform", &platform];
        site.succeeds(&mut site.estaleiro(&arguments));
        let lock = fs::read(site.path("context/estaleiro.lock")).unwrap();
        let locked = serde_json::from_slice::<Value>(&lock).unwrap()["platforms"][0].clone();
        assert_eq!(locked["packages"][0]["architecture"], architecture);
        assert_eq!(locked["suites"][0]["suite"], suite);
    }
}

#[test]
fn the_base_floated_the_order_was_random_and_there_was_no_lock() {
    let harbour = Harbour::new();
    let site = &harbour.site;
    site.succeeds(&mut site.build());
    let first = image(site);
    site.succeeds(site.build().arg("--no-cache"));
    assert_eq!(image(site), first);

    site.succeeds(&mut site.verb("lock"));
    let newer = Archive::new().add(jq("1.6")).add(jq("1.7")).without_sources().sign_with(&Key::ed25519());
    harbour.archive.publish(&newer);
    let other = Tarball::new().file("other", 0o644, "another base");
    support::TestImage::new().layer(&other).put(&harbour.registry, "base", Some("1"));
    site.succeeds(site.build().arg("--no-cache"));
    assert_eq!(image(site), first, "what is locked stays");
}

#[test]
fn provenance_was_claimed_and_wrong() {
    let site = Site::new("");
    let repository = GitRepository::new(site.path("context"));
    let commit = repository.write("tool", "tool").commit("one");
    repository.git(&["remote", "add", "origin", "https://git.example/ours"]);
    let told = |declared: &str, reference: &str| {
        site.put(
            "estaleiro.hcl",
            format!(
                "image \"x\" {{\n file \"/tool\" {{ from_context {{ path = \"tool\" vcs \"git\" {{ repository = \"{declared}\" ref = \"{reference}\" }} }} }}\n}}\n"
            ),
        );
        let output = site.succeeds(site.loud_verb("build").args(["--output", "oci:../layout"]));
        (account(&site)["changeset"]["files"][0]["source"]["git"].clone(), site.said(&output.stderr))
    };
    // The ref had a blank at its end.
    let (git, _) = told("https://git.example/ours", &format!("{commit} "));
    assert_eq!(git, json!({"repository_uri": "https://git.example/ours", "ref": commit, "verified": true}));
    // The repository was another one's.
    let (git, said) = told("https://git.example/theirs", &commit);
    assert_eq!(git["unverified_because"], "the checkout around it is of https://git.example/ours");
    assert!(
        git.get("verified").is_none() && said.contains("warning: /tool: it is declared to be of"),
        "{said}"
    );
}

#[test]
fn files_made_by_maintainer_scripts_were_unaccounted() {
    let script = "#!/bin/sh\nset -e\necho made >/var/lib/made\nrm /usr/share/common-licenses/BSD\n";
    let deb = Deb::new("tool", "1").file("/usr/share/tool", 0o644, "tool").script("postinst", script);
    let archive = Archive::new().add(deb).sign_with(&Key::ed25519()).serve();
    let site = base::site(&archive, "package \"tool\" {}");
    let account = built(&site);
    let added = account["layers"].as_array().unwrap().iter().find(|layer| layer.get("is_base").is_none());
    let groups = added.unwrap()["groups"].as_array().unwrap();
    let of =
        |origin: &str| groups.iter().find(|group| group["origin"] == origin).cloned().unwrap_or_default();
    assert_eq!(
        of("package"),
        json!({"origin": "package", "package": "tool:all", "paths": ["/usr/share/tool"]})
    );
    assert_eq!(
        of("generated"),
        json!({
            "origin": "generated",
            "package": "tool:all",
            "script": "postinst",
            "paths": ["/var/lib/made"],
            "removed": ["/usr/share/common-licenses/BSD"]
        })
    );
    // The account tells of each path that is in the layers.
    site.succeeds(&mut site.estaleiro(&["bom", "--verify", "oci:../layout"]));
}

#[test]
fn the_bill_of_materials_lay_inside_the_image() {
    let site = Site::new("image \"x\" {\n file \"/tool\" { from_context { path = \"tool\" } }\n}\n");
    site.put("tool", "tool");
    let root = root(&site);
    assert_eq!(names_in(&root), ["tool"]);
    assert_eq!(manifest(&site.layout())["layers"].as_array().unwrap().len(), 1);
    // It refers to the image instead.
    assert_eq!(files(&account(&site)), ["/tool"]);
    let referrers = fs::read_to_string(site.layout().join("referrers.json")).unwrap();
    assert!(referrers.contains("application/vnd.estaleiro.bom.v1+yaml"), "{referrers}");
}
