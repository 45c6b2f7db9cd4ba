//! What an image says of itself: labels, annotations, and when it was made.

use std::collections::BTreeMap;

use anyhow::Result;

use super::super::reach;
use super::super::select::{Pattern, Select};
use super::super::source::Source;
use crate::build::base;
use crate::build::time::parse_rfc3339_exact;
use crate::digest::Digest;
use crate::oci::{Annotations, Index, Manifest, media_type};
use crate::registry::Registry;

/// What an image says of itself.
pub(super) struct Look {
    labels: BTreeMap<String, String>,
    /// Those of the index, too.
    annotations: Annotations,
    /// In seconds and nanoseconds since 1970; nothing where it doesn't say.
    pub(super) created: Option<(i64, u32)>,
}

impl Look {
    /// Looks at an image: of an index, at the image for the source's platform, if there is one.
    ///
    /// The configuration is read only where the source wants to know something of it.
    pub(super) async fn at(registry: &Registry, digest: &Digest, source: &Source) -> Result<Option<Look>> {
        let Some((descriptor, bytes)) = registry.manifest(&digest.to_string()).await? else {
            return Ok(None);
        };
        if !base::is_index(&descriptor.media_type) {
            return Look::at_image(registry, &bytes, source).await.map(Some);
        }
        let index = Index::parse(&bytes)?;
        let Ok(chosen) = base::choose(&index, &reach::platform(source)) else { return Ok(None) };
        let Some((_, bytes)) = registry.manifest(&chosen.digest.to_string()).await? else { return Ok(None) };
        let mut look = Look::at_image(registry, &bytes, source).await?;
        let own = std::mem::replace(&mut look.annotations, index.annotations);
        look.annotations.extend(own);
        Ok(Some(look))
    }

    async fn at_image(registry: &Registry, bytes: &[u8], source: &Source) -> Result<Look> {
        let manifest = Manifest::parse(bytes)?;
        let is_image =
            [media_type::CONFIG, media_type::DOCKER_CONFIG].contains(&&*manifest.config.media_type);
        let select = &source.select;
        let is_asked_for = select.created_at_sort || !select.label_regex.is_empty();
        if !is_image || !is_asked_for {
            return Ok(Look { labels: BTreeMap::new(), annotations: manifest.annotations, created: None });
        }
        let bytes = registry.read_blob(&manifest.config, base::LARGEST_CONFIG).await?;
        let config = base::parse_config(&bytes, registry)?;
        let created = config.created.as_deref().and_then(parse_rfc3339_exact);
        Ok(Look { labels: config.config.labels, annotations: manifest.annotations, created })
    }

    /// Whether each label and annotation that the source asks for is there, and matches.
    pub(super) fn is_wanted(&self, select: &Select) -> bool {
        has_all(&self.labels, &select.label_regex) && has_all(&self.annotations, &select.annotation_regex)
    }
}

fn has_all(values: &BTreeMap<String, String>, patterns: &BTreeMap<String, Pattern>) -> bool {
    patterns.iter().all(|(name, pattern)| values.get(name).is_some_and(|value| pattern.matches(value)))
}
