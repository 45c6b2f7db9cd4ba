//! Forty archives that must not be believed, one a row: what is wrong with each, and what is said.
//!
//! Every row begins with the same good archive, spoils one thing, and signs again where whoever spoils it could. gpgv is
//! asked of every row whether the signature alone is good.

use std::process::Command;
use std::sync::Arc;

use estaleiro::digest::Digest;
use futures_util::FutureExt;

use crate::site::{Site, definition_of};
use crate::support::deb::{Compression, Deb, compress};
use crate::support::fault::{ALWAYS, Fault};
use crate::support::http::{self, Handler, Server};
use crate::support::key::{clear_sign, clear_sign_with};
use crate::support::{Archive, Key, ServedArchive};
use pgp::crypto::hash::HashAlgorithm;

const DISTS: &str = "dists/bookworm";
const PACKAGES: &str = "main/binary-amd64/Packages";

/// A good archive, to be spoilt.
pub(crate) struct Stage {
    key: Key,
    served: ServedArchive,
    pub(crate) site: Site,
    /// What is to be kept alive while the archive is asked.
    other: Option<Server>,
}

impl Stage {
    fn new() -> Stage {
        Stage::with(Deb::new("jq", "1.6-2").file("/usr/bin/jq", 0o755, "jq"))
    }

    /// Returns an archive of this package and an Essential one.
    pub(crate) fn with(deb: Deb) -> Stage {
        let key = Key::ed25519();
        let archive = Archive::new().add(deb).add(Deb::new("base", "1").essential()).sign_with(&key);
        let served = archive.serve();
        let site = Site::of_archive(&served);
        Stage { key, served, site, other: None }
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.served.file(&format!("{DISTS}/{path}")).unwrap().to_vec()).unwrap()
    }

    fn set(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.served.set(&format!("{DISTS}/{path}"), Some(bytes.into()));
    }

    fn remove(&self, path: &str) {
        self.served.set(&format!("{DISTS}/{path}"), None);
    }

    /// Changes the Release file and signs it again.
    fn release(&self, change: impl Fn(String) -> String) {
        let text = change(self.text("Release"));
        self.set("InRelease", clear_sign(&text, std::slice::from_ref(&self.key)));
        self.set("Release", text);
    }

    /// Changes InRelease, which nobody signs again.
    fn in_release(&self, change: impl Fn(String) -> String) {
        self.set("InRelease", change(self.text("InRelease")));
    }

    /// Lets the Release file list just this index.
    fn index(&self, ending: &str, bytes: Vec<u8>) {
        let line = format!(" {} {} {PACKAGES}{ending}\n", Digest::of(&bytes).hex(), bytes.len());
        self.set(&format!("{PACKAGES}{ending}"), bytes);
        self.release(|text| {
            let is_kept = |line: &&str| !line.contains("/binary-") && !line.starts_with("Acquire-By-Hash");
            let kept: String = text.lines().filter(is_kept).map(|kept| format!("{kept}\n")).collect();
            kept + &line
        });
    }

    /// Changes the index, and promises what comes of it.
    fn packages(&self, change: impl Fn(String) -> String) {
        self.index("", change(self.text(PACKAGES)).into_bytes());
    }

    fn is_signed_well(&self) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("key.gpg"), self.key.public_binary()).unwrap();
        let mut command = Command::new("gpgv");
        command.args(["--status-fd", "1", "--weak-digest", "SHA1", "--keyring"]).arg(path("key.gpg"));
        for (name, other) in [("InRelease", None), ("Release.gpg", Some("Release"))] {
            let Some(bytes) = self.served.file(&format!("{DISTS}/{name}")) else { continue };
            std::fs::write(path(name), bytes).unwrap();
            command.arg(path(name));
            if let Some(other) = other {
                std::fs::write(path(other), self.text(other)).unwrap();
                command.arg(path(other));
            }
            let output = command.output().expect("gpgv is Debian's package gpgv");
            let status = String::from_utf8_lossy(&output.stdout).into_owned();
            return status.contains("] GOODSIG ") && !status.contains("] BADSIG ");
        }
        false
    }
}

fn before_the_files(release: &str) -> &str {
    release.split_once("SHA256:\n").unwrap().0
}

/// Whether the signature of the spoilt archive is good all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Signed {
    Well,
    Badly,
}
use Signed::{Badly, Well};

struct Row {
    name: &'static str,
    spoil: fn(&mut Stage),
    signed: Signed,
    said: &'static str,
}

const fn row(name: &'static str, spoil: fn(&mut Stage), signed: Signed, said: &'static str) -> Row {
    Row { name, spoil, signed, said }
}

/// What is wrong with the Release file.
const RELEASES: [Row; 22] = [
    row(
        "signed by nobody",
        |it| ["InRelease", "Release.gpg"].iter().for_each(|name| it.remove(name)),
        Badly,
        "it is not signed",
    ),
    row(
        "signed by another key",
        |it| it.set("InRelease", clear_sign(&it.text("Release"), &[Key::ed25519()])),
        Badly,
        "not a trusted key",
    ),
    row("signed by an expired key", |it| sign_by(it, Key::expired()), Badly, "the key expired on"),
    row("signed with SHA-1", sign_with_sha1, Badly, "SHA1, which is too weak"),
    row(
        "changed after it was signed",
        |it| it.in_release(|text| text.replace("Origin: ", "Origin: Evil ")),
        Badly,
        "over another text",
    ),
    row(
        "with text before",
        |it| it.in_release(|text| format!("Suite: evil\n{text}")),
        Well,
        "there is text before the signed text",
    ),
    row(
        "with text after",
        |it| it.in_release(|text| text + "Suite: evil\n"),
        Well,
        "there is text after the signature",
    ),
    row(
        "with a field in the armour",
        |it| it.in_release(|text| text.replacen("Hash: SHA512\n", "Hash: SHA512\nSuite: evil\n", 1)),
        Badly,
        "unknown header before the signed text",
    ),
    row(
        "cut off",
        |it| it.in_release(|text| text[..text.len() - 30].to_owned()),
        Badly,
        "the signature breaks off",
    ),
    row(
        "changed beside its detached signature",
        |it| {
            it.remove("InRelease");
            it.set("Release", it.text("Release") + "Label: evil\n");
        },
        Badly,
        "over another text",
    ),
    row(
        "with a detached signature of another key",
        |it| {
            it.remove("InRelease");
            it.set("Release.gpg", Key::ed25519().sign_detached(it.text("Release").as_bytes()));
        },
        Badly,
        "not a trusted key",
    ),
    row(
        "with a page where the signature belongs",
        |it| {
            it.remove("InRelease");
            it.set("Release.gpg", "<html>login</html>");
        },
        Badly,
        "there is no signature",
    ),
    row(
        "expired",
        |it| it.release(|text| format!("Valid-Until: Sat, 08 Jun 2024 00:00:00 UTC\n{text}")),
        Well,
        "it was valid until 2024-06-08",
    ),
    row(
        "from the future",
        |it| it.release(|text| text.replace("01 Jun 2024", "01 Jun 2094")),
        Well,
        "it is of 2094-06-01, which is yet to come",
    ),
    row(
        "of another codename",
        |it| it.release(|text| text.replace("Codename: bookworm", "Codename: trixie")),
        Well,
        "expected suite bookworm, got stable, trixie",
    ),
    row(
        "with MD5 digests only",
        |it| it.release(|text| text.replace("SHA256:", "MD5Sum:")),
        Well,
        "it lists no SHA256 digests",
    ),
    row(
        "with a path that leads out",
        |it| it.release(|text| text.replace(PACKAGES, "main/../../../evil/Packages")),
        Well,
        "a file's path leads out of the suite's directory",
    ),
    row(
        "with two digests for a file",
        |it| it.release(|text| format!("{text} {} 1 {PACKAGES}\n", Digest::of("evil").hex())),
        Well,
        "it lists a file twice, with different digests",
    ),
    row(
        "with two suites",
        |it| it.release(|text| format!("Suite: stable\n{text}")),
        Well,
        "field suite stands in it twice",
    ),
    row(
        "with a second paragraph",
        |it| it.release(|text| format!("{text}\nSuite: evil\n")),
        Well,
        "it has more than one paragraph",
    ),
    row(
        "without the component",
        |it| it.release(|text| before_the_files(&text).to_owned() + "SHA256:\n"),
        Well,
        "its Release file lists no packages of component main for amd64",
    ),
    row(
        "too large",
        |it| it.set("InRelease", vec![b'x'; 17 << 20]),
        Badly,
        "it is longer than 16777216 bytes",
    ),
];

/// What is wrong with the index or the way to it.
const INDEXES: [Row; 20] = [
    row("of another size", |it| spoil_index(it, |bytes| bytes.push(b'\n')), Well, "bytes, got"),
    row("of another hash", |it| spoil_index(it, |bytes| bytes[20] ^= 1), Well, "expected sha256:"),
    row("replaced while it was read", race, Well, "the archive may be mid-update"),
    row(
        "promised larger than any",
        |it| {
            it.release(|text| {
                let before = before_the_files(&text);
                format!("{before}SHA256:\n {} 999999999999 {PACKAGES}\n", Digest::of("").hex())
            });
        },
        Well,
        "its Release file promises 999999999999 bytes",
    ),
    row(
        "unpacking without end",
        |it| it.index(".xz", compress(Compression::Xz, &vec![b'\n'; 300 << 20])),
        Well,
        "it unpacks to more than 268435456 bytes",
    ),
    row(
        "no archive at all",
        |it| it.index(".xz", b"Package: jq\n".to_vec()),
        Well,
        "cannot read the packages index bookworm main",
    ),
    row(
        "breaking off",
        |it| {
            let whole = compress(Compression::Xz, it.text(PACKAGES).as_bytes());
            it.index(".xz", whole[..whole.len() - 20].to_vec());
        },
        Well,
        "cannot read the packages index bookworm main",
    ),
    row(
        "no text",
        |it| it.index("", b"Package: jq\nVersion: \xff\n".to_vec()),
        Well,
        "cannot read packages index: the paragraph at line 1 is not UTF-8",
    ),
    row(
        "without a digest",
        |it| it.packages(|text| without(&text, "SHA256: ")),
        Well,
        "field SHA256 is missing",
    ),
    row(
        "with a name that is a path",
        |it| it.packages(|text| text.replace("Package: jq", "Package: ../jq")),
        Well,
        "field Package has value \"../jq\"",
    ),
    row(
        "with a version that is none",
        |it| it.packages(|text| text.replace("Version: 1.6-2", "Version: evil:1")),
        Well,
        "the epoch is not a number",
    ),
    row(
        "with a file above the archive",
        |it| it.packages(|text| text.replace("Filename: pool", "Filename: ../pool")),
        Well,
        "field Filename leads out of the archive",
    ),
    row(
        "with an absolute file",
        |it| it.packages(|text| text.replace("Filename: pool", "Filename: /etc")),
        Well,
        "field Filename leads out of the archive",
    ),
    row(
        "with a size that is none",
        |it| it.packages(|text| text.replace("\nSize: ", "\nSize: -")),
        Well,
        "field Size is not a number of bytes",
    ),
    row(
        "with a field twice",
        |it| it.packages(|text| text.replace("Package: jq", "Package: jq\nPackage: evil")),
        Well,
        "field Package is given twice",
    ),
    row(
        "with a line that is no field",
        |it| it.packages(|text| text.replace("Version:", "evil\nVersion:")),
        Well,
        "expected `Field: value`",
    ),
    row(
        "with a broken Provides",
        |it| it.packages(|text| text.replace("Version:", "Provides: evil (\nVersion:")),
        Well,
        "cannot read Provides of",
    ),
    row(
        "with a broken Depends",
        |it| it.packages(|text| text.replace("Version: 1.6-2", "Depends: evil (>= \nVersion: 1.6-2")),
        Well,
        "cannot read Depends of jq",
    ),
    row(
        "of a broken server",
        |it| it.served.faults().fail("*", "binary-amd64", ALWAYS, Fault::Status(404)),
        Well,
        "does not exist",
    ),
    row(
        "answered as not changed, though it was never asked for",
        |it| it.served.faults().fail("*", "InRelease", ALWAYS, Fault::Status(304)),
        Well,
        "the server says 304, but nothing was kept",
    ),
];

fn sign_by(stage: &mut Stage, key: Key) {
    stage.set("InRelease", clear_sign(&stage.text("Release"), std::slice::from_ref(&key)));
    stage.site.put("archive.asc", key.public_armored());
    stage.key = key;
}

fn sign_with_sha1(stage: &mut Stage) {
    let key = Key::rsa();
    let text = clear_sign_with(&stage.text("Release"), std::slice::from_ref(&key), HashAlgorithm::Sha1);
    stage.set("InRelease", text);
    stage.site.put("archive.asc", key.public_armored());
    stage.key = key;
}

/// Changes every form of the index, by-hash too, and leaves the Release file as it was.
fn spoil_index(stage: &mut Stage, change: fn(&mut Vec<u8>)) {
    for ending in ["", ".gz", ".xz"] {
        let mut bytes = stage.served.file(&format!("{DISTS}/{PACKAGES}{ending}")).unwrap().to_vec();
        let by_hash = format!("main/binary-amd64/by-hash/SHA256/{}", Digest::of(&bytes).hex());
        change(&mut bytes);
        stage.set(&by_hash, bytes.clone());
        stage.set(&format!("{PACKAGES}{ending}"), bytes);
    }
}

/// The old index is gone, and the new one stands in its place, before the new Release file is there.
fn race(stage: &mut Stage) {
    let release = stage.text("InRelease");
    let newer = Archive::new().add(Deb::new("jq", "1.7-1")).sign_with(&stage.key);
    stage.served.publish(&newer);
    stage.set("InRelease", release);
}

fn without(text: &str, field: &str) -> String {
    text.lines().filter(|line| !line.starts_with(field)).map(|line| format!("{line}\n")).collect()
}

/// Says where a row went otherwise than it should.
fn deviation(row: &Row, mut stage: Stage) -> Option<String> {
    (row.spoil)(&mut stage);
    let said = stage.site.fails(1, stage.site.verb("lock").args(["--lock", "-"]));
    let is_as_expected = said.starts_with("error: cannot ") && said.contains(row.said);
    let gpgv = stage.is_signed_well();
    (!is_as_expected || gpgv != (row.signed == Well)).then(|| format!("{}: gpgv {gpgv}; {said}", row.name))
}

fn check(rows: &[Row]) {
    let deviations: Vec<String> = rows.iter().filter_map(|row| deviation(row, Stage::new())).collect();
    assert!(deviations.is_empty(), "{deviations:#?}");
    let mut said: Vec<&str> = rows.iter().map(|row| row.name).collect();
    said.sort_unstable();
    said.dedup();
    assert_eq!(said.len(), rows.len(), "each row has its own name");
}

#[test]
fn the_archive_that_is_spoilt_below_is_a_good_one() {
    let stage = Stage::new();
    assert!(stage.is_signed_well());
    let output = stage.site.succeeds(stage.site.verb("lock").args(["--lock", "-"]));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"name\": \"jq\""));
    // So it is without its InRelease, and after everything was read and signed again.
    let again = Stage::new();
    again.remove("InRelease");
    again.site.succeeds(again.site.verb("lock").args(["--lock", "-"]));
    let again = Stage::new();
    again.packages(|text| text);
    again.site.succeeds(again.site.verb("lock").args(["--lock", "-"]));
}

#[test]
fn a_release_file_that_cannot_be_believed_is_refused() {
    check(&RELEASES);
}

#[test]
fn an_index_that_cannot_be_believed_is_refused() {
    check(&INDEXES);
}

#[test]
fn an_older_release_file_than_before_is_refused_until_it_is_said_to_be_meant() {
    let stage = Stage::new();
    let lock = || {
        let mut lock = stage.site.verb("lock");
        lock.args(["--lock", "-"]);
        lock
    };
    let (first, second) = ("01 Jun 2024", "02 Jun 2024");
    let old = stage.text("InRelease");
    stage.site.succeeds(&mut lock());
    stage.release(|text| text.replace(first, second));
    stage.site.succeeds(&mut lock());
    stage.set("InRelease", old);
    assert!(stage.is_signed_well());
    let said = stage.site.fails(1, &mut lock());
    assert!(
        said.contains("it is of 2024-06-01T00:00:00Z, and one of 2024-06-02T00:00:00Z was seen before"),
        "{said}"
    );
    let definition = definition_of(&stage.served, "scratch", "package \"jq\" {}");
    stage.site.put(
        "estaleiro.hcl",
        definition.replace("signed-by=archive", "signed-by=archive check-valid-until=no"),
    );
    stage.site.succeeds(&mut lock());
}

#[test]
fn a_third_partys_key_does_not_vouch_for_the_distribution() {
    let stage = Stage::new();
    let third = Key::ed25519();
    let tools = Archive::new().suite("tools").add(Deb::new("tool", "1")).sign_with(&third).serve();
    stage.site.put("tools.asc", third.public_armored());
    let definition = definition_of(&stage.served, "scratch", "package \"jq\" {}\n    package \"tool\" {}");
    let both = format!("repositories = [\"{}\", ", tools.line("signed-by=tools"));
    let definition = definition
        .replace("repositories = [", &both)
        .replace("    package \"jq\"", "    key \"tools\" { path = \"tools.asc\" }\n    package \"jq\"");
    stage.site.put("estaleiro.hcl", definition);
    stage.site.succeeds(stage.site.verb("lock").args(["--lock", "-"]));
    // Now the third party signs in the distribution's place.
    stage.set("InRelease", clear_sign(&stage.text("Release"), std::slice::from_ref(&third)));
    let said = stage.site.fails(1, stage.site.verb("lock").args(["--lock", "-"]));
    let expected =
        format!("cannot verify the signature: signed by {} (not a trusted key)", third.fingerprint());
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_repository_that_asks_to_be_believed_unsigned_is_refused_where_it_is_written() {
    for option in ["trusted=yes", "allow-insecure=yes", "allow-weak=yes", "allow-downgrade-to-insecure=yes"] {
        let stage = Stage::new();
        let definition = definition_of(&stage.served, "scratch", "package \"jq\" {}");
        stage.site.put("estaleiro.hcl", definition.replace("[signed-by=archive]", &format!("[{option}]")));
        let said = stage.site.fails(2, stage.site.verb("lock").args(["--lock", "-"]));
        assert!(said.starts_with(&format!("error: {option}: what nobody signed well is not used")), "{said}");
        assert!(said.contains("estaleiro.hcl:4:"), "{said}");
    }
}

/// Sends every request for a package elsewhere.
fn redirected(stage: &mut Stage, to: &str) {
    let (archive, to) = (stage.served.url(), to.to_owned());
    let files: Vec<(String, _)> = ["InRelease", &format!("{PACKAGES}.xz"), PACKAGES]
        .iter()
        .map(|name| format!("{DISTS}/{name}"))
        .map(|path| (path.clone(), stage.served.file(&path).unwrap()))
        .collect();
    let handler: Handler = Arc::new(move |request| {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let found = files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| bytes.clone());
        let response = match found {
            Some(bytes) => http::ranged(request.headers(), bytes),
            None if path.contains("by-hash") => http::plain(404),
            None => http::redirect(302, &to.replace("PATH", &path)),
        };
        async move { response }.boxed()
    });
    let server = Server::start(|_| handler);
    let definition = definition_of(&stage.served, "scratch", "package \"jq\" {}");
    let with_login = server.url().replace("http://", "http://canaryuser:canarypassword@");
    stage.site.put("estaleiro.hcl", definition.replace(&archive, &with_login));
    stage.other = Some(server);
}

#[test]
fn a_redirect_leads_to_another_host_without_credentials_and_nowhere_else() {
    // Another host may have the file, and is believed no more than the first.
    let mut stage = Stage::new();
    let elsewhere = format!("{}/PATH", stage.served.url());
    redirected(&mut stage, &elsewhere);
    stage.site.succeeds(stage.site.verb("lock").args(["--lock", "-"]));
    let requests = stage.served.log().requests();
    assert!(!requests.is_empty() && requests.iter().all(|request| request.header("authorization").is_none()));
    let asked = stage.other.as_ref().unwrap().log.requests();
    assert!(asked.iter().all(|request| request.header("authorization") == Some("Basic")), "{asked:?}");

    let evil = Server::start(|_| {
        let handler: Handler = Arc::new(|_| async { http::bytes(200, "evil") }.boxed());
        handler
    });
    for (to, expected) in [
        (format!("{}/PATH", evil.url()), "bytes, got 4 bytes"),
        ("/PATH?again".to_owned(), "it redirects more than 10 times"),
        ("file:///etc/passwd".to_owned(), "302 Found"),
    ] {
        let mut stage = Stage::new();
        redirected(&mut stage, &to);
        let said = stage.site.fails(1, stage.site.verb("lock").args(["--lock", "-"]));
        assert!(said.contains(expected) && !said.contains("canary"), "{to}: {said}");
    }
}
