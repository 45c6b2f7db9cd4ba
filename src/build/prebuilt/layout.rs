//! An OCI layout: `index.json`, and blobs by their digests. What refers to its image stands in `referrers.json` beside it,
//! as estaleiro writes it, in `index.json` itself, or in a list with a tag of its own (OCI distribution specification,
//! "Referrers Tag Schema").

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};

use super::files::Files;
use super::{Document, LARGEST_INDEX, Prebuilt, Tagged};
use crate::digest::Digest;
use crate::oci::{Descriptor, Index, Manifest, media_type};
use crate::registry::{MANIFEST_LIMIT, Section, subject_of_tag};

/// How deep indexes may lie in one another.
const MAX_DEPTH: usize = 4;
/// How many manifests and indexes are read.
const MAX_DOCUMENTS: usize = 10_000;
/// How many bytes they may have together: they are held in memory.
const MAX_BYTES: usize = 64 << 20;

/// The annotation of an entry's tag.
const TAG: &str = "org.opencontainers.image.ref.name";
/// Where registry-image writes which of the manifests is meant.
const MARKER: &str = "single-image-digest";

struct Reader<'a> {
    files: &'a Files,
    documents: Vec<Document>,
    n_bytes: usize,
}

/// Reads the only image, or index of images, with all that refers to it.
pub(super) fn read(files: &Files) -> Result<Prebuilt> {
    let bytes = files.read("index.json", MANIFEST_LIMIT)?.context("its index.json is missing")?;
    let index = Index::parse(&bytes).context("its index.json cannot be read")?;
    let mut reader = Reader { files, documents: Vec::new(), n_bytes: 0 };
    let (entries, others) = reader.sorted(&index)?;
    let root = reader.root(&bytes, &entries, others.is_empty())?;
    let documents = std::mem::take(&mut reader.documents);
    let (referrers, tagged) = reader.referrers(&documents, others)?;
    Ok(Prebuilt { root, documents, referrers, tagged })
}

impl Reader<'_> {
    /// Parts images, each once, from what refers to them.
    fn sorted(&mut self, index: &Index) -> Result<(Vec<Descriptor>, Vec<Descriptor>)> {
        let mut images: Vec<Descriptor> = Vec::new();
        let mut others = Vec::new();
        for entry in &index.manifests {
            let is_other =
                tag_of(entry).and_then(subject_of_tag).is_some() || self.document(entry)?.subject.is_some();
            match is_other {
                true => others.push(entry.clone()),
                false if images.iter().any(|image| image.digest == entry.digest) => {}
                false => images.push(entry.clone()),
            }
        }
        Ok((images, others))
    }

    /// Finds what is meant by the layout, and reads it.
    fn root(&mut self, index: &[u8], entries: &[Descriptor], is_all: bool) -> Result<Descriptor> {
        let marked = self.files.read(MARKER, 200)?;
        let marked = marked.map(|text| String::from_utf8_lossy(&text).trim().parse::<Digest>()).transpose();
        if let Some(digest) = marked.with_context(|| format!("its {MARKER} cannot be read"))? {
            let entry = entries.iter().find(|entry| entry.digest == digest);
            let entry =
                entry.with_context(|| format!("its {MARKER} names {digest}, its index.json doesn't"))?;
            return self.tree(entry, 0);
        }
        match entries {
            [] => bail!("its index.json names no image"),
            [only] => {
                let only = self.unwrapped(only.clone())?;
                self.tree(&only, 0)
            }
            // It is the index of one image for several platforms.
            several if is_all && several.iter().all(|entry| entry.platform.is_some()) => {
                for entry in several {
                    self.tree(entry, 1)?;
                }
                let descriptor = Descriptor::of(media_type::INDEX, index);
                let bytes = index.to_vec();
                self.add(Document {
                    descriptor: descriptor.clone(),
                    bytes,
                    blobs: Vec::new(),
                    subject: None,
                })?;
                Ok(descriptor)
            }
            several => {
                let name = |entry: &Descriptor| tag_of(entry).map_or(entry.digest.to_string(), str::to_owned);
                let names: Vec<String> = several.iter().map(name).collect();
                bail!("it holds {} images: {}\nhint: give a layout of one", names.len(), names.join(", "))
            }
        }
    }

    /// An index that names nothing but another index stands for that.
    fn unwrapped(&self, mut entry: Descriptor) -> Result<Descriptor> {
        for _ in 0..MAX_DEPTH {
            if !is_index(&entry) {
                break;
            }
            match Index::parse(&self.bytes(&entry)?)?.manifests.as_slice() {
                [only] if is_index(only) => entry = only.clone(),
                _ => break,
            }
        }
        Ok(entry)
    }

    /// Reads a manifest, or an index after all that it names; returns what it is, without remarks.
    fn tree(&mut self, entry: &Descriptor, depth: usize) -> Result<Descriptor> {
        let document = self.document(entry)?;
        let descriptor = document.descriptor.clone();
        if self.documents.iter().any(|known| known.descriptor.digest == descriptor.digest) {
            return Ok(descriptor);
        }
        if is_index(entry) {
            if depth == MAX_DEPTH {
                bail!("its indexes lie more than {MAX_DEPTH} deep in one another");
            }
            for child in Index::parse(&document.bytes)?.manifests {
                self.tree(&child, depth + 1)?;
            }
        }
        self.add(document)?;
        Ok(descriptor)
    }

    fn add(&mut self, document: Document) -> Result<()> {
        self.n_bytes += document.bytes.len();
        if self.documents.len() == MAX_DOCUMENTS || self.n_bytes > MAX_BYTES {
            bail!("its manifests are more than {MAX_DOCUMENTS}, or have more than {MAX_BYTES} bytes");
        }
        self.documents.push(document);
        Ok(())
    }

    /// Reads what of `candidates` and of `referrers.json` refers to one of the documents, or to what refers to them.
    fn referrers(
        &mut self,
        documents: &[Document],
        mut candidates: Vec<Descriptor>,
    ) -> Result<(Vec<Document>, Vec<Tagged>)> {
        if let Some(list) = self.files.read("referrers.json", LARGEST_INDEX)? {
            candidates.extend(Index::parse(&list).context("its referrers.json cannot be read")?.manifests);
        }
        let mut subjects: BTreeSet<Digest> = documents.iter().map(|one| one.descriptor.digest).collect();
        let (by_tag, mut waiting) = self.by_tag(candidates)?;
        let mut found = Vec::new();
        loop {
            let is_of = |document: &Document| document.subject.is_some_and(|one| subjects.contains(&one));
            let (next, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_of);
            if next.is_empty() {
                break;
            }
            waiting = rest;
            for document in next {
                if subjects.insert(document.descriptor.digest) {
                    found.push(document);
                }
            }
        }
        let is_of_ours = |tag: &str| subject_of_tag(tag).is_some_and(|subject| subjects.contains(&subject));
        Ok((found, by_tag.into_iter().filter(|tagged| is_of_ours(&tagged.tag)).collect()))
    }

    /// Parts signatures, which have a tag, from what says itself to what it refers, also in lists.
    fn by_tag(&mut self, candidates: Vec<Descriptor>) -> Result<(Vec<Tagged>, Vec<Document>)> {
        let (mut by_tag, mut others) = (Vec::new(), Vec::new());
        for entry in candidates {
            match tag_of(&entry).filter(|tag| subject_of_tag(tag).is_some()) {
                Some(_) if is_index(&entry) => {
                    for listed in Index::parse(&self.bytes(&entry)?)?.manifests {
                        others.push(self.document(&listed)?);
                    }
                }
                Some(tag) => {
                    by_tag.push(Tagged { tag: tag.to_owned(), document: self.document(&entry)? });
                }
                None => others.push(self.document(&entry)?),
            }
        }
        Ok((by_tag, others))
    }

    fn document(&mut self, entry: &Descriptor) -> Result<Document> {
        let bytes = self.bytes(entry)?;
        let mut descriptor = Descriptor::of(&entry.media_type, &bytes);
        if is_index(entry) {
            Index::parse(&bytes).with_context(|| format!("its index {} cannot be read", entry.digest))?;
            return Ok(Document { descriptor, bytes, blobs: Vec::new(), subject: None });
        }
        if ![media_type::MANIFEST, media_type::DOCKER_MANIFEST].contains(&entry.media_type.as_str()) {
            bail!(
                "it names {}, which is neither an image nor an index but {}",
                entry.digest,
                entry.media_type
            );
        }
        let manifest = Manifest::parse(&bytes);
        let manifest = manifest.with_context(|| format!("its manifest {} cannot be read", entry.digest))?;
        descriptor.artifact_type = manifest.artifact_type.clone();
        descriptor.annotations = manifest.annotations.clone();
        let subject = manifest.subject.as_ref().map(|subject| subject.digest);
        let mut blobs = Vec::new();
        for blob in manifest.layers.into_iter().chain([manifest.config]) {
            match self.find(&blob.digest)? {
                Some(section) => blobs.push((blob, section)),
                // Such a layer comes from the place that it names.
                None if is_foreign(&blob) => {}
                None => bail!("its blob {} is missing, which {} names", blob.digest, entry.digest),
            }
        }
        Ok(Document { descriptor, bytes, blobs, subject })
    }

    /// Reads a manifest or index, verified.
    fn bytes(&self, entry: &Descriptor) -> Result<Vec<u8>> {
        let section = self.find(&entry.digest)?;
        let section = section.with_context(|| format!("its manifest {} is missing", entry.digest))?;
        let bytes = section.read(MANIFEST_LIMIT)?;
        match Digest::of(&bytes) {
            got if got != entry.digest => bail!("its manifest {} has the digest {got}", entry.digest),
            _ if bytes.len() as u64 != entry.size => {
                bail!("its manifest {} has {} bytes, expected {}", entry.digest, bytes.len(), entry.size)
            }
            _ => Ok(bytes),
        }
    }

    fn find(&self, digest: &Digest) -> Result<Option<Section>> {
        self.files.find(&format!("blobs/sha256/{}", digest.hex()))
    }
}

fn tag_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(TAG).map(String::as_str)
}

fn is_index(entry: &Descriptor) -> bool {
    [media_type::INDEX, media_type::DOCKER_INDEX].contains(&entry.media_type.as_str())
}

fn is_foreign(layer: &Descriptor) -> bool {
    layer.media_type.contains(".foreign.") || layer.media_type.contains(".nondistributable.")
}
