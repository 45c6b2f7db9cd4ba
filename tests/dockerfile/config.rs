//! What each instruction leaves of the configuration.

use serde_json::{Value, json};

use crate::shop::Shop;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Builds all rows in one shop, and compares what `config` says besides environment and directory on scratch.
fn check(rows: &[(&str, Value)]) {
    let shop = Shop::new();
    for (instructions, expected) in rows {
        let config = shop.build(&format!("FROM scratch\n{instructions}\n"), &[]).config();
        let mut config = config["config"].clone();
        let mut wanted = json!({"Env": [PATH], "WorkingDir": "/"});
        wanted.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
        config.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        assert_eq!(config, wanted, "{instructions}");
    }
}

#[test]
fn commands_are_programs_or_texts_for_the_shell() {
    check(&[
        ("", json!({})),
        (r#"CMD ["a", "b"]"#, json!({"Cmd": ["a", "b"]})),
        ("CMD a  b", json!({"Cmd": ["/bin/sh", "-c", "a  b"]})),
        ("SHELL [\"/x\", \"-e\"]\nCMD a", json!({"Shell": ["/x", "-e"], "Cmd": ["/x", "-e", "a"]})),
        ("CMD a\nENTRYPOINT [\"b\"]", json!({"Cmd": ["/bin/sh", "-c", "a"], "Entrypoint": ["b"]})),
        ("ENTRYPOINT b", json!({"Entrypoint": ["/bin/sh", "-c", "b"]})),
    ]);
}

#[test]
fn variables_see_those_before_their_instruction_and_not_those_in_it() {
    check(&[
        ("ENV A=1 B=$A\nENV C=${A}2", json!({"Env": [PATH, "A=1", "B=", "C=12"]})),
        ("ENV A one two", json!({"Env": [PATH, "A=one two"]})),
        ("ARG V=x\nENV A=${V:-y} B=${W:-y} C=${V:+z}", json!({"Env": [PATH, "A=x", "B=y", "C=z"]})),
        (
            "ENV A=/a/b.c\nENV B=${A#/} C=${A%.c} D=${A##*/} E=${A/a/x}",
            json!({"Env": [PATH, "A=/a/b.c", "B=a/b.c", "C=/a/b", "D=b.c", "E=/x/b.c"]}),
        ),
    ]);
}

#[test]
fn the_rest_is_said_in_dockers_words() {
    check(&[
        (
            "EXPOSE 80 53/udp 8000-8001",
            json!({"ExposedPorts": {"53/udp": {}, "80/tcp": {}, "8000/tcp": {}, "8001/tcp": {}}}),
        ),
        ("LABEL a=b \"c d\"=e", json!({"Labels": {"a": "b", "c d": "e"}})),
        ("USER ann:staff", json!({"User": "ann:staff"})),
        ("VOLUME /a /b\nVOLUME [\"/c\"]", json!({"Volumes": {"/a": {}, "/b": {}, "/c": {}}})),
        ("WORKDIR /a\nWORKDIR b", json!({"WorkingDir": "/a/b"})),
        ("STOPSIGNAL SIGTERM", json!({"StopSignal": "SIGTERM"})),
        ("ONBUILD RUN make", json!({"OnBuild": ["RUN make"]})),
        (
            "HEALTHCHECK --interval=1m30s --timeout=5s --start-period=2s --start-interval=1s --retries=2 CMD a",
            json!({"Healthcheck": {
                "Test": ["CMD-SHELL", "a"], "Interval": 90_000_000_000_u64, "Timeout": 5_000_000_000_u64,
                "StartPeriod": 2_000_000_000, "StartInterval": 1_000_000_000, "Retries": 2,
            }}),
        ),
        ("HEALTHCHECK CMD [\"a\"]\nHEALTHCHECK NONE", json!({"Healthcheck": {"Test": ["NONE"]}})),
    ]);
}

#[test]
fn an_image_of_nothing_has_a_layer_that_is_empty() {
    let shop = Shop::new();
    let built = shop.build("FROM scratch\nCMD [\"x\"]\n", &[]);
    assert_eq!(built.config()["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
    assert_eq!(built.tree("/"), "");
    assert_eq!(shop.build("FROM scratch\nCMD [\"x\"]\n", &[]).digest, built.digest);
}

#[test]
fn who_made_an_image_stands_beside_its_configuration() {
    let config = Shop::new().build("FROM scratch\nMAINTAINER Ann of the shop\n", &[]).config();
    assert_eq!(config["author"], "Ann of the shop");
}

#[test]
fn what_the_base_says_is_inherited_and_labels_of_the_command_line_win() {
    let shop = Shop::new();
    let base = crate::shop::busybox()
        .config("Cmd", json!(["old"]))
        .config("Labels", json!({"a": "1", "b": "1"}))
        .config("Healthcheck", json!({"Test": ["CMD", "x"]}));
    shop.offer("with-config", &base);
    let dockerfile = "FROM @with-config\nLABEL b=2 c=2\n";
    let config = shop.build(dockerfile, &["--label", "c=3"]).config()["config"].clone();
    assert_eq!(config["Cmd"], json!(["old"]));
    assert_eq!(config["Labels"], json!({"a": "1", "b": "2", "c": "3"}));
    assert_eq!(config["Healthcheck"], json!({"Test": ["CMD", "x"]}));
    let config = shop.build("FROM @with-config\nENTRYPOINT [\"x\"]\n", &[]).config()["config"].clone();
    assert_eq!(config["Cmd"], Value::Null);
}

#[test]
fn triggers_of_a_base_run_first_and_are_not_inherited() {
    let shop = Shop::new();
    shop.offer("onbuild", &crate::shop::busybox().config("OnBuild", json!(["ENV A=1", "WORKDIR /made/$A"])));
    let built = shop.build("FROM @onbuild\nENV B=${A}2\n", &[]);
    let config = built.config()["config"].clone();
    assert_eq!(config["Env"], json!(["PATH=/bin", "A=1", "B=12"]));
    assert_eq!((&config["OnBuild"], &config["WorkingDir"]), (&Value::Null, &json!("/made/1")));
    assert_eq!(built.tree("/made/"), "dir  0755 0:0 /made/1");
}

#[test]
fn an_owner_that_the_image_does_not_know_is_root_with_a_warning() {
    let shop = Shop::new();
    shop.write("x", "x");
    let built =
        shop.build("FROM @base\nCOPY --chown=nobody-here x /a\nCOPY --chown=ann:no-group x /b\n", &[]);
    let tree = built.tree("/");
    assert!(
        tree.contains(" 0:0 1:2d711642b726 /a") && tree.contains(" 1000:1000 1:2d711642b726 /b"),
        "{tree}"
    );
    for (line, name) in [(2, "nobody-here"), (3, "no-group")] {
        let warning = format!("Dockerfile:{line}: cannot use the owner {name}");
        assert!(built.stderr.contains(&warning), "{}", built.stderr);
    }
    let stderr = shop.fail("FROM scratch\nCOPY --chown=ann x /a\n", &[]);
    assert!(stderr.contains("Dockerfile:2: cannot") && stderr.contains("knows no such user"), "{stderr}");
}
