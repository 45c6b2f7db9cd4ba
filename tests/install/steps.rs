//! Steps whose Dockerfiles copy and run: what comes out of them, what is done again, and a program made by a compiler that
//! this builder installed itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::site::Site;
use crate::support::image::a_base_that_unpacks;
use crate::support::{TestRegistry, machine};
use crate::yard::{account, unpacked};

const ORIGIN: &str = "source_file \"/**\" {\n    vcs \"git\" {\n      repository = \"https://git.example/tool\"\n      ref = \"1\"\n    }\n  }";

/// A site whose image takes `/out` of a step on busybox, with a context of its own.
fn site(registry: &TestRegistry, dockerfile: &str) -> Site {
    a_base_that_unpacks("").put(registry, "base", Some("1"));
    let site = Site::new(&format!(
        "image \"x\" {{\n  file \"/out\" {{ from_step \"build\" {{ path = \"/out\" }} }}\n}}\n\
         step \"build\" {{\n  dockerfile = \"docker/Dockerfile\"\n  context = \"src\"\n  args = {{ BASE = \"{}\" }}\n  {ORIGIN}\n}}\n",
        registry.name("base", "1")
    ));
    fs::create_dir(site.path("context/docker")).unwrap();
    fs::create_dir(site.path("context/src")).unwrap();
    site.put("docker/Dockerfile", dockerfile);
    site
}

/// Builds, and returns what `/out` holds and what was said.
fn built(site: &Site, name: &str) -> (String, String) {
    let mut build = site.loud_verb("build");
    build.args(["--output", &format!("oci:../{name}")]);
    let said = site.said(&site.succeeds(&mut build).stderr);
    let root = unpacked(&site.path(name), &site.path(&format!("bundle-{name}")));
    (fs::read_to_string(root.join("out")).unwrap(), said)
}

#[test]
fn a_step_has_a_context_of_its_own_and_its_caches_outlive_it() {
    let registry = TestRegistry::start();
    let site = site(
        &registry,
        "ARG BASE\nFROM ${BASE} AS made\nCOPY . /src\n\
         RUN --mount=target=/ctx --mount=type=cache,target=/cache \\\n\
         [ ! -e /src/secret ] && echo x >> /cache/log && /bin/busybox cat /src/a /ctx/a /cache/log > /made\n\
         FROM scratch\nCOPY --from=made /made /out\n",
    );
    site.put("src/a", "1\n");
    site.put("src/secret", "s3cret");
    site.put("src/.dockerignore", "secret\n.dockerignore\n");
    assert_eq!(built(&site, "first").0, "1\n1\nx\n");

    let (again, said) = built(&site, "again");
    assert_eq!(again, "1\n1\nx\n");
    assert!(!said.contains("RUN"), "nothing of the step is needed: {said}");

    site.put("a", "beside the step's context");
    site.put("src/secret", "another");
    assert!(!built(&site, "ignored").1.contains("RUN"));

    site.put("src/a", "2\n");
    let (changed, said) = built(&site, "changed");
    assert_eq!(changed, "2\n2\nx\nx\n", "the cache is as the last command left it");
    assert!(said.contains("RUN"), "{said}");
    let context = &account_in(&site, "changed")["changeset"]["files"][0]["source"]["step"]["context"];
    assert_eq!(context["path"], "src");
}

fn account_in(site: &Site, name: &str) -> Value {
    fs::rename(site.path(name), site.layout()).unwrap();
    account(site)
}

#[test]
fn what_a_command_of_a_step_says_when_it_fails_is_told_with_its_line() {
    let registry = TestRegistry::start();
    let site = site(&registry, "ARG BASE\nFROM ${BASE}\nRUN echo no such luck; exit 3\n");
    let said = site.fails(1, &mut site.build());
    assert!(said.contains("no such luck") && said.contains("docker/Dockerfile:3"), "{said}");
}

/// Compiles, links against nothing that the image would need, and leaves the program alone in the image.
const THREE_STAGES: &str = "\
ARG BASE
FROM ${BASE} AS compiled
WORKDIR /src
COPY hello.c .
RUN [\"gcc\", \"-O1\", \"-c\", \"hello.c\"]

FROM compiled AS linked
RUN [\"gcc\", \"-static\", \"-o\", \"/hello\", \"hello.o\"]

FROM scratch
COPY --from=linked /hello /hello
ENTRYPOINT [\"/hello\"]
";

const HELLO: &str = "#include <stdio.h>\nint main(void) { return puts(\"ahoy\") < 0; }\n";

/// As those of Go and Rust do it: the sources are mounted, and what was made of them is kept for the next time.
const WITH_A_CACHE: &str = "\
ARG BASE
FROM ${BASE} AS made
WORKDIR /out
RUN --mount=type=cache,target=/objects --mount=target=/src \\
    [\"make\", \"-C\", \"/objects\", \"-f\", \"/src/Makefile\", \"CC=gcc\", \"VPATH=/src\", \"/out/hello\"]

FROM scratch AS alone
COPY --from=made /out/hello /hello
";

const MAKEFILE: &str = "/out/hello: main.o word.o\n\t$(CC) -static -o $@ $^\n";
const MAIN: &str =
    "#include <stdio.h>\nconst char *word(void);\nint main(void) { return puts(word()) < 0; }\n";

#[test]
fn programs_are_the_same_from_a_step_and_from_the_dockerfile_alone_and_run() {
    machine::debian();
    let registry = TestRegistry::start();
    let compiler = registry.name("compiler", "1");
    let site = Site::new(
        "image \"compiler\" {\n  apt {\n    essential = false\n    sources = \"none\"\n    package \"gcc\" {}\n    package \"libc6-dev\" {}\n    package \"make\" {}\n  }\n}\n",
    );
    site.succeeds(&mut site.estaleiro(&["build", "--quiet", "--state", "../state", "--push", &compiler]));
    three_stages(&site, &compiler);
    a_cache(&site, &compiler);
}

fn three_stages(site: &Site, compiler: &str) {
    site.put("Dockerfile", THREE_STAGES);
    site.put("hello.c", HELLO);
    plain(site, compiler);
    let said = step(site, compiler, "linked");
    let runs: Vec<&str> = said.lines().filter(|line| line.contains("RUN")).collect();
    let is_cached = |line: &&str| line.contains(": cached on this machine");
    assert!(runs.len() == 2 && runs.iter().all(is_cached), "the plain build did that already: {said}");
    assert_eq!(program_says(site), "ahoy\n");
}

fn a_cache(site: &Site, compiler: &str) {
    site.put("Dockerfile", WITH_A_CACHE);
    site.put("Makefile", MAKEFILE);
    site.put("main.c", MAIN);
    site.put("word.c", "const char *word(void) { return \"ahoy\"; }\n");
    plain(site, compiler);
    step(site, compiler, "alone");
    assert_eq!(program_says(site), "ahoy\n");

    let later = SystemTime::now() + Duration::from_secs(2);
    site.put("word.c", "const char *word(void) { return \"land ho\"; }\n");
    fs::File::options().append(true).open(site.path("context/word.c")).unwrap().set_modified(later).unwrap();
    let said = plain(site, compiler);
    assert!(said.contains("-o word.o") && !said.contains("-o main.o"), "{said}");
    step(site, compiler, "alone");
    assert_eq!(program_says(site), "land ho\n");
}

/// Builds the Dockerfile to the layout `plain`; returns what was said.
fn plain(site: &Site, compiler: &str) -> String {
    let base = format!("BASE={compiler}");
    let _ = fs::remove_dir_all(site.path("plain"));
    let mut build =
        site.estaleiro(&["build", "-f", "Dockerfile", "--state", "../state", "--build-arg", &base]);
    site.said(&site.succeeds(build.args(["--output", "oci:../plain", "."])).stderr)
}

/// Builds an image with the program of the Dockerfile's `target`; returns what was said.
fn step(site: &Site, compiler: &str, target: &str) -> String {
    site.put(
        "estaleiro.hcl",
        format!(
            "image \"tool\" {{\n  file \"/hello\" {{ from_step \"hello\" {{ path = \"/hello\" }} }}\n  entrypoint = [\"/hello\"]\n}}\n\
             step \"hello\" {{\n  target = \"{target}\"\n  args = {{ BASE = \"{compiler}\" }}\n  {ORIGIN}\n}}\n"
        ),
    );
    let _ = fs::remove_dir_all(site.layout());
    let mut build = site.loud_verb("build");
    site.said(&site.succeeds(build.args(["--output", "oci:../layout"])).stderr)
}

/// Runs the program that both builds made.
fn program_says(site: &Site) -> String {
    let (plain, step) = (program(site, "plain"), program(site, "layout"));
    assert_eq!(fs::read(&plain).unwrap(), fs::read(&step).unwrap());
    String::from_utf8(Command::new(&step).output().unwrap().stdout).unwrap()
}

fn program(site: &Site, layout: &str) -> PathBuf {
    let bundle = site.path(&format!("bundle-{layout}"));
    let _ = fs::remove_dir_all(&bundle);
    unpacked(&site.path(layout), &bundle).join("hello")
}
