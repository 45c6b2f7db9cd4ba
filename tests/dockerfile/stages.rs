//! Stages: which are built, and what they give each other.

use crate::shop::Shop;

#[test]
fn only_the_stages_that_the_target_needs_are_built() {
    let shop = Shop::new();
    let dockerfile = "FROM @base AS broken\nRUN false\nFROM @base AS good\nRUN echo a > /a\nFROM scratch AS last\nCOPY --from=good /a /b\n";
    assert_eq!(shop.build(dockerfile, &[]).read("/b"), "a\n");
    assert_eq!(shop.build(dockerfile, &["--target", "GOOD"]).read("/a"), "a\n");
    assert!(shop.fail(dockerfile, &["--target", "0"]).contains("RUN false"));
}

#[test]
fn a_stage_begins_where_another_ends() {
    let shop = Shop::new();
    let built = shop.build(
        "FROM @base AS one\nENV A=1\nWORKDIR /w\nRUN echo one > one\nFROM one AS two\nRUN echo $A > two\nFROM two\nCMD [\"x\"]\n",
        &[],
    );
    assert_eq!(built.read("/w/one") + &built.read("/w/two"), "one\n1\n");
    assert_eq!(built.config()["config"]["WorkingDir"], "/w");
}

#[test]
fn files_come_from_stages_by_name_and_number_and_from_images() {
    let shop = Shop::new();
    let built = shop.build(
        "FROM @base AS one\nRUN echo 1 > /f && chown 7:8 /f\nFROM scratch\nCOPY --from=one /f /by-name\nCOPY --from=0 /f /by-number\nCOPY --from=@base /etc/passwd /\nCOPY --from=one --chown=1:2 --chmod=0640 /f /mine\n",
        &[],
    );
    let tree = built.tree("/");
    for line in [
        "0644 7:8 2:4355a46b19d3 /by-name",
        "0644 7:8 2:4355a46b19d3 /by-number",
        "0640 1:2 2:4355a46b19d3 /mine",
    ] {
        assert!(tree.contains(line), "{tree}");
    }
    assert!(built.read("/passwd").contains("ann"));
}

#[test]
fn arguments_before_the_first_stage_choose_its_base() {
    let shop = Shop::new();
    let dockerfile = "ARG NAME=nothing\nFROM @${NAME} AS a\nARG NAME\nRUN echo ${NAME:-unset} > /name\n";
    assert_eq!(shop.build(dockerfile, &["--build-arg", "NAME=base"]).read("/name"), "base\n");
    assert!(shop.fail(dockerfile, &[]).contains("nothing"));
}

#[test]
fn an_image_is_accounted_for_by_its_instructions() {
    let shop = Shop::new();
    shop.write("file", "content");
    let built = shop.build(
        "FROM @base\nARG API_TOKEN\nRUN echo a > /a\nCOPY file /file\nENV A=1\n",
        &["--build-arg", "API_TOKEN=t0ken"],
    );
    let bom = built.bom();
    let instructions = bom["changeset"]["instructions"].as_array().unwrap();
    let told: Vec<&str> = instructions.iter().map(|it| it["instruction"].as_str().unwrap()).collect();
    assert_eq!(told[..3], ["RUN echo a > /a", "COPY file /file", "ENV A=1"]);
    let diff_ids = built.config()["rootfs"]["diff_ids"].clone();
    assert_eq!((&instructions[0]["layer"], &instructions[1]["layer"]), (&diff_ids[1], &diff_ids[2]));
    assert_eq!(bom["dockerfile"]["args"]["API_TOKEN"], "***");
    assert!(bom["dockerfile"]["images"][0].as_str().unwrap().contains("/base"), "{bom}");
    assert_eq!(bom["changeset"]["files"][0]["path"], "/file");
    assert!(!built.holds("t0ken"));
}
