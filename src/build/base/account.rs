//! The account that a base image brings along, and whether it is believed.
//!
//! Anybody who may write to the base's repository can attach something to it. So it has to be of that very image, and to
//! tell at least what the databases in the image's layers tell.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::bom::{Document, Package, YAML_MEDIA_TYPE};
use crate::build::attach::generation;
use crate::digest::Digest;
use crate::oci::{Descriptor, Layer, Manifest};
use crate::registry::Registry;

/// No account that is taken over is larger, in bytes.
const LARGEST: u64 = 64 << 20;
/// How many accounts of a base are looked at.
const MOST_ACCOUNTS: usize = 100;

/// What to say of an account that isn't there.
pub(super) const GONE: &str =
    "nothing of that digest is attached\nhint: attach it again, or write the lock anew with `estaleiro lock`";

/// Which account of a base is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// What the last build took over, else the newest that there is and that is believed; without one its layers are read.
    Any,
    /// The one whose YAML form has this digest, or none, as a lock says.
    Pinned(Option<Digest>),
}

/// Finds the YAML form of the newest account of `image`, or of the one with the digest `wanted`.
pub(super) async fn find(
    registry: &Registry,
    image: &Digest,
    wanted: Option<Digest>,
) -> Result<Option<Descriptor>> {
    let mut known = registry.referrers(image, Some(YAML_MEDIA_TYPE)).await?;
    known.reverse();
    known.sort_by_key(|artifact| Reverse(generation(artifact)));
    for artifact in known.iter().take(MOST_ACCOUNTS) {
        let Some((_, bytes)) = registry.manifest(&artifact.digest.to_string()).await? else { continue };
        let manifest = Manifest::parse(&bytes)?;
        let [account] = manifest.layers.as_slice() else { continue };
        if wanted.is_none_or(|wanted| wanted == account.digest) {
            return Ok(Some(account.clone()));
        }
    }
    Ok(None)
}

/// Reads an account, which has to be of the image with this digest and these layers.
pub(super) async fn read(
    registry: &Registry,
    account: &Descriptor,
    image: &Digest,
    layers: &[Layer],
) -> Result<Document> {
    let document = Document::parse(&registry.read_blob(account, LARGEST).await?)?;
    match &document.image {
        Some(told) if told.digest == *image => {}
        Some(told) => bail!("it is of the image {}", told.digest),
        None => bail!("it doesn't tell which image it is of"),
    }
    let diff_ids = layers.iter().map(|layer| layer.diff_id);
    if !document.layers.iter().map(|layer| layer.diff_id).eq(diff_ids) {
        bail!("its layers aren't the image's");
    }
    Ok(document)
}

/// Checks that an account tells of every package that is installed as the image's layers have it.
pub(super) fn check_tells_of(document: &Document, seen: &[Package]) -> Result<()> {
    let key = |package: &Package| (package.key(), package.version.clone());
    let told: BTreeSet<_> = document.installed().into_iter().map(key).collect();
    let missing = seen.iter().find(|package| !told.contains(&key(package)));
    missing.map_or(Ok(()), |package| {
        let Package { name, version, architecture, .. } = package;
        bail!("it doesn't tell of the package {name} {version} ({architecture}), which is installed")
    })
}
