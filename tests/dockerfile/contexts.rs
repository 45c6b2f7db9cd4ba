//! Named contexts: what a name stands for that is given to the build, instead of the stage or image of that name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::shop::{self, Built, Shop};
use crate::support::image::write_layout_of_index;
use crate::support::{Tarball, TestImage};

/// An image whose only file `/from` says where it is from.
fn image(content: &str) -> TestImage {
    TestImage::new()
        .layer(&Tarball::new().file("from", 0o644, content))
        .config("Env", json!(["PATH=/bin", "A=1"]))
}

/// Builds with these names given, each `NAME=VALUE`.
fn build(shop: &Shop, dockerfile: &str, contexts: &[String]) -> Result<Built, String> {
    let arguments: Vec<&str> = contexts.iter().flat_map(|pair| ["--build-context", pair]).collect();
    shop.try_build(dockerfile, &arguments)
}

fn given(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// A shop with a directory `lib` beside the context.
fn a_shop() -> (Shop, String) {
    let shop = Shop::new();
    shop.write_beside("lib/src/a", "a of lib");
    shop.write_beside("lib/b", "b of lib");
    shop.write_beside("lib/ignored", "x");
    shop.write_beside("lib/.dockerignore", "ignored\n");
    shop.write("src/a", "a of the context");
    let lib = given("lib", &shop.beside("lib"));
    (shop, lib)
}

#[test]
fn files_come_out_of_a_named_directory() {
    let (shop, lib) = a_shop();
    let dockerfile = "FROM @base\nCOPY src/a /own\nCOPY --from=lib src/a b* /lib/\nRUN --mount=from=lib,target=/m,rw echo x > /m/b && ls -A /m > /seen && cat /m/src/a >> /seen\n";
    let built = build(&shop, dockerfile, &[lib]).unwrap();
    assert_eq!((built.read("/own"), built.read("/lib/a")), ("a of the context".into(), "a of lib".into()));
    assert_eq!(built.read("/seen"), ".dockerignore\nb\nsrc\na of lib");
    assert_eq!(built.read("/lib/b"), "b of lib");
    assert_eq!(fs::read_to_string(shop.beside("lib/b")).unwrap(), "b of lib", "nothing is written there");
    let files = built.bom()["changeset"]["files"].clone();
    let context = |path: &str| {
        let files = files.as_array().unwrap();
        files.iter().find(|file| file["path"] == path).unwrap()["source"]["context"].clone()
    };
    assert_eq!(context("/lib/a"), json!({"path": "src/a", "name": "lib", "unversioned": true}));
    assert_eq!(context("/own"), json!({"path": "src/a", "unversioned": true}));
    assert_eq!(built.bom()["dockerfile"]["contexts"], json!([{"name": "lib", "kind": "directory"}]));
}

#[test]
fn a_stage_on_a_named_directory_is_a_root_of_its_files() {
    let (shop, lib) = a_shop();
    symlink("/nowhere", shop.beside("lib/link")).unwrap();
    fs::create_dir(shop.beside("lib/empty")).unwrap();
    let built = build(&shop, "FROM lib\nENV A=1\n", std::slice::from_ref(&lib)).unwrap();
    assert_eq!(
        built.tree("/"),
        "file 0644 0:0 8:a6c7e3c5ddd8 /.dockerignore\nfile 0644 0:0 8:4b69b3a7173b /b\ndir  0755 0:0 /empty\nlink 0777 0:0 /link -> /nowhere\ndir  0755 0:0 /src\nfile 0644 0:0 8:807c89766ba0 /src/a"
    );
    let env = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(built.config()["config"], json!({"Env": [env, "A=1"], "WorkingDir": "/"}));
    let copied = build(&shop, "FROM lib AS files\nFROM scratch\nCOPY --from=files /src /\n", &[lib]).unwrap();
    assert_eq!(copied.read("/a"), "a of lib");
}

#[test]
fn a_name_replaces_the_image_and_the_stage_of_that_name() {
    let (shop, lib) = a_shop();
    shop.offer("other", &image("other"));
    let other = format!("docker-image://{}/other", shop.registry.host());
    for (name, dockerfile) in [
        ("alpine", "FROM docker.io/library/alpine:latest\n"),
        ("docker.io/library/alpine:latest", "FROM alpine\n"),
        ("alpine:3", "FROM scratch\nCOPY --from=docker.io/alpine:3 /from /\n"),
        ("made", "FROM @no-such AS made\nRUN false\nFROM made\n"),
        ("made", "FROM @no-such AS made\nRUN false\nFROM scratch\nCOPY --from=0 /from /\n"),
        ("target", "FROM @no-such AS target\nRUN false\n"),
        ("team/app", "ARG BASE=team/app\nFROM $BASE\n"),
    ] {
        let built = build(&shop, dockerfile, &[format!("{name}={other}")]);
        assert_eq!(built.unwrap_or_else(|error| panic!("{dockerfile}{error}")).read("/from"), "other");
    }
    // Other names are left alone, and `scratch` is always nothing.
    let dockerfile = "FROM scratch\nCOPY --from=@base /etc/group /from\n";
    let built = build(&shop, dockerfile, &[format!("scratch={other}"), format!("base={other}")]).unwrap();
    assert!(built.read("/from").contains("staff") && !built.tree("/").contains("bin"));
    // A stage may be replaced by files, and anything by nothing.
    let built = build(&shop, "FROM @no-such AS lib\nFROM lib\n", &[lib]).unwrap();
    assert_eq!(built.read("/src/a"), "a of lib");
    let built = build(&shop, "FROM big\nCOPY src/a /\n", &["big=docker-image://scratch".into()]).unwrap();
    assert_eq!(built.read("/a"), "a of the context");
}

#[test]
fn an_image_keeps_its_configuration_and_its_triggers_run_in_stages_on_it() {
    let shop = Shop::new();
    shop.offer("onbuild", &image("x").config("OnBuild", json!(["LABEL triggered=yes"])));
    let onbuild = [format!("name=docker-image://{}/onbuild", shop.registry.host())];
    let labels = |dockerfile: &str| {
        let config = build(&shop, dockerfile, &onbuild).unwrap().config()["config"].clone();
        assert_eq!(config["Env"], json!(["PATH=/bin", "A=1"]));
        config["Labels"].clone()
    };
    assert_eq!(labels("FROM name\n"), json!({"triggered": "yes"}));
    assert_eq!(labels("FROM scratch AS name\nLABEL a=b\n"), Value::Null);
}

#[test]
fn an_image_comes_out_of_a_layout_by_tag_or_digest() {
    let shop = Shop::new();
    let layout = shop.beside("layout");
    image("layout").write_layout(&layout, "1");
    let digest = image("layout").digest();
    let shown = layout.display();
    for value in [
        format!("oci-layout://{shown}:1"),
        format!("oci-layout://{shown}@{digest}"),
        format!("oci-layout://{shown}:none@{digest}"),
    ] {
        let built = build(&shop, "FROM local\nENV B=$A\n", &[format!("local={value}")]).unwrap();
        assert_eq!(built.read("/from"), "layout");
        assert_eq!(built.config()["config"]["Env"], json!(["PATH=/bin", "A=1", "B=1"]));
        let dockerfile = built.bom()["dockerfile"].clone();
        let kind = json!([{"name": "local", "kind": "oci-layout", "digest": digest.to_string()}]);
        assert_eq!(dockerfile["contexts"], kind);
        assert_eq!(dockerfile["images"], json!([format!("oci-layout://local@{digest}")]));
        assert!(!built.holds(&shown.to_string()), "no path of this machine is told");
    }
}

#[test]
fn a_layout_may_hold_an_index_with_images_for_several_platforms() {
    let shop = Shop::new();
    let arm64 = image("arm64").field("architecture", json!("arm64"));
    let layout = shop.beside("layout");
    write_layout_of_index(&layout, "latest", &[&image("amd64"), &arm64]);
    let local = format!("local=oci-layout://{}", layout.display());
    for (dockerfile, expected) in
        [("FROM local\n", "amd64"), ("FROM --platform=linux/arm64 local\n", "arm64")]
    {
        let built = build(&shop, dockerfile, std::slice::from_ref(&local)).unwrap();
        assert_eq!(built.read("/from"), expected);
        assert_eq!(built.config()["architecture"], expected);
    }
    let stderr = build(&shop, "FROM --platform=linux/s390x local\n", &[local]).err().unwrap();
    assert!(stderr.contains("it is not made for linux/s390x, but for linux/amd64, linux/arm64"), "{stderr}");
}

#[test]
fn a_layout_whose_bytes_are_not_what_they_are_called_is_refused() {
    let image = image("layout");
    let manifest: Value = serde_json::from_slice(&image.manifest_bytes()).unwrap();
    let digest = image.digest().to_string();
    for digest in [&json!(digest), &manifest["config"]["digest"], &manifest["layers"][0]["digest"]] {
        // What a state has by a digest is not asked for again.
        let shop = Shop::new();
        let layout = shop.beside("layout");
        image.write_layout(&layout, "latest");
        let blob = layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
        let mut bytes = fs::read(&blob).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&blob, &bytes).unwrap();
        let local = format!("local=oci-layout://{}", layout.display());
        let stderr = build(&shop, "FROM scratch\nCOPY --from=local /from /\n", &[local]).err().unwrap();
        assert!(stderr.contains("expected") && stderr.contains(", got sha256:"), "{stderr}");
    }
}

#[test]
fn a_lock_pins_images_and_layouts_and_no_directories() {
    let (shop, lib) = a_shop();
    let layout = shop.beside("layout");
    image("one").write_layout(&layout, "latest");
    shop.offer("other", &image("one"));
    let contexts = [
        lib,
        format!("local=oci-layout://{}", layout.display()),
        format!("other=docker-image://{}/other", shop.registry.host()),
    ];
    let dockerfile =
        "FROM scratch\nCOPY --from=local /from /local\nCOPY --from=other /from /other\nCOPY --from=lib b /\n";
    let first = build(&shop, dockerfile, &contexts).unwrap();
    let lock = shop.beside("estaleiro.lock");
    fs::write(&lock, first.lock()).unwrap();
    let locked: Value = serde_json::from_slice(&first.lock()).unwrap();
    assert_eq!(locked["platforms"][0]["images"].as_array().unwrap().len(), 2, "{locked}");
    assert!(!String::from_utf8(first.lock()).unwrap().contains("lib"));
    image("two").write_layout(&layout, "latest");
    shop.offer("other", &image("two"));
    shop.write_beside("lib/b", "b changed");
    let mut arguments = vec!["--lock", lock.to_str().unwrap()];
    arguments.extend(contexts.iter().flat_map(|pair| ["--build-context", pair.as_str()]));
    let again = shop.build(dockerfile, &arguments);
    assert_eq!((again.read("/local"), again.read("/other")), ("one".into(), "one".into()));
    assert_eq!(again.read("/b"), "b changed");
    let anew = build(&shop, dockerfile, &contexts).unwrap();
    assert_eq!((anew.read("/local"), anew.read("/other")), ("two".into(), "two".into()));
}

#[test]
fn only_the_content_of_a_context_decides_what_is_built_again() {
    let (shop, lib) = a_shop();
    let dockerfile = "FROM @base\nCOPY --from=lib src /src\nRUN cat /src/a > /made\n";
    let first = build(&shop, dockerfile, &[lib]).unwrap();
    fs::rename(shop.beside("lib"), shop.beside("moved")).unwrap();
    shop.write_beside("moved/ignored", "something else");
    shop.write_beside("moved/b", "not asked for");
    let lib = given("lib", &shop.beside("moved"));
    let second = build(&shop, dockerfile, std::slice::from_ref(&lib)).unwrap();
    assert_eq!(first.digest, second.digest);
    assert!(!second.stderr.contains("RUN cat /src/a > /made: built"), "{}", second.stderr);
    shop.write_beside("moved/src/a", "other");
    let third = build(&shop, dockerfile, &[lib]).unwrap();
    assert_eq!(third.read("/made"), "other");
}

#[test]
fn a_name_that_nothing_means_is_a_warning() {
    let (shop, lib) = a_shop();
    let built = build(&shop, "FROM scratch\n", std::slice::from_ref(&lib)).unwrap();
    assert!(built.stderr.contains("build context `lib` is given"), "{}", built.stderr);
    // A stage that isn't built, and a trigger, mean it too.
    let onbuild = shop::busybox().config("OnBuild", json!(["COPY --from=lib b /"]));
    shop.offer("onbuild", &onbuild);
    for dockerfile in ["FROM lib AS x\nFROM scratch\n", "FROM @onbuild\n"] {
        let built = build(&shop, dockerfile, std::slice::from_ref(&lib)).unwrap();
        assert!(!built.stderr.contains("build context"), "{}", built.stderr);
    }
}

#[test]
fn what_no_name_can_stand_for_is_refused() {
    let (shop, lib) = a_shop();
    let layout = shop.beside("layout");
    image("x").write_layout(&layout, "1");
    for (context, told) in [
        ("lib".to_owned(), "expected NAME=VALUE"),
        ("=lib".into(), "expected NAME=VALUE"),
        ("Lib=.".into(), "in lower-case letters"),
        (given("lib", &shop.beside("no-such")), "there is no such file"),
        (format!("oci-{lib}").replace('=', "=oci-layout://"), "is no OCI layout"),
        ("lib=https://git.example/lib.git".into(), "hint: fetch it before"),
        ("lib=docker-image://A".into(), "cannot read image name `A`"),
    ] {
        let output = shop.run("FROM scratch\n", &["--build-context", &context]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(told), "{context}: {stderr}");
    }
    // What is known only when it is looked at has its line.
    let local = format!("local=oci-layout://{}", layout.display());
    let stderr = build(&shop, "FROM scratch\nCOPY --from=local /x /\n", &[local]).err().unwrap();
    assert!(stderr.contains("Dockerfile:2:1") && stderr.contains("which has the tags 1"), "{stderr}");
    let stderr = build(&shop, "FROM scratch\nCOPY --from=lib missing /\n", &[lib]).err().unwrap();
    assert!(stderr.contains("Dockerfile:2:1") && stderr.contains("cannot take missing"), "{stderr}");
}
