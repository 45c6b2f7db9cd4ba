//! Versions that are tags of a certain form.

use anyhow::Result;

use super::super::protocol::Version;
use super::super::select::Pattern;
use super::Place;
use crate::digest::Digest;

impl Place<'_> {
    /// Lists what the tags of this form stand for: in the registry's order, or in the order in which the images were
    /// made. In neither is it known what comes behind a given version, so that is no help.
    pub(super) async fn matching(&self, pattern: &Pattern) -> Result<Vec<Version>> {
        let tags = self.tags().await?;
        let is_wanted = |tag: &String| pattern.matches(tag) && !is_list_of_referrers(tag);
        let tags: Vec<String> = tags.into_iter().filter(is_wanted).collect();
        let found = self.resolved(tags.iter().map(String::as_str)).await?;
        let versions =
            tags.into_iter().zip(found).filter_map(|(tag, digest)| Some(Version { tag, digest: digest? }));
        let mut versions = self.filtered(versions.collect()).await?;
        if self.source.select.created_at_sort {
            let looks = self.looks(&versions).await?;
            versions.retain(|version| looks.contains_key(&version.digest));
            versions.sort_by_key(|version| looks[&version.digest].created);
        }
        Ok(versions)
    }
}

/// Where a registry keeps no list of what refers to an image, a tag stands for it (OCI distribution specification,
/// "Referrers Tag Schema"). That is no image.
fn is_list_of_referrers(tag: &str) -> bool {
    tag.replacen('-', ":", 1).parse::<Digest>().is_ok()
}
