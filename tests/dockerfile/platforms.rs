//! Platforms: whose image is taken out of an index, what the image says it is for, and what can't be run here.

use serde_json::{Value, json};

use crate::shop::{self, Shop};
use crate::support::{Tarball, TestImage};

/// An image for another architecture, whose shell is a program of that one.
fn foreign(architecture: &str) -> TestImage {
    let mut shell = b"\x7fELF\x02\x01\x01".to_vec();
    shell.resize(64, 0);
    // A program (2) for AArch64 (183), as elf(5) has it.
    (shell[16], shell[18], shell[20]) = (2, 183, 1);
    let root = Tarball::new().directory("bin/", 0o755).file("bin/sh", 0o755, shell).file(
        "arch",
        0o644,
        architecture,
    );
    TestImage::new().layer(&root).field("architecture", json!(architecture))
}

/// A shop whose `many` is for amd64, arm64 and both variants of arm.
fn a_shop() -> Shop {
    let shop = Shop::new();
    let native = shop::busybox().layer(&Tarball::new().file("arch", 0o644, "amd64"));
    let arm = |variant: &str| foreign("arm").field("variant", json!(variant));
    shop.offer_index("many", &[&native, &foreign("arm64"), &arm("v6"), &arm("v7")]);
    shop
}

fn platform(config: &Value) -> [&str; 3] {
    ["os", "architecture", "variant"].map(|field| config[field].as_str().unwrap_or_default())
}

#[test]
fn the_image_for_the_platform_is_taken_out_of_an_index() {
    let shop = a_shop();
    for (wanted, arguments, expected) in [
        ("", &[][..], ["linux", "amd64", ""]),
        ("", &["--platform", "linux/arm64"], ["linux", "arm64", ""]),
        ("", &["--platform", "linux/aarch64"], ["linux", "arm64", ""]),
        ("", &["--platform", "linux/arm/v6"], ["linux", "arm", "v6"]),
        ("", &["--platform", "linux/arm"], ["linux", "arm", "v7"]),
        ("--platform=linux/arm64/v8", &[], ["linux", "arm64", ""]),
        ("--platform=$TARGETPLATFORM", &["--platform", "arm64"], ["linux", "arm64", ""]),
    ] {
        let built = shop.build(&format!("FROM {wanted} @many\nCOPY --from=@base /etc/group /g\n"), arguments);
        assert_eq!(platform(&built.config()), expected, "{wanted} {arguments:?}");
        assert_eq!(built.read("/arch"), expected[1], "{wanted} {arguments:?}");
    }
}

#[test]
fn an_image_is_for_the_platform_that_is_asked_for_whatever_built_it() {
    let shop = a_shop();
    let built = shop.build(
        "FROM --platform=$BUILDPLATFORM @many AS maker\nARG TARGETARCH\nRUN echo $TARGETARCH $(cat /arch) > /made\nFROM @many\nCOPY --from=maker /made /\n",
        &["--platform", "linux/arm64"],
    );
    assert_eq!(built.read("/made"), "arm64 amd64\n");
    assert_eq!((platform(&built.config()), built.read("/arch")), (["linux", "arm64", ""], "arm64".into()));
    let labelled = shop.build("FROM --platform=$BUILDPLATFORM @many\n", &["--platform", "linux/arm/v7"]);
    assert_eq!(platform(&labelled.config()), ["linux", "arm", "v7"]);
    let from_scratch = shop.build("FROM scratch\nCMD [\"x\"]\n", &["--platform", "linux/riscv64"]);
    assert_eq!(platform(&from_scratch.config()), ["linux", "riscv64", ""]);
}

#[test]
fn arguments_tell_both_platforms_in_stages_that_ask() {
    let shop = a_shop();
    let names = ["PLATFORM", "OS", "ARCH", "VARIANT"];
    let names: Vec<String> =
        ["TARGET", "BUILD"].iter().flat_map(|whose| names.map(|name| format!("{whose}{name}"))).collect();
    let values = names.iter().map(|name| format!("{name}=${{{name}}}")).collect::<Vec<_>>().join(" ");
    let dockerfile = format!("FROM --platform=linux/arm64 @many\nARG {}\nLABEL {values}\n", names.join(" "));
    let config = shop.build(&dockerfile, &["--platform", "linux/arm/v7"]).config();
    assert_eq!(
        config["config"]["Labels"],
        json!({
            "TARGETPLATFORM": "linux/arm/v7", "TARGETOS": "linux", "TARGETARCH": "arm", "TARGETVARIANT": "v7",
            "BUILDPLATFORM": "linux/amd64", "BUILDOS": "linux", "BUILDARCH": "amd64", "BUILDVARIANT": "",
        })
    );
}

#[test]
fn files_come_from_images_and_stages_of_other_platforms() {
    let shop = a_shop();
    let built = shop.build(
        "FROM --platform=linux/arm64 @many AS arm64\nFROM --platform=linux/arm/v6 @many AS arm\nFROM @many\nCOPY --from=arm64 /arch /arm64\nCOPY --from=arm /arch /arm\nRUN --mount=from=arm64,target=/m cat /m/arch /arch > /both\n",
        &[],
    );
    assert_eq!((built.read("/arm64"), built.read("/arm")), ("arm64".into(), "arm".into()));
    assert_eq!(built.read("/both"), "arm64amd64");
    let images = built.bom()["dockerfile"]["images"].as_array().unwrap().len();
    assert_eq!(images, 3, "one name, and an image for each platform");
}

#[test]
fn a_platform_that_an_index_lacks_is_told_with_those_that_it_has() {
    let shop = a_shop();
    for (dockerfile, arguments) in [
        ("FROM scratch AS x\nFROM --platform=linux/s390x @many\n", &[][..]),
        ("FROM scratch\nCOPY --from=@many /arch /\n", &["--platform", "linux/s390x"]),
    ] {
        let stderr = shop.fail(dockerfile, arguments);
        let told =
            "it is not made for linux/s390x, but for linux/amd64, linux/arm64, linux/arm/v6, linux/arm/v7";
        assert!(stderr.contains(told) && stderr.contains("Dockerfile:2:1"), "{stderr}");
    }
}

#[test]
fn an_image_that_is_for_another_platform_alone_is_taken_and_told() {
    let shop = a_shop();
    let built = shop.build("FROM @base\nCMD [\"x\"]\n", &["--platform", "linux/arm64"]);
    assert_eq!(platform(&built.config()), ["linux", "arm64", ""]);
    assert!(built.stderr.contains("/base is for linux/amd64, not for linux/arm64"), "{}", built.stderr);
}

#[test]
fn a_command_for_another_architecture_is_refused_with_its_line_and_ways_out() {
    let shop = a_shop();
    let stderr = shop.fail("FROM @many\nENV A=1\nRUN make\n", &["--platform", "linux/arm64"]);
    assert!(
        stderr.contains("Dockerfile:3: cannot RUN make: cannot run a program for linux/arm64 on linux/amd64"),
        "{stderr}"
    );
    assert!(stderr.contains("binfmt_misc") && stderr.contains("--platform=$BUILDPLATFORM"), "{stderr}");
    // What is broken on this architecture is another thing.
    let native = shop.fail("FROM @base\nCOPY --chmod=0755 <<x /x\nno script\nx\nRUN [\"/x\"]\n", &[]);
    assert!(native.contains("it is no program for this machine"), "{native}");
}

#[test]
fn what_is_no_platform_or_several_is_refused() {
    let shop = a_shop();
    for (platform, told) in [
        ("linux/amd64,linux/arm64", "an image is built for one platform at a time"),
        ("linux/amd64/v1/x", "cannot read platform"),
    ] {
        let output = shop.run("FROM scratch\n", &["--platform", platform]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(told), "{stderr}");
    }
    for (platform, told) in [("linux/amd64,linux/arm64", "`linux/amd64,linux/arm64`"), ("$NOTHING", "``")] {
        let stderr = shop.fail(&format!("FROM scratch AS x\nFROM --platform={platform} @many\n"), &[]);
        assert!(stderr.contains("Dockerfile:2:1") && stderr.contains(told), "{stderr}");
    }
}

#[test]
fn a_lock_pins_an_image_for_each_platform() {
    let shop = a_shop();
    let dockerfile = "FROM --platform=linux/arm64 @many AS arm\nFROM @many\nCOPY --from=arm /arch /arm\n";
    let first = shop.build(dockerfile, &[]);
    let lock = shop.beside("estaleiro.lock");
    std::fs::write(&lock, first.lock()).unwrap();
    shop.offer("many", &shop::busybox());
    let again = shop.build(dockerfile, &["--lock", lock.to_str().unwrap()]);
    assert_eq!(again.digest, first.digest);
}
