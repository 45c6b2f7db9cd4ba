//! Commands in the image's root: what they see, what they leave, and how they fail.

use crate::shop::Shop;

#[test]
fn what_a_command_made_changed_and_removed_is_its_layer() {
    let shop = Shop::new();
    let built = shop.build(
        "FROM @base\nRUN mkdir /d && echo one > /d/a && echo two > /d/b && chmod 600 /d/b\nRUN rm /d/a /etc/group && mv /d/b /d/c\n",
        &[],
    );
    assert_eq!(built.tree("/d"), "dir  0755 0:0 /d\nfile 0600 0:0 4:27dd8ed44a83 /d/c");
    assert!(!built.tree("/etc/").contains("/etc/group"));
    assert_eq!(built.config()["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
}

#[test]
fn a_directory_that_was_removed_and_made_again_hides_what_was_in_it() {
    let shop = Shop::new();
    let built = shop
        .build("FROM @base\nRUN mkdir /d && touch /d/old\nRUN rm -r /d && mkdir /d && touch /d/new\n", &[]);
    let tree = built.tree("/d/");
    assert!(tree.contains("/d/new") && !tree.contains("/d/old"), "{tree}");
}

#[test]
fn a_command_that_changes_nothing_has_no_layer() {
    let shop = Shop::new();
    let built = shop.build("FROM @base\nRUN true\nRUN cat /etc/passwd\n", &[]);
    assert_eq!(built.config()["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
}

#[test]
fn a_command_has_its_user_directory_and_variables() {
    let shop = Shop::new();
    let built = shop.build(
        "FROM @base\nARG V=arg\nENV E=env\nRUN mkdir -m 777 /o && id > /o/root && env > /o/env\nUSER ann\nWORKDIR /w\nRUN id > /o/ann; pwd > /o/pwd\nUSER 7:8\nRUN id > /o/number\n",
        &[],
    );
    assert!(built.read("/o/root").starts_with("uid=0(root) gid=0(root)"));
    assert!(
        built.read("/o/ann").starts_with("uid=1000(ann) gid=1000(ann) groups=50(staff),1000(ann)")
            || built.read("/o/ann").starts_with("uid=1000(ann) gid=1000(ann) groups=1000(ann),50(staff)"),
        "{}",
        built.read("/o/ann")
    );
    assert!(built.read("/o/number").starts_with("uid=7 gid=8"));
    assert_eq!(built.read("/o/pwd"), "/w\n");
    let env = built.read("/o/env");
    for line in ["V=arg", "E=env", "PATH=/bin", "HOME=/root"] {
        assert!(env.lines().any(|found| found == line), "{line}: {env}");
    }
    assert_eq!(built.tree("/w"), "dir  0755 1000:1000 /w");
}

#[test]
fn here_documents_are_commands_scripts_and_files() {
    let shop = Shop::new();
    let built = shop.build(
        "FROM @base\nRUN <<E\nmkdir /o\necho a > /o/a\nE\nRUN <<S\n#!/bin/sh\necho script > /o/b\nS\nRUN cat <<T > /o/c\n$HOME\nT\n",
        &[],
    );
    assert_eq!(built.read("/o/a") + &built.read("/o/b") + &built.read("/o/c"), "a\nscript\n/root\n");
    assert!(!built.tree("/dev").contains("pipes"));
}

#[test]
fn what_a_command_sees_beside_its_root_leaves_no_trace() {
    let shop = Shop::new();
    shop.write("src/hello", "from the context");
    let built = shop.build(
        "FROM @base AS other\nRUN echo from another stage > /there\nFROM @base\nRUN mkdir /o\n\
         RUN --mount=target=/ctx,source=src --mount=from=other,source=/there,target=/mnt/there --mount=type=tmpfs,target=/scratch \
         cat /ctx/hello /mnt/there > /o/seen && touch /scratch/x && ls /proc/self /sys /dev > /dev/null\n",
        &[],
    );
    assert_eq!(built.read("/o/seen"), "from the contextfrom another stage\n");
    let tree = built.tree("/");
    for path in ["/ctx", "/mnt", "/scratch", "/proc", "/sys", "/dev"] {
        assert!(!tree.lines().any(|line| line.ends_with(path)), "{path}: {tree}");
    }
}

#[test]
fn a_bind_can_be_written_to_and_what_is_written_is_lost() {
    let shop = Shop::new();
    shop.write("a", "a");
    let built = shop.build(
        "FROM @base\nRUN --mount=target=/c,rw touch /c/new && ls /c > /list\nRUN --mount=target=/c ! touch /c/new; ls /c > /list2\n",
        &[],
    );
    assert_eq!(built.read("/list"), "a\nnew\n");
    assert_eq!(built.read("/list2"), "a\n");
    assert!(!shop.context().join("new").exists());
}

#[test]
fn a_cache_outlives_the_build_and_is_in_no_layer() {
    let shop = Shop::new();
    let count = "RUN --mount=type=cache,target=/cache echo x >> /cache/log; wc -l < /cache/log > /count\n";
    assert_eq!(shop.build(&format!("FROM @base\n{count}"), &[]).read("/count"), "1\n");
    let built = shop.build(&format!("FROM @base\n{count}"), &["--no-cache"]);
    assert_eq!(built.read("/count"), "2\n");
    assert!(!built.tree("/").contains("/cache"));
}

#[test]
fn without_a_network_there_is_only_the_loopback() {
    let shop = Shop::new();
    let built = shop.build("FROM @base\nRUN --network=none ls /sys/class/net > /net\n", &[]);
    assert_eq!(built.read("/net"), "lo\n");
}

#[test]
fn a_command_that_fails_is_told_with_its_line_its_code_and_what_it_said() {
    let shop = Shop::new();
    let stderr = shop.fail("FROM @base\nRUN echo about to fail; \\\n  exit 7\n", &[]);
    assert!(
        stderr.contains("Dockerfile:2") && stderr.contains('7') && stderr.contains("about to fail"),
        "{stderr}"
    );
    let stderr = shop.fail("FROM @base\nRUN kill -9 $$\n", &[]);
    assert!(stderr.contains("signal 9") || stderr.contains("SIGKILL"), "{stderr}");
    let stderr = shop.fail("FROM @base\nRUN [\"/no/such/program\"]\n", &[]);
    assert!(stderr.contains("/no/such/program"), "{stderr}");
}

#[test]
fn a_command_that_fails_can_leave_its_root() {
    let shop = Shop::new();
    let stderr = shop.fail("FROM @base\nRUN echo half > /half-done; false\n", &["--keep-failed"]);
    assert!(crate::shop::any_file_holds(&shop.beside("state"), "half"), "{stderr}");
    let stderr = shop.fail("FROM @base\nRUN echo other-half > /half-done; false\n", &[]);
    assert!(!stderr.contains("kept"), "{stderr}");
}

#[test]
fn names_lead_nowhere_out_of_the_root() {
    let shop = Shop::new();
    let outside = shop.beside("outside");
    std::fs::create_dir(&outside).unwrap();
    let out = outside.display().to_string();
    let built = shop.build(
        &format!("FROM @base\nRUN ln -s {out} /link && ln -s ../../../../../..{out} /up\nWORKDIR /link/w\nRUN touch here\nWORKDIR /up/w\nRUN touch here\n"),
        &[],
    );
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(built.tree(&format!("{out}/")).contains("/w/here"));
}
