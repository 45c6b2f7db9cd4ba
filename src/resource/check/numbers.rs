//! Versions that are tags with version numbers.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::Result;

use super::super::protocol::Version;
use super::super::semver::LooseVersion;
use super::Place;
use crate::digest::Digest;

/// A tag that is a version number.
struct Numbered<'t> {
    tag: &'t str,
    number: LooseVersion,
}

impl Place<'_> {
    /// Lists the versions in their order, one for each image; from the given one on, if its tag still stands for it.
    ///
    /// Last comes the tag `latest`, or the variant's, if no version is the same image.
    pub(super) async fn numbered(&self) -> Result<Vec<Version>> {
        let numbers = &self.source.select.numbers;
        let tags = self.tags().await?;
        let numbered = tags.iter().filter_map(|tag| Some(Numbered { tag, number: numbers.wanted(tag)? }));
        let mut newer: Vec<Numbered<'_>> = numbered.collect();
        let mut best = BestTags::default();
        let mut older = Vec::new();
        if let Some((given, digest)) = self.cursor(&mut newer).await? {
            (newer, older) = newer.into_iter().partition(|other| other.number > given.number);
            best.add(given, digest);
        }
        for (tag, found) in self.all(newer).await? {
            best.add(tag, found);
        }
        let bare = self.bare(&tags, &best, older).await?;
        let mut versions = best.in_order();
        versions.extend(bare);
        self.filtered(versions).await
    }

    /// Takes out the version that is given, if its tag still stands for it: what is older need not be asked for.
    async fn cursor<'t>(&self, numbered: &mut Vec<Numbered<'t>>) -> Result<Option<(Numbered<'t>, Digest)>> {
        let Some(given) = self.given else { return Ok(None) };
        let Some(place) = numbered.iter().position(|known| known.tag == given.tag) else { return Ok(None) };
        let found = self.resolved([numbered[place].tag]).await?;
        Ok((found == [Some(given.digest)]).then(|| (numbered.remove(place), given.digest)))
    }

    /// Returns what these tags stand for.
    async fn all<'t>(&self, numbered: Vec<Numbered<'t>>) -> Result<Vec<(Numbered<'t>, Digest)>> {
        let found = self.resolved(numbered.iter().map(|known| known.tag)).await?;
        Ok(numbered.into_iter().zip(found).filter_map(|(known, digest)| Some((known, digest?))).collect())
    }

    /// Returns what `latest` stands for, unless that is one of the versions, be it an older one.
    async fn bare(
        &self,
        tags: &[String],
        best: &BestTags<'_>,
        older: Vec<Numbered<'_>>,
    ) -> Result<Option<Version>> {
        let numbers = &self.source.select.numbers;
        let bare = numbers.bare_tag();
        if numbers.constraint.is_some() || !tags.iter().any(|tag| tag == bare) {
            return Ok(None);
        }
        let [Some(digest)] = self.resolved([bare]).await?[..] else { return Ok(None) };
        let is_version = best.0.contains_key(&digest)
            || self.all(older).await?.iter().any(|(_, of_older)| *of_older == digest);
        Ok((!is_version).then(|| Version { tag: bare.to_owned(), digest }))
    }
}

/// For each image the tag that says most of its version, and how many images came before that.
#[derive(Default)]
struct BestTags<'t>(BTreeMap<Digest, (usize, Numbered<'t>)>);

impl<'t> BestTags<'t> {
    fn add(&mut self, tag: Numbered<'t>, digest: Digest) {
        let n_before = self.0.len();
        match self.0.entry(digest) {
            Entry::Vacant(entry) => drop(entry.insert((n_before, tag))),
            Entry::Occupied(mut entry) if says_more(&tag.number, &entry.get().1.number) => {
                entry.get_mut().1 = tag;
            }
            Entry::Occupied(_) => {}
        }
    }

    fn in_order(self) -> Vec<Version> {
        let mut best: Vec<_> =
            self.0.into_iter().map(|(digest, (place, tag))| (tag.number, place, tag.tag, digest)).collect();
        best.sort();
        best.into_iter().map(|(_, _, tag, digest)| Version { tag: tag.to_owned(), digest }).collect()
    }
}

/// A final version says more than a pre-release; else more numbers say more, as in `1.2.3` and `1.2`.
fn says_more(number: &LooseVersion, than: &LooseVersion) -> bool {
    match (number.is_pre_release(), than.is_pre_release()) {
        (false, true) => true,
        (true, false) => false,
        (true, true) | (false, false) => number.n_dots > than.n_dots,
    }
}
