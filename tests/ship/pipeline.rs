//! The project's own pipeline: its steps are what Concourse and we understand, and the nightly one moves only what moved.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use estaleiro::resource::{TaskParams, TaskWritten};
use serde_json::{Value, json};

use crate::definition::{CERTIFICATES, archive};
use crate::support::concourse::{Concourse, Inputs, Outcome, Put};
use crate::support::{Archive, Deb, Key, ServedArchive, TestRegistry};

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the pipeline for this registry and archive.
fn pipeline(registry: &str, archive: &str) -> Value {
    let mut text = fs::read_to_string(checkout().join("pipeline.yml")).unwrap();
    for (written, meant) in [
        ("registry.example", registry),
        ("((debian))", archive),
        ("((.:commit))", "c0ffee"),
        ("((registry.username))", "somebody"),
        ("((registry.password))", "something"),
    ] {
        text = text.replace(written, meant);
    }
    serde_saphyr::from_str(&text).unwrap()
}

/// Returns the step of a job that has `key`.
fn step<'a>(pipeline: &'a Value, job: &str, key: &str) -> &'a Value {
    let jobs = pipeline["jobs"].as_array().unwrap();
    let job = jobs.iter().find(|one| one["name"] == job).unwrap();
    job["plan"].as_array().unwrap().iter().find(|step| step.get(key).is_some()).unwrap()
}

#[test]
fn its_tasks_are_there_and_can_be_run() {
    let pipeline = pipeline("registry.example", "https://archive.example/debian");
    for job in ["test", "image"] {
        let file = step(&pipeline, job, "task")["file"].as_str().unwrap().strip_prefix("source/").unwrap();
        let text = fs::read_to_string(checkout().join(file)).unwrap();
        let task: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(task["run"]["dir"], "source", "{file}");
        let program = checkout().join(task["run"]["path"].as_str().unwrap());
        assert_ne!(fs::metadata(&program).unwrap().permissions().mode() & 0o111, 0, "{}", program.display());
    }
}

#[test]
fn the_task_that_builds_the_image_by_hand_has_only_params_that_are_known() {
    let text = fs::read_to_string(checkout().join("ci/image.yml")).unwrap();
    let task: Value =
        serde_saphyr::from_str(&text.replace("((debian))", "https://archive.example/debian")).unwrap();
    let params = task["params"].as_object().unwrap().iter();
    let params = params.map(|(name, value)| (name.into(), value.as_str().unwrap().into()));
    let params = TaskParams::read(params).unwrap();
    assert_eq!(params.unknown, [""; 0]);
    let TaskWritten::Definition(written) = params.written else { panic!("it builds a definition") };
    assert_eq!(written.vars["debian"], "https://archive.example/debian");
}

/// A registry, an archive and a worker that trusts it.
struct Yard {
    registry: TestRegistry,
    archive: ServedArchive,
    key: Key,
    directory: tempfile::TempDir,
}

impl Yard {
    fn new() -> Yard {
        let key = Key::ed25519();
        let yard = Yard {
            registry: TestRegistry::start(),
            archive: with_certificates("1").sign_with(&key).serve(),
            directory: tempfile::tempdir().unwrap(),
            key,
        };
        for name in ["source", "program", "opt"] {
            fs::create_dir(yard.directory.path().join(name)).unwrap();
        }
        fs::copy(checkout().join("estaleiro.hcl"), yard.directory.path().join("source/estaleiro.hcl"))
            .unwrap();
        fs::write(yard.directory.path().join("program/estaleiro"), "the program").unwrap();
        yard.equip();
        yard
    }

    /// Writes programs that run in mount namespaces of their own, with the archive's key in the place of Debian's.
    fn equip(&self) {
        let keyring = self.directory.path().join("keyring.gpg");
        fs::write(&keyring, self.key.public_binary()).unwrap();
        for name in ["check", "in", "out"] {
            let program = self.directory.path().join("opt").join(name);
            let link = self.directory.path().join(name);
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_estaleiro"), &link).unwrap();
            let script = format!(
                "#!/bin/sh\nexec unshare --mount sh -c 'mount --bind {} \
                 /usr/share/keyrings/debian-archive-keyring.gpg && exec {} \"$@\"' {name} \"$@\"\n",
                keyring.display(),
                link.display()
            );
            fs::write(&program, script).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Takes the put of a job on an empty worker; `image` is what the job got.
    fn put(&self, job: &str, image: &Path) -> Outcome {
        let pipeline = pipeline(&self.registry.host(), &self.archive.url());
        let step = step(&pipeline, job, "put");
        let inputs = step["inputs"].as_array().map_or(Inputs::Detect, |names| {
            Inputs::Named(names.iter().map(|name| name.as_str().unwrap().to_owned()).collect())
        });
        let put = Put { inputs, get_params: step["get_params"].clone(), ..Put::new(step["params"].clone()) };
        let directory = self.directory.path();
        let put = put.artifact("source", &directory.join("source"));
        let put = put.artifact("program", &directory.join("program")).artifact("image", image);
        let resource = pipeline["resources"].as_array().unwrap().iter().find(|one| one["name"] == "image");
        let state = tempfile::tempdir().unwrap();
        let concourse = Concourse::at(&directory.join("opt"))
            .environment("ESTALEIRO_STATE", state.path().to_str().unwrap())
            .environment("NO_COLOR", "1");
        let mut resource = concourse.resource(resource.unwrap()["source"].clone());
        resource.put(&put).unwrap().0
    }

    fn get(&self, put: &Outcome) -> crate::support::concourse::Got {
        let source = json!({"repository": format!("{}/estaleiro/estaleiro", self.registry.host())});
        Concourse::new().resource(source).get(&put.version, &json!({})).unwrap()
    }
}

/// The archive, with certificates of this version.
fn with_certificates(version: &str) -> Archive {
    let bundle = format!("{CERTIFICATES}/New.crt");
    archive().add(Deb::new("ca-certificates", version).architecture("all").file(&bundle, 0o644, version))
}

#[test]
fn the_nightly_put_moves_nothing_until_a_package_moves() {
    let yard = Yard::new();
    let first = yard.put("image", Path::new("/nowhere"));
    let image = yard.get(&first);

    let again = yard.put("refresh", image.directory.path());
    assert_eq!(again.version, first.version);
    assert!(
        again.stderr.contains("nothing changed: no layer was built, downloaded or uploaded"),
        "{}",
        again.stderr
    );

    yard.archive.publish(&with_certificates("2").sign_with(&yard.key));
    let moved = yard.put("refresh", image.directory.path());
    assert_ne!(moved.version, first.version);
    let after = yard.get(&moved);
    assert_eq!(after.read("rootfs/etc/ssl/certs/New.crt"), "2");
    assert_eq!(after.read("rootfs/usr/local/bin/estaleiro"), "the program");
}
