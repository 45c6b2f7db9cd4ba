//! Tasks in their containers: `run: {path: build}`, with inputs, outputs and caches.

use std::fs;

use crate::builds::DOCKERFILE;
use crate::pier::{APP, Yard};
use crate::support::concourse::Task;
use crate::support::container::{Kind, Root};
use crate::support::image::busybox;
use crate::support::{TestRegistry, tree};

#[test]
fn a_task_sees_its_directories_and_its_params_and_what_it_leaves_in_outputs_and_caches_stays() {
    let script = tempfile::tempdir().unwrap();
    let program = script.path().join("build");
    fs::write(
        &program,
        "#!/bin/sh\ncat source/app.sh; pwd; ls; echo $P; echo 1 >> cache/n; cat cache/n > out/n; echo 2 > source/x\n",
    )
    .unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let root = Root::busybox("task", &["sh", "cat", "ls", "pwd"]).program(&program, "usr/local/bin/build");
    let (yard, cache) = (Yard::new(""), tempfile::tempdir().unwrap());
    let task = Task::of(root, "build").input("source", yard.path()).output("out").param("P", "a b");
    let task = task.cache("cache", cache.path());
    for (nth, kind) in Kind::ALL.into_iter().enumerate() {
        let done = task.run(kind).unwrap_or_else(|failure| panic!("{}", failure.stderr));
        let listed = "#!/bin/sh\necho ahoy\n/tmp/build/e55deab7\ncache\nout\nsource\na b\n";
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), (listed, ""));
        assert_eq!(fs::read_to_string(done.output("out").join("n")).unwrap(), "1\n".repeat(nth + 1));
    }
    assert!(!yard.path().join("x").exists(), "the task had a copy");
}

/// Runs the task that builds a yard in a container of each kind; returns the outputs as text.
fn outputs(task: &Task, kinds: &[Kind]) -> Vec<String> {
    let run = |kind: &Kind| {
        let done = task.run(*kind).unwrap_or_else(|failure| panic!("{kind:?}: {}", failure.stderr));
        tree::dump(done.output("image"))
    };
    kinds.iter().map(run).collect()
}

#[test]
fn a_task_builds_a_definition_of_files_in_every_container() {
    let yard = Yard::new(APP);
    let task = Task::new("build").input("source", yard.path()).output("image").param("DEFINITION", "source");
    let outputs = outputs(&task.param("UNPACK_ROOTFS", "true"), &Kind::ALL);
    for name in ["image.tar", "digest", "bom.yml", "rootfs/opt/app", "metadata.json"] {
        assert!(outputs[0].contains(&format!(" /{name}\n")), "{name}: {}", outputs[0]);
    }
    assert!(outputs.iter().all(|output| *output == outputs[0]), "{outputs:?}");
}

#[test]
fn a_task_builds_a_dockerfile_in_every_container() {
    let registry = TestRegistry::start();
    busybox().put(&registry, "base", Some("latest"));
    let yard = Yard::new("");
    yard.write("Dockerfile", DOCKERFILE.replace('@', &format!("{}/", registry.host())));
    let task = Task::new("build").input("source", yard.path()).output("image").param("CONTEXT", "source");
    let outputs = outputs(&task, &Kind::ALL);
    assert!(outputs.iter().all(|output| *output == outputs[0]), "{outputs:?}");
}
