//! What a put may be told, what it answers when that won't do, and what it needs of its surroundings: nothing.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::pier::{self, APP, Yard};
use crate::support::concourse::{Failure, Inputs, Put};
use crate::support::registry::{Auth, Options};
use crate::support::{TestRegistry, tree};

/// A label that is made of variables.
const LABELLED: &str = r#"
variable "crew" { default = "nobody" }
image "example/app" {
  labels = { crew = "${crew}", ship = "${ship}", cargo = "${cargo}" }
}
"#;

fn labels(registry: &TestRegistry) -> Value {
    pier::config(registry, "app", "latest")["config"]["Labels"].clone()
}

fn fails(source: &Value, step: &Put) -> Failure {
    pier::run(source, step).expect_err("the put fails")
}

#[test]
fn vars_win_over_those_of_a_file_and_the_file_over_defaults() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let yard = Yard::new(LABELLED);
    for (file, text) in
        [("vars.yml", "ship: nau\ncargo: 7\n"), ("vars.json", r#"{"ship": "nau", "cargo": 7}"#)]
    {
        yard.write(file, text);
        let params = json!({"definition": "source", "vars_file": format!("source/{file}"), "vars": {"ship": "caravel"}});
        pier::run(&source, &pier::with_params(&yard, params)).unwrap();
        assert_eq!(labels(&registry), json!({"crew": "nobody", "ship": "caravel", "cargo": "7"}));
    }
    let params =
        json!({"definition": "source", "vars": {"ship": "nau", "crew": "42", "cargo": true, "sail": "x"}});
    let (outcome, _) = pier::run(&source, &pier::with_params(&yard, params)).unwrap();
    assert_eq!(labels(&registry), json!({"crew": "42", "ship": "nau", "cargo": "true"}));
    let warning = "warning: variable `sail` is given, but source/estaleiro.hcl neither declares nor uses it";
    assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
}

#[test]
fn the_root_of_a_command_that_failed_is_left_where_one_can_enter_it() {
    let registry = TestRegistry::start();
    let yard = Yard::new("");
    std::fs::copy("/bin/busybox", yard.path().join("busybox"))
        .expect("this test needs Debian's busybox-static");
    let run = r#"RUN ["/bin/busybox", "sh", "-c", "echo here > /trace; exit 3"]"#;
    yard.write("Dockerfile", format!("FROM scratch\nCOPY busybox /bin/\n{run}\n"));
    let state = tempfile::tempdir().unwrap();
    let mut resource = pier::concourse(state.path()).resource(pier::source(&registry.host(), "app"));
    for keep_failed in [false, true] {
        let params = json!({"dockerfile": "source/Dockerfile", "keep_failed": keep_failed});
        let said = resource.put(&pier::with_params(&yard, params)).expect_err("the put fails").stderr;
        let place = said.split("hint: its root is kept; to look into it, run: sh ").nth(1);
        assert_eq!(place.is_some(), keep_failed, "{said}");
        let Some(script) = place else { continue };
        let kept = Path::new(script.trim()).parent().unwrap().join("upper/trace");
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "here\n");
    }
}

#[test]
fn a_variable_without_a_value_is_shown_where_it_stands() {
    let registry = TestRegistry::start();
    let params = json!({"definition": "source", "vars": {"ship": "nau"}});
    let failure =
        fails(&pier::source(&registry.host(), "app"), &pier::with_params(&Yard::new(LABELLED), params));
    assert_eq!(failure.status, Some(2), "{}", failure.stderr);
    assert_eq!(failure.stdout, "");
    assert!(failure.stderr.contains("--> source/estaleiro.hcl:4:"), "{}", failure.stderr);
    assert!(failure.stderr.contains("cargo"), "{}", failure.stderr);
    assert!(registry.log().requests().is_empty(), "no registry is asked for what can't be built");
}

#[test]
fn the_context_may_be_another_input() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let (definition, files) = (Yard::new(APP), Yard::new("no definition"));
    files.write("app.sh", "from the context");
    let params = json!({"definition": "source/estaleiro.hcl", "context": "files"});
    let step = pier::with_params(&definition, params).artifact("files", files.path());
    let (outcome, _) = pier::run(&source, &step).unwrap();
    let got = pier::get(&source, &outcome.version, &json!({}));
    assert_eq!(got.read("rootfs/opt/app"), "from the context");

    definition.write("estaleiro.hcl", APP.replace("app.sh", "files/app.sh"));
    let params = json!({"definition": "source", "context": "."});
    let mut step = pier::with_params(&definition, params).artifact("files", files.path());
    let failure = fails(&source, &step);
    assert!(failure.stderr.contains("cannot open files/app.sh in the context"), "{}", failure.stderr);
    assert!(failure.stderr.contains("`inputs: all`"), "{}", failure.stderr);
    step.inputs = Inputs::All;
    let (all, _) = pier::run(&source, &step).unwrap();
    let got = pier::get(&source, &all.version, &json!({}));
    assert_eq!(got.read("rootfs/opt/app"), "from the context");
}

#[test]
fn an_input_that_was_not_fetched_is_named() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let yard = Yard::new(APP);
    let said = |params: Value| {
        let failure = fails(&source, &pier::with_params(&yard, params));
        assert_eq!((failure.status, failure.stdout.as_str()), (Some(1), ""));
        failure.stderr
    };
    for (params, missing) in [
        (json!({"definition": "elsewhere/estaleiro.hcl"}), "elsewhere/estaleiro.hcl"),
        (json!({"definition": "source", "context": "elsewhere"}), "elsewhere"),
        (json!({"definition": "source", "vars_file": "elsewhere/vars.yml"}), "elsewhere/vars.yml"),
        (json!({"definition": "source", "lock": "elsewhere/estaleiro.lock"}), "elsewhere/estaleiro.lock"),
    ] {
        let stderr = said(params);
        let expected = format!(
            "error: cannot find {missing}: there is no input elsewhere\nhint: a put gets the inputs that its params \
             name; is it fetched by an earlier step? If the definition alone names it, write `inputs: all`\n"
        );
        assert_eq!(stderr, expected);
    }
    let stderr = said(json!({"definition": "source/none.hcl"}));
    assert_eq!(stderr, "error: cannot find source/none.hcl: the input source has no such file\n");
    assert!(registry.log().requests().is_empty());
}

#[test]
fn a_lock_is_used_as_it_is() {
    let registry = TestRegistry::start();
    let base = pier::base_image().put(&registry, "base", Some("1"));
    let name = registry.name("base", "1");
    let yard = Yard::new(&APP.replacen('{', &format!("{{\nbase_image = \"{name}\""), 1));
    let source = pier::source(&registry.host(), "app");

    let locked = json!({"definition": "source", "locked": true});
    let failure = fails(&source, &pier::with_params(&yard, locked.clone()));
    assert!(
        failure
            .stderr
            .starts_with("error: cannot put: `locked` is asked for, and there is no estaleiro.lock")
    );

    let first = pier::put(&source, &yard);
    let lock = pier::small_files(&source, &first).read("estaleiro.lock");
    pier::base_image().config("User", json!("moved")).put(&registry, "base", Some("1"));
    yard.write("estaleiro.lock", &lock);
    let (again, _) = pier::run(&source, &pier::with_params(&yard, locked)).unwrap();
    assert_eq!(again.version, first.version, "the tag moved, the lock didn't");
    let annotations = &pier::manifest(&registry, "app", "latest")["annotations"];
    assert_eq!(annotations["org.opencontainers.image.base.digest"], base.to_string());

    std::fs::rename(yard.path().join("estaleiro.lock"), yard.path().join("other.lock")).unwrap();
    let (named, _) = pier::run(
        &source,
        &pier::with_params(&yard, json!({"definition": "source", "lock": "source/other.lock"})),
    )
    .unwrap();
    assert_eq!(named.version, first.version);
    assert_ne!(pier::put(&source, &yard).version, first.version, "without a lock the tag counts");
}

#[test]
fn a_lock_of_something_else_is_refused() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let yard = Yard::new(APP);
    let outcome = pier::put(&source, &yard);
    yard.write("estaleiro.lock", pier::small_files(&source, &outcome).read("estaleiro.lock"));
    yard.write("estaleiro.hcl", APP.replacen('{', "{\nbase_image = \"registry.example/base:1\"", 1));
    let failure = pier::put_in_vain(&source, &yard);
    let expected = "error: cannot use lock: the definition's base is registry.example/base:1, the lock's scratch\n\
                    hint: write it anew with `estaleiro lock`\n";
    assert!(failure.stderr.ends_with(expected), "{}", failure.stderr);
    yard.write("estaleiro.lock", "{\"format\": 99}");
    let failure = pier::put_in_vain(&source, &yard);
    assert!(
        failure.stderr.contains("in source/estaleiro.lock: cannot read lock: it has format 99"),
        "{}",
        failure.stderr
    );
}

#[test]
fn credentials_that_are_refused_are_never_shown() {
    let (user, password) = ("alice".to_owned(), "hunter2".to_owned());
    let basic = Auth::Basic { user: user.clone(), password: password.clone() };
    let bearer = Auth::Bearer { user, password, anonymous_pull: false };
    for (auth, answer) in [(basic, "authentication required"), (bearer, "incorrect username or password")] {
        let registry = TestRegistry::with(Options { auth, ..Options::default() });
        let yard = Yard::new(APP);
        let mut source = pier::source(&registry.host(), "app");
        let refused = |who: &str, hint: &str| {
            format!(
                "error: cannot read the manifest {}/app:latest: the registry refused {who} (401 Unauthorized: {answer})\n\
                 hint: {hint}\n",
                registry.host()
            )
        };
        let failure = pier::put_in_vain(&source, &yard);
        let expected = refused(
            "access without credentials",
            "give a username and password, and check the repository's name",
        );
        assert_eq!((failure.status, failure.stdout, failure.stderr), (Some(1), String::new(), expected));

        (source["username"], source["password"]) = (json!("alice"), json!("correct-horse"));
        let failure = pier::put_in_vain(&source, &yard);
        let expected = refused(
            "the credentials",
            "check username and password, and that they may do this in this repository",
        );
        assert_eq!((failure.status, failure.stdout, failure.stderr), (Some(1), String::new(), expected));
        check_and_get_are_refused(&source);

        source["password"] = json!("hunter2");
        let outcome = pier::put(&source, &yard);
        assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
        assert_eq!(pier::get(&source, &outcome.version, &json!({})).read("tag"), "latest");
        let again = pier::put(&source, &yard);
        assert!(again.stderr.contains("nothing changed: no layer"), "{}", again.stderr);
    }
}

fn check_and_get_are_refused(source: &Value) {
    let mut resource = pier::concourse(Path::new("/nowhere")).resource(source.clone());
    let check = resource.check().unwrap_err();
    let version = [("tag", "latest".to_owned()), ("digest", Digest::of("x").to_string())];
    let version = version.map(|(name, value)| (name.to_owned(), value)).into();
    let get = resource.get(&version, &json!({})).unwrap_err();
    for failure in [check, get] {
        assert_eq!((failure.status, failure.stdout.as_str()), (Some(1), ""));
        assert!(failure.stderr.contains("the registry refused the credentials"), "{}", failure.stderr);
        assert!(!failure.stderr.contains("correct-horse"), "{}", failure.stderr);
    }
}

// ---- What a program finds around it ----------------------------------------------------------------------------

/// Runs a program in a mount namespace that `prepare` arranges, with nothing in its environment.
fn run_alone(program: &str, argument: &Path, prepare: &str, request: &Value) -> Output {
    let script = format!("set -e; {prepare}\nexec env -i \"$@\"");
    let mut child = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh", program])
        .arg(argument)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Returns the commands that put an empty directory where a program without a home keeps its state.
fn with_own_state(state: &Path) -> String {
    let place = if Path::new("/scratch").is_dir() { "/scratch/estaleiro" } else { "/tmp/estaleiro" };
    format!("mkdir -p {place}; mount --bind {} {place}", state.display())
}

/// Returns the only line of stdout as JSON.
fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("stdout is exactly one JSON value")
}

/// Returns a directory of inputs with a yard in it.
fn sources(yard: &Yard) -> tempfile::TempDir {
    let sources = tempfile::tempdir().unwrap();
    let status = Command::new("cp").arg("-a").arg(yard.path()).arg(sources.path().join("source")).status();
    assert!(status.unwrap().success());
    sources
}

#[test]
fn nothing_is_needed_of_the_environment_and_stdout_is_one_value() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let sources = sources(&Yard::new(APP));
    let state = tempfile::tempdir().unwrap();
    let own_state = with_own_state(state.path());
    let params = json!({"definition": "source"});

    let request = json!({"source": source, "params": params});
    let put = answer(&run_alone(env!("CARGO_BIN_EXE_out"), sources.path(), &own_state, &request));
    assert_eq!(put["version"]["digest"], registry.resolve("app", "latest").unwrap().to_string());
    assert!(state.path().join("blobs").is_dir(), "the state is kept in the temporary directory");

    let request = json!({"source": source, "version": put["version"]});
    let checked = answer(&run_alone(env!("CARGO_BIN_EXE_check"), Path::new("x"), ":", &request));
    assert_eq!(checked, json!([put["version"]]));

    let destination = tempfile::tempdir().unwrap();
    let got = answer(&run_alone(env!("CARGO_BIN_EXE_in"), destination.path(), ":", &request));
    assert_eq!(got["version"], put["version"]);
    assert!(destination.path().join("rootfs/opt/app").is_file());
}

#[test]
fn the_inputs_of_a_put_may_be_read_only() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let sources = sources(&Yard::new(APP));
    let before = tree::dump(sources.path());
    let state = tempfile::tempdir().unwrap();
    let place = sources.path().display();
    let prepare = format!(
        "{}; mount --bind {place} {place}; mount -o remount,ro,bind {place}; ! touch {place}/x 2>/dev/null",
        with_own_state(state.path())
    );
    let request = json!({"source": source, "params": {"definition": "source"}});
    answer(&run_alone(env!("CARGO_BIN_EXE_out"), sources.path(), &prepare, &request));
    assert_eq!(registry.tags("app"), ["latest"]);
    assert_eq!(tree::dump(sources.path()), before);
}

#[test]
fn a_layout_among_the_inputs_is_put_to_like_a_registry() {
    let sources = sources(&Yard::new(APP));
    let state = tempfile::tempdir().unwrap();
    let request = json!({
        "source": {"repository": "oci:images/app", "tag": "1.0"},
        "params": {"definition": "source"},
    });
    let own_state = with_own_state(state.path());
    let put = answer(&run_alone(env!("CARGO_BIN_EXE_out"), sources.path(), &own_state, &request));
    let layout = sources.path().join("images/app");
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(index["manifests"][0]["digest"], put["version"]["digest"]);
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1.0");
    let list: Value = serde_json::from_slice(&std::fs::read(layout.join("referrers.json")).unwrap()).unwrap();
    let mut types: Vec<&str> = list["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["artifactType"].as_str().unwrap())
        .collect();
    types.sort_unstable();
    assert_eq!(types, pier::ARTIFACTS);
    let dump = tree::dump_layout(&layout);
    assert!(dump.contains("/opt/app") && dump.contains("/usr/bin/app -> /opt/app"), "{dump}");

    let empty = tempfile::tempdir().unwrap();
    let again = run_alone(env!("CARGO_BIN_EXE_out"), sources.path(), &with_own_state(empty.path()), &request);
    assert_eq!(answer(&again)["version"], put["version"]);
    let stderr = String::from_utf8_lossy(&again.stderr);
    assert!(stderr.contains("nothing changed: no layer was built"), "{stderr}");
}

#[test]
fn a_layout_elsewhere_can_be_put_checked_and_got() {
    let directory = tempfile::tempdir().unwrap();
    let source = json!({"repository": format!("oci:{}", directory.path().join("app").display())});
    let mut resource = pier::concourse(&directory.path().join("state")).resource(source.clone());
    assert_eq!(resource.check().unwrap(), []);
    let yard = Yard::new(APP);
    let step = Put { no_get: false, ..pier::step(&yard) };
    let (outcome, got) = resource.put(&step).unwrap();
    let got = got.unwrap();
    assert_eq!(got.read("repository"), source["repository"].as_str().unwrap());
    assert!(got.read("rootfs/opt/app").contains("ahoy"));
    assert!(got.read("bom.yml").contains("/opt/app"));
    assert_eq!(resource.check().unwrap(), [outcome.version]);
}
