//! Layers that lead out of the root, that are said to be elsewhere, or that unpack to far more than they are.

use std::fs;
use std::io::Write as _;

use estaleiro::digest::Digest;
use serde_json::json;

use crate::rogue::{
    MANIFEST, Rogue, Said, config, descriptor, get, manifest, refused, run_through, source, with_layer,
    with_tarball,
};
use crate::site::names_in;
use crate::support::tarball::{Entry, Tarball};
use crate::tarballs::header;

#[test]
fn a_layer_that_is_said_to_be_elsewhere_is_not_fetched_there() {
    let layer = Tarball::new().file("hello", 0o644, "ahoy").build();
    let elsewhere = Rogue::default().blob(&layer).serve();
    let config = config(&[Digest::of(&layer)]);
    let mut foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar", &layer);
    foreign["urls"] = json!([format!("{}/v2/app/blobs/{}", elsewhere.url(), Digest::of(&layer))]);
    let body = manifest(&config, &[foreign]).to_string().into_bytes();
    let blob = Digest::of(&layer);
    let request = format!("GET http://registry.example/v2/app/blobs/{blob}");
    let expected = format!("cannot pull registry.example/app@{blob}: {request} was answered 404 Not Found");
    refused(Rogue::default().blob(&config).manifest(MANIFEST, &body), &Digest::of(&body), &expected);
    assert_eq!(elsewhere.log.lines(), [""; 0]);
}

#[test]
fn a_layer_that_names_a_place_outside_is_refused() {
    for (tarball, name) in [
        (Tarball::new().file("../outside", 0o644, "evil"), "../outside"),
        (Tarball::new().file("a/b/../../../../outside", 0o644, "evil"), "a/b/../../../../outside"),
        (Tarball::new().hardlink("x", "../../outside").file("x", 0o644, "evil"), "../../outside"),
        (Tarball::new().file("../.wh.outside", 0o644, ""), "../.wh.outside"),
        (Tarball::new().file("a/../../.wh..wh..opq", 0o644, ""), "a/../../.wh..wh..opq"),
    ] {
        let layer = Digest::of(tarball.build());
        let (rogue, digest) = with_tarball(&tarball);
        let expected = format!(
            "cannot unpack layer {layer}: cannot accept the archive's entry `{name}`: its path holds `..`"
        );
        refused(rogue, &digest, &expected);
    }
}

#[test]
fn a_link_leads_nowhere_outside_of_the_root() {
    let up = || Tarball::new().symlink("up", "../..");
    for (tarball, expected) in [
        (Tarball::new().file("/outside", 0o644, "evil"), &["outside"][..]),
        (up().file("up/outside", 0o644, "evil"), &["outside", "up"]),
        (Tarball::new().symlink("outside", "../../outside").file("outside", 0o644, "evil"), &["outside"]),
        (
            Tarball::new().symlink("link", "/tmp").directory("tmp/", 0o755).file("link/x", 0o644, ""),
            &["link", "tmp"],
        ),
        (up().directory("up/", 0o700), &["up"]),
        (up().file("up/.wh.outside", 0o644, ""), &["up"]),
        (up().file("up/.wh..wh..opq", 0o644, ""), &["up"]),
        (up().entry(Entry::device("up/null", 0o666, 1, 3)), &["null", "up"]),
        (up().file("outside", 0o644, "mine").hardlink("x", "up/outside"), &["outside", "up", "x"]),
    ] {
        let (rogue, digest) = with_tarball(&tarball);
        let (said, place) = get(&rogue.serve(), &digest);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_eq!(names_in(&place.path().join("destination/rootfs")), expected);
    }
    let tarball = up().hardlink("x", "up/outside");
    let layer = Digest::of(tarball.build());
    let (rogue, digest) = with_tarball(&tarball);
    let expected =
        format!("cannot unpack layer {layer}: cannot link `x`: No such file or directory (os error 2)");
    refused(rogue, &digest, &expected);
}

/// Returns a gzip stream of so many megabytes of zeros between two parts.
fn bomb(before: &[u8], n_megabytes: usize, after: &[u8]) -> (Vec<u8>, Digest) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut plain = estaleiro::digest::HashingWriter::new(std::io::sink());
    let zeros = vec![0; 1 << 20];
    let parts = std::iter::once(before).chain(std::iter::repeat_n(&zeros[..], n_megabytes)).chain([after]);
    for part in parts {
        encoder.write_all(part).unwrap();
        plain.write_all(part).unwrap();
    }
    let (_, diff_id, _) = plain.finish();
    (encoder.finish().unwrap(), diff_id)
}

/// Gets a layer that unpacks to far more than it has bytes, with little memory.
fn get_bomb(before: &[u8], after: &[u8]) -> (Said, tempfile::TempDir) {
    const N_MEGABYTES: usize = 512;
    let (layer, diff_id) = bomb(before, N_MEGABYTES, after);
    let (rogue, digest) = with_layer("application/vnd.oci.image.layer.v1.tar+gzip", &layer, diff_id);
    get(&rogue.serve(), &digest)
}

#[test]
fn a_bomb_needs_no_memory() {
    let (said, place) = get_bomb(&header(b'0', "huge", 512), &[0; 1024]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(fs::metadata(place.path().join("destination/rootfs/huge")).unwrap().len(), 512 << 20);
    let (said, place) = get_bomb(&[0; 1024], &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(names_in(&place.path().join("destination/rootfs")), [""; 0]);
    for kind in [b'L', b'K', b'x', b'g'] {
        let rest = Tarball::new().file("hello", 0o644, "ahoy").build();
        let (said, _) = get_bomb(&header(kind, "name", 512), &rest);
        let why = "cannot read the archive: an extended header has 536870912 bytes, more than 1048576";
        assert!(said.stderr.ends_with(why), "{}", said.stderr);
    }
}

#[test]
fn a_disk_that_is_too_small_is_said_so_and_is_empty_again() {
    let (layer, diff_id) = bomb(&header(b'0', "huge", 64), 64, &[0; 1024]);
    let (rogue, digest) = with_layer("application/vnd.oci.image.layer.v1.tar+gzip", &layer, diff_id);
    let server = rogue.serve();
    let place = tempfile::tempdir().unwrap();
    let script = r#"place=$1; shift; mount -t tmpfs -o size=8m tmpfs "$place" && "$@"; code=$?; ls -A "$place"; exit $code"#;
    let request = json!({"source": source(&server), "version": {"tag": "1", "digest": digest.to_string()}});
    let directory = place.path().to_str().unwrap();
    let said = run_through(
        &["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", directory],
        env!("CARGO_BIN_EXE_in"),
        Some(place.path()),
        &server.address().to_string(),
        &request,
    );
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
    assert!(said.stderr.contains("No space left on device"), "{}", said.stderr);
}
