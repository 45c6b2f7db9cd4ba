//! `check`: which versions there are.

use std::path::Path;

use anyhow::Result;

use super::protocol::{CheckRequest, Version};
use super::reach;

/// Lists the given version, if it still exists, and then the one that the tag stands for now.
pub async fn check(request: &CheckRequest) -> Result<Vec<Version>> {
    let source = &request.source;
    let registry = reach::registry(source, Path::new("."))?;
    let tag = source.default_tag();
    let current = registry.resolve(tag).await?;
    let current = current.map(|manifest| Version { tag: tag.to_owned(), digest: manifest.digest });
    let mut versions = Vec::new();
    if let Some(given) = &request.version
        && current.as_ref().is_none_or(|current| current.digest != given.digest)
        && registry.resolve(&given.digest.to_string()).await?.is_some()
    {
        versions.push(given.clone());
    }
    versions.extend(current);
    Ok(versions)
}
