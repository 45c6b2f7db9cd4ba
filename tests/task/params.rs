//! Each param of oci-build-task does what it does there.

use serde_json::json;

use crate::support::{self, TestImage};
use crate::yard::Yard;

/// A param, what the source holds, and what the image says then.
struct Case {
    name: &'static str,
    params: &'static [(&'static str, &'static str)],
    files: &'static [(&'static str, &'static str)],
    label: &'static str,
}

const STAGES: &str = "FROM @base AS a\nLABEL x=a\nFROM @base AS b\nLABEL x=b";
const ARGUMENT: &str = "FROM @base\nARG x=default\nLABEL x=\"$x\"";
const BARE: &str = "FROM scratch\nLABEL y=own x=own\n";

/// What is written to `Dockerfile` is in each case the first file.
const CASES: [Case; 16] = [
    Case {
        name: "CONTEXT",
        params: &[("CONTEXT", "source")],
        files: &[("source/Dockerfile", "FROM @base\nLABEL x=context")],
        label: "context",
    },
    Case {
        name: "no CONTEXT",
        params: &[],
        files: &[("Dockerfile", "FROM @base\nCOPY source/f /f\nLABEL x=here"), ("source/f", "f")],
        label: "here",
    },
    Case {
        name: "DOCKERFILE",
        params: &[("DOCKERFILE", "ci/hello.Dockerfile"), ("CONTEXT", "source")],
        files: &[("ci/hello.Dockerfile", "FROM @base\nCOPY f /f\nLABEL x=beside"), ("source/f", "f")],
        label: "beside",
    },
    Case {
        name: "TARGET",
        params: &[("CONTEXT", "source"), ("TARGET", "a")],
        files: &[("source/Dockerfile", STAGES)],
        label: "a",
    },
    Case {
        name: "TARGET_FILE wins",
        params: &[("CONTEXT", "source"), ("TARGET", "b"), ("TARGET_FILE", "t/name")],
        files: &[("source/Dockerfile", STAGES), ("t/name", "a\n")],
        label: "a",
    },
    Case {
        name: "BUILD_ARG_*",
        params: &[("CONTEXT", "source"), ("BUILD_ARG_x", "1=2 3")],
        files: &[("source/Dockerfile", ARGUMENT)],
        label: "1=2 3",
    },
    Case {
        name: "an empty BUILD_ARG_*",
        params: &[("CONTEXT", "source"), ("BUILD_ARG_x", "")],
        files: &[("source/Dockerfile", ARGUMENT)],
        label: "",
    },
    Case {
        name: "BUILD_ARGS_FILE",
        params: &[("CONTEXT", "source"), ("BUILD_ARGS_FILE", "a/args")],
        files: &[("source/Dockerfile", ARGUMENT), ("a/args", "\nx=from=file\n\n")],
        label: "from=file",
    },
    Case {
        name: "BUILD_ARGS_FILE wins",
        params: &[("CONTEXT", "source"), ("BUILD_ARG_x", "param"), ("BUILD_ARGS_FILE", "args")],
        files: &[("source/Dockerfile", ARGUMENT), ("args", "x=file")],
        label: "file",
    },
    Case {
        name: "BUILD_ARGS_FILE in YAML",
        params: &[("CONTEXT", "source"), ("BUILD_ARGS_FILE", "args.yml")],
        files: &[("source/Dockerfile", ARGUMENT), ("args.yml", "x: |-\n  one\n  two\n")],
        label: "one\ntwo",
    },
    Case {
        name: "BUILD_ARGS_FILE in JSON",
        params: &[("CONTEXT", "source"), ("BUILD_ARGS_FILE", "args.json")],
        files: &[("source/Dockerfile", ARGUMENT), ("args.json", "{\"x\": \"json\"}")],
        label: "json",
    },
    Case {
        name: "LABEL_*",
        params: &[("CONTEXT", "source"), ("LABEL_x", "given")],
        files: &[("source/Dockerfile", BARE)],
        label: "given",
    },
    Case {
        name: "LABELS_FILE",
        params: &[("CONTEXT", "source"), ("LABEL_x", "given"), ("LABELS_FILE", "labels")],
        files: &[("source/Dockerfile", BARE), ("labels", "x=file\n")],
        label: "file",
    },
    Case {
        name: "IMAGE_PLATFORM",
        params: &[("CONTEXT", "source"), ("IMAGE_PLATFORM", "linux/arm64")],
        files: &[("source/Dockerfile", "FROM scratch\nARG TARGETARCH\nLABEL x=$TARGETARCH")],
        label: "arm64",
    },
    Case {
        name: "DEBUG",
        params: &[("CONTEXT", "source"), ("DEBUG", "true")],
        files: &[("source/Dockerfile", "FROM scratch\nLABEL x=1")],
        label: "1",
    },
    Case {
        name: "params that are empty",
        params: &[("CONTEXT", "source"), ("TARGET", ""), ("UNPACK_ROOTFS", ""), ("IMAGE_PLATFORM", "")],
        files: &[("source/Dockerfile", "FROM scratch\nLABEL x=1")],
        label: "1",
    },
];

#[test]
fn each_param_does_what_it_does_in_oci_build_task() {
    for case in CASES {
        let yard = Yard::new();
        for (path, content) in case.files {
            yard.dockerfile(path, content);
        }
        yard.build(case.params);
        let config = yard.config("image");
        assert_eq!(config["config"]["Labels"]["x"], case.label, "{}", case.name);
    }
}

#[test]
fn an_image_for_another_platform_says_so() {
    let yard = Yard::with("FROM scratch\nCOPY Dockerfile /");
    yard.build_source(&[("IMAGE_PLATFORM", "linux/arm64")]);
    let config = yard.config("image");
    assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!("arm64")));
}

#[test]
fn commands_are_told_secrets_and_hosts() {
    let yard = Yard::with(
        "FROM @base\nRUN --mount=type=secret,id=file --mount=type=secret,id=text --network=none \\\n\
         cat /run/secrets/file /run/secrets/text > /tmp/told && grep build.example /etc/hosts >> /tmp/told",
    );
    yard.write("keys/file", "from a file, ");
    let stderr = yard.build_source(&[
        ("BUILDKIT_SECRET_file", "keys/file"),
        ("BUILDKIT_SECRETTEXT_text", "hunter2\n"),
        ("BUILDKIT_ADD_HOSTS", "other.example=192.0.2.7,build.example=192.0.2.8"),
    ]);
    assert_eq!(yard.file("image", "tmp/told"), "from a file, hunter2\n192.0.2.8\tbuild.example\n");
    assert!(!stderr.contains("hunter2") && !yard.read("image/bom.yml").contains("hunter2"), "{stderr}");
}

#[test]
fn commands_reach_an_agent_that_has_the_key() {
    let yard = Yard::with(
        "FROM @base\nUSER ann\nRUN --mount=type=ssh,id=github,uid=1000 test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK > /tmp/told",
    );
    yard.directory("keys");
    let key = yard.path("keys/id").display().to_string();
    support::run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key]);
    yard.build_source(&[("BUILDKIT_SSH", "github=keys/id")]);
    assert_eq!(yard.file("image", "tmp/told"), "/run/buildkit/ssh_agent.0\n");
}

#[test]
fn docker_hub_is_asked_for_nothing_that_a_mirror_has() {
    let yard = Yard::with("FROM mirrored:1\nCOPY Dockerfile /");
    TestImage::new().config("User", json!("mirror")).put(&yard.registry, "library/mirrored", Some("1"));
    let empty = Yard::new();
    let mirrors = format!("{}, http://{}", empty.registry.host(), yard.registry.host());
    let stderr = yard.build_source(&[("REGISTRY_MIRRORS", &mirrors)]);
    assert_eq!(yard.config("image")["config"]["User"], "mirror", "{stderr}");
}

#[test]
fn what_looks_like_a_param_and_is_none_is_told() {
    let yard = Yard::with("FROM scratch\nCOPY Dockerfile /");
    let stderr = yard.build_source(&[("BUILDKIT_SECRTE_x", "hunter2"), ("BUILD_ID", "7"), ("OTHER", "1")]);
    assert!(stderr.contains("the task has no param BUILDKIT_SECRTE_x"), "{stderr}");
    assert!(
        !stderr.contains("hunter2") && !stderr.contains("BUILD_ID") && !stderr.contains("OTHER"),
        "{stderr}"
    );
}
