//! `examples/hello`, built from this machine's own apt mirror, and looked at with other people's tools.
//!
//! Needs the mirror that apt is configured for on this machine; nothing else of the network.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use support::run;

/// A build of the example, shared by the stories below: a layout, and the root that umoci made of it.
struct Hello {
    directory: tempfile::TempDir,
}

impl Hello {
    fn layout(&self) -> PathBuf {
        self.directory.path().join("layout")
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("bundle/rootfs")
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The lock that the build attached: the archive may move on between one build and the next.
    fn lock(&self) -> PathBuf {
        let referrers = json(&self.layout().join("referrers.json"));
        let is_lock = |entry: &&Value| entry["artifactType"].as_str().unwrap().contains("estaleiro.lock");
        let lock = referrers["manifests"].as_array().unwrap().iter().find(is_lock).unwrap();
        let manifest = json(&blob(&self.layout(), lock["digest"].as_str().unwrap()));
        blob(&self.layout(), manifest["layers"][0]["digest"].as_str().unwrap())
    }
}

fn hello() -> &'static Hello {
    static HELLO: OnceLock<Hello> = OnceLock::new();
    HELLO.get_or_init(|| {
        support::machine::debian();
        let hello = Hello { directory: tempfile::tempdir().unwrap() };
        let output = succeeded(&mut build(&hello.state(), &hello.layout()));
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("sha256:"));
        let image = format!("{}:latest", hello.layout().display());
        run("umoci", &["unpack", "--image", &image, hello.directory.path().join("bundle").to_str().unwrap()]);
        hello
    })
}

fn estaleiro() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estaleiro"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn build(state: &Path, layout: &Path) -> Command {
    let mut command = estaleiro();
    command
        .args(["build", "examples/hello", "--output", &format!("oci:{}", layout.display()), "--state"])
        .arg(state);
    command
}

fn succeeded(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replacen(':', "/", 1))
}

fn manifest(layout: &Path) -> Value {
    let index = json(&layout.join("index.json"));
    json(&blob(layout, index["manifests"][0]["digest"].as_str().unwrap()))
}

fn in_root(arguments: &[&str]) -> String {
    let root = hello().root();
    let mut all = vec![root.to_str().unwrap()];
    all.extend(arguments);
    run("chroot", &all)
}

fn bom() -> Value {
    let image = format!("oci:{}", hello().layout().display());
    let output = succeeded(estaleiro().args(["bom", &image]));
    serde_saphyr::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

#[test]
fn other_peoples_tools_read_the_layout() {
    let image = format!("oci:{}", hello().layout().display());
    let seen: Value = serde_json::from_str(&run("skopeo", &["inspect", &image])).unwrap();
    assert_eq!(seen["Layers"].as_array().unwrap().len(), 2, "{seen}");
    assert_eq!(seen["Labels"]["org.opencontainers.image.title"], "hello");
    let config: Value = serde_json::from_str(&run("skopeo", &["inspect", "--config", &image])).unwrap();
    assert_eq!(config["config"]["Entrypoint"][0], "/usr/local/bin/hello");
}

#[test]
fn the_root_works() {
    assert!(in_root(&["jq", "--version"]).starts_with("jq-"));
    assert!(in_root(&["/usr/local/bin/hello", "there"]).contains("\"name\": \"there\""));
    assert_eq!(in_root(&["dpkg", "--audit"]), "");
    let bundle = in_root(&["sh", "-c", "grep -c BEGIN /etc/ssl/certs/ca-certificates.crt"]);
    assert!(bundle.trim().parse::<u32>().unwrap() > 100, "{bundle}");
}

#[test]
fn certificates_of_the_root_verify_each_other() {
    let root = hello().root().join("etc/ssl/certs");
    let bundle = root.join("ca-certificates.crt");
    let single = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let single = single.filter(|path| path.extension().is_some_and(|ending| ending == "pem")).min().unwrap();
    // The links point into the root's own /usr/share; read them there.
    let target = fs::read_link(&single).unwrap();
    let certificate = hello().root().join(target.strip_prefix("/").unwrap_or(&target));
    let arguments =
        ["verify", "-no_check_time", "-CAfile", bundle.to_str().unwrap(), certificate.to_str().unwrap()];
    assert!(run("openssl", &arguments).trim_end().ends_with(": OK"));
}

#[test]
fn the_account_holds_exactly_what_dpkg_says() {
    let format = "${Package} ${Version} ${Architecture}\\n";
    let installed: BTreeSet<String> =
        in_root(&["dpkg-query", "-W", "-f", format]).lines().map(str::to_owned).collect();
    let account = bom();
    let packages = account["changeset"]["packages"].as_array().unwrap();
    let word = |package: &Value, field: &str| package[field].as_str().unwrap().to_owned();
    let accounted: BTreeSet<String> = packages
        .iter()
        .map(|package| ["name", "version", "architecture"].map(|field| word(package, field)).join(" "))
        .collect();
    assert_eq!(accounted, installed);
    for package in packages {
        assert!(word(&package["location"], "digest").starts_with("sha256:"), "{package}");
        assert!(!package["signed_by"].as_array().unwrap().is_empty(), "{package}");
        assert!(!word(package, "source_package").is_empty(), "{package}");
    }
    assert!(!account["keys"].as_array().unwrap().is_empty());
    assert_eq!(account["changeset"]["files"][0]["path"], "/usr/local/bin/hello");
}

#[test]
fn no_lists_caches_logs_or_archives_are_in_a_layer() {
    let manifest = manifest(&hello().layout());
    let layer = blob(&hello().layout(), manifest["layers"][0]["digest"].as_str().unwrap());
    let listing = run("tar", &["-tzf", layer.to_str().unwrap()]);
    for path in listing.lines() {
        let is_left_over = path.ends_with(".deb")
            || [
                "var/lib/apt/lists/",
                "var/cache/apt/",
                "var/log/dpkg",
                "var/log/apt",
                "var/log/alternatives",
                ".estaleiro",
            ]
            .iter()
            .any(|prefix| path.starts_with(prefix))
            || path.ends_with("/policy-rc.d")
            || path.ends_with("-old");
        assert!(!is_left_over, "{path}");
    }
    assert!(listing.lines().any(|path| path == "usr/bin/jq"), "the listing is one of the install layer");
    assert!(!hello().root().join("etc/apt/sources.list").exists());
}

/// What refers to the image but the cache record, which knows more of the archive where they were asked, and the
/// provenance, which tells whether a lock was given.
fn account_and_lock(layout: &Path) -> Vec<Value> {
    let mut referrers = json(&layout.join("referrers.json"))["manifests"].as_array().unwrap().clone();
    let is_of_its_build = |kind: &str| kind.contains("cache") || kind.contains("provenance");
    referrers.retain(|entry| !is_of_its_build(entry["artifactType"].as_str().unwrap()));
    assert_eq!(referrers.len(), 4);
    referrers
}

#[test]
fn another_time_host_umask_and_locale_make_the_same_digest() {
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout");
    let script = "hostname elsewhere && umask 077 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--uts", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_estaleiro")])
        .args(["build", "examples/hello", "--output", &format!("oci:{}", layout.display()), "--lock"])
        .arg(hello().lock())
        .arg("--state")
        .arg(directory.path().join("state"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("LC_ALL", "de_DE.UTF-8")
        .env("TZ", "Asia/Tokyo");
    succeeded(&mut command);
    assert_eq!(json(&layout.join("index.json")), json(&hello().layout().join("index.json")));
    assert_eq!(account_and_lock(&layout), account_and_lock(&hello().layout()));
}

#[test]
fn no_program_of_this_machine_is_run() {
    let directory = tempfile::tempdir().unwrap();
    let (trace, layout) = (directory.path().join("trace"), directory.path().join("layout"));
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-e", "trace=execve,chroot,pivot_root", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_estaleiro"))
        .args(["build", "examples/hello", "--output", &format!("oci:{}", layout.display()), "--state"])
        .arg(directory.path().join("state"))
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    succeeded(&mut command);
    let trace = fs::read_to_string(trace).unwrap();
    // Process numbers of those that have left this machine's root; children inherit it.
    let mut inside: BTreeSet<&str> = BTreeSet::new();
    let mut n_inside = 0;
    for (pid, call) in trace.lines().filter_map(|line| line.split_once(' ')) {
        if call.trim_start().starts_with("pivot_root") {
            inside.insert(pid);
        }
        if call.contains("execve(") && call.contains(" = 0") {
            n_inside += usize::from(call.contains("dpkg"));
        }
    }
    let ours = trace
        .lines()
        .filter(|line| line.contains("execve(") && line.contains(env!("CARGO_BIN_EXE_estaleiro")));
    assert_eq!(ours.count(), 1, "the builder itself is started once and never again");
    assert!(!inside.is_empty() && n_inside > 0, "programs of the image are run");
    let first_pivot = trace.lines().position(|line| line.contains("pivot_root(")).unwrap();
    let before = trace.lines().take(first_pivot).filter(|line| line.contains("execve(")).count();
    assert_eq!(before, 1, "nothing is run before the first root is entered");
}

/// Returns a copy of the example with a lock, and a copy of the state in which all that was built is forgotten.
fn locked_copy(directory: &Path) -> (PathBuf, PathBuf) {
    let (example, state) = (directory.join("hello"), directory.join("state"));
    let [from, to] = [hello().state(), state.clone()].map(|path| path.to_str().unwrap().to_owned());
    run("cp", &["-al", &from, &to]);
    fs::remove_dir_all(state.join("records/vertex-2")).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello");
    run("cp", &["-a", source.to_str().unwrap(), example.to_str().unwrap()]);
    fs::copy(hello().lock(), example.join("estaleiro.lock")).unwrap();
    (example, state)
}

#[test]
fn a_locked_build_without_a_network_makes_the_same_image() {
    let directory = tempfile::tempdir().unwrap();
    let (example, state) = locked_copy(directory.path());
    let layout = directory.path().join("layout");
    let mut command = Command::new("unshare");
    command
        .args(["--net", env!("CARGO_BIN_EXE_estaleiro"), "build", "--locked", example.to_str().unwrap()])
        .args(["--output", &format!("oci:{}", layout.display()), "--state", state.to_str().unwrap()]);
    let output = succeeded(&mut command);
    assert!(String::from_utf8_lossy(&output.stderr).contains("install"), "it was built again");
    assert_eq!(json(&layout.join("index.json")), json(&hello().layout().join("index.json")));
}

/// Returns what apt names as the files of source packages: `NAME SIZE DIGEST`.
fn files_that_apt_names(sources: &BTreeSet<String>) -> BTreeSet<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let lines: Vec<String> = support::machine::debian()
        .iter()
        .map(|source| source.line().replacen("deb ", "deb-src ", 1))
        .collect();
    fs::write(path("sources.list"), lines.join("\n")).unwrap();
    for name in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    let apt_get = |arguments: &[&str]| {
        let options = [
            format!("Dir::State={}", path("state")),
            format!("Dir::Cache={}", path("cache")),
            format!("Dir::Etc::SourceList={}", path("sources.list")),
            "Dir::Etc::SourceParts=-".to_owned(),
            "Acquire::ForceHash=SHA256".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
        ];
        let options = options.iter().flat_map(|option| ["-o", option]);
        run("apt-get", &options.chain(arguments.iter().copied()).collect::<Vec<_>>())
    };
    apt_get(&["update"]);
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let printed = apt_get(&[&["source", "--print-uris", "--only-source"], &sources[..]].concat());
    let files = printed.lines().filter(|line| line.starts_with('\''));
    files.map(|line| line.split_once(' ').unwrap().1.replace("SHA256:", "sha256:")).collect()
}

#[test]
fn the_account_names_the_source_files_that_apt_names() {
    let account = bom();
    let packages = account["changeset"]["packages"].as_array().unwrap();
    let word = |value: &Value, field: &str| value[field].as_str().unwrap().to_owned();
    let source =
        |package: &Value| format!("{}={}", word(package, "source_package"), word(package, "source_version"));
    let file = |file: &Value| format!("{} {} {}", word(file, "name"), file["size"], word(file, "digest"));
    let files = packages.iter().flat_map(|package| package["sources"].as_array().unwrap()).map(file);
    assert_eq!(files.collect::<BTreeSet<_>>(), files_that_apt_names(&packages.iter().map(source).collect()),);
}
