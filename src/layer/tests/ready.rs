//! Layers whose large files were compressed before their turn, or were not.

use super::*;

/// Bytes that compress somewhat.
fn bytes(n_bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 60) as u8 * 7
    };
    std::iter::repeat_with(next).take(n_bytes).collect()
}

/// A root with large files and small ones, and an archive that brought some of them, as they are or as they were.
fn root_and_archive(place: &Place) -> (PathBuf, Vec<u8>) {
    let root = place.root("root");
    let files = [("a", 100_000, 1), ("b", 5_000_000, 2), ("c", 200_000, 3), ("d", 3_000_000, 4)];
    let mut entries = Vec::new();
    for (name, n_bytes, seed) in files {
        let mut content = bytes(n_bytes, seed);
        let entry = Entry::file(name, 0o644, n_bytes as u64);
        entries.extend(header::encode(&entry, 0));
        entries.extend(&content);
        entries.resize(entries.len().next_multiple_of(512), 0);
        if name == "d" {
            // A script changes one byte.
            content[2_000_000] ^= 1;
        }
        fs::write(root.join(name), content).unwrap();
    }
    put(&root, "e", "small");
    entries.resize(entries.len() + 1024, 0);
    (root, entries)
}

#[test]
fn the_bytes_do_not_depend_on_what_was_ready() {
    let place = Place::new();
    let (root, archive) = root_and_archive(&place);
    let changes = diff::trees(None, &root).unwrap();
    let packed = |threads, prepare: &dyn Fn(&Ready)| {
        let mut writer = place.writer_with(threads);
        prepare(&writer.ready().unwrap().unwrap());
        pack(&changes, &root, &mut writer).unwrap();
        writer.finish().unwrap()
    };
    let without = place.pack(&changes, &root);
    let content = fs::read(root.join("b")).unwrap();
    let all = |ready: &Ready| {
        ready.prepare(&archive[..]).unwrap();
        assert!(ready.has(&content[..1536 << 10]) && ready.has(&content[3 * (1536 << 10)..]));
        assert!(!ready.has(&content));
    };
    // Whoever makes it may be stopped at any time.
    let half = |ready: &Ready| {
        ready.prepare(&archive[..4_000_000]).unwrap_err();
        assert!(ready.has(&content[..1536 << 10]) && !ready.has(&content[3 * (1536 << 10)..]));
    };
    for prepare in [&all as &dyn Fn(&Ready), &half, &|_| {}] {
        for threads in [1, 2, 7] {
            assert_eq!(packed(threads, prepare), without);
        }
    }
    assert_eq!(crate::digest::Digest::of(place.tar_of(&without)), without.layer.diff_id);
}

#[test]
fn a_layer_may_be_written_while_others_still_make_it_ready() {
    let place = Place::new();
    let (root, archive) = root_and_archive(&place);
    let changes = diff::trees(None, &root).unwrap();
    let mut writer = place.writer();
    let ready = writer.ready().unwrap().unwrap();
    let packed = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| ready.prepare(&archive[..]).unwrap());
        }
        pack(&changes, &root, &mut writer).unwrap();
        writer.finish().unwrap()
    });
    assert_eq!(packed, place.pack(&changes, &root));
}

#[test]
fn a_draft_becomes_the_layer_that_would_have_been_written_at_once() {
    let place = Place::new();
    let (root, _) = root_and_archive(&place);
    let changes = diff::trees(None, &root).unwrap();
    let options = Options { epoch: 1_700_000_000, threads: 2, compression: Compression::DRAFT };
    let mut writer = LayerWriter::new(place.store.blob_writer().unwrap(), options).unwrap();
    assert!(writer.ready().unwrap().is_none());
    pack(&changes, &root, &mut writer).unwrap();
    let draft = writer.finish().unwrap();
    let tar = place.tar_of(&draft);
    let shipped = compress(&tar[..], place.store.blob_writer().unwrap(), 2, Compression::default());
    assert_eq!(shipped.unwrap(), place.pack(&changes, &root).layer);
}
