//! `file` blocks that take files out of other images and out of steps, measured against what umoci unpacks and `cp` makes
//! of that.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::site::Site;
use crate::support::tarball::Entry;
use crate::support::{Tarball, TestImage, TestRegistry, tree};
use crate::yard::{account, files, root, unpacked};

/// An image of two layers whose upper one hides and replaces some of the lower; its `/bin` is a link.
fn tools() -> TestImage {
    let lower = Tarball::new()
        .directory("usr/", 0o755)
        .directory("usr/bin/", 0o755)
        .symlink("bin", "usr/bin")
        .entry(Entry::file("usr/bin/tool", 0o4711, "older").owned_by(7, 8))
        .symlink("usr/bin/alias", "/bin/tool")
        .symlink("usr/bin/dangling", "/nowhere")
        .entry(Entry::directory("usr/share/", 0o750).owned_by(7, 8))
        .file("usr/share/.hidden", 0o600, "hidden")
        .file("usr/share/one", 0o644, "one")
        .hardlink("usr/share/two", "usr/share/one")
        .symlink("usr/share/link", "one")
        .entry(Entry::directory("usr/share/empty/", 0o2775))
        .file("usr/share/gone", 0o644, "gone")
        .directory("usr/share/old/", 0o755)
        .file("usr/share/old/below", 0o644, "below")
        .directory("dev/", 0o755)
        .entry(Entry::device("dev/null", 0o666, 1, 3));
    let upper = Tarball::new()
        .directory("usr/", 0o755)
        .directory("usr/bin/", 0o755)
        .entry(Entry::file("usr/bin/tool", 0o4711, "the tool").owned_by(7, 8))
        .entry(Entry::directory("usr/share/", 0o750).owned_by(7, 8))
        .file("usr/share/.wh.gone", 0o644, "")
        .directory("usr/share/old/", 0o755)
        .file("usr/share/old/.wh..wh..opq", 0o644, "")
        .file("usr/share/old/new", 0o755, "new");
    TestImage::new().layer(&lower).layer(&upper).field("created", json!("2024-02-03T04:05:06Z"))
}

/// A definition beside a registry that holds [`tools`].
struct Quay {
    site: Site,
    registry: TestRegistry,
}

impl Quay {
    /// Returns a definition in which `TOOLS` is the image's name.
    fn new(text: &str) -> Quay {
        let registry = TestRegistry::start();
        tools().put(&registry, "tools", Some("1"));
        let mut site = Site::new(&text.replace("TOOLS", &registry.name("tools", "1")));
        site.call(registry.host(), "registry.example");
        Quay { site, registry }
    }

    fn of_image(files: &str) -> Quay {
        Quay::new(&format!("image \"x\" {{\n{files}\n}}\n"))
    }

    /// Returns a definition with a step on the image, whose files are declared but for those in `/usr/share/old`.
    fn of_step(files: &str) -> Quay {
        let declared = ["/usr/bin/*", "/bin/*", "/usr/share/*"].map(|pattern| {
            let vcs = "vcs \"git\" {\n repository = \"https://git.example/tool\"\n ref = \"1\"\n }";
            format!("  source_file \"{pattern}\" {{\n {vcs}\n }}\n")
        });
        let declared = declared.concat();
        let quay = Quay::new(&format!(
            "image \"x\" {{\n{files}\n}}\n\nstep \"build\" {{\n  target = \"made\"\n  args = {{ BASE = \"TOOLS\", API_TOKEN = \"s3cret\" }}\n{declared}}}\n"
        ));
        quay.site.put("Dockerfile", DOCKERFILE);
        quay
    }

    /// Returns what the image itself looks like, as umoci unpacks it.
    fn tools(&self) -> PathBuf {
        let layout = self.site.path("tools");
        tools().write_layout(&layout, "latest");
        unpacked(&layout, &self.site.path("tools-bundle"))
    }

    fn fails(&self, code: i32) -> String {
        self.site.fails(code, &mut self.site.build())
    }
}

const DOCKERFILE: &str = "\
ARG BASE
FROM ${BASE} AS made
ARG API_TOKEN
ENV STAGE=made

FROM scratch AS other
";

/// Returns what a copy of `from` looks like, whoever it belongs to here.
fn copied(from: &Path, to: &Path) -> String {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let mut copy = Command::new("cp");
    copy.args(["--recursive", "--no-dereference", "--preserve=mode,links"]).arg(from).arg(to);
    assert!(copy.status().unwrap().success());
    tree::dump(to)
}

/// Returns the entry of a file in an account.
fn file<'a>(account: &'a Value, path: &str) -> &'a Value {
    let files = account["changeset"]["files"].as_array().unwrap();
    files.iter().find(|file| file["path"] == path).unwrap()
}

const FILES: &str = r#"
  file "/opt/tool" { FROM { path = "/bin/tool" } }
  file "/opt/alias" { FROM { path = "/usr/bin/alias" } }
  file "/opt/" { FROM { path = "/usr/share/one" } }
  file "/opt/share/" { FROM { path = "/usr/share/" } }
"#;

fn assert_is_what_cp_makes_of_it(quay: &Quay) {
    let (built, tools) = (root(&quay.site), quay.tools());
    assert_eq!(
        tree::dump(&built.join("opt/share")),
        copied(&tools.join("usr/share"), &quay.site.path("expected"))
    );
    let tool = format!("file 4711 0:0 8:{}", Digest::of("the tool").short());
    let dump = tree::dump(&built);
    for line in [
        format!("{tool} /opt/tool"),
        format!("{tool} /opt/alias"),
        format!("file 0644 0:0 3:{} /opt/one", Digest::of("one").short()),
        "dir  0755 0:0 /opt/share".into(),
    ] {
        assert!(dump.lines().any(|found| found == line), "{line} is not in\n{dump}");
    }
    assert_eq!(
        files(&account(&quay.site)),
        [
            "/opt/alias",
            "/opt/one",
            "/opt/share/.hidden",
            "/opt/share/old/new",
            "/opt/share/one",
            "/opt/share/two",
            "/opt/tool"
        ]
    );
}

#[test]
fn files_of_an_image_are_what_cp_makes_of_them() {
    let quay = Quay::of_image(&FILES.replace("FROM", "from_image \"TOOLS\""));
    assert_is_what_cp_makes_of_it(&quay);
    let account = account(&quay.site);
    let name = format!("registry.example/tools:1@{}", tools().digest());
    let expected = json!({"image": {"name": name, "path": "/usr/bin/alias"}});
    let source: Value = serde_json::from_str(
        &file(&account, "/opt/alias")["source"]
            .to_string()
            .replace(&quay.registry.host(), "registry.example"),
    )
    .unwrap();
    assert_eq!(source, expected);
    assert_eq!(file(&account, "/opt/alias")["digest"], Digest::of("the tool").to_string());
    assert_eq!(account["created"], "2024-02-03T04:05:06Z", "nothing but that image says what time it is");
}

#[test]
fn files_of_a_step_are_what_cp_makes_of_them_and_the_account_tells_how_it_was_built() {
    let all = FILES.replace("FROM", "from_step \"build\"");
    let quay = Quay::of_step(&all);
    quay.site.put("estaleiro.hcl", declared_all(&quay));
    assert_is_what_cp_makes_of_it(&quay);
    let account = account(&quay.site);
    let text = account.to_string().replace(&quay.registry.host(), "registry.example");
    assert!(!text.contains("s3cret"), "{text}");
    let account: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        file(&account, "/opt/tool")["source"],
        json!({
            "git": {"repository_uri": "https://git.example/tool", "ref": "1"},
            "step": {
                "name": "build",
                "dockerfile": {"path": "Dockerfile", "digest": Digest::of(DOCKERFILE).to_string()},
                "target": "made",
                "args": {"API_TOKEN": "***", "BASE": "registry.example/tools:1"},
                "images": [format!("registry.example/tools:1@{}", tools().digest())],
                "path": "/bin/tool",
            },
        })
    );
}

/// Returns the site's definition with the origin of whatever was left out declared, too.
fn declared_all(quay: &Quay) -> String {
    let text = fs::read_to_string(quay.site.path("context/estaleiro.hcl")).unwrap();
    text.replace("source_file \"/usr/share/*\"", "source_file \"/usr/share/**\"")
}

#[test]
fn mode_and_owner_are_as_the_definition_says() {
    let quay = Quay::of_image(
        "file \"/opt/\" {\n from_image \"TOOLS\" { path = \"/usr/share/**\" }\n mode = \"0640\"\n owner = \"3:4\"\n}",
    );
    let built = root(&quay.site);
    for line in tree::dump_below(&built, "/opt").lines() {
        let of_file = matches!(&line[..4], "file" | "hard");
        assert!(!of_file || &line[5..9] == "0640", "{line}");
        assert_eq!(&line[10..13], "3:4", "{line}");
    }
}

#[test]
fn links_of_an_image_do_not_lead_out_of_it() {
    let layer = Tarball::new()
        .symlink("passwd", "/etc/passwd")
        .symlink("up", "../../../../etc/passwd")
        .symlink("above", "/../etc");
    let registry = TestRegistry::start();
    TestImage::new().layer(&layer).put(&registry, "links", Some("1"));
    for path in ["/passwd", "/up", "/above/passwd"] {
        let site = Site::new(&format!(
            "image \"x\" {{\n  file \"/x\" {{ from_image \"{}\" {{ path = \"{path}\" }} }}\n}}\n",
            registry.name("links", "1")
        ));
        let said = site.fails(2, &mut site.build());
        assert!(said.contains(&format!("cannot take {path} out of image")), "{said}");
        assert!(said.contains("there is no such file"), "{said}");
    }
}

#[test]
fn what_cannot_be_taken_out_of_a_step_is_shown_where_it_is_named() {
    let quay = Quay::of_step("file \"/x\" { from_step \"build\" { path = \"/usr/bin/tol\" } }");
    insta::assert_snapshot!(quay.fails(2), @r#"
    error: cannot take /usr/bin/tol out of step `build`: there is no such file
     --> estaleiro.hcl:2:40
      |
    2 | file "/x" { from_step "build" { path = "/usr/bin/tol" } }
      |                                        ^^^^^^^^^^^^^^
      |
      = hint: in /usr/bin there is alias dangling tool
    "#);
    let quay = Quay::of_step("file \"/x/\" { from_step \"build\" { path = \"/usr/bin/*.so\" } }");
    insta::assert_snapshot!(quay.fails(2), @r#"
    error: cannot take /usr/bin/*.so out of step `build`: nothing matches it
     --> estaleiro.hcl:2:41
      |
    2 | file "/x/" { from_step "build" { path = "/usr/bin/*.so" } }
      |                                         ^^^^^^^^^^^^^^^
      |
      = hint: in /usr/bin there is alias dangling tool
    "#);
    let quay = Quay::of_step("file \"/x\" { from_step \"build\" { path = \"/usr/bin\" } }");
    let text = fs::read_to_string(quay.site.path("context/estaleiro.hcl")).unwrap();
    quay.site.put("estaleiro.hcl", text.replace("\"/usr/bin/*\"", "\"/usr/**\""));
    insta::assert_snapshot!(quay.fails(2), @r#"
    error: cannot take /usr/bin out of step `build`: it is a directory
     --> estaleiro.hcl:2:40
      |
    2 | file "/x" { from_step "build" { path = "/usr/bin" } }
      |                                        ^^^^^^^^^^
      |
      = hint: to take all that is in it, write a `/` at its end: "/usr/bin/"
    "#);
    let quay = Quay::of_step("file \"/x/\" { from_step \"build\" { path = \"/bin/tool/\" } }");
    insta::assert_snapshot!(quay.fails(2), @r#"
    error: cannot take /bin/tool/ out of step `build`: /bin/tool is no directory
     --> estaleiro.hcl:2:41
      |
    2 | file "/x/" { from_step "build" { path = "/bin/tool/" } }
      |                                         ^^^^^^^^^^^^
      |
      = hint: take it without a `/` at its end
    "#);
    let quay = Quay::of_step("file \"/x/\" { from_step \"build\" { path = \"/usr/share/\" } }");
    insta::assert_snapshot!(quay.fails(2), @r#"
    error: cannot take /usr/share/ out of step `build`: nobody says where its file /usr/share/old/new comes from
     --> estaleiro.hcl:2:41
      |
    2 | file "/x/" { from_step "build" { path = "/usr/share/" } }
      |                                         ^^^^^^^^^^^^^
      |
      = hint: in step "build", write: source_file "/usr/share/old/new" { vcs "git" { repository = "…" ref = "…" } }
    "#);
}

#[test]
fn what_cannot_be_taken_out_of_an_image_is_shown_where_it_is_named() {
    let quay = Quay::of_image("file \"/x\" { from_image \"TOOLS\" { path = \"/etc/tool\" } }");
    insta::assert_snapshot!(quay.fails(2), @r#"
    error: cannot take /etc/tool out of image registry.example/tools:1: there is no such file
     --> estaleiro.hcl:2:59
      |
    2 | file "/x" { from_image "registry.example/tools:1" { path = "/etc/tool" } }
      |                                                           ^^^^^^^^^^^
      |
      = hint: in / there is bin dev usr
    "#);
    let quay = Quay::of_image("file \"/x/\" { from_image \"TOOLS\" { path = \"/dev/\" } }");
    insta::assert_snapshot!(quay.fails(2), @r#"
    error: cannot take /dev/ out of image registry.example/tools:1: /dev/null: it is no file, directory or link
     --> estaleiro.hcl:2:60
      |
    2 | file "/x/" { from_image "registry.example/tools:1" { path = "/dev/" } }
      |                                                            ^^^^^^^
    "#);
    let quay = Quay::of_image("file \"/x\" { from_image \"TOOLS\" { path = \"/usr/share/**\" } }");
    insta::assert_snapshot!(quay.fails(2), @r#"
    error: `/x` is no directory, and a pattern may take several files
     --> estaleiro.hcl:2:6
      |
    2 | file "/x" { from_image "registry.example/tools:1" { path = "/usr/share/**" } }
      |      ^^^^
      |
      = hint: write a `/` at its end: file "/x/" { … }
    "#);
    let missing = Quay::of_image("file \"/x\" { from_image \"TOOLS-2\" { path = \"/etc/tool\" } }");
    insta::assert_snapshot!(missing.fails(2), @r#"
    error: cannot use image registry.example/tools:1-2: the registry has no such image
     --> estaleiro.hcl:2:24
      |
    2 | file "/x" { from_image "registry.example/tools:1-2" { path = "/etc/tool" } }
      |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: check its name and tag, and that the credentials given may read it
    "#);
}

#[test]
fn steps_that_cannot_be_read_are_shown_all_at_once_each_in_its_file() {
    let text = r#"image "x" {
  file "/a" { from_step "absent" { path = "/a" } }
  file "/b" { from_step "aim" { path = "/a" } }
  file "/c" { from_step "wrong" { path = "/a" } }
  file "/d" { from_step "nowhere" { path = "/a" } }
}

step "absent" {
  dockerfile = "docker/Dockerfile"
  SOURCE
}

step "aim" {
  dockerfile = "good"
  target     = "biuld"
  SOURCE
}

step "wrong" {
  dockerfile = "bad"
  SOURCE
}

step "nowhere" {
  dockerfile = "good"
  context    = "out"
  SOURCE
}

step "unused" { dockerfile = "bad" }
"#;
    let declared = "source_file \"**\" { vcs \"git\" { repository = \"r\" ref = \"1\" } }";
    let site = Site::new(&text.replace("SOURCE", &declared.replace("\"**\"", "\"/**\"")));
    site.put("good", "FROM scratch AS build\n");
    site.put("bad", "FROM scratch\nRUNN make\nCOPPY a b\n");
    symlink("/etc", site.path("context/out")).unwrap();
    insta::assert_snapshot!(site.fails(2, &mut site.build()), @r#"
    error: cannot read this line: there is no instruction `RUNN`
     --> bad:2:1
      |
    2 | RUNN make
      | ^^^^
      |
      = hint: did you mean `RUN`?

    error: cannot read this line: there is no instruction `COPPY`
     --> bad:3:1
      |
    3 | COPPY a b
      | ^^^^^
      |
      = hint: did you mean `COPY`?

    error: cannot use the Dockerfile of step `absent`: cannot open docker/Dockerfile in the context .: there is no such file
     --> estaleiro.hcl:9:16
      |
    9 |   dockerfile = "docker/Dockerfile"
      |                ^^^^^^^^^^^^^^^^^^^
      |
      = hint: in a put, an input is there only if params name it (or `inputs: all`)

    error: good: cannot build stage `biuld`: there is no stage of that name
      --> estaleiro.hcl:15:16
       |
    15 |   target     = "biuld"
       |                ^^^^^^^
       |
       = hint: did you mean `build`?

    error: cannot use the context of step `nowhere`: cannot open ./out: it leads out of the context
      --> estaleiro.hcl:26:16
       |
    26 |   context    = "out"
       |                ^^^^^
    "#);
}

#[test]
fn an_instruction_that_names_nothing_is_shown_in_the_dockerfile() {
    let quay = Quay::of_step("file \"/x\" { from_step \"build\" { path = \"/usr/bin/tool\" } }");
    quay.site.put("Dockerfile", "ARG BASE\nFROM ${BASE} AS made\nCOPY absent /x\n");
    insta::assert_snapshot!(quay.fails(2), @r#"
    error: cannot take absent out of the context .: absent: there is no such file or directory
     --> Dockerfile:3:1
      |
    3 | COPY absent /x
      | ^^^^^^^^^^^^^^
    "#);
}

#[test]
fn a_lock_pins_what_steps_and_files_of_images_name() {
    let quay = Quay::of_step(
        "file \"/x\" { from_step \"build\" { path = \"/usr/bin/tool\" } }\n  file \"/y\" { from_image \"TOOLS\" { path = \"/usr/share/one\" } }",
    );
    quay.site.succeeds(&mut quay.site.verb("lock"));
    let lock: Value = serde_json::from_str(&read(&quay, "estaleiro.lock")).unwrap();
    let pinned = &lock["platforms"][0];
    assert_eq!(pinned["images"].as_array().unwrap().len(), 1, "{pinned}");
    assert_eq!(pinned["images"][0]["digest"], tools().digest().to_string());
    assert_eq!(pinned["request"]["steps"], json!([format!("build (Dockerfile {})", Digest::of(DOCKERFILE))]));
    assert!(!read(&quay, "estaleiro.lock").contains("s3cret"));
    quay.site.succeeds(quay.site.verb("lock").arg("--check"));

    // The tag moves: what is locked is used, and what would move is told.
    let layer = Tarball::new().file("usr/bin/tool", 0o755, "newer").file("usr/share/one", 0o644, "newer");
    TestImage::new().layer(&layer).put(&quay.registry, "tools", Some("1"));
    let said = quay.site.fails(1, quay.site.verb("lock").arg("--check"));
    assert!(said.contains("~ image registry.example/tools:1: sha256:DIGEST → sha256:DIGEST"), "{said}");
    assert_eq!(fs::read(root(&quay.site).join("x")).unwrap(), b"the tool");
}

fn read(quay: &Quay, name: &str) -> String {
    fs::read_to_string(quay.site.path("context").join(name)).unwrap()
}

#[test]
fn a_lock_of_other_steps_is_refused_with_all_that_differs() {
    let quay = Quay::of_step("file \"/x\" { from_step \"build\" { path = \"/usr/bin/tool\" } }");
    quay.site.succeeds(&mut quay.site.verb("lock"));
    quay.site.put("Dockerfile", format!("{DOCKERFILE}# changed\n"));
    let text = read(&quay, "estaleiro.hcl").replace(
        "file \"/x\"",
        &format!(
            "file \"/y\" {{ from_image \"{}\" {{ path = \"/usr/bin/tool\" }} }}\n  file \"/x\"",
            quay.registry.name("tools", "1")
        ),
    );
    quay.site.put("estaleiro.hcl", text);
    insta::assert_snapshot!(quay.fails(2), @r#"
    error: cannot use lock: it is of another definition
    - the definition has step build (Dockerfile sha256:DIGEST), the lock hasn't
    - the lock has step build (Dockerfile sha256:DIGEST), the definition hasn't
    - the definition has image to take files from registry.example/tools:1, the lock hasn't
    hint: write it anew with `estaleiro lock`
    "#);
}

#[test]
fn what_is_known_needs_no_step_nor_image_also_on_an_empty_worker() {
    let quay = Quay::of_step(
        "file \"/x\" { from_step \"build\" { path = \"/usr/bin/tool\" } }\n  file \"/y\" { from_image \"TOOLS\" { path = \"/usr/share/one\" } }",
    );
    let downloads = || {
        let state = tempfile::tempdir().unwrap();
        quay.registry.log().clear();
        let (state, name) = (state.path().to_str().unwrap(), quay.registry.name("app", "1"));
        let mut push = quay.site.estaleiro(&["build", "--state", state, "--push", &name]);
        let said = String::from_utf8(quay.site.succeeds(&mut push).stderr).unwrap();
        let requests = quay.registry.log().requests();
        let layers: Vec<String> = tools_layers();
        let pulled = requests.iter().filter(|request| {
            request.is("GET", "/v2/tools/blobs/") && layers.iter().any(|layer| request.path.ends_with(layer))
        });
        (pulled.count(), said)
    };
    let (n_first, _) = downloads();
    assert_eq!(n_first, 2);
    let (n_again, said) = downloads();
    assert_eq!(n_again, 0, "{said}");
    assert!(said.contains("cached in the registry") && !said.contains("cache record is not used"), "{said}");
}

fn tools_layers() -> Vec<String> {
    let manifest: Value = serde_json::from_slice(&tools().manifest_bytes()).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}
