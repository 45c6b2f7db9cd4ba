//! Stories about what is found inside files, and small programs and archives that are made for them.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{Form, Found};

/// Where the programs of these tests are loaded.
const ADDRESS: u64 = 0x40_0000;

/// What a program is written for.
#[derive(Clone, Copy)]
struct Machine {
    is_64: bool,
    is_big_endian: bool,
}

const AMD64: Machine = Machine { is_64: true, is_big_endian: false };
const S390X: Machine = Machine { is_64: true, is_big_endian: true };
const I386: Machine = Machine { is_64: false, is_big_endian: false };
const MIPS: Machine = Machine { is_64: false, is_big_endian: true };

impl Machine {
    fn number(self, n_bytes: usize, value: u64) -> Vec<u8> {
        match self.is_big_endian {
            true => value.to_be_bytes()[8 - n_bytes..].to_vec(),
            false => value.to_le_bytes()[..n_bytes].to_vec(),
        }
    }

    fn word(self, value: u64) -> Vec<u8> {
        self.number(self.word_size(), value)
    }

    fn word_size(self) -> usize {
        if self.is_64 { 8 } else { 4 }
    }

    fn header_size(self) -> usize {
        if self.is_64 { 64 } else { 52 }
    }

    /// Where the first section begins.
    fn start(self) -> usize {
        128
    }

    /// Makes a program of these sections, all in one segment that can be written to.
    fn program(self, sections: &[(&str, Vec<u8>)], has_section_headers: bool) -> Vec<u8> {
        let mut names = b"\0.shstrtab\0".to_vec();
        let mut body = Vec::new();
        let mut headers = vec![(0, 0, 0, 0)];
        for (name, bytes) in sections {
            headers.push((names.len(), 1, self.start() + body.len(), bytes.len()));
            names.extend([name.as_bytes(), b"\0"].concat());
            body.extend(bytes);
        }
        headers.push((1, 3, self.start() + body.len(), names.len()));
        body.extend(names);
        body.resize(body.len().next_multiple_of(8), 0);
        let n_sections = if has_section_headers { headers.len() } else { 0 };
        let mut file = self.header(self.start() + body.len(), n_sections);
        file.extend(self.segment(self.start() + body.len()));
        file.resize(self.start(), 0);
        file.extend(body);
        headers.iter().take(n_sections).for_each(|header| file.extend(self.section(*header)));
        file
    }

    fn header(self, sections_at: usize, n_sections: usize) -> Vec<u8> {
        let half = |value: usize| self.number(2, value as u64);
        let mut header = b"\x7fELF".to_vec();
        header.extend([if self.is_64 { 2 } else { 1 }, if self.is_big_endian { 2 } else { 1 }, 1, 0]);
        header.extend([0; 8]);
        header.extend([half(2), half(62), self.number(4, 1), self.word(ADDRESS)].concat());
        let sections_at = if n_sections == 0 { 0 } else { sections_at as u64 };
        header.extend([self.word(self.header_size() as u64), self.word(sections_at)].concat());
        let (segment_size, section_size) = if self.is_64 { (56, 64) } else { (32, 40) };
        header.extend([self.number(4, 0), half(self.header_size()), half(segment_size), half(1)].concat());
        header.extend([half(section_size), half(n_sections), half(n_sections.saturating_sub(1))].concat());
        header
    }

    fn segment(self, size: usize) -> Vec<u8> {
        let (load, flags, size) = (self.number(4, 1), self.number(4, 6), self.word(size as u64));
        let (offset, address) = (self.word(0), self.word(ADDRESS));
        match self.is_64 {
            true => {
                [load, flags, offset, address.clone(), address, size.clone(), size, self.word(16)].concat()
            }
            false => {
                [load, offset, address.clone(), address, size.clone(), size, flags, self.word(16)].concat()
            }
        }
    }

    fn section(self, (name, kind, offset, size): (usize, u64, usize, usize)) -> Vec<u8> {
        let (name, kind) = (self.number(4, name as u64), self.number(4, kind));
        let (offset, size, zero) = (self.word(offset as u64), self.word(size as u64), self.word(0));
        let links = self.number(8, 0);
        [name, kind, zero.clone(), zero.clone(), offset, size, links, zero.clone(), zero].concat()
    }

    /// The block as Go before 1.18 wrote it: the addresses of two strings.
    fn block_of_pointers(self, version: &str, modules: &[u8]) -> Vec<u8> {
        let (address, word) = (ADDRESS + self.start() as u64, self.word_size() as u64);
        let (strings, texts) = (address + 32, address + 32 + 4 * word);
        let flags = u8::from(self.is_big_endian);
        let mut block = b"\xff Go buildinf:".to_vec();
        block.extend([self.word_size() as u8, flags]);
        block.extend([self.word(strings), self.word(strings + 2 * word)].concat());
        block.resize(32, 0);
        block.extend([self.word(texts), self.word(version.len() as u64)].concat());
        block.extend([self.word(texts + version.len() as u64), self.word(modules.len() as u64)].concat());
        block.extend([version.as_bytes(), modules].concat());
        block
    }
}

fn modules(text: &str) -> Vec<u8> {
    [b"0123456789abcdef", text.as_bytes(), b"0123456789abcdef"].concat()
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut counted = Vec::new();
    let mut length = bytes.len();
    while length > 0x7f {
        counted.push(length as u8 | 0x80);
        length >>= 7;
    }
    counted.push(length as u8);
    counted.extend(bytes);
    counted
}

/// The block as Go writes it since 1.18.
fn block(version: &str, modules: &[u8]) -> Vec<u8> {
    let mut block = b"\xff Go buildinf:\x08\x02".to_vec();
    block.resize(32, 0);
    block.extend([counted(version.as_bytes()), counted(modules)].concat());
    block
}

const MODULES: &str = "path\tapp.example/tool/cmd\nmod\tapp.example/tool\tv1.2.3\th1:x=\ndep\tlib.example/a\tv0.1.0\th1:y=\n\
    dep\tlib.example/b\tv1.0.0\n=>\tfork.example/b\tv1.0.1\th1:z=\ndep\tlib.example/c\tv2.0.0\n=>\t../c\t(devel)\n";

fn look(path: &str, bytes: &[u8]) -> Found {
    let form = Form::of(path.as_bytes(), bytes.len() as u64, bytes);
    form.map(|form| form.look(path.as_bytes(), &mut Cursor::new(bytes))).unwrap_or_default()
}

/// Package URLs, `*` before what the file itself is; then what can't be read.
fn told(found: &Found) -> Vec<String> {
    let component = |one: &super::Component| {
        let within: String = one.within.iter().map(|member| format!("{member}: ")).collect();
        let licence = one.licence.as_ref().map(|licence| format!(" ({licence})")).unwrap_or_default();
        format!("{}{within}{}{licence}", if one.is_main { "*" } else { "" }, one.purl)
    };
    let incomplete = found.incomplete.iter().map(|one| format!("{}: {}", one.path, one.why));
    found.components.iter().map(component).chain(incomplete).collect()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_go_program_names_its_modules_whatever_machine_and_age_it_is_of() {
    let expected = [
        "pkg:golang/stdlib@1.22.1",
        "*pkg:golang/app.example/tool@v1.2.3",
        "pkg:golang/lib.example/a@v0.1.0",
        "pkg:golang/fork.example/b@v1.0.1",
        "pkg:golang/lib.example/c",
    ];
    let section = |block: Vec<u8>| [(".go.buildinfo", block)];
    for machine in [AMD64, S390X, I386, MIPS] {
        let new = section(block("go1.22.1 X:nocoverageredesign", &modules(MODULES)));
        let old = section(machine.block_of_pointers("go1.22.1", &modules(MODULES)));
        for sections in [new, old] {
            for has_section_headers in [true, false] {
                let found = look("usr/bin/tool", &machine.program(&sections, has_section_headers));
                assert_eq!(told(&found), expected);
                assert_eq!(found.components[0].path, "/usr/bin/tool");
            }
        }
    }
}

#[test]
fn a_go_program_of_a_commit_without_tag_has_the_version_that_go_gives_it() {
    let text = "mod\tapp.example/tool\t(devel)\t\nbuild\tvcs=git\n\
        build\tvcs.revision=0123456789abcdef0123\nbuild\tvcs.time=2024-02-29T10:11:12Z\n";
    let program = |text: &str| AMD64.program(&[(".go.buildinfo", block("go1.22.1", &modules(text)))], true);
    let versions = |text: &str| told(&look("tool", &program(text)))[1].clone();
    assert_eq!(versions(text), "*pkg:golang/app.example/tool@v0.0.0-20240229101112-0123456789ab");
    assert_eq!(versions("mod\tapp.example/tool\t(devel)\t\n"), "*pkg:golang/app.example/tool");
}

#[test]
fn a_go_program_has_the_version_that_its_linker_was_told() {
    let cases = [
        ("-ldflags=\"-w -X main.version=1.18.1 -X main.gitCommit=5e16e50\"", "@v1.18.1"),
        ("-ldflags=-X=app.example/tool/internal.Version=v2.0.0-rc1", "@v2.0.0-rc1"),
        ("-ldflags=\"-X 'main.version=1.2.3'\"", "@v1.2.3"),
        // Another's version, no version, and one of two.
        ("-ldflags=\"-X app.example/toolbox.version=1.2.3\"", ""),
        ("-ldflags=\"-X main.version=main -X main.conversion=1.2.3\"", ""),
        ("-ldflags=\"-X main.version=1.2.3 -X main.Version=1.2.4\"", ""),
    ];
    for (setting, version) in cases {
        let text = format!("mod\tapp.example/tool\t(devel)\t\nbuild\t{setting}\n");
        let program = AMD64.program(&[(".go.buildinfo", block("go1.22.1", &modules(&text)))], true);
        assert_eq!(
            told(&look("tool", &program))[1],
            format!("*pkg:golang/app.example/tool{version}"),
            "{setting}"
        );
    }
}

#[test]
fn a_go_program_that_was_built_without_modules_tells_what_it_is() {
    let built = |path: &str| {
        let text = format!("path\t{path}\nbuild\tGOOS=linux\n");
        told(&look("tool", &AMD64.program(&[(".go.buildinfo", block("go1.19.8", &modules(&text)))], true)))
    };
    let why = "/tool: it is a Go program that was built without modules, and names none";
    let stdlib = "pkg:golang/stdlib@1.19.8";
    assert_eq!(built("app.example/tool/cmd/tool"), [stdlib, "*pkg:golang/app.example/tool/cmd/tool", why]);
    assert_eq!(built("command-line-arguments"), [stdlib, why]);
}

#[test]
fn a_go_program_that_tells_less_than_it_could_is_incomplete() {
    let program = |block: Vec<u8>| AMD64.program(&[(".go.buildinfo", block)], true);
    let cases = [
        (block("go1.19", b""), "it is a Go program that was built without a list of its modules"),
        (block("", b""), "it is a Go program whose build information was taken out"),
        (b"\xff Go buildinf:\x08\x02".to_vec(), "it is a Go program whose build information cannot be read"),
        (vec![0; 64], "it is a Go program whose build information cannot be read"),
        (
            AMD64.block_of_pointers("go1", b"").into_iter().take(40).collect(),
            "it is a Go program whose build information cannot be read",
        ),
    ];
    for (block, why) in cases {
        assert_eq!(look("tool", &program(block)).incomplete[0].why, why);
    }
}

#[test]
fn a_rust_program_names_the_crates_that_are_in_it() {
    let json = br#"{"packages":[{"name":"serde","version":"1.0.1","source":"crates.io"},
        {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"},
        {"name":"tool","version":"0.1.0","source":"local","root":true}]}"#;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(json).unwrap();
    let packed = packed.finish().unwrap();
    let found = look("bin/tool", &I386.program(&[(".dep-v0", packed)], true));
    assert_eq!(told(&found), ["pkg:cargo/serde@1.0.1", "*pkg:cargo/tool@0.1.0"]);
    let found = look("bin/tool", &I386.program(&[(".dep-v0", b"nonsense".to_vec())], true));
    assert_eq!(told(&found), ["/bin/tool: its list of Rust crates cannot be read"]);
}

#[test]
fn programs_of_c_and_broken_ones_hold_nothing() {
    let whole = AMD64.program(&[(".text", vec![0x90; 100])], true);
    assert_eq!(look("bin/true", &whole), Found::default());
    for n_bytes in 0..whole.len() {
        assert_eq!(look("bin/true", &whole[..n_bytes]).components, []);
    }
}

/// Paths, texts there, and what is told of them.
const NOTES: [(&str, &str, &[&str]); 24] = [
    (
        "usr/lib/python3/dist-packages/Foo_Bar-1.0.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: Foo_Bar\nVersion: 1.0\nLicense: MIT\n\nName: other\n",
        &["*pkg:pypi/foo-bar@1.0 (MIT)"],
    ),
    ("p/foo.egg-info/PKG-INFO", "Name: foo\r\nVersion: 2\r\nLicense: UNKNOWN\r\n", &["*pkg:pypi/foo@2"]),
    (
        "p/foo-1.egg-info",
        "Name: foo\nVersion: 1\nLicense-Expression: MIT OR Apache-2.0\n",
        &["*pkg:pypi/foo@1 (MIT OR Apache-2.0)"],
    ),
    (
        "p/x.dist-info/METADATA",
        "Name: x\n",
        &["/p/x.dist-info/METADATA: it describes a Python distribution without name or version"],
    ),
    (
        "node_modules/@a/b/package.json",
        r#"{"name":"@a/b","version":"1.0.0","license":"ISC"}"#,
        &["*pkg:npm/%40a/b@1.0.0 (ISC)"],
    ),
    (
        "node_modules/a/node_modules/b/package.json",
        r#"{"name":"b","version":"2.0.0","licenses":[{"type":"MIT"},{"type":"BSD"}]}"#,
        &["*pkg:npm/b@2.0.0 (MIT OR BSD)"],
    ),
    ("node_modules/a/esm/package.json", r#"{"type":"module"}"#, &[]),
    ("node_modules/a/package.json", "{", &["/node_modules/a/package.json: it is no JSON"]),
    ("node_modules/a/test/fixtures/package.json", "{", &[]),
    ("app/package.json", r#"{"name":"app","version":"0.1.0"}"#, &["*pkg:npm/app@0.1.0"]),
    (
        "g/specifications/rake-13.0.6.gemspec",
        "# -*- encoding: utf-8 -*-\n# stub: rake 13.0.6 ruby lib\n\nGem::Specification.new do |s|\n  s.licenses = [\"MIT\".freeze]\n",
        &["*pkg:gem/rake@13.0.6 (MIT)"],
    ),
    (
        "g/specifications/default/json.gemspec",
        "  spec.name = \"json\"\n  spec.version = '2.6'\n",
        &["*pkg:gem/json@2.6"],
    ),
    (
        "g/specifications/x.gemspec",
        "s.version = X::VERSION",
        &["/g/specifications/x.gemspec: it specifies a Ruby gem whose name or version is computed"],
    ),
    (
        "vendor/composer/installed.json",
        r#"{"packages":[{"name":"A/b","version":"v1.0","license":["MIT"]}]}"#,
        &["pkg:composer/a/b@v1.0 (MIT)"],
    ),
    ("vendor/composer/installed.json", r#"[{"name":"a/b","version":"2.0"}]"#, &["pkg:composer/a/b@2.0"]),
    (
        "app/App.deps.json",
        r#"{"libraries":{"App/1.0.0":{"type":"project"},"Json.NET/13.0.1":{"type":"package"}}}"#,
        &["*pkg:nuget/App@1.0.0", "pkg:nuget/Json.NET@13.0.1"],
    ),
    ("app/App.deps.json", "[]", &["/app/App.deps.json: it doesn't list the libraries of a .NET program"]),
    (
        "R/library/MASS/DESCRIPTION",
        "Package: MASS\nVersion: 7.3-58\nLicense: GPL-2 | GPL-3\n",
        &["*pkg:cran/MASS@7.3-58 (GPL-2 | GPL-3)"],
    ),
    ("doc/DESCRIPTION", "A description.\n", &[]),
    ("rocks/lpeg-1.0-1.rockspec", "package = \"lpeg\"\nversion = \"1.0-1\"\n", &["*pkg:luarocks/lpeg@1.0-1"]),
    (
        "var/www/wp-content/plugins/akismet/akismet.php",
        "<?php\n/**\n * Plugin Name: Akismet\n * Version: 5.0\n * License: GPLv2\n */",
        &["*pkg:wordpress-plugin/Akismet@5.0 (GPLv2)"],
    ),
    ("var/www/wp-content/plugins/akismet/src/other.php", "Plugin Name: x\nVersion: 1", &[]),
    ("usr/share/doc/package.json.txt", "{}", &[]),
    ("etc/passwd", "root:x:0:0::/:/bin/sh", &[]),
];

#[test]
fn notes_of_package_managers_are_read() {
    for (path, text, expected) in NOTES {
        assert_eq!(told(&look(path, text.as_bytes())), expected, "{path}");
    }
}

const POM: &[u8] = b"#Created by Maven\nversion=1.2\ngroupId=org.example\nartifactId=lib\n";
const MANIFEST: &[u8] =
    b"Manifest-Version: 1.0\r\nImplementation-Version: 3.\r\n 4\r\nImplementation-Vendor-Id: com.example\r\nBundle-License: Apache-2.0\r\n\r\nName: x\r\n";
const POM_PATH: &str = "META-INF/maven/org.example/lib/pom.properties";

#[test]
fn a_jar_is_what_maven_or_else_its_manifest_or_name_says() {
    let of_maven = zip(&[("META-INF/MANIFEST.MF", MANIFEST), (POM_PATH, POM)]);
    let of_manifest = zip(&[("META-INF/MANIFEST.MF", MANIFEST)]);
    let other = b"version=9\ngroupId=org.other\nartifactId=shaded\n";
    let shaded = zip(&[(POM_PATH, POM), ("META-INF/maven/org.other/shaded/pom.properties", other)]);
    let cases: [(&str, &[u8], &[&str]); 5] = [
        ("app/renamed.jar", &of_maven, &["*pkg:maven/org.example/lib@1.2 (Apache-2.0)"]),
        ("app/tool.jar", &of_manifest, &["*pkg:maven/com.example/tool@3.4 (Apache-2.0)"]),
        ("app/tool-2.0-beta.jar", &of_manifest, &["*pkg:maven/com.example/tool@2.0-beta (Apache-2.0)"]),
        ("app/lib-1.2.jar", &shaded, &["*pkg:maven/org.example/lib@1.2", "pkg:maven/org.other/shaded@9"]),
        ("app/x.jar", b"PK", &["/app/x.jar: it cannot be read as an archive: Invalid Zip archive"]),
    ];
    for (path, bytes, expected) in cases {
        let told = told(&look(path, bytes));
        let starts = told
            .iter()
            .zip(expected)
            .all(|(one, expected)| one.starts_with(expected.split(": Invalid").next().unwrap()));
        assert!(starts && told.len() == expected.len(), "{told:?}");
    }
}

#[test]
fn jars_in_a_war_and_wheels_are_looked_into() {
    let inner = zip(&[(POM_PATH, POM)]);
    let war = zip(&[("WEB-INF/lib/lib-1.2.jar", &inner), ("WEB-INF/lib/broken.jar", b"x")]);
    let found = look("srv/app-3.war", &war);
    assert_eq!(
        told(&found)[..2],
        ["*WEB-INF/lib/lib-1.2.jar: pkg:maven/org.example/lib@1.2", "*pkg:maven/app@3"]
    );
    assert_eq!(found.incomplete[0].path, "/srv/app-3.war!WEB-INF/lib/broken.jar");
    let wheel = zip(&[("pip-23.0.dist-info/METADATA", b"Name: pip\nVersion: 23.0\n")]);
    let found = look("usr/share/python-wheels/pip-23.0-py3-none-any.whl", &wheel);
    assert_eq!(told(&found), ["*pip-23.0.dist-info/METADATA: pkg:pypi/pip@23.0"]);
}

#[test]
fn archives_that_are_too_deep_or_too_large_are_told_and_not_read() {
    let deep = (0..6).fold(zip(&[(POM_PATH, POM)]), |inner, _| zip(&[("i.jar", &inner)]));
    let found = look("a.jar", &deep);
    assert_eq!(found.incomplete[0].why, "it lies too deep in other archives");
    let bomb = zip(&[("META-INF/MANIFEST.MF", &vec![b' '; 2 << 20])]);
    let found = look("bomb.jar", &bomb);
    assert_eq!(found.incomplete[0].why, "it cannot be read: it is larger than what is read");
    assert_eq!(found.incomplete[0].path, "/bomb.jar!META-INF/MANIFEST.MF");
}
