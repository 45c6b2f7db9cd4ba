//! Whether somebody with one of some keys signed an image, and the documents that refer to it.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::attach;
use super::sign::{ATTESTATIONS, LARGEST_ENVELOPE, MOST_ENVELOPES, SIGNATURES, signatures};
use crate::digest::Digest;
use crate::oci::{Descriptor, Manifest};
use crate::registry::{Registry, Result as Answer};
use crate::signing::{self, Envelope, PublicKey, REFERENCE};

/// No payload is larger, in bytes.
const LARGEST_PAYLOAD: u64 = 1 << 20;
/// How many signatures of an image are looked at.
const MOST_SIGNATURES: usize = 1000;

/// What was signed of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The image for a platform.
    image: Digest,
    /// The manifest or index whose signature counted.
    pub signed: Digest,
    /// The documents that refer to the image: type and manifest.
    pub documents: Documents,
}

/// The documents of an image that were signed: type and manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents(BTreeSet<(String, Digest)>);

impl Documents {
    /// Reads which documents of an image were signed with one of the keys.
    pub async fn read(registry: &Registry, image: &Digest, keys: &[PublicKey]) -> Result<Documents> {
        let Some(manifest) = signatures(registry, image, ATTESTATIONS).await? else {
            return Ok(Documents::default());
        };
        let mut documents = BTreeSet::new();
        for layer in signing::parts(&manifest, Some(REFERENCE)).take(MOST_ENVELOPES) {
            let bytes = registry.read_blob(layer, LARGEST_ENVELOPE).await?;
            let statement = Envelope::parse(&bytes).and_then(|envelope| envelope.open(keys));
            let Some(statement) = statement.filter(|said| said.is_about(image)) else { continue };
            for listed in statement.references() {
                documents.extend(listed.sha256().map(|digest| (listed.media_type, digest)));
            }
        }
        Ok(Documents(documents))
    }

    /// Whether `document`, of this type, is among them.
    pub fn have(&self, media_type: &str, document: &Descriptor) -> bool {
        self.0.contains(&(media_type.to_owned(), document.digest))
    }

    /// Returns them: type and manifest.
    pub fn iter(&self) -> impl Iterator<Item = &(String, Digest)> {
        self.0.iter()
    }
}

/// Verifies that one of the keys signed `image`, or the index `root` that it was found in.
///
/// # Errors
/// When none did, or nothing says so.
pub async fn verify(
    registry: &Registry,
    root: &Digest,
    image: &Digest,
    keys: &[PublicKey],
) -> Result<Verified> {
    for signed in BTreeSet::from([root, image]) {
        if let Some(manifest) = signatures(registry, signed, SIGNATURES).await?
            && is_signed(registry, &manifest, signed, keys).await?
        {
            let documents = Documents::read(registry, image, keys).await?;
            return Ok(Verified { image: *image, signed: *signed, documents });
        }
    }
    let found = signatures(registry, root, SIGNATURES).await?;
    let n_found = found.iter().flat_map(|manifest| signing::parts(manifest, None)).count();
    let names: Vec<String> = keys.iter().map(|key| key.fingerprint().to_string()).collect();
    let (place, names) = (format!("{}@{root}", registry.name()), names.join(" or "));
    match n_found {
        0 => bail!(
            "cannot verify {place}: it is not signed\nhint: put it with `signing` in the source, or sign it with `cosign \
             sign --key`"
        ),
        _ => bail!(
            "cannot verify {place}: of its {n_found} signatures none is the key's {names}\nhint: give the public key of whoever signed \
             it; one signature is of one digest, and of no other"
        ),
    }
}

/// Whether a signature in the manifest is of this digest, and by one of the keys.
async fn is_signed(
    registry: &Registry,
    manifest: &Manifest,
    image: &Digest,
    keys: &[PublicKey],
) -> Answer<bool> {
    for layer in signing::parts(manifest, None).take(MOST_SIGNATURES) {
        let payload = registry.read_blob(layer, LARGEST_PAYLOAD).await?;
        let is_of = |payload: signing::Payload| payload.image() == image;
        if signing::signature_of(layer, &payload, keys)
            && signing::Payload::parse(&payload).is_some_and(is_of)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Verified {
    /// Verifies that what counts of each of these types was signed, and that nothing is gone that was.
    ///
    /// # Errors
    /// When it wasn't, or is.
    pub async fn check<'t>(
        &self,
        registry: &Registry,
        media_types: impl IntoIterator<Item = &'t str>,
    ) -> Result<()> {
        for media_type in media_types {
            let newest = attach::newest(registry, &self.image, media_type).await?;
            let is_listed = self.documents.iter().any(|(listed, _)| listed == media_type);
            let place = format!("the {media_type} of {}@{}", registry.name(), self.image);
            match newest {
                Some(newest) if self.documents.have(media_type, &newest) => {}
                Some(newest) => bail!(
                    "cannot verify {place}: {} was not signed with the key\nhint: it was attached or changed after the image \
                     was signed; put the image again, with `signing` in the source",
                    newest.digest
                ),
                None if is_listed => bail!(
                    "cannot verify {place}: it was signed, and is gone\nhint: put the image again, with `signing` in the source"
                ),
                None => {}
            }
        }
        Ok(())
    }
}
