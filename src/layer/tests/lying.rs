//! Archives that are read where they lie.

use std::os::unix::fs::FileExt;

use super::*;

#[test]
fn an_archive_that_lies_uncompressed_tells_where_its_content_is() {
    let place = Place::new();
    let mut writer = place.writer();
    let long = format!("d/{}", "long/".repeat(60));
    let mut file = |path: &str, content: &[u8]| {
        writer.entry(&Entry::file(path, 0o644, content.len() as u64), &mut &content[..]).unwrap();
    };
    file("a", b"");
    file(&format!("{long}y"), b"y");
    file("d/x", &[b'x'; 1000]);
    let packed = writer.finish().unwrap();
    let tar = place.tar_of(&packed);

    let path = place.directory.path().join("archive.tar");
    fs::write(&path, &tar).unwrap();
    let archive = fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut lying = Vec::new();
    let lain = lying_members(&archive, &mut |entry, start| {
        let Kind::File { size } = entry.kind else { return Ok(()) };
        let mut content = vec![0; usize::try_from(size).unwrap()];
        archive.read_exact_at(&mut content, start)?;
        lying.push((entry.clone(), content));
        Ok(())
    });
    lain.unwrap();
    let mut passing = Vec::new();
    let passed = members(&tar[..], &mut |entry, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        passing.push((entry.clone(), bytes));
        Ok(())
    });
    passed.unwrap();
    assert_eq!(lying, passing);
    assert_eq!(lying.len(), 3);

    let blob = place.store.open_blob(&packed.layer.descriptor.digest).unwrap();
    assert!(is_plain(&archive).unwrap() && !is_plain(&blob).unwrap());
    archive.set_len(2000).unwrap();
    let error = lying_members(&archive, &mut |_, _| Ok(())).unwrap_err().to_string();
    assert_eq!(error, "cannot read the archive: it ends in the middle of an entry");
}
