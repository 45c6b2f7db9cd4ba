//! What lies in the registry: blobs in files, manifests, tags, and uploads under way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;

use estaleiro::digest::{Digest, HashingReader};
use serde_json::{Value, json};

/// A manifest as it came.
pub(super) struct StoredManifest {
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
}

#[derive(Default)]
struct Repository {
    blobs: BTreeSet<Digest>,
    manifests: BTreeMap<Digest, StoredManifest>,
    tags: BTreeMap<String, Digest>,
}

/// Everything.
pub(super) struct Contents {
    directory: tempfile::TempDir,
    repositories: BTreeMap<String, Repository>,
    uploads: BTreeMap<String, String>,
    n_uploads: u64,
}

impl Contents {
    pub(super) fn new() -> Contents {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("blobs")).unwrap();
        fs::create_dir(directory.path().join("uploads")).unwrap();
        Contents { directory, repositories: BTreeMap::new(), uploads: BTreeMap::new(), n_uploads: 0 }
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.path().join("blobs").join(digest.hex())
    }

    pub(super) fn has_blob(&self, repository: &str, digest: &Digest) -> bool {
        self.repositories.get(repository).is_some_and(|repository| repository.blobs.contains(digest))
    }

    pub(super) fn put_blob(&mut self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        fs::write(self.blob_path(&digest), bytes).unwrap();
        self.link_blob(repository, digest);
        digest
    }

    pub(super) fn link_blob(&mut self, repository: &str, digest: Digest) {
        self.repositories.entry(repository.to_owned()).or_default().blobs.insert(digest);
    }

    pub(super) fn remove_blob(&mut self, repository: &str, digest: &Digest) -> bool {
        self.repositories.get_mut(repository).is_some_and(|repository| repository.blobs.remove(digest))
    }

    /// Stores a manifest whose blobs are there; else says what is wrong with it: an error code and why.
    pub(super) fn put_manifest(
        &mut self,
        repository: &str,
        digest: Digest,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(), (&'static str, String)> {
        let manifest: Value =
            serde_json::from_slice(bytes).map_err(|error| ("MANIFEST_INVALID", error.to_string()))?;
        let own_type = manifest["mediaType"].as_str().unwrap_or(media_type);
        if own_type != media_type {
            return Err(("MANIFEST_INVALID", format!("{media_type} is sent, {own_type} is written")));
        }
        if manifest["schemaVersion"] != 2 {
            return Err(("MANIFEST_INVALID", "schemaVersion is not 2".into()));
        }
        self.check_references(repository, &manifest)?;
        let stored = StoredManifest { media_type: media_type.to_owned(), bytes: bytes.to_vec() };
        self.repositories.entry(repository.to_owned()).or_default().manifests.insert(digest, stored);
        Ok(())
    }

    fn check_references(&self, repository: &str, manifest: &Value) -> Result<(), (&'static str, String)> {
        let empty = Vec::new();
        let list = |name: &str| manifest[name].as_array().unwrap_or(&empty).clone();
        let mut blobs = list("layers");
        blobs.extend(manifest.get("config").cloned());
        for blob in blobs {
            let digest = digest_of(&blob)?;
            if !self.has_blob(repository, &digest) {
                return Err(("MANIFEST_BLOB_UNKNOWN", format!("{digest} is not in {repository}")));
            }
            let size = fs::metadata(self.blob_path(&digest)).unwrap().len();
            if blob["size"] != size {
                return Err(("MANIFEST_INVALID", format!("{digest} has {size} bytes, not {}", blob["size"])));
            }
        }
        for child in list("manifests") {
            let digest = digest_of(&child)?;
            if self.manifest(repository, &digest.to_string()).is_none() {
                return Err(("MANIFEST_BLOB_UNKNOWN", format!("{digest} is not in {repository}")));
            }
        }
        Ok(())
    }

    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Option<(Digest, &StoredManifest)> {
        let repository = self.repositories.get(repository)?;
        let digest = match reference.parse::<Digest>() {
            Ok(digest) => digest,
            Err(_) => *repository.tags.get(reference)?,
        };
        repository.manifests.get(&digest).map(|manifest| (digest, manifest))
    }

    pub(super) fn set_tag(&mut self, repository: &str, tag: &str, digest: Digest) {
        self.repositories.entry(repository.to_owned()).or_default().tags.insert(tag.to_owned(), digest);
    }

    /// Removes a tag, or a manifest with all its tags.
    pub(super) fn remove_manifest(&mut self, repository: &str, reference: &str) -> bool {
        let Some(repository) = self.repositories.get_mut(repository) else { return false };
        let Ok(digest) = reference.parse::<Digest>() else {
            return repository.tags.remove(reference).is_some();
        };
        repository.tags.retain(|_, tagged| *tagged != digest);
        repository.manifests.remove(&digest).is_some()
    }

    pub(super) fn knows(&self, repository: &str) -> bool {
        self.repositories.contains_key(repository)
    }

    pub(super) fn tags(&self, repository: &str) -> Vec<String> {
        let repository = self.repositories.get(repository);
        repository.map_or(Vec::new(), |repository| repository.tags.keys().cloned().collect())
    }

    /// Returns the descriptors of what refers to `subject`.
    pub(super) fn referrers(&self, repository: &str, subject: &Digest) -> Vec<Value> {
        let Some(repository) = self.repositories.get(repository) else { return Vec::new() };
        let describe = |(digest, stored): (&Digest, &StoredManifest)| {
            let manifest: Value = serde_json::from_slice(&stored.bytes).ok()?;
            if manifest["subject"]["digest"] != subject.to_string() {
                return None;
            }
            let artifact_type = match &manifest["artifactType"] {
                Value::Null => &manifest["config"]["mediaType"],
                artifact_type => artifact_type,
            };
            let mut descriptor = json!({
                "mediaType": stored.media_type,
                "digest": digest.to_string(),
                "size": stored.bytes.len(),
                "artifactType": artifact_type,
            });
            if let Some(annotations) = manifest.get("annotations") {
                descriptor["annotations"] = annotations.clone();
            }
            Some(descriptor)
        };
        repository.manifests.iter().filter_map(describe).collect()
    }

    pub(super) fn start_upload(&mut self, repository: &str) -> String {
        self.n_uploads += 1;
        let id = format!("upload-{}", self.n_uploads);
        File::create(self.upload_path(&id)).unwrap();
        self.uploads.insert(id.clone(), repository.to_owned());
        id
    }

    /// Returns the file of an upload of this repository, open for appending, and its length.
    pub(super) fn open_upload(&self, repository: &str, id: &str) -> Option<(File, u64)> {
        self.uploads.get(id).filter(|owner| *owner == repository)?;
        let file = OpenOptions::new().append(true).open(self.upload_path(id)).ok()?;
        let length = file.metadata().ok()?.len();
        Some((file, length))
    }

    /// Makes a blob of an upload; errs with the digest that it has, if that is another one.
    pub(super) fn finish_upload(&mut self, repository: &str, id: &str, digest: Digest) -> Result<(), Digest> {
        let path = self.upload_path(id);
        let mut reader = HashingReader::new(File::open(&path).unwrap());
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        let (_, got, _) = reader.finish();
        self.uploads.remove(id);
        if got != digest {
            fs::remove_file(path).unwrap();
            return Err(got);
        }
        fs::rename(path, self.blob_path(&digest)).unwrap();
        self.link_blob(repository, digest);
        Ok(())
    }

    pub(super) fn cancel_upload(&mut self, id: &str) -> bool {
        let _ = fs::remove_file(self.upload_path(id));
        self.uploads.remove(id).is_some()
    }

    pub(super) fn n_open_uploads(&self) -> usize {
        self.uploads.len()
    }

    fn upload_path(&self, id: &str) -> PathBuf {
        self.directory.path().join("uploads").join(id)
    }
}

fn digest_of(descriptor: &Value) -> Result<Digest, (&'static str, String)> {
    let text = descriptor["digest"].as_str().unwrap_or("");
    text.parse().map_err(|_| ("MANIFEST_INVALID", format!("`{text}` is no digest")))
}
