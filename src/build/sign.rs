//! Signing what was put: the image, and a list of the documents that refer to it, where cosign looks for both.
//!
//! What others signed stays; what this key signed before of the same kind gives way. A signature is always the same, so
//! nothing is put twice.

use anyhow::{Context as _, Result};

use crate::digest::Digest;
use crate::oci::{Descriptor, Manifest, media_type};
use crate::registry::{Location, Registry, signature_tag};
use crate::signing::{
    self, Envelope, Payload, REFERENCE, References, Resource, Signed, SigningKey, Statement,
};

/// No envelope is larger that is read to see whose it is, in bytes.
pub(super) const LARGEST_ENVELOPE: u64 = 16 << 20;
/// How many envelopes of one kind are looked at.
pub(super) const MOST_ENVELOPES: usize = 100;

/// Who says what is stated.
pub(super) const ATTESTER: &str = "urn:estaleiro:builder";

/// The ending of the tag of an image's signatures.
pub(super) const SIGNATURES: &str = "sig";
/// The ending of the tag of what is attested of an image.
pub(super) const ATTESTATIONS: &str = "att";

/// Signs with a key what is in a repository.
pub struct Signer<'a> {
    /// The repository.
    pub registry: &'a Registry,
    /// The key.
    pub key: &'a SigningKey,
}

impl Signer<'_> {
    /// Signs a manifest or index, as `cosign sign --key` does.
    pub async fn image(&self, image: &Digest) -> Result<()> {
        let payload = Payload::new(&name(self.registry), image).to_json();
        self.put(image, SIGNATURES, &signing::signature(payload, self.key), &[]).await
    }

    /// Signs the list of an image's documents, of which there may be one of each type.
    pub async fn documents(&self, image: &Digest, documents: &[Descriptor]) -> Result<()> {
        let name = name(self.registry);
        let listed = documents.iter().map(|document| Resource {
            download_location: format!("oci://{name}@{}", document.digest),
            media_type: document.artifact_type.clone().unwrap_or_default(),
            ..Resource::default().with_sha256(&document.digest)
        });
        let predicate = References::new(ATTESTER, listed.collect());
        let statement = Statement::new(&name, image, REFERENCE, &predicate);
        self.attest(image, &Envelope::seal(&statement.to_json(), self.key), REFERENCE).await
    }

    /// Puts an envelope about an image, whose statement says `predicate_type`, as `cosign attest --key` does.
    pub async fn attest(&self, image: &Digest, envelope: &Envelope, predicate_type: &str) -> Result<()> {
        let signed = signing::attestation(envelope, predicate_type);
        let mut replaced = Vec::new();
        if let Some(manifest) = signatures(self.registry, image, ATTESTATIONS).await? {
            for layer in signing::parts(&manifest, Some(predicate_type)).take(MOST_ENVELOPES) {
                if *layer != signed.layer && self.is_own(layer, image, predicate_type).await {
                    replaced.push(layer.digest);
                }
            }
        }
        self.put(image, ATTESTATIONS, &signed, &replaced).await
    }

    /// Whether an envelope is this key's, and about the same. One that can't be read is left alone.
    async fn is_own(&self, layer: &Descriptor, image: &Digest, predicate_type: &str) -> bool {
        let bytes = self.registry.read_blob(layer, LARGEST_ENVELOPE).await;
        let envelope = bytes.ok().and_then(|bytes| Envelope::parse(&bytes));
        let statement = envelope.and_then(|envelope| envelope.open(std::slice::from_ref(self.key.public())));
        statement.is_some_and(|said| said.predicate_type == predicate_type && said.is_about(image))
    }

    async fn put(&self, image: &Digest, ending: &str, signed: &Signed, replaced: &[Digest]) -> Result<()> {
        let there = signatures(self.registry, image, ending).await?;
        let is_listed = there.as_ref().is_some_and(|manifest| manifest.layers.contains(&signed.layer));
        if is_listed && replaced.is_empty() && self.registry.has_blob(&signed.layer.digest).await? {
            return Ok(());
        }
        let (manifest, config) = signing::with_layer(there.as_ref(), &signed.layer, replaced);
        self.registry.push_bytes(&signed.layer.media_type, &signed.bytes).await?;
        self.registry.push_bytes(media_type::CONFIG, &config).await?;
        let tag = signature_tag(image, ending);
        self.registry.push_manifest(&tag, &manifest.media_type, &manifest.to_json()).await?;
        Ok(())
    }
}

/// Returns the manifest of an image's signatures or attestations, where there is one.
pub(super) async fn signatures(
    registry: &Registry,
    image: &Digest,
    ending: &str,
) -> Result<Option<Manifest>> {
    let tag = signature_tag(image, ending);
    let Some((_, bytes)) = registry.manifest(&tag).await? else { return Ok(None) };
    let manifest = Manifest::parse(&bytes);
    manifest.map(Some).with_context(|| format!("cannot read the signatures {}:{tag}", registry.name()))
}

/// Returns what a signature calls a repository: where a layout lies on this machine is nobody's business.
pub(super) fn name(registry: &Registry) -> String {
    match registry.location() {
        Location::Remote(reference) => reference.name(),
        Location::Layout { directory, .. } => {
            directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
        }
    }
}
