//! Judging an image that was built elsewhere: by its configuration, and by what its account says.

use anyhow::{Context as _, Result};

use super::{Document, LARGEST_INDEX, Prebuilt};
use crate::bom::{self, YAML_MEDIA_TYPE};
use crate::build::definition::Policy;
use crate::build::policy::{self, Violations};
use crate::digest::Digest;
use crate::oci::{Config, ContainerConfig, Manifest};

/// No account is larger, in bytes.
const LARGEST_ACCOUNT: u64 = 256 << 20;

impl Prebuilt {
    /// Judges each image of it. Returns what couldn't be judged, a line each.
    ///
    /// # Errors
    /// All that isn't allowed; or that something of it can't be read.
    pub fn judge(&self, policies: &[Policy]) -> Result<Vec<String>> {
        let (mut found, mut untold) = (Vec::new(), Vec::new());
        for image in self.documents.iter().filter(|_| !policies.is_empty()) {
            let Some(config) = image.config()? else { continue };
            let digest = image.descriptor.digest;
            let Some(account) = self.account(&digest)? else {
                untold.push(format!(
                    "image {digest} brings no bill of materials: of the policy only `require_non_root` is judged"
                ));
                found.extend(policy::of_config(policies, &config));
                continue;
            };
            if policies
                .iter()
                .any(|policy| policy.require_digests.value || policy.allow_private_keys.is_some())
            {
                untold.push(format!(
                    "image {digest} was built elsewhere: `require_digests` and `allow_private_keys` can't be judged"
                ));
            }
            found.extend(policy::of_account(policies, &account));
            let judged = policy::Image { document: &account, config: &config, private_keys: &[] };
            found.extend(policy::of_image(policies, &judged));
        }
        Violations::check(found)?;
        Ok(untold)
    }

    fn account(&self, image: &Digest) -> Result<Option<bom::Document>> {
        let Some((_, section)) = self.content_of(image, YAML_MEDIA_TYPE) else { return Ok(None) };
        Ok(Some(bom::Document::parse(&section.read(LARGEST_ACCOUNT)?)?))
    }
}

impl Document {
    /// Returns the configuration, if it is an image.
    fn config(&self) -> Result<Option<ContainerConfig>> {
        let Ok(manifest) = Manifest::parse(&self.bytes) else { return Ok(None) };
        let blob = self.blobs.iter().find(|(blob, _)| blob.digest == manifest.config.digest);
        let Some((blob, section)) = blob else { return Ok(None) };
        let config: Config = serde_json::from_slice(&section.read(LARGEST_INDEX)?)
            .with_context(|| format!("cannot read the configuration {}", blob.digest))?;
        Ok(Some(config.config))
    }
}
