//! Definitions that are right, and the types they become.

use super::*;

/// All that the language has, in one definition.
pub(super) const EVERYTHING: &str = r##"# syntax = some/frontend:1
variable "commit-id" { default = "" }
variable "unit_count" {
  default     = 3
  description = "is not used"
}

image "team/everything" {
  base_image {
    name = "debian"
    ref  = "bookworm"
  }

  apt {
    repositories = ["deb [arch=amd64 signed-by=docker] https://archive.example/linux bookworm stable", "deb-src http://archive.example/debian ./"]  mirrors = ["https://mirror.example/debian"]
    key "docker" { uri = "https://archive.example/gpg"  fingerprint = "9dc8 5822 9fc7 dd38 854a e2d8 8d81 803c 0ebf cd88" }
    key "local" { path = "./keys/local.asc" }
    package "jq" { version = "1.6-2.1" }
    package "tool" { vcs "git" { repository = "https://git.example/tool" ref = "v1" } }
    upgrade = true
    remove  = ["python3"]
    deb "dist/tool.deb" {}
    deb "other" {
      url    = "https://archive.example/other.deb"
      sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    }
    debconf = { "tzdata/Areas" = "Etc" }
    essential = false
  }
  apt {
    package "ca-certificates" {}
    recommends = true
    sources    = "bundle"
    sources_of_base = true
    without_sources = ["tool"]
  }

  file "/usr/local/bin/estaleiro" {
    from_step "build" { path = "/bin/estaleiro" }
    mode = "0755"  owner = "0:0"
  }
  file "/opt/concourse/" {
    from_tarball "./linux-rc.tgz" { path = "./concourse/" }
  }
  file "/bin/busybox" {
    from_image "busybox:1" { path = "/bin/busybox" }
    owner = "www-data"
  }
  file "/etc/ca.crt" {
    from_package "ca-certificates" { path = "/etc/ssl/certs/ca-certificates.crt" }
  }
  file "/entrypoint.sh" {
    from_context { path = "entrypoint.sh" vcs "git" { repository = "https://git.example/me" ref = "${commit-id}" } }
    mode = "4755"
  }
  symlink "/usr/bin/x" { target = "../local/bin/x" }
  remove = ["/usr/share/doc", "/usr/share/man/**"]
  user "concourse" { uid = 1000  gid = 1001  home = "/home/concourse" }

  env = { PATH = "/usr/local/concourse/bin:$PATH", B = "2", "A" = "1" }
  entrypoint = ["dumb-init", "/usr/local/concourse/bin/concourse"]
  cmd = []   volumes = ["/worker-state"]   stop_signal = "SIGUSR2"
  run_as = "concourse"   workdir = "/"   labels = { "org.example.a" = "b" }   ports = ["8080", "53/udp"]
  bom_formats = ["spdx"]
}

step "build" {
  dockerfile = "./Dockerfile"  target = "build"  context = "."  args = { VERSION = "1" }
  source_file "/bin/*" { vcs "git" { ref = "${commit-id}"  repository = "https://git.example/me" } }
}

tarball "linux-rc.tgz" {
  source_file "concourse/bin/*" { vcs "git" { repository = "https://git.example/concourse" ref = "abc" } }
  source_file "./concourse/fly" {
    url    = "https://archive.example/fly.tgz"
    sha256 = "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
  }
}
"##;

#[test]
fn everything_the_language_has_becomes_types() {
    let definition = read_with(EVERYTHING, &[("commit-id", "f00")]);
    assert!(definition.unused_variables.is_empty());
    insta::assert_snapshot!(shown(&definition.image), @r#"
    ImageBlock {
        product_name: "team/everything",
        base: Image(
            Reference {
                registry: "docker.io",
                repository: "library/debian",
                tag: Some(
                    "bookworm",
                digest: None,
        apt: Apt {
            repositories: [
                "deb [arch=amd64 signed-by=docker] https://archive.example/linux bookworm stable",
                "deb-src http://archive.example/debian ./",
            mirrors: [
                "https://mirror.example/debian",
            keys: [
                Key {
                    name: "docker",
                    source: Uri(
                        "https://archive.example/gpg",
                    fingerprint: Some(
                        "9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
                Key {
                    name: "local",
                    source: Path(
                        "keys/local.asc",
                    fingerprint: None,
            packages: [
                PackageRequest {
                    name: "jq",
                    version: Some(
                        "1.6-2.1",
                    pin: None,
                    vcs: None,
                PackageRequest {
                    name: "tool",
                    version: None,
                    pin: None,
                    vcs: Some(
                        Vcs {
                            kind: Git,
                            repository: "https://git.example/tool",
                            reference: "v1",
                PackageRequest {
                    name: "ca-certificates",
                    version: None,
                    pin: None,
                    vcs: None,
            upgrade: true,
            recommends: true,
            essential: false,
            remove: [
                "python3",
            preferences: [],
            debs: [
                Deb {
                    name: "dist/tool.deb",
                    origin: Context(
                        "dist/tool.deb",
                    vcs: None,
                Deb {
                    name: "other",
                    origin: Url(
                        Download {
                            url: "https://archive.example/other.deb",
                            sha256: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855,
                    vcs: None,
            debconf: {
                "tzdata/Areas": "Etc",
            sources: Bundle,
            sources_of_base: true,
            without_sources: [
                "tool",
        files: [
            FileBlock {
                path: "/usr/local/bin/estaleiro",
                origin: Step {
                    step: "build",
                    path: "/bin/estaleiro",
                mode: Some(
                    493,
                owner: Some(
                    Owner {
                        uid: Number(
                            0,
                        gid: Number(
                            0,
            FileBlock {
                path: "/opt/concourse/",
                origin: Tarball {
                    tarball: "linux-rc.tgz",
                    path: "concourse/",
                mode: None,
                owner: None,
            FileBlock {
                path: "/bin/busybox",
                origin: Image {
                    reference: Reference {
                        registry: "docker.io",
                        repository: "library/busybox",
                        tag: Some(
                            "1",
                        digest: None,
                    path: "/bin/busybox",
                mode: None,
                owner: Some(
                    Owner {
                        uid: Name(
                            "www-data",
                        gid: Name(
                            "www-data",
            FileBlock {
                path: "/etc/ca.crt",
                origin: Package {
                    package: "ca-certificates",
                    path: "/etc/ssl/certs/ca-certificates.crt",
                mode: None,
                owner: None,
            FileBlock {
                path: "/entrypoint.sh",
                origin: Context {
                    path: "entrypoint.sh",
                    vcs: Some(
                        Vcs {
                            kind: Git,
                            repository: "https://git.example/me",
                            reference: "f00",
                mode: Some(
                    2541,
                owner: None,
        symlinks: [
            Symlink {
                path: "/usr/bin/x",
                target: "../local/bin/x",
        removes: [
            "/usr/share/doc",
            "/usr/share/man/**",
        users: [
            User {
                name: "concourse",
                uid: Some(
                    1000,
                gid: Some(
                    1001,
                home: Some(
                    "/home/concourse",
        config: ImageConfig {
            env: [
                    "PATH",
                    "/usr/local/concourse/bin:$PATH",
                    "B",
                    "2",
                    "A",
                    "1",
            entrypoint: Some(
                    "dumb-init",
                    "/usr/local/concourse/bin/concourse",
            cmd: Some(
            volumes: [
                "/worker-state",
            ports: [
                "8080/tcp",
                "53/udp",
            labels: {
                "org.example.a": "b",
            stop_signal: Some(
                "SIGUSR2",
            run_as: Some(
                "concourse",
            workdir: Some(
                "/",
        bom_formats: Some(
            Formats(
                    Yaml,
                    Spdx,
    "#);
    insta::assert_snapshot!(shown(&(&definition.steps, &definition.tarballs)), @r#"
    Step {
        name: "build",
        dockerfile: "Dockerfile",
        target: Some(
            "build",
        context: ".",
        args: {
            "VERSION": "1",
        source_files: [
            SourceFile {
                pattern: Glob("/bin/*"),
                origin: Vcs(
                    Vcs {
                        kind: Git,
                        repository: "https://git.example/me",
                        reference: "f00",
    Tarball {
        path: "linux-rc.tgz",
        source_files: [
            SourceFile {
                pattern: Glob("concourse/bin/*"),
                origin: Vcs(
                    Vcs {
                        kind: Git,
                        repository: "https://git.example/concourse",
                        reference: "abc",
            SourceFile {
                pattern: Glob("concourse/fly"),
                origin: Url(
                    Download {
                        url: "https://archive.example/fly.tgz",
                        sha256: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855,
    "#);
}

/// A value as its derived `Debug` prints it, on fewer lines.
fn shown(value: &impl fmt::Debug) -> String {
    let shown = format!("{value:#?}");
    let says = |line: &&str| line.contains(|c: char| !"{}[](), ".contains(c));
    shown.lines().filter(says).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_place_leads_to_the_words_that_say_it() {
    let definition = read_with(EVERYTHING, &[("commit-id", "f00")]);
    let at = |span: &Range<usize>| &EVERYTHING[span.clone()];
    let apt = &definition.image.apt;
    assert_eq!(at(&definition.image.product_name.span), "\"team/everything\"");
    assert_eq!(at(&apt.upgrade.span), "true");
    assert_eq!(at(&apt.essential.span), "false");
    assert_eq!(at(&apt.recommends.span), "true");
    assert_eq!(at(&apt.remove[0].span), "\"python3\"");
    assert_eq!(at(&apt.debs[1].name.span), "\"other\"");
    assert_eq!(at(&apt.debconf["tzdata/Areas"].span), "\"Etc\"");
    assert_eq!(at(&definition.image.users[0].name.span), "\"concourse\"");
    assert_eq!(at(&definition.image.files[1].path.span), "\"/opt/concourse/\"");
    let FileOrigin::Context { vcs: Some(vcs), .. } = &definition.image.files[4].origin else { panic!() };
    assert_eq!((at(&vcs.reference.span), vcs.reference.as_str()), ("\"${commit-id}\"", "f00"));
    assert_eq!(at(&definition.steps[0].source_files[0].pattern.span), "\"/bin/*\"");
    let Base::Image(base) = &definition.image.base else { panic!() };
    assert!(at(&base.span).starts_with("\"debian\"") && at(&base.span).ends_with("\"bookworm\""));
}

#[test]
fn the_smallest_definition_is_an_empty_image() {
    let image = read("image \"x\" {}").image;
    assert_eq!((image.product_name.as_str(), image.base), ("x", Base::Scratch));
    assert_eq!(image.config, ImageConfig::default());
    let apt = image.apt;
    assert_eq!((*apt.upgrade, *apt.recommends, *apt.essential), (false, false, true));
}

#[test]
fn a_base_may_be_written_in_either_dialect() {
    let digest = Digest::of(b"");
    for (written, base) in [
        ("", "scratch"),
        ("base_image = \"scratch\"", "scratch"),
        ("base_image { name = \"scratch\" }", "scratch"),
        ("base_image = \"debian:bookworm\"", "docker.io/library/debian:bookworm"),
        ("base_image { name = \"debian\" }", "docker.io/library/debian"),
        (
            "base_image {\n name = \"registry.example:5000/a/b\"\n ref = \"1.2\"\n}",
            "registry.example:5000/a/b:1.2",
        ),
        (
            &format!("base_image {{ name = \"debian\" ref = \"{digest}\" }}"),
            &format!("docker.io/library/debian@{digest}"),
        ),
    ] {
        let read = match read(&format!("image \"x\" {{\n{written}\n}}")).image.base {
            Base::Scratch => "scratch".to_owned(),
            Base::Image(reference) => reference.to_string(),
        };
        assert_eq!(read, base, "{written}");
    }
}

#[test]
fn both_dialects_may_be_mixed() {
    let image = read("image \"x\" {\n  base_image = \"debian\"\n  stopsignal = \"SIGUSR2\"\n  apt {\n    package \"jq\" {}\n  }\n}\n").image;
    assert_eq!(image.config.stop_signal.as_deref(), Some("SIGUSR2"));
    assert_eq!(image.apt.packages[0].name.as_str(), "jq");
}

#[test]
fn variables_come_from_outside_before_their_default() {
    let text = "variable \"a-b\" { default = \"default\" }\nimage \"x\" { cmd = [a-b, \"<${a-b}>\", \"$${a}\", \"$HOME\"] }";
    let cmd = |definition: Definition| definition.image.config.cmd.unwrap().join(" ");
    assert_eq!(cmd(read(text)), "default <default> ${a} $HOME");
    assert_eq!(cmd(read_with(text, &[("a-b", "outside")])), "outside <outside> ${a} $HOME");
}

#[test]
fn a_variable_need_not_be_declared() {
    let definition = read_with("image \"x\" { workdir = \"/${dir}\" }", &[("dir", "srv")]);
    assert_eq!(definition.image.config.workdir.as_deref(), Some("/srv"));
}

#[test]
fn variables_that_nothing_asks_for_are_named() {
    let text = "variable \"declared\" { default = \"\" }\nimage \"x\" { cmd = [used] }";
    let definition = read_with(text, &[("declared", ""), ("used", ""), ("nobody", ""), ("not a name", "")]);
    assert_eq!(definition.unused_variables, ["nobody", "not a name"]);
}

#[test]
fn switches_and_numbers_may_come_from_variables() {
    let text = "image \"x\" {\n apt { upgrade = up }\n user \"u\" { uid = \"${uid}\" }\n}";
    let definition = read_with(text, &[("up", "true"), ("uid", "1000")]);
    assert!(*definition.image.apt.upgrade);
    assert_eq!(definition.image.users[0].uid, Some(1000));
}

#[test]
fn a_choice_may_be_made_by_a_variable() {
    let text = r#"image "x" {
  cmd     = (mode == "debug" && !false) ? ["-v"] : []
  workdir = "/%{ if mode != "" ~}${mode}%{ endif }"
}"#;
    let config = |mode| read_with(text, &[("mode", mode)]).image.config;
    assert_eq!(config("debug").cmd.unwrap(), ["-v"]);
    assert_eq!(config("debug").workdir.unwrap(), "/debug");
    assert_eq!(config("").cmd.unwrap().len(), 0);
    assert_eq!(config("").workdir.unwrap(), "/");
}

#[test]
fn defaults_may_be_texts_numbers_and_switches() {
    let text = "variable \"a\" { default = 1.50 }\nvariable \"b\" { default = true }\nvariable \"c\" {\n default = <<E\nd\nE\n}\nimage \"x\" { cmd = [a, b, c] }";
    assert_eq!(read(text).image.config.cmd.unwrap(), ["1.50", "true", "d\n"]);
}

#[test]
fn paths_are_written_one_way() {
    let text = "image \"x\" {\n remove = [\"//a/./b/\", \"/c\"]\n file \"/./d\" {\n from_context { path = \"./e//f\" }\n}\n}";
    let image = read(text).image;
    assert_eq!((image.removes[0].as_str(), image.files[0].path.as_str()), ("/a/b/", "/d"));
    assert!(matches!(&image.files[0].origin, FileOrigin::Context { path, .. } if path.value == "e/f"));
}

#[test]
fn several_files_may_land_in_one_directory() {
    let file = "file \"/bin/\" { from_context { path = \"a\" } }\n";
    assert_eq!(read(&format!("image \"x\" {{\n{file}{file}}}")).image.files.len(), 2);
}

#[test]
fn the_first_source_file_that_matches_says_the_origin() {
    let text = "image \"x\" {\n}\ntarball \"t\" {\n source_file \"a/*\" { vcs \"git\" { repository = \"r\" ref = \"1\" } }\n source_file \"**\" { vcs \"git\" { repository = \"r\" ref = \"2\" } }\n}";
    let definition = read(text);
    let name = Spanned::new("t".to_owned(), 0..1);
    let reference = |path| match definition.origin_of(Container::Tarball(&name), path).unwrap() {
        SourceOrigin::Vcs(vcs) => vcs.reference.as_str(),
        SourceOrigin::Url(_) => panic!(),
    };
    assert_eq!((reference("./a/b"), reference("a/b/c")), ("1", "2"));
}

#[test]
fn a_member_found_later_that_nobody_declared_is_refused_with_both_ways_out() {
    let text = "image \"x\" {\n  file \"/d/\" { from_step \"s\" { path = \"/d/\" } }\n}\nstep \"s\" {}\n";
    let definition = read(text);
    let FileOrigin::Step { step, .. } = &definition.image.files[0].origin else { panic!() };
    let error = definition.origin_of(Container::Step(step), "/d/a").unwrap_err();
    insta::assert_snapshot!(error, @r#"
error: nobody says where `/d/a` of step `s` comes from
 --> estaleiro.hcl:2:26
  |
2 |   file "/d/" { from_step "s" { path = "/d/" } }
  |                          ^^^
  |
  = hint: in step "s", write: source_file "/d/a" { vcs "git" { repository = "…" ref = "…" } }, or: source_file "/d/a" { url = "https://…" sha256 = "…" }
"#);
}

#[test]
fn whoever_plans_can_point_at_the_text() {
    let definition = read("image \"x\" {\n  apt {\n    upgrade = true\n  }\n}\n");
    let span = definition.image.apt.upgrade.span.clone();
    let refusal = definition.source.diagnostic(span, "cannot upgrade base packages yet", "leave it out");
    assert_eq!((refusal.line(), refusal.column()), (3, 15));
}

#[test]
fn what_the_original_took_is_taken() {
    let text = r##"
# a comment
image "team/tool" {
  base_image {
    name = "ubuntu"
    ref  = "bionic"
  }

  apt {
    repositories = [
      "deb http://archive.example/ubuntu/ bionic universe", // another
      "deb [arch=amd64] https://other.example/linux/ubuntu bionic stable",
    ]

    key "other" {
      uri = "https://other.example/linux/ubuntu/gpg"
    }

    package "ca-certificates" {}
  }

  file "/usr/local/bin/tool" {
    from_step "build" {
      path = "/bin/tool"
    }
  }

  entrypoint = ["/usr/local/bin/tool", "frontend"]
}

/* the step */
step "build" {
  dockerfile = "./Dockerfile"
  target     = "build"

  source_file "/bin/tool" {
    vcs "git" {
      ref        = "${tool-commit}"
      repository = "https://git.example/team/tool"
    }
  }
}
"##;
    let definition = read_with(&text.replace('\n', "\r\n"), &[("tool-commit", "1f")]);
    assert_eq!(definition.step("build").unwrap().dockerfile.as_str(), "Dockerfile");
    assert_eq!(definition.image.apt.repositories.len(), 2);
}

#[test]
fn the_examples_of_the_reference_are_definitions() {
    let reference = include_str!("../../../../docs/definition.md");
    let examples: Vec<&str> = reference
        .split("```hcl\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("every example ends").0)
        .collect();
    assert!(examples.len() > 8);
    for example in examples {
        match example.contains("image \"") {
            true => drop(read(example)),
            false => drop(read(&format!("image \"x\" {{\n{example}}}\n"))),
        }
    }
}

#[test]
fn the_reference_names_everything_there_is() {
    let reference = include_str!("../../../../docs/definition.md");
    let names = EVERYTHING.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_name =
        |word: &&str| EVERYTHING.contains(&format!("{word} =")) || EVERYTHING.contains(&format!("{word} \""));
    for name in names.filter(is_name).filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    {
        assert!(reference.contains(name), "{name}");
    }
}
