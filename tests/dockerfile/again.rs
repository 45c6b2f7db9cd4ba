//! The same again: what is known isn't done twice, and the same comes out.

use crate::shop::Shop;

const TWO_STAGES: &str = "FROM @base AS one\nCOPY one /one\nRUN cat /one > /made-one\nFROM @base AS two\nCOPY two /two\nRUN cat /two > /made-two\nFROM scratch\nCOPY --from=one /made-one /\nCOPY --from=two /made-two /\n";

fn shop() -> Shop {
    let shop = Shop::new();
    shop.write("one", "1");
    shop.write("two", "2");
    shop
}

/// Returns the instructions that were built, not found.
fn built(stderr: &str) -> Vec<&str> {
    let lines = stderr.lines().filter_map(|line| line.trim().strip_prefix("✔ "));
    lines.filter(|line| line.contains(": built")).filter_map(|line| line.split(": built").next()).collect()
}

#[test]
fn a_second_build_does_nothing() {
    let shop = shop();
    let first = shop.build(TWO_STAGES, &[]);
    let second = shop.build(TWO_STAGES, &[]);
    assert_eq!(first.digest, second.digest);
    assert_eq!(built(&second.stderr), Vec::<&str>::new(), "{}", second.stderr);
}

#[test]
fn a_file_that_changed_builds_only_what_stands_on_it() {
    let shop = shop();
    shop.build(TWO_STAGES, &[]);
    shop.write("two", "3");
    let again = shop.build(TWO_STAGES, &[]);
    let mut done = built(&again.stderr);
    done.sort_unstable();
    assert_eq!(
        done,
        ["COPY --from=two /made-two /", "COPY two /two", "RUN cat /two > /made-two"],
        "{}",
        again.stderr
    );
    assert_eq!(again.read("/made-two"), "3");
}

#[test]
fn times_and_paths_decide_nothing_and_a_file_that_is_ignored_neither() {
    let shop = shop();
    shop.write(".dockerignore", "ignored\n");
    let dockerfile = "FROM scratch\nCOPY . /\n";
    let first = shop.build(dockerfile, &[]);
    shop.write("ignored", "x");
    shop.write("one", "1");
    let second = shop.build(dockerfile, &[]);
    assert_eq!(first.digest, second.digest);
    assert!(!second.tree("/").contains("ignored"));
}

#[test]
fn a_stage_that_was_only_read_becomes_an_image_and_is_not_built_again() {
    let shop = shop();
    shop.build(TWO_STAGES, &[]);
    let known = shop.build(TWO_STAGES, &["--target", "one"]);
    assert_eq!(built(&known.stderr), Vec::<&str>::new(), "{}", known.stderr);
    let whole = shop.build(TWO_STAGES, &[]);
    assert_eq!(built(&whole.stderr), Vec::<&str>::new(), "{}", whole.stderr);
    assert_eq!(known.digest, shop.build(TWO_STAGES, &["--target", "one", "--no-cache"]).digest);
    assert_eq!(known.read("/made-one"), "1");
}

#[test]
fn a_build_from_nothing_comes_to_the_same() {
    let (one, other) = (shop(), shop());
    let dockerfile = "FROM @base AS a\nCOPY . /src\nRUN mkdir /o && cat /src/one /src/two > /o/sum && touch /o/z /o/a\nFROM scratch\nCOPY --from=a /o /o\n";
    assert_eq!(layers(&one.build(dockerfile, &[])), layers(&other.build(dockerfile, &[])));
}

/// The names of bases hold the port of a registry, so images of two shops have other manifests.
fn layers(built: &crate::shop::Built) -> serde_json::Value {
    built.config()["rootfs"].clone()
}

#[test]
fn no_time_is_later_than_the_one_that_is_asked_for() {
    let shop = shop();
    let file = shop.beside("Dockerfile");
    std::fs::write(&file, format!("FROM {}/base\nRUN touch /now\nCOPY one /one\n", shop.registry.host()))
        .unwrap();
    let out = shop.beside("dated");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_estaleiro"))
        .args(["build", "-f", file.to_str().unwrap(), "--output", &format!("oci:{}", out.display())])
        .args(["--state", shop.beside("state").to_str().unwrap(), shop.context().to_str().unwrap()])
        .env("SOURCE_DATE_EPOCH", "86400")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let image = format!("oci:{}:latest", out.display());
    let config: serde_json::Value =
        serde_json::from_str(&crate::support::run("skopeo", &["inspect", "--raw", "--config", &image]))
            .unwrap();
    assert_eq!(config["created"], "1970-01-02T00:00:00Z");
    let root = shop.beside("root");
    let layout = format!("{}:latest", out.display());
    crate::support::run("umoci", &["raw", "unpack", "--image", &layout, root.to_str().unwrap()]);
    for path in ["now", "one"] {
        let modified = std::fs::metadata(root.join(path)).unwrap().modified().unwrap();
        assert_eq!(modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 86400, "{path}");
    }
}

#[test]
fn without_the_cache_every_instruction_is_done_again() {
    let shop = shop();
    let dockerfile = "FROM @base\nRUN true\nRUN echo x > /x\n";
    shop.build(dockerfile, &[]);
    let again = shop.build(dockerfile, &["--no-cache"]);
    assert_eq!(built(&again.stderr), ["RUN true", "RUN echo x > /x"], "{}", again.stderr);
}

/// What make and cargo do: only what is older than its source is made again, and the cache keeps what was made.
const BY_TIMES: &str = ": > /log\nfor name in one two; do\n\
    if [ ! -e /made/$name ] || [ /src/$name -nt /made/$name ]; then echo $name >> /log; cat /src/$name > /made/$name; fi\n\
    done\ncat /made/one /made/two > /out\n";

/// Some programs know the time to the second only.
fn change_later(path: &std::path::Path) {
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
    std::fs::File::options().append(true).open(path).unwrap().set_modified(later).unwrap();
}

#[test]
fn a_tool_that_goes_by_times_makes_what_changed_since_its_cache_and_only_that() {
    let in_layers =
        format!("FROM @base\nCOPY . /src\nRUN --mount=type=cache,target=/made <<END\n{BY_TIMES}END\n");
    let mounted =
        format!("FROM @base\nRUN --mount=type=cache,target=/made --mount=target=/src <<END\n{BY_TIMES}END\n");
    for dockerfile in [in_layers, mounted] {
        let shop = shop();
        let first = shop.build(&dockerfile, &[]);
        assert_eq!((first.read("/out").as_str(), first.read("/log").as_str()), ("12", "one\ntwo\n"));

        shop.write("two", "3");
        change_later(&shop.context().join("two"));
        let second = shop.build(&dockerfile, &[]);
        assert_eq!((second.read("/out").as_str(), second.read("/log").as_str()), ("13", "two\n"));
        assert!(!second.tree("/").contains("/made/one"));
    }
}

#[test]
fn what_a_command_with_a_cache_sees_of_times_is_not_in_the_image() {
    let dockerfile = "FROM @base\nCOPY . /src\nRUN --mount=type=cache,target=/c touch /src/new\n";
    let (one, other) = (shop(), shop());
    change_later(&other.context().join("one"));
    let (one, other) = (one.build(dockerfile, &[]), other.build(dockerfile, &[]));
    assert_eq!(layers(&one), layers(&other));
}
