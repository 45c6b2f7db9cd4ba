//! What can't be done as it is asked is told by the param's name, with a way out; and nothing is built.

use crate::yard::Yard;

#[test]
fn a_wrong_request_names_the_param_and_the_way_out() {
    let yard = Yard::with("FROM scratch\nCOPY Dockerfile /");
    yard.write("lines", "a=1\nhunter2\n");
    yard.write("no-image.tar", "x");
    let source = ("CONTEXT", "source");
    for (params, told) in [
        (&[][..], "cannot use DOCKERFILE (in the working directory there are cache, image, lines"),
        (&[("CONTEXT", "sorce")], "cannot use CONTEXT (in the working directory"),
        (&[("CONTEXT", "sorce")], "there is no input sorce\nhint: list it among the `inputs`"),
        (&[source, ("DOCKERFILE", "source/none")], "cannot find source/none"),
        (&[source, ("TARGET_FILE", "none")], "cannot find none: there is no input none"),
        (
            &[source, ("BUILD_ARGS_FILE", "lines")],
            "cannot read BUILD_ARGS_FILE lines: line 2 isn't NAME=VALUE",
        ),
        (&[source, ("LABELS_FILE", "lines")], "cannot read LABELS_FILE lines: line 2"),
        (&[source, ("IMAGE_ARG_base", "no-image.tar")], "cannot use IMAGE_ARG_base: "),
        (&[source, ("IMAGE_ARG_", "x")], "cannot use IMAGE_ARG_: a name must follow it"),
        (&[source, ("ADDITIONAL_TARGETS", "a,../b")], "cannot use ADDITIONAL_TARGETS: `../b`"),
        (&[source, ("ADDITIONAL_TARGETS", "image")], "cannot use ADDITIONAL_TARGETS: `image`"),
        (&[source, ("UNPACK_ROOTFS", "yes")], "cannot use UNPACK_ROOTFS: expected true or false"),
        (
            &[source, ("BUILDKIT_ADD_HOSTS", "a=192.0.2.1,b")],
            "cannot use BUILDKIT_ADD_HOSTS `b`: expected NAME=",
        ),
        (&[source, ("BUILDKIT_SSH", "id=lines")], "cannot use BUILDKIT_SSH: cannot read the ssh key"),
        (
            &[source, ("BUILDKIT_SSH", "id=none")],
            "cannot use BUILDKIT_SSH: cannot find none: there is no input",
        ),
        (
            &[source, ("BUILDKIT_EXTRA_CONFIG", "debug = true")],
            "cannot use BUILDKIT_EXTRA_CONFIG: it configures",
        ),
        (&[source, ("CA_CERTS", "lines")], "cannot use CA_CERTS lines: "),
        (&[source, ("POLICIES", "none")], "cannot use POLICIES: cannot find none"),
        (&[source, ("BOM_FORMATS", "spdx,xml")], "cannot use BOM_FORMATS: cannot read the format"),
        (&[source, ("CACHE_MAX", "much")], "cannot use CACHE_MAX: expected a size like 10GB or 500MiB"),
        (&[source, ("IMAGE_PLATFORM", "linux/")], "cannot use IMAGE_PLATFORM: "),
        (&[("IMAGE_PLATFORM", "linux/amd64,linux/arm64")], "hint: write OUTPUT_OCI: true"),
        (&[("DEFINITION", "source"), ("TARGET", "a")], "cannot use TARGET: it is for a Dockerfile"),
        (&[("DEFINITION", "source"), ("LABEL_a", "b")], "cannot use LABEL_a: it is for a Dockerfile"),
        (&[("DEFINITION", "source")], "cannot use DEFINITION: cannot find source/estaleiro.hcl"),
    ] {
        let stderr = yard.fail(2, params);
        assert!(stderr.contains(told), "{params:?}\n{stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}

#[test]
fn help_teaches() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_task")).arg("--help").env_clear().output();
    let output = output.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && stdout.contains("run: {path: build}"), "{stdout}");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_task")).arg("source").env_clear().output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}
