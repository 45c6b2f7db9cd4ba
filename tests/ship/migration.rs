//! What docs/migration.md says of other resources is true: of each field whether we know it, and of each pipeline
//! "after" that its steps are understood.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use estaleiro::resource::{CheckRequest, GetRequest, PutRequest, TaskParams};
use serde_json::{Value, json};

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md")).unwrap()
}

/// Returns the rows of the table below a headline: the first two cells, without marks.
fn rows(headline: &str) -> Vec<(String, String)> {
    let document = document();
    let (_, section) = document.split_once(&format!("\n### {headline}\n")).unwrap();
    let lines = section.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    let lines = lines.take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>();
    lines.map(cells).map(|cells| (cells[1].clone(), cells[2].clone())).collect()
}

/// What a source, a get or a put says of a field that holds what none may hold.
fn told(of: &str, name: &str) -> String {
    let nonsense = json!([[{}]]);
    let source = json!({"repository": "registry.example/app"});
    let version = json!({"tag": "a", "digest": format!("sha256:{}", "0".repeat(64))});
    let mut params = json!({});
    let error = match of {
        "Source" => {
            let mut source = source;
            source[name] = nonsense;
            CheckRequest::parse(&json!({"source": source}).to_string()).err()
        }
        "Get" => {
            params[name] = nonsense;
            GetRequest::parse(&json!({"source": source, "version": version, "params": params}).to_string())
                .err()
        }
        _ => {
            // Of the fields of Dockerfiles nothing is known without one.
            params = json!({"build": "source"});
            params[name] = nonsense;
            PutRequest::parse(&json!({"source": source, "params": params}).to_string()).err()
        }
    };
    error.unwrap_or_else(|| panic!("{of} takes {name}, whatever it holds")).to_string()
}

#[test]
fn what_is_the_same_is_known_and_what_is_not_is_refused_by_name() {
    for headline in [
        "Source of registry-image",
        "Get of registry-image",
        "Put of registry-image",
        "Source of docker-image",
        "Put of docker-image",
        "Get of docker-image",
    ] {
        let rows = rows(headline);
        assert!(rows.len() > 2, "{headline}: {rows:?}");
        for (name, after) in rows {
            let told = told(headline.split(' ').next().unwrap(), &name);
            assert!(told.contains(&format!("`{name}`")) || told.contains("expected"), "{headline}: {told}");
            let is_known = !told.contains("no such") && !told.contains("not built yet");
            // What has the name of before and another form counts as known, too.
            let is_said = after == "the same" || after.split(':').next() == Some(&name);
            assert_eq!(is_known, is_said, "{headline}: {name} becomes {after}: {told}");
        }
    }
}

#[test]
fn the_task_knows_the_params_that_are_the_same() {
    for (name, after) in rows("Params of oci-build-task") {
        let name = name.replace('…', "X");
        let value = match name.as_str() {
            "UNPACK_ROOTFS" | "OUTPUT_OCI" | "DEBUG" => "true",
            "IMAGE_PLATFORM" => "linux/amd64",
            "BUILDKIT_SSH" => "default=key",
            "BUILDKIT_ADD_HOSTS" => "registry.example=192.0.2.7",
            _ => "value",
        };
        let variable = (OsString::from(&name), OsString::from(value));
        let params = TaskParams::read([variable]);
        match after.as_str() {
            "the same" => assert_eq!(params.unwrap().given, [name]),
            "refused" => assert!(params.unwrap_err().to_string().contains(&name)),
            other => panic!("{name} is {other}: nobody asked for that"),
        }
    }
}

/// Returns the pipelines that stand after `After:`.
fn pipelines() -> Vec<Value> {
    let document = document();
    let after = document.split("\nAfter:\n\n```yaml\n").skip(1);
    after.map(|text| serde_saphyr::from_str(text.split_once("```").unwrap().0).unwrap()).collect()
}

#[test]
fn every_step_after_is_understood() {
    let pipelines = pipelines();
    assert_eq!(pipelines.len(), 4);
    let mut n_steps = 0;
    for pipeline in pipelines {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let source = |name: &Value| {
            let resources = list(&pipeline["resources"]);
            let resource = resources.into_iter().find(|resource| resource["name"] == *name);
            resource
                .filter(|resource| resource["type"] == "estaleiro")
                .map(|resource| resource["source"].clone())
        };
        for step in list(&pipeline["jobs"]).iter().flat_map(|job| list(&job["plan"])) {
            if let Some(source) = source(&step["put"]) {
                PutRequest::parse(&json!({"source": source, "params": step["params"]}).to_string()).unwrap();
                n_steps += 1;
            }
            if let Some(source) = source(&step["get"]) {
                let version = json!({"tag": "a", "digest": format!("sha256:{}", "0".repeat(64))});
                let request = json!({"source": source, "version": version, "params": step["params"]});
                GetRequest::parse(&request.to_string()).unwrap();
                n_steps += 1;
            }
            if step["config"]["run"]["path"] == "build" {
                let params = step["config"]["params"].as_object().unwrap().iter();
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let params = params.map(|(name, value)| (name.into(), text(value).into()));
                assert_eq!(TaskParams::read(params).unwrap().unknown, [""; 0]);
                n_steps += 1;
            }
        }
    }
    assert_eq!(n_steps, 5);
}
