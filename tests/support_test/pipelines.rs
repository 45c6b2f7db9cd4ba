//! The Concourse, which insists on the resource's contract.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::support::concourse::{Concourse, Failure, Got, Inputs, Outcome, Put, Resource, Version};

/// A resource type of three shell scripts; the variables `$dir`, `$request` are theirs.
fn resource_type(check: &str, get: &str, put: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, script) in [("check", check), ("in", get), ("out", put)] {
        let path = directory.path().join(name);
        let text = format!("#!/bin/sh\ndir=$1\nread -r request\n{script}\n");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    directory
}

fn resource(directory: &Path) -> Resource {
    Concourse::at(directory).resource(json!({"repository": "registry.example/app"}))
}

fn numbered(number: &str) -> Version {
    Version::from([("n".to_owned(), number.to_owned())])
}

const ECHO: &str = r#"printf '%s' "$request" > "$dir/request"; echo '{"version":{"n":"1"}}'"#;

#[test]
fn what_is_empty_is_absent_from_the_request() {
    let scripts = resource_type("echo \"$request\" >&2; exit 3", ECHO, ECHO);
    let mut resource = resource(scripts.path());
    let Failure { status, stderr, .. } = resource.check().unwrap_err();
    assert_eq!(
        (status, stderr.as_str()),
        (Some(3), "{\"source\":{\"repository\":\"registry.example/app\"}}\n")
    );
    let got = resource.get(&numbered("1"), &Value::Null).unwrap();
    assert_eq!(
        got.read("request"),
        r#"{"source":{"repository":"registry.example/app"},"version":{"n":"1"}}"#
    );
    let got = resource.get(&numbered("1"), &json!({"format": "oci"})).unwrap();
    assert!(got.read("request").contains(r#""params":{"format":"oci"}"#));
}

#[test]
fn a_put_sees_the_inputs_that_its_params_name_and_is_followed_by_a_get() {
    let list = r#"ls "$dir" | tr '\n' ' ' >&2; test -z "$HOME" && pwd >&2; echo '{"version":{"n":"2"},"metadata":[{"name":"a","value":"b"}]}'"#;
    let got = r#"printf '%s' "$request" > "$dir/request"; echo '{"version":{"n":"2"}}'"#;
    let scripts = resource_type("echo '[]'", got, list);
    let mut resource = resource(scripts.path());
    let artifact = tempfile::tempdir().unwrap();
    fs::write(artifact.path().join("estaleiro.hcl"), "").unwrap();
    let params = json!({"definition": "src/estaleiro.hcl", "vars": {"x": ["bin/app"]}, "locked": true});
    let mut step = Put::new(params).artifact("src", artifact.path()).artifact("bin", artifact.path());
    step = step.artifact("unnamed", artifact.path());
    step.get_params = json!({"skip_download": true});

    let (Outcome { stderr, metadata, .. }, got): (Outcome, Option<Got>) = resource.put(&step).unwrap();
    assert_eq!(stderr, "bin src /\n");
    assert_eq!(metadata, [("a".to_owned(), "b".to_owned())]);
    assert!(got.unwrap().read("request").contains("skip_download"));
    assert_eq!(resource.versions(), [numbered("2")]);

    step.inputs = Inputs::All;
    step.no_get = true;
    let (outcome, got) = resource.put(&step).unwrap();
    assert!(got.is_none() && outcome.stderr.starts_with("bin src unnamed "));
    step.inputs = Inputs::Named(vec!["src".into()]);
    assert!(resource.put(&step).unwrap().0.stderr.starts_with("src /"));
}

#[test]
fn an_answer_with_something_new_orders_all_of_it_anew() {
    let check = r#"cat "$0.answer""#;
    let scripts = resource_type(check, ECHO, ECHO);
    let answer = |text: &str| fs::write(scripts.path().join("check.answer"), text).unwrap();
    let mut resource = resource(scripts.path());
    answer(r#"[{"n":"1"},{"n":"2"},{"n":"3"}]"#);
    assert_eq!(resource.check().unwrap().len(), 3);
    answer(r#"[{"n":"2"},{"n":"1"}]"#);
    resource.check().unwrap();
    assert_eq!(resource.versions(), [numbered("1"), numbered("2"), numbered("3")]);
    answer(r#"[{"n":"4"},{"n":"1"}]"#);
    resource.check().unwrap();
    assert_eq!(resource.versions(), [numbered("2"), numbered("3"), numbered("4"), numbered("1")]);
}

#[test]
fn what_breaks_the_contract_is_noticed() {
    for answer in [
        "",
        "{}",
        r#"{"version":{}}"#,
        r#"{"version":{"n":1}}"#,
        r#"{"version":{"n":""}}"#,
        r#"{"version":{"n":"1"}} {}"#,
        r#"{"version":{"n":"1"},"metadata":[{"name":"a","value":1}]}"#,
        r#"{"version":{"n":"other"}}"#,
        "done",
    ] {
        let scripts = resource_type("echo '[]'", &format!("echo '{answer}'"), ECHO);
        let resource = resource(scripts.path());
        let attempt = std::panic::AssertUnwindSafe(|| resource.get(&numbered("1"), &Value::Null));
        assert!(std::panic::catch_unwind(attempt).is_err(), "{answer}");
    }
}
