//! What the task leaves in its outputs.

use std::fs;

use serde_json::{Value, json};

use crate::support::concourse::Put;
use crate::support::image::busybox;
use crate::support::{self, Concourse, TestImage, tree};
use crate::yard::{self, Yard};

#[test]
fn an_archive_with_its_digest_is_what_others_read() {
    let yard = Yard::with("FROM @base\nCOPY Dockerfile /d\nENV A=b");
    yard.build_source(&[]);
    let archive = yard.path("image/image.tar").display().to_string();
    for image in [format!("docker-archive:{archive}"), format!("oci-archive:{archive}:latest")] {
        let raw: Value =
            serde_json::from_str(&support::run("skopeo", &["inspect", "--raw", &image])).unwrap();
        assert_eq!(raw["config"]["digest"], yard.read("image/digest"), "{image}");
        assert_eq!(yard::config(&image)["config"]["Env"], json!(["PATH=/bin", "A=b"]));
        assert!(yard::root(&image).path().join("root/d").exists());
    }
    assert!(yard.read("image/bom.yml").contains("product_name: image"));
    assert!(yard.read("image/estaleiro.lock").contains("\"platforms\""));
    let mut left: Vec<String> = fs::read_dir(yard.path("image"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(
        left,
        [
            "bom.cdx.json",
            "bom.html",
            "bom.spdx.json",
            "bom.yml",
            "digest",
            "estaleiro.lock",
            "image.tar",
            "labels.json"
        ]
    );
}

#[test]
fn a_second_build_finds_everything_in_the_cache() {
    let yard = Yard::with("FROM @base\nRUN echo x > /made\nCOPY Dockerfile /");
    yard.build_source(&[]);
    let first = fs::read(yard.path("image/image.tar")).unwrap();
    fs::remove_dir_all(yard.path("image")).unwrap();
    yard.directory("image");
    let stderr = yard.build_source(&[]);
    assert!(stderr.contains("0 built"), "{stderr}");
    assert!(fs::read(yard.path("image/image.tar")).unwrap() == first);
}

#[test]
fn the_cache_is_no_part_of_a_context_that_it_lies_in() {
    let yard = Yard::new();
    yard.dockerfile("Dockerfile", "FROM @base\nCOPY . /all");
    yard.build::<&str>(&[]);
    let root = yard.root("image");
    assert!(root.path().join("root/all/source").exists() && !root.path().join("root/all/cache").exists());
}

#[test]
fn the_unpacked_root_is_what_a_get_brings() {
    let yard =
        Yard::with("FROM @base\nRUN mkdir /m && chown ann /m && ln -s m /l\nUSER ann\nENV B=1\nCMD [\"c\"]");
    yard.build_source(&[("UNPACK_ROOTFS", "true"), ("OUTPUT_OCI", "true")]);
    let layout = yard.path("image/image").display().to_string();
    let target = format!("docker://{}", yard.registry.name("app", "latest"));
    let arguments =
        ["copy", "--insecure-policy", "--dest-tls-verify=false", &format!("oci:{layout}:latest"), &target];
    support::run("skopeo", &arguments);
    let source = json!({"repository": format!("{}/app", yard.registry.host())});
    let mut resource = Concourse::new().resource(source);
    let versions = resource.check().unwrap();
    let got = resource.get(&versions[0], &json!({})).unwrap();
    for name in ["metadata.json", "labels.json"] {
        assert_eq!(
            yard.read(&format!("image/{name}")),
            fs::read_to_string(got.directory.path().join(name)).unwrap()
        );
    }
    let roots = [yard.path("image/rootfs"), got.directory.path().join("rootfs")];
    assert_eq!(tree::dump(&roots[0]), tree::dump(&roots[1]));
    let metadata: Value = serde_json::from_str(&yard.read("image/metadata.json")).unwrap();
    assert_eq!((&metadata["user"], &metadata["env"]), (&json!("ann"), &json!(["PATH=/bin", "B=1"])));
}

#[test]
fn additional_targets_go_to_the_outputs_of_their_names() {
    let yard = Yard::with(
        "FROM @base AS a\nLABEL x=a\nFROM @base AS b\nLABEL x=b\nFROM @base AS c\nLABEL x=c\nFROM a\nLABEL x=last",
    );
    yard.directory("a");
    let stderr =
        yard.build_source(&[("ADDITIONAL_TARGETS", "a, b"), ("TARGET", "c"), ("UNPACK_ROOTFS", "1")]);
    for (output, label) in [("a", "a"), ("image", "c")] {
        assert_eq!(yard.config(output)["config"]["Labels"]["x"], label);
        assert!(yard.path(output).join("rootfs/bin/busybox").exists());
        assert!(yard.read(&format!("{output}/digest")).starts_with("sha256:"));
    }
    assert!(stderr.contains("b is built, and there is no output b"), "{stderr}");
}

#[test]
fn several_platforms_come_as_an_index_in_a_layout() {
    let yard = Yard::with("FROM scratch\nARG TARGETARCH\nLABEL x=$TARGETARCH\nCOPY Dockerfile /");
    yard.build_source(&[("IMAGE_PLATFORM", "linux/arm64,linux/amd64"), ("OUTPUT_OCI", "true")]);
    let layout = format!("oci:{}:latest", yard.path("image/image").display());
    let index: Value = serde_json::from_str(&support::run("skopeo", &["inspect", "--raw", &layout])).unwrap();
    let architectures: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["platform"]["architecture"])
        .collect();
    assert_eq!(architectures, ["arm64", "amd64"]);
    for architecture in ["arm64", "amd64"] {
        let arguments = ["--override-arch", architecture, "inspect", "--config", &layout];
        let config: Value = serde_json::from_str(&support::run("skopeo", &arguments)).unwrap();
        assert_eq!(config["config"]["Labels"]["x"], architecture);
    }
    let digest = yard.read("image/digest");
    assert!(fs::read_to_string(yard.path("image/image/index.json")).unwrap().contains(&digest));
}

#[test]
fn an_image_among_the_inputs_is_built_upon() {
    let yard = Yard::new();
    let base = TestImage::new().config("User", json!("mine"));
    yard.write("saved/image.tar", busybox().config("User", json!("ann")).saved().build());
    base.write_layout(&yard.path("layout"), "1.2");
    let dockerfile = "ARG base_image\nARG SECOND\nFROM ${SECOND} AS second\nLABEL x=2\nFROM ${base_image}\n\
                      RUN echo it runs > /tmp/ran\nCOPY --from=second / /";
    yard.dockerfile("source/Dockerfile", dockerfile);
    yard.directory("second");
    yard.build_source(&[
        ("IMAGE_ARG_base_image", "saved/image.tar"),
        ("IMAGE_ARG_SECOND", "layout"),
        ("ADDITIONAL_TARGETS", "second"),
    ]);
    assert_eq!(yard.config("image")["config"]["User"], "ann");
    assert_eq!(yard.file("image", "tmp/ran"), "it runs\n");
    assert_eq!(yard.config("second")["config"]["User"], "mine");
    assert!(yard.registry.heard().is_empty(), "no registry is asked");
    // What a task built is what another builds upon.
    fs::rename(yard.path("image"), yard.path("first")).unwrap();
    yard.directory("image");
    yard.dockerfile("source/Dockerfile", "ARG base_image\nFROM ${base_image}\nRUN cat /tmp/ran > /tmp/again");
    yard.build_source(&[("IMAGE_ARG_base_image", "first/image.tar")]);
    assert_eq!(yard.file("image", "tmp/again"), "it runs\n");
}

#[test]
fn what_is_built_can_be_put_with_its_account() {
    for (form, path) in [("true", "image/image"), ("false", "image/image.tar")] {
        let yard = Yard::with("FROM @base\nCOPY Dockerfile /");
        yard.build_source(&[("OUTPUT_OCI", form)]);
        let source = json!({"repository": format!("{}/app", yard.registry.host()), "tag": "1"});
        let mut resource = Concourse::new().resource(source);
        let step = Put::new(json!({"image": path})).artifact("image", &yard.path("image"));
        let (_, got) = resource.put(&step).unwrap();
        let directory = got.unwrap().directory;
        for name in ["bom.yml", "bom.cdx.json", "bom.spdx.json", "estaleiro.lock"] {
            let there = fs::read_to_string(directory.path().join(name)).unwrap();
            assert_eq!(there, yard.read(&format!("image/{name}")), "{path}");
        }
    }
}
