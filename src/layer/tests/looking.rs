//! What is found inside the files of a layer that is written.

use super::*;
use crate::inside::Component;

const NOTE: &[u8] = b"Name: foo\nVersion: 1\n";

/// Gives a byte at a time, as a slow pipe may.
struct Drop<'a>(&'a [u8]);

impl std::io::Read for Drop<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.len().min(buffer.len()).min(1);
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

fn told(components: &[Component]) -> Vec<String> {
    components.iter().map(|one| format!("{} {}", one.path, one.purl)).collect()
}

#[test]
fn files_are_looked_into_on_their_way_and_where_they_lie() {
    let place = Place::new();
    let mut writer = place.writer();
    let entry = |path: &str| Entry::file(path, 0o644, NOTE.len() as u64);
    writer.entry(&entry("METADATA"), &mut &NOTE[..]).unwrap();
    writer.entry(&entry("a.egg-info"), &mut Drop(NOTE)).unwrap();
    let file = place.directory.path().join("notes");
    fs::write(&file, [b"before ", NOTE, b"Name: behind\n"].concat()).unwrap();
    let file = fs::File::open(&file).unwrap();
    writer.lying(&entry("b.egg-info"), (&file, 7), &mut &NOTE[..]).unwrap();
    let packed = writer.finish().unwrap();
    assert_eq!(told(&packed.found.components), ["/a.egg-info pkg:pypi/foo@1", "/b.egg-info pkg:pypi/foo@1"]);
}
