//! Archives that are not what they say they are.

use std::fs;

use estaleiro::digest::Digest;

use crate::site::{Site, assert_said, definition_of};
use crate::support::archive::Wrong;
use crate::support::tarball::Entry;
use crate::support::{Archive, Compression, Deb, Key, ServedArchive};

fn jq() -> Deb {
    Deb::new("jq", "1.6-2").file("/usr/bin/jq", 0o755, "jq")
}

/// Returns an archive with `jq`, signed.
fn archive() -> Archive {
    Archive::new().add(jq()).sign_with(&Key::ed25519())
}

/// Returns what a build says that uses `archive`.
fn story(archive: Archive) -> String {
    let served = archive.serve();
    let site = Site::of_archive(&served);
    site.fails(1, &mut site.build())
}

/// Returns what a build says that installs `packages` out of `archive`.
fn story_of(archive: Archive, packages: &str) -> String {
    let served = archive.serve();
    let site = Site::of_archive(&served);
    site.put("estaleiro.hcl", definition_of(&served, "scratch", packages));
    site.fails(1, &mut site.build())
}

#[test]
fn an_archive_without_a_signature_is_not_used() {
    let key = Key::ed25519();
    let unsigned = || archive().publish_key(&key).wrong(Wrong::Unsigned);
    assert_said(
        &story(unsigned()),
        "error: cannot use repository http://archive.example bookworm: it is not signed: there is a Release file, but neither InRelease nor Release.gpg\n\
         hint: what nobody signed is not used",
    );
    let served = unsigned().serve();
    served.set("dists/bookworm/Release", None);
    let site = Site::of_archive(&served);
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot use repository http://archive.example bookworm: cannot fetch http://archive.example/dists/bookworm/Release: there is no such file, and no InRelease\n\
         hint: check URI and suite",
    );
}

#[test]
fn an_archive_signed_by_another_key_is_not_used() {
    let (signer, pinned) = (Key::ed25519(), Key::ed25519());
    let served = Archive::new().add(jq()).sign_with(&signer).publish_key(&pinned).serve();
    let mut site = Site::of_archive(&served);
    site.call(signer.fingerprint(), "SIGNER");
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot use repository http://archive.example bookworm: cannot verify the signature: signed by SIGNER (not a trusted key); trusted: FINGERPRINT\n\
         hint: if you trust the signer, declare its key with `key` and name it in the repository's signed-by",
    );
}

#[test]
fn what_was_changed_after_it_was_signed_is_not_used() {
    assert_said(
        &story(archive().wrong(Wrong::Tampered)),
        "error: cannot use repository http://archive.example bookworm: cannot verify the signature: it is by FINGERPRINT, but over another text\n\
         hint: the archive may be mid-update; run the build again",
    );
}

#[test]
fn only_what_is_signed_counts_as_said() {
    assert_said(
        &story(archive().wrong(Wrong::TextBeforeSignedPart)),
        "error: cannot use repository http://archive.example bookworm: cannot verify the signature: there is text before the signed text",
    );
    assert_said(
        &story(archive().wrong(Wrong::TextAfterSignature)),
        "error: cannot use repository http://archive.example bookworm: cannot verify the signature: there is text after the signature",
    );
}

#[test]
fn an_index_that_the_release_file_does_not_vouch_for_is_not_used() {
    assert_said(
        &story(archive().wrong(Wrong::PackagesHash)),
        "error: cannot fetch bookworm main: expected 316 bytes, got 88 bytes\n\
         hint: the archive may be mid-update; run the build again",
    );
}

#[test]
fn a_package_of_other_bytes_is_not_used() {
    assert_said(
        &story(archive().wrong(Wrong::PoolBytes("jq_1.6-2_all.deb".into()))),
        "error: cannot fetch jq 1.6-2: expected sha256:DIGEST, got sha256:DIGEST\n\
         hint: the archive may be mid-update; run the build again",
    );
}

#[test]
fn a_package_that_is_gone_is_named_with_its_digest_and_a_way_out() {
    let served = archive().wrong(Wrong::MissingPoolFile("jq_1.6-2_all.deb".into())).serve();
    let mut site = Site::of_archive(&served);
    site.call(Digest::of(jq().build(Compression::Xz)).to_string(), "ITS-DIGEST");
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot fetch jq 1.6-2: ITS-DIGEST is not to be had: http://archive.example/pool/main/j/jq/jq_1.6-2_all.deb does not exist\n\
         hint: archives drop old files: lock again, or name a mirror that keeps them",
    );
}

#[test]
fn an_archive_of_yesterday_is_not_used() {
    assert_said(
        &story(archive().wrong(Wrong::ValidUntilPassed)),
        "error: cannot use repository http://archive.example bookworm: cannot use the Release file: it was valid until 2024-06-08\n\
         hint: somebody may be serving an old one; if the archive is kept as it was, set check-valid-until=no",
    );
}

#[test]
fn an_archive_of_another_suite_is_not_used() {
    assert_said(
        &story(archive().wrong(Wrong::OtherSuite)),
        "error: cannot use repository http://archive.example bookworm: cannot use the Release file: expected suite bookworm, got oldstable, potato",
    );
}

#[test]
fn a_key_that_is_not_the_pinned_one_is_not_used() {
    let served = archive().serve();
    let site = Site::of_archive(&served);
    let pinned = "0123456789ABCDEF0123456789ABCDEF01234567";
    let definition = definition_of(&served, "scratch", "package \"jq\" {}");
    let with_pin = format!("path = \"archive.asc\"\n      fingerprint = \"{pinned}\"");
    site.put("estaleiro.hcl", definition.replace("path = \"archive.asc\"", &with_pin));
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot use key \"archive\": cannot find the pinned key 0123456789ABCDEF0123456789ABCDEF01234567: the keyring holds FINGERPRINT",
    );
}

#[test]
fn a_key_that_is_not_there_is_missed_by_its_name() {
    let served = archive().serve();
    let site = Site::of_archive(&served);
    fs::remove_file(site.path("context/archive.asc")).unwrap();
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot use key \"archive\": cannot open archive.asc in the context .: there is no such file\n\
         hint: in a put, an input is there only if params name it (or `inputs: all`)",
    );

    let definition = definition_of(&served, "scratch", "package \"jq\" {}");
    site.put(
        "estaleiro.hcl",
        definition.replace("path = \"archive.asc\"", &format!("uri = \"{}/key.asc\"", served.url())),
    );
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot use key \"archive\": cannot fetch http://archive.example/key.asc: there is no such file",
    );

    site.put("archive.asc", served.key());
    site.put("estaleiro.hcl", definition.replace("signed-by=archive", "signed-by=another"));
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot trust repository http://archive.example bookworm: its signed-by names another, which is neither a key block nor a keyring of the base image or of this machine",
    );

    site.put("archive.asc", "no key");
    site.put("estaleiro.hcl", &definition);
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot use key \"archive\": cannot read the key: expected OpenPGP public keys, found none that we know",
    );
}

#[test]
fn a_package_that_nobody_knows_is_answered_with_those_that_look_like_it() {
    let archive = || archive().add(Deb::new("jo", "1")).add(Deb::new("curl", "8"));
    assert_said(
        &story_of(archive(), "package \"jqq\" {}"),
        "error: cannot install jqq: no repository has a package of that name\n\
         hint: did you mean jq",
    );
    assert_said(
        &story_of(archive(), "package \"postgresql\" {}"),
        "error: cannot install postgresql: no repository has a package of that name",
    );
}

#[test]
fn a_version_that_nobody_has_is_answered_with_those_there_are() {
    let said = story_of(archive().add(Deb::new("jq", "1.7-1")), "package \"jq\" { version = \"1.5-1\" }");
    assert_said(
        &said,
        "error: cannot install jq 1.5-1: no repository has that version; there is 1.6-2 or 1.7-1",
    );
}

#[test]
fn a_need_that_cannot_be_met_is_told_with_the_package_that_has_it() {
    let archive = || {
        archive()
            .add(Deb::new("tool", "1").depends("libtool (>= 2)"))
            .add(Deb::new("libtool", "2").depends("libnever"))
            .add(Deb::new("old", "1").depends("jq (>= 9)"))
            .add(Deb::new("rival", "1").field("Conflicts", "jq"))
    };
    assert_said(
        &story_of(archive(), "package \"tool\" {}"),
        "error: cannot install tool (1): libtool (2) depends on libnever, but no repository has libnever\n\
         needed by: tool (1)",
    );
    assert_said(
        &story_of(archive(), "package \"old\" {}"),
        "error: cannot install old (1): it depends on jq (>= 9), but jq is there only as 1.6-2",
    );
    assert_said(
        &story_of(archive(), "package \"jq\" {}\n    package \"rival\" {}"),
        "error: cannot install rival (1): it conflicts with jq, and jq (1.6-2) is asked for too",
    );
}

#[test]
fn a_root_from_nothing_needs_essential_packages() {
    assert_said(
        &story(archive()),
        "error: cannot install jq (1 package): cannot build from scratch: the repositories list no Essential packages\n\
         hint: name a distribution's main repository, or a base image",
    );
}

#[test]
fn a_package_that_is_another_one_than_its_index_says_is_not_used() {
    let served = archive().add(jq_with_dpkg()).serve();
    let site = Site::of_archive(&served);
    let definition = definition_of(&served, "scratch", "package \"jq\" {}");
    site.put("estaleiro.hcl", definition.replace("apt {", "apt {\n    sources = \"none\""));
    // The index names another version than the control file in the package has.
    let packages = "dists/bookworm/main/binary-amd64/Packages";
    let text = String::from_utf8(served.file(packages).unwrap().to_vec()).unwrap();
    let lying = text.replace("Version: 1.6-2\n", "Version: 1.7-1\n");
    let key = Key::ed25519();
    let release = format!(
        "Suite: stable\nCodename: bookworm\nDate: Sat, 01 Jun 2024 00:00:00 UTC\nArchitectures: amd64\nComponents: main\n\
         SHA256:\n {} {} main/binary-amd64/Packages\n",
        Digest::of(&lying).hex(),
        lying.len()
    );
    served.set(packages, Some(lying.into_bytes()));
    let signed = crate::support::key::clear_sign(&release, std::slice::from_ref(&key));
    served.set("dists/bookworm/InRelease", Some(signed.into_bytes()));
    site.put("archive.asc", key.public_armored());
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot install jq (2 packages): cannot read the archive of jq: it holds jq 1.6-2, the index promised jq 1.7-1",
    );
}

/// An Essential package, so that a build from nothing begins.
fn jq_with_dpkg() -> Deb {
    Deb::new("dpkg", "1").essential().file("/usr/bin/dpkg", 0o755, "no program")
}

/// Returns an archive whose Essential package `evil` has these entries.
fn escaping(entries: Vec<Entry>) -> ServedArchive {
    let evil = entries.into_iter().fold(Deb::new("evil", "1").essential(), Deb::entry);
    Archive::new().add(evil).add(jq()).sign_with(&Key::ed25519()).serve()
}

#[test]
fn nothing_of_a_package_is_written_outside_of_the_root() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let file = |name: &str| Entry::file(name, 0o644, "escaped");
    for (entries, expected) in [
        (
            vec![file("./../../../../../../escaped")],
            "error: cannot install jq (2 packages): cannot unpack evil 1 (all): cannot accept the archive's entry `./../../../../../../escaped`: its path holds `..`",
        ),
        (
            vec![file("../escaped")],
            "error: cannot install jq (2 packages): cannot unpack evil 1 (all): cannot accept the archive's entry `../escaped`: its path holds `..`",
        ),
        (
            vec![file(&format!("{target}/escaped"))],
            "error: cannot install jq (2 packages): cannot create /var/lib/dpkg/status: No such file or directory (os error 2)\n\
         hint: is dpkg among the Essential packages?",
        ),
        (
            vec![Entry::symlink("./out", target), file("./out/escaped")],
            "error: cannot install jq (2 packages): cannot create /var/lib/dpkg/status: No such file or directory (os error 2)\n\
         hint: is dpkg among the Essential packages?",
        ),
        (
            vec![Entry::symlink("./out", "../../../../.."), file("./out/escaped")],
            "error: cannot install jq (2 packages): cannot create /var/lib/dpkg/status: No such file or directory (os error 2)\n\
         hint: is dpkg among the Essential packages?",
        ),
        (
            vec![Entry::symlink("./var", target), file("./var/lib/dpkg/status")],
            "error: cannot install jq (2 packages): cannot start dpkg in the sandbox: execute: ENOENT: No such file or directory\n\
         hint: the program, or the interpreter that its first line or its ELF header names, is not in the image",
        ),
        (
            vec![Entry::symlink("./out", target), Entry::hardlink("./in", "./out/secret")],
            "error: cannot install jq (2 packages): cannot unpack evil 1 (all): cannot link `in`: No such file or directory (os error 2)",
        ),
        (
            vec![Entry::symlink("./a", "b"), Entry::symlink("./b", "a"), file("./a/escaped")],
            "error: cannot install jq (2 packages): cannot create /var/lib/dpkg/status: No such file or directory (os error 2)\n\
         hint: is dpkg among the Essential packages?",
        ),
        (
            vec![Entry::hardlink("./in", "/etc/passwd")],
            "error: cannot install jq (2 packages): cannot unpack evil 1 (all): cannot link `in`: No such file or directory (os error 2)",
        ),
        (
            vec![Entry::device("./dev/mem", 0o666, 1, 1), file("./dev/mem/escaped")],
            "error: cannot install jq (2 packages): cannot create /var/lib/dpkg/status: No such file or directory (os error 2)\n\
         hint: is dpkg among the Essential packages?",
        ),
        (
            vec![Entry::fifo("./pipe", 0o666), Entry::hardlink("./again", "./pipe"), file("./pipe/escaped")],
            "error: cannot install jq (2 packages): cannot create /var/lib/dpkg/status: No such file or directory (os error 2)\n\
         hint: is dpkg among the Essential packages?",
        ),
        (
            vec![Entry::hardlink("./in", "../../../../../../../../etc/passwd")],
            "error: cannot install jq (2 packages): cannot unpack evil 1 (all): cannot accept the archive's entry `../../../../../../../../etc/passwd`: its path holds `..`",
        ),
    ] {
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let served = escaping(entries);
        let mut site = Site::of_archive(&served);
        site.call(target, "OUTSIDE");
        assert_said(&site.fails(1, &mut site.build()), expected);
        assert_eq!(crate::site::names_in(outside.path()), ["secret"]);
        assert!(!site.path("escaped").exists() && !site.path("state/escaped").exists());
        assert!(!std::path::Path::new("/escaped").exists());
    }
}
