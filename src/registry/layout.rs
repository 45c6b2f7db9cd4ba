//! An OCI layout directory as a repository (OCI image specification, "Image Layout Specification").
//!
//! `index.json` lists the images alone, by their tags, since the tools that read layouts misread
//! more; what refers to them stands in `referrers.json` beside it, an index of the same blobs.
//! Blobs are never removed: a tag that moves leaves what it pointed to.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use tokio::io::AsyncReadExt;

use super::body::{Meter, PIECE};
use super::location::is_tag;
use super::referrers::{Referrer, SharedIndex, subject_of_tag};
use super::remote::{check_size, manifest_type, verified};
use super::{MANIFEST_LIMIT, Pushed, Reason, Section};
use crate::digest::Digest;
use crate::oci::{Descriptor, Manifest};
use crate::progress::Task;
use crate::store::{Growth, Store};

/// The file that says: this is a layout.
const MARKER: &str = "oci-layout";
const MARKER_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The images.
const INDEX: &str = "index.json";
/// What refers to them.
const REFERRERS: &str = "referrers.json";

/// The annotation of an entry's tag.
const TAG: &str = "org.opencontainers.image.ref.name";

/// An OCI layout directory; it need not exist before something is put there.
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn open(root: &Path) -> Result<Layout, Reason> {
        check_is_layout(root)?;
        Ok(Layout { root: root.to_owned() })
    }

    pub(super) fn resolve(&self, name: &str) -> Result<Option<Descriptor>, Reason> {
        match name.parse::<Digest>() {
            Ok(digest) => Ok(self.manifest_blob(&digest)?.map(|(found, _)| found)),
            Err(_) => self.entry(name),
        }
    }

    pub(super) fn manifest(&self, name: &str) -> Result<Option<(Descriptor, Vec<u8>)>, Reason> {
        if let Ok(digest) = name.parse::<Digest>() {
            return self.manifest_blob(&digest);
        }
        match self.entry(name)? {
            None => Ok(None),
            Some(entry) => Ok(Some((entry.clone(), self.read_blob(&entry, MANIFEST_LIMIT)?))),
        }
    }

    /// Finds a tag in the index. One image without a tag, as some tools write it, is `latest`.
    fn entry(&self, tag: &str) -> Result<Option<Descriptor>, Reason> {
        let entries = self.index(list_of(tag))?.entries();
        let tag_of = |entry: &Descriptor| entry.annotations.get(TAG).cloned();
        let tagged = entries.iter().find(|entry| tag_of(entry).as_deref() == Some(tag));
        let untagged = match entries.as_slice() {
            [only] if tag == "latest" && tag_of(only).is_none() => Some(only),
            _ => None,
        };
        Ok(tagged.or(untagged).map(|entry| {
            // The tag belongs to the entry, not to the image.
            let mut found = entry.clone();
            found.annotations.remove(TAG);
            found
        }))
    }

    fn manifest_blob(&self, digest: &Digest) -> Result<Option<(Descriptor, Vec<u8>)>, Reason> {
        let Some(bytes) = read_bounded(&self.blob_path(digest), MANIFEST_LIMIT)? else { return Ok(None) };
        let found = Descriptor::of(manifest_type(None, &bytes)?, &bytes);
        match found.digest == *digest {
            true => Ok(Some((found, bytes))),
            false => Err(Reason::mismatch(digest, &found.digest, "the manifest")),
        }
    }

    pub(super) fn has_blob(&self, digest: &Digest) -> bool {
        is_regular(&self.blob_path(digest))
    }

    pub(super) fn read_blob(&self, blob: &Descriptor, limit: u64) -> Result<Vec<u8>, Reason> {
        check_size(blob, limit)?;
        let bytes = read_bounded(&self.blob_path(&blob.digest), blob.size)?.ok_or(Reason::Missing)?;
        verified(blob, bytes)
    }

    /// Copies a blob into the store. It isn't linked: what lies here may be written by others.
    pub(super) async fn pull_blob(
        &self,
        blob: &Descriptor,
        store: &Store,
        task: &Task,
        growth: Option<&Growth>,
    ) -> Result<(), Reason> {
        let path = self.blob_path(&blob.digest);
        let mut file = tokio::fs::File::from_std(open_regular(&path)?.ok_or(Reason::Missing)?);
        let mut meter = Meter::start(Some(task), blob.size);
        let mut writer = growth.map_or_else(|| store.blob_writer(), |growth| growth.writer(store))?;
        let mut piece = vec![0; PIECE];
        loop {
            let n_bytes = file.read(&mut piece).await.map_err(Reason::io("read", &path))?;
            if n_bytes == 0 {
                break;
            }
            meter.moved(n_bytes as u64);
            meter.check_not_beyond(blob.size)?;
            writer
                .write_all(&piece[..n_bytes])
                .map_err(Reason::io("write", &store.blob_path(&blob.digest)))?;
        }
        meter.check_reached(blob.size)?;
        Ok(writer.commit_as(&blob.digest, Some(blob.size))?)
    }

    /// Copies a blob of the store. It isn't linked: whoever changed or owned the file here would change the store's.
    pub(super) async fn push_blob(&self, blob: &Descriptor, store: &Store) -> Result<Pushed, Reason> {
        self.create()?;
        let target = self.blob_path(&blob.digest);
        if is_whole(&target, blob.size) {
            return Ok(Pushed::Existed);
        }
        let source = store.blob_path(&blob.digest);
        let copied = tokio::task::spawn_blocking(move || {
            let mut reader = File::open(&source).map_err(Reason::io("open", &source))?;
            write_whole(&target, |file| io::copy(&mut reader, file).map(|_| ()))
        });
        copied.await.map_err(|e| Reason::Unexpected(e.to_string()))?.map(|()| Pushed::Uploaded)
    }

    pub(super) fn move_blob(&self, blob: &Descriptor, store: &Store) -> Result<(), Reason> {
        self.create()?;
        let target = self.blob_path(&blob.digest);
        fs::rename(store.blob_path(&blob.digest), &target).map_err(Reason::io("write", &target))
    }

    /// Copies a blob of a file, once it is verified.
    pub(super) async fn push_section(&self, blob: &Descriptor, section: &Section) -> Result<Pushed, Reason> {
        self.create()?;
        let target = self.blob_path(&blob.digest);
        if is_whole(&target, blob.size) {
            return Ok(Pushed::Existed);
        }
        section.verify(blob).await?;
        let section = section.clone();
        let copied = tokio::task::spawn_blocking(move || {
            let mut reader = section.open().map_err(Reason::io("open", &section.path))?;
            write_whole(&target, |file| io::copy(&mut reader, file).map(|_| ()))
        });
        copied.await.map_err(|e| Reason::Unexpected(e.to_string()))?.map(|()| Pushed::Uploaded)
    }

    pub(super) fn put_bytes(&self, blob: &Descriptor, bytes: &[u8]) -> Result<Pushed, Reason> {
        self.create()?;
        let target = self.blob_path(&blob.digest);
        if is_whole(&target, blob.size) {
            return Ok(Pushed::Existed);
        }
        write_whole(&target, |file| file.write_all(bytes)).map(|()| Pushed::Uploaded)
    }

    /// Puts a manifest, and its tag into the index where it has one.
    pub(super) fn push_manifest(
        &self,
        tag: Option<&str>,
        manifest: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), Reason> {
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(Reason::Unexpected("this is neither a tag nor a digest".into()));
        }
        self.put_bytes(manifest, bytes)?;
        let Some(tag) = tag else { return Ok(()) };
        let mut entry = manifest.clone();
        entry.annotations.insert(TAG.into(), tag.to_owned());
        self.change(list_of(tag), |index| index.put(&entry, |other| tag_in(other) == Some(tag)))
    }

    pub(super) fn attach(&self, referrers: &[&Referrer]) -> Result<(), Reason> {
        for referrer in referrers {
            self.put_bytes(&referrer.descriptor, &referrer.manifest)?;
        }
        self.change(REFERRERS, |list| referrers.iter().for_each(|referrer| list.put_referrer(referrer)))
    }

    /// Lists what refers to `subject`; which that is, the referrers' own manifests say.
    pub(super) fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Reason> {
        let mut found = self.index(REFERRERS)?.entries();
        let mut failure = None;
        found.retain(|entry| {
            self.refers_to(entry, subject).unwrap_or_else(|reason| {
                failure.get_or_insert(reason);
                false
            })
        });
        match failure {
            Some(reason) => Err(reason),
            None => Ok(found),
        }
    }

    fn refers_to(&self, entry: &Descriptor, subject: &Digest) -> Result<bool, Reason> {
        let bytes = self.read_blob(entry, MANIFEST_LIMIT)?;
        let manifest = Manifest::parse(&bytes).map_err(|e| Reason::Unexpected(e.to_string()))?;
        Ok(manifest.subject.is_some_and(|found| found.digest == *subject))
    }

    pub(super) fn tags(&self) -> Result<Vec<String>, Reason> {
        let entries = self.index(INDEX)?.entries();
        Ok(entries.into_iter().filter_map(|mut entry| entry.annotations.remove(TAG)).collect())
    }

    fn index(&self, name: &str) -> Result<SharedIndex, Reason> {
        match read_bounded(&self.root.join(name), MANIFEST_LIMIT)? {
            Some(bytes) => SharedIndex::parse(&bytes),
            None => Ok(SharedIndex::empty()),
        }
    }

    /// Reads, changes and writes an index while no other writer does.
    fn change(&self, name: &str, change: impl FnOnce(&mut SharedIndex)) -> Result<(), Reason> {
        let _lock = self.lock()?;
        let mut index = self.index(name)?;
        change(&mut index);
        let bytes = index.to_json();
        write_whole(&self.root.join(name), |file| file.write_all(&bytes))
    }

    /// Locks the directory itself, so that no further file lies in it.
    fn lock(&self) -> Result<File, Reason> {
        let directory = File::open(&self.root).map_err(Reason::io("open", &self.root))?;
        let locked = flock(&directory, FlockOperation::LockExclusive);
        locked.map_err(|errno| Reason::io("lock", &self.root)(errno.into()))?;
        Ok(directory)
    }

    /// Makes the directory a layout, if it isn't one.
    fn create(&self) -> Result<(), Reason> {
        let blobs = self.root.join("blobs/sha256");
        if is_regular(&self.root.join(INDEX)) && is_regular(&self.root.join(MARKER)) && blobs.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.root).map_err(Reason::io("create", &self.root))?;
        let _lock = self.lock()?;
        check_is_layout(&self.root)?;
        write_whole(&self.root.join(MARKER), |file| file.write_all(MARKER_CONTENT))?;
        fs::create_dir_all(&blobs).map_err(Reason::io("create", &blobs))?;
        match is_regular(&self.root.join(INDEX)) {
            true => Ok(()),
            false => {
                write_whole(&self.root.join(INDEX), |file| file.write_all(&SharedIndex::empty().to_json()))
            }
        }
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }
}

/// Returns the list in which a tag stands: that of a signature belongs to what refers to an image.
fn list_of(tag: &str) -> &'static str {
    match subject_of_tag(tag) {
        Some(_) => REFERRERS,
        None => INDEX,
    }
}

fn tag_in(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(TAG)?.as_str()
}

/// Refuses a directory that has something else in it.
fn check_is_layout(root: &Path) -> Result<(), Reason> {
    if is_regular(&root.join(MARKER)) {
        return Ok(());
    }
    match fs::read_dir(root).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Reason::Unexpected(format!(
            "it is no OCI layout (there is no file `{MARKER}`), and not empty\nhint: name a new or an empty directory"
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Reason::io("list", root)(error)),
    }
}

fn is_regular(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn is_whole(path: &Path, size: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

/// Opens a file, and nothing else: a layout may come from anywhere.
pub(super) fn open_regular(path: &Path) -> Result<Option<File>, Reason> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = match fs::OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(Reason::io("open", path))?,
    };
    let metadata = file.metadata().map_err(Reason::io("open", path))?;
    match metadata.is_file() {
        true => Ok(Some(file)),
        false => Err(Reason::Unexpected(format!("{} is no file", path.display()))),
    }
}

/// Reads a file whole, where there is one; one of more than `limit` bytes is refused.
fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Reason> {
    let Some(file) = open_regular(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Reason::io("read", path))?;
    match bytes.len() as u64 > limit {
        true => Err(Reason::Unexpected(format!(
            "expected {} to have at most {limit} bytes, got more",
            path.display()
        ))),
        false => Ok(Some(bytes)),
    }
}

/// Writes a file under another name, and renames it when it is whole.
fn write_whole(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Reason> {
    let error = || Reason::io("write", path);
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".writing-").tempfile_in(parent).map_err(error())?;
    write(temporary.as_file_mut()).map_err(error())?;
    temporary.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(error())?;
    temporary.persist(path).map_err(|e| error()(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type;

    fn layout() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::open(&directory.path().join("image")).unwrap();
        (directory, layout)
    }

    fn image(text: &str) -> (Descriptor, Vec<u8>) {
        let bytes = format!(r#"{{"layers":[],"note":"{text}"}}"#).into_bytes();
        (Descriptor::of(media_type::MANIFEST, &bytes), bytes)
    }

    #[test]
    fn a_layout_that_is_only_read_is_not_made() {
        let (directory, layout) = layout();
        assert_eq!(layout.resolve("latest").unwrap(), None);
        assert!(layout.tags().unwrap().is_empty());
        assert!(!directory.path().join("image").exists());
    }

    #[test]
    fn a_directory_with_something_else_in_it_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis.txt"), "").unwrap();
        let Err(reason) = Layout::open(directory.path()) else { panic!("it was taken") };
        assert!(reason.to_string().contains("no OCI layout"), "{reason}");
    }

    #[test]
    fn a_tag_that_moves_leaves_the_others_and_the_blobs() {
        let (_directory, layout) = layout();
        let (first, second) = (image("1"), image("2"));
        layout.push_manifest(Some("a"), &first.0, &first.1).unwrap();
        layout.push_manifest(Some("b"), &first.0, &first.1).unwrap();
        layout.push_manifest(Some("a"), &second.0, &second.1).unwrap();
        assert_eq!(layout.tags().unwrap(), ["a", "b"]);
        assert_eq!(layout.resolve("a").unwrap().unwrap(), second.0);
        assert_eq!(layout.resolve("b").unwrap().unwrap(), first.0);
        assert!(layout.has_blob(&first.0.digest));
    }

    #[test]
    fn two_writers_at_once_lose_nothing() {
        let (_directory, layout) = layout();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let layout = &layout;
                scope.spawn(move || {
                    for n in 0..25 {
                        let (manifest, bytes) = image(&format!("{writer}-{n}"));
                        layout.push_manifest(Some(&format!("{writer}-{n}")), &manifest, &bytes).unwrap();
                    }
                });
            }
        });
        assert_eq!(layout.tags().unwrap().len(), 100);
    }

    #[test]
    fn a_link_in_the_place_of_a_blob_is_not_followed() {
        let (directory, layout) = layout();
        let (manifest, bytes) = image("1");
        let secret = directory.path().join("secret");
        fs::write(&secret, &bytes).unwrap();
        layout.create().unwrap();
        std::os::unix::fs::symlink(&secret, layout.blob_path(&manifest.digest)).unwrap();
        assert!(layout.manifest(&manifest.digest.to_string()).is_err());
        assert!(!layout.has_blob(&manifest.digest));
        layout.put_bytes(&manifest, &bytes).unwrap();
        assert!(is_regular(&layout.blob_path(&manifest.digest)));
    }

    #[tokio::test]
    async fn whoever_changes_a_layout_does_not_change_the_store() {
        let (directory, layout) = layout();
        let store = Store::open(directory.path().join("state")).unwrap();
        let digest = store.put_blob(b"layer").unwrap();
        let blob = Descriptor::of(media_type::LAYER_GZIP, b"layer");
        assert!(matches!(layout.push_blob(&blob, &store).await.unwrap(), Pushed::Uploaded));
        assert_eq!(layout.read_blob(&blob, 5).unwrap(), b"layer");
        fs::write(layout.blob_path(&digest), b"wreck").unwrap();
        assert_eq!(store.read_blob(&digest, 5).unwrap(), b"layer");
    }

    #[test]
    fn a_blob_that_was_tampered_with_is_refused() {
        let (_directory, layout) = layout();
        let (manifest, bytes) = image("1");
        layout.push_manifest(Some("a"), &manifest, &bytes).unwrap();
        let other = String::from_utf8(bytes).unwrap().replace('1', "2");
        fs::write(layout.blob_path(&manifest.digest), other).unwrap();
        assert!(layout.manifest("a").unwrap_err().to_string().contains("expected the blob to be"));
    }
}
