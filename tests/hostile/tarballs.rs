//! Tarballs and files of the context that are not what a definition takes them for.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use estaleiro::digest::Digest;

use crate::base;
use crate::site::{Site, assert_said, manifest};
use crate::support::deb::{Compression, compress};
use crate::support::tarball::Entry;
use crate::support::{Archive, Deb, Key, Tarball, tree};

const FROM_TARBALL: &str = r#"image "x" {
  file "/tool" {
    from_tarball "dist.tar" { path = "bin/tool" }
  }
}

tarball "dist.tar" {
  source_file "**" {
    vcs "git" { repository = "https://git.example/tool" ref = "v1" }
  }
}
"#;

const FROM_CONTEXT: &str = r#"image "x" {
  file "/tool" {
    from_context { path = "tool" }
  }
}
"#;

/// Returns a site whose definition takes `bin/tool` out of these bytes.
fn site_of(bytes: impl AsRef<[u8]>) -> Site {
    let site = Site::new(FROM_TARBALL);
    site.put("dist.tar", bytes);
    site
}

/// Returns what a build says that takes `bin/tool` out of these bytes.
fn story(bytes: impl AsRef<[u8]>) -> String {
    let site = site_of(bytes);
    site.fails(1, &mut site.build())
}

/// Returns the only layer of what comes of these bytes.
fn layer(bytes: impl AsRef<[u8]>) -> String {
    let site = site_of(bytes);
    site.succeeds(&mut site.build());
    layer_of(&site)
}

fn layer_of(site: &Site) -> String {
    let layers = manifest(&site.layout())["layers"].as_array().unwrap().clone();
    let digest: Digest = layers.last().unwrap()["digest"].as_str().unwrap().parse().unwrap();
    tree::dump_tar(&fs::read(site.layout().join("blobs/sha256").join(digest.hex())).unwrap())
}

fn tool() -> Entry {
    Entry::file("bin/tool", 0o755, "tool")
}

/// What a layer says that holds the tool and nothing else.
fn only_the_tool() -> String {
    format!("file 0755 0:0 4:{} /tool", Digest::of("tool").short())
}

#[test]
fn a_member_is_taken_however_the_tarball_is_compressed() {
    let plain = Tarball::new().directory("bin/", 0o755).entry(tool()).build();
    for compression in [Compression::None, Compression::Gz, Compression::Xz, Compression::Zst] {
        assert_eq!(layer(compress(compression, &plain)), only_the_tool(), "{compression:?}");
    }
}

#[test]
fn of_members_of_one_name_the_last_is_taken() {
    let twice = Tarball::new().entry(Entry::file("./bin/tool", 0o644, "older and longer")).entry(tool());
    assert_eq!(layer(twice.build()), only_the_tool());
}

#[test]
fn nothing_else_of_a_tarball_is_unpacked() {
    let outside = tempfile::tempdir().unwrap();
    let escaped = outside.path().join("escaped");
    let absolute = escaped.to_str().unwrap();
    let tarball = Tarball::new()
        .entry(Entry::file(absolute, 0o644, "escaped"))
        .entry(Entry::symlink("out", outside.path().to_str().unwrap()))
        .entry(Entry::file("out/escaped", 0o644, "escaped"))
        .entry(Entry::hardlink("link", "/etc/passwd"))
        .entry(Entry::device("bin/device", 0o666, 1, 3))
        .entry(Entry::fifo("bin/fifo", 0o666))
        .entry(tool());
    assert_eq!(layer(tarball.build_gzip()), only_the_tool());
    assert!(!escaped.exists());
}

#[test]
fn a_member_that_leads_out_of_its_tarball_is_refused_even_if_nobody_asked_for_it() {
    let tarball = Tarball::new().entry(tool()).entry(Entry::file("../escaped", 0o644, "escaped"));
    assert_said(
        &story(tarball.build()),
        "error: cannot copy /tool: cannot read tarball dist.tar: its member ../escaped is refused: its path holds `..`",
    );
}

#[test]
fn a_member_behind_a_link_is_known_by_its_own_name_only() {
    let tarball =
        Tarball::new().entry(Entry::symlink("bin", "sbin")).entry(Entry::file("sbin/tool", 0o755, "tool"));
    assert_said(
        &story(tarball.build()),
        "error: cannot copy /tool: cannot read tarball dist.tar: it has no member bin/tool\n\
         hint: `tar -tf dist.tar` lists the members",
    );
    let tarball = Tarball::new().entry(Entry::symlink("bin", "/etc")).entry(tool());
    assert_eq!(layer(tarball.build()), only_the_tool());
}

#[test]
fn what_is_no_regular_file_is_not_taken() {
    for (entry, expected) in [
        (
            Entry::symlink("bin/tool", "/etc/passwd"),
            "error: cannot copy /tool: cannot read tarball dist.tar: its member bin/tool is no regular file but a symbolic link to /etc/passwd\n\
         hint: name the file itself",
        ),
        (
            Entry::symlink("bin/tool", "../../../../../etc/passwd"),
            "error: cannot copy /tool: cannot read tarball dist.tar: its member bin/tool is no regular file but a symbolic link to ../../../../../etc/passwd\n\
         hint: name the file itself",
        ),
        (
            Entry::hardlink("bin/tool", "bin/other"),
            "error: cannot copy /tool: cannot read tarball dist.tar: its member bin/tool is no regular file but a hard link to bin/other\n\
         hint: name the file itself",
        ),
        (
            Entry::directory("bin/tool", 0o755),
            "error: cannot copy /tool: cannot read tarball dist.tar: its member bin/tool is no regular file but a directory\n\
         hint: name the file itself",
        ),
        (
            Entry::device("bin/tool", 0o644, 1, 5),
            "error: cannot copy /tool: cannot read tarball dist.tar: its member bin/tool is no regular file but a special file\n\
         hint: name the file itself",
        ),
        (
            Entry::fifo("bin/tool", 0o644),
            "error: cannot copy /tool: cannot read tarball dist.tar: its member bin/tool is no regular file but a special file\n\
         hint: name the file itself",
        ),
    ] {
        assert_said(&story(Tarball::new().entry(entry).build()), expected);
    }
}

#[test]
fn a_tarball_that_ends_early_is_refused() {
    let mut noise: u32 = 1;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    })
    .take(200_000)
    .collect();
    // The member that is wanted is whole, and what is cut off comes after it.
    let plain = Tarball::new().entry(tool()).file("rest", 0o644, content).build();
    for (compression, expected) in [
        (
            Compression::None,
            "error: cannot copy /tool: cannot read tarball dist.tar: it ends in the middle of an entry",
        ),
        (
            Compression::Gz,
            "error: cannot copy /tool: cannot read tarball dist.tar: incomplete deflate stream",
        ),
        (Compression::Xz, "error: cannot copy /tool: cannot read tarball dist.tar: premature eof"),
        (Compression::Zst, "error: cannot copy /tool: cannot read tarball dist.tar: incomplete frame"),
    ] {
        let whole = compress(compression, &plain);
        assert_said(&story(&whole[..whole.len() / 2]), expected);
    }
}

#[test]
fn what_is_no_tarball_is_refused() {
    for (bytes, expected) in [
        (
            b"#!/bin/sh\n".to_vec(),
            "error: cannot copy /tool: cannot read tarball dist.tar: it ends in the middle of an entry",
        ),
        (
            b"x".repeat(4096),
            "error: cannot copy /tool: cannot read tarball dist.tar: a header's checksum is wrong; is it a tar archive?",
        ),
        (
            compress(Compression::Gz, &b"x".repeat(4096)),
            "error: cannot copy /tool: cannot read tarball dist.tar: a header's checksum is wrong; is it a tar archive?",
        ),
        (
            Vec::new(),
            "error: cannot copy /tool: cannot read tarball dist.tar: it has no member bin/tool\n\
         hint: `tar -tf dist.tar` lists the members",
        ),
        (
            vec![0; 1024],
            "error: cannot copy /tool: cannot read tarball dist.tar: it has no member bin/tool\n\
         hint: `tar -tf dist.tar` lists the members",
        ),
        (
            b"\x1f\x8bnot gzip at all".to_vec(),
            "error: cannot copy /tool: cannot read tarball dist.tar: invalid gzip header",
        ),
    ] {
        assert_said(&story(bytes), expected);
    }
}

#[test]
fn a_member_that_is_missing_is_named() {
    assert_said(
        &story(Tarball::new().file("bin/other", 0o755, "x").build_gzip()),
        "error: cannot copy /tool: cannot read tarball dist.tar: it has no member bin/tool\n\
         hint: `tar -tf dist.tar` lists the members",
    );
}

/// A gzip stream of a header and then zeros, 1000 times smaller than what it unpacks to.
fn bomb(header: &[u8], n_megabytes: usize, rest: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(header).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..n_megabytes {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.write_all(rest).unwrap();
    encoder.finish().unwrap()
}

/// Returns the head of a member whose content is so large.
pub(crate) fn header(kind: u8, name: &str, n_megabytes: usize) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_gnu_mut().unwrap().typeflag = [kind];
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size((n_megabytes as u64) << 20);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Lets a build have so much memory of its own, and no more.
fn within(n_megabytes: usize, build: &Command) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--data={}", n_megabytes << 20)).arg(build.get_program()).args(build.get_args());
    command
        .current_dir(build.get_current_dir().unwrap())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    command.envs(build.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn a_bomb_needs_no_memory() {
    const N: usize = 256;
    let rest = Tarball::new().entry(tool()).build();
    // Beside what is wanted, as what is wanted, and as the long name of what is wanted.
    let site = site_of(bomb(&header(b'0', "huge", N), N, &rest));
    site.succeeds(&mut within(N / 2, &site.build()));
    assert_eq!(layer_of(&site), only_the_tool());

    let site = site_of(bomb(&header(b'0', "bin/tool", N), N, &[0; 1024]));
    site.succeeds(&mut within(N / 2, &site.build()));
    assert!(layer_of(&site).starts_with(&format!("file 0755 0:0 {}:", N << 20)));

    for kind in [b'L', b'K', b'x', b'g'] {
        let site = site_of(bomb(&header(kind, "name", N), N, &rest));
        assert_said(
            &site.fails(1, &mut within(N / 2, &site.build())),
            "error: cannot copy /tool: cannot read tarball dist.tar: an extended header has 268435456 bytes, more than 1048576",
        );
    }
}

#[test]
fn a_file_of_the_context_is_a_regular_file_inside_it() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let tool = |site: &Site| site.path("context/tool");
    type Make = fn(&std::path::Path, &std::path::Path);
    let cases: [(Make, &str); 6] = [
        (
            |tool, outside| symlink(outside.join("secret"), tool).unwrap(),
            "error: cannot open tool in the context .: it leads out of the context",
        ),
        (
            |tool, _| symlink("../../../../../../../../etc/passwd", tool).unwrap(),
            "error: cannot open tool in the context .: it leads out of the context",
        ),
        (
            |_, _| (),
            "error: cannot open tool in the context .: there is no such file\n\
         hint: in a put, an input is there only if params name it (or `inputs: all`)",
        ),
        (
            |tool, _| fs::create_dir(tool).unwrap(),
            "error: cannot use tool in the context: it is a directory\n\
         hint: to take all that is in it, write a `/` at its end: tool/",
        ),
        (
            |tool, _| {
                rustix::fs::mkfifoat(rustix::fs::CWD, tool, rustix::fs::Mode::from_raw_mode(0o644)).unwrap();
            },
            "error: cannot use tool in the context: it is no regular file",
        ),
        (
            |tool, _| symlink("tool", tool).unwrap(),
            "error: cannot open tool in the context .: Too many levels of symbolic links (os error 40)",
        ),
    ];
    for (make, expected) in cases {
        let site = Site::new(FROM_CONTEXT);
        make(&tool(&site), outside.path());
        let start = Instant::now();
        assert_said(&site.fails(1, &mut site.build()), expected);
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_link_inside_the_context_is_followed() {
    let site = Site::new(FROM_CONTEXT);
    site.put("real", "tool");
    symlink("real", site.path("context/tool")).unwrap();
    site.succeeds(&mut site.build());
    assert_eq!(layer_of(&site), format!("file 0644 0:0 4:{} /tool", Digest::of("tool").short()));
}

/// Builds upon the real base with a package whose script takes its time, and changes `name` meanwhile.
fn changed_under_way(files: &str, name: &str, before: &[u8], after: &[u8]) -> String {
    let slow = Deb::new("slow", "1").script("postinst", "#!/bin/sh\nsleep 2\n");
    let archive = Archive::new().add(slow).sign_with(&Key::ed25519()).serve();
    let site = base::site(&archive, "package \"slow\" {}");
    let definition = fs::read_to_string(site.path("context/estaleiro.hcl")).unwrap();
    let (image, _) = definition.rsplit_once('}').unwrap();
    let rest = FROM_TARBALL.split_once("\n\n").unwrap().1;
    let rest = if files.contains("from_tarball") { rest } else { "" };
    site.put("estaleiro.hcl", format!("{image}{files}}}\n{rest}"));
    site.put(name, before);
    let build =
        site.build().stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
    let build = build.unwrap();
    let start = Instant::now();
    // The context was hashed before the first package was asked for.
    while archive.log().count("GET", "/pool/") == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "no package was asked for");
        std::thread::sleep(Duration::from_millis(10));
    }
    site.put(name, after);
    let output = build.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!site.layout().exists());
    site.assert_tidy();
    site.said(&output.stderr)
}

#[test]
fn a_file_that_changes_after_it_was_hashed_is_not_copied() {
    let file = "  file \"/tool\" {\n    from_context { path = \"tool\" }\n  }\n";
    assert_said(
        &changed_under_way(file, "tool", b"before", b"after!"),
        "error: cannot copy /tool: cannot copy to /tool: it changed after it was hashed\n\
         hint: run the build again",
    );
    assert_said(
        &changed_under_way(file, "tool", b"before", b""),
        "error: cannot copy /tool: cannot copy to /tool: it changed after it was hashed\n\
         hint: run the build again",
    );
    let before = Tarball::new().entry(tool()).file("other", 0o644, "before").build_gzip();
    let after = Tarball::new().entry(tool()).file("other", 0o644, "after").build_gzip();
    let file = "  file \"/tool\" {\n    from_tarball \"dist.tar\" { path = \"bin/tool\" }\n  }\n";
    assert_said(
        &changed_under_way(file, "dist.tar", &before, &after),
        "error: cannot copy /tool: cannot read tarball dist.tar: it changed after it was hashed\n\
         hint: run the build again",
    );
}
