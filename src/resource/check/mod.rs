//! `check`: which versions there are.

mod look;
mod numbers;
mod tags;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::cloud::signed_in;
use super::protocol::{CheckRequest, Version};
use super::reach;
use super::source::{Source, is_tag};
use crate::digest::Digest;
use crate::progress::Progress;
use crate::registry::{self, Reason, Registry};
use look::Look;

/// How many requests are under way at a time.
const N_AT_ONCE: usize = 16;

/// How many warnings are given before the rest is only counted.
const N_WARNINGS: usize = 10;

/// Lists the versions that a source wants, oldest first; from the given one on, where their order allows it.
///
/// What a mirror knows is believed; if it knows nothing or fails, the registry itself is asked.
pub async fn check(request: &CheckRequest, progress: &Progress) -> Result<Vec<Version>> {
    let source = &signed_in(&request.source).await?;
    let place =
        |registry| Place { registry, source, given: request.version.as_ref(), progress, n_odd: Cell::new(0) };
    if let Some(registry) = reach::mirror(source)? {
        let place = place(registry);
        match place.versions().await {
            Ok(found) if !found.is_empty() => return Ok(found),
            Ok(_) => progress.warn(format!("the mirror {} has no version", place.registry.name())),
            Err(error) => progress.warn(format!("{error:#}")),
        }
    }
    place(reach::registry(source, Path::new("."))?).versions().await
}

/// Where versions are looked for, and which.
struct Place<'a> {
    registry: Registry,
    source: &'a Source,
    given: Option<&'a Version>,
    progress: &'a Progress,
    /// How much came that could not be understood.
    n_odd: Cell<usize>,
}

impl Place<'_> {
    async fn versions(&self) -> Result<Vec<Version>> {
        let found = match (&self.source.tag, &self.source.select.tag_regex) {
            (Some(tag), _) => self.of_tag(tag).await,
            (None, Some(pattern)) => self.matching(pattern).await,
            (None, None) => self.numbered().await,
        };
        if let more @ 1.. = self.n_odd.get().saturating_sub(N_WARNINGS) {
            self.progress.warn(format!("{more} more cannot be understood either"));
        }
        found
    }

    /// Lists the given version, if it still exists, and then the one that the tag stands for now.
    async fn of_tag(&self, tag: &str) -> Result<Vec<Version>> {
        let Some(current) = self.registry.resolve(tag).await? else { return Ok(Vec::new()) };
        let mut versions = vec![Version { tag: tag.to_owned(), digest: current.digest }];
        if let Some(given) = self.given
            && given.digest != current.digest
            && self.registry.resolve(&given.digest.to_string()).await?.is_some()
        {
            versions.insert(0, given.clone());
        }
        self.filtered(versions).await
    }

    /// Returns all tags, each once, in the registry's order; what cannot be one is none.
    async fn tags(&self) -> Result<Vec<String>> {
        let mut tags = self.registry.tags().await?;
        let mut seen = BTreeSet::new();
        tags.retain(|tag| is_tag(tag) && seen.insert(tag.clone()));
        Ok(tags)
    }

    /// Finds what each tag stands for; nothing, if it went away meanwhile.
    ///
    /// One whose manifest is none that is known shall not hide the others.
    async fn resolved<'t>(&self, tags: impl IntoIterator<Item = &'t str>) -> Result<Vec<Option<Digest>>> {
        let asked = stream::iter(tags).map(async |tag| {
            let found = self.registry.resolve(tag).await.map_err(anyhow::Error::from);
            self.unless_odd(found.map(|found| found.map(|manifest| manifest.digest)))
        });
        asked.buffered(N_AT_ONCE).try_collect().await
    }

    /// Makes nothing, with a warning, of what came but cannot be understood.
    fn unless_odd<T>(&self, found: Result<Option<T>>) -> Result<Option<T>> {
        let is_odd = |error: &anyhow::Error| {
            let of_registry = error.downcast_ref::<registry::Error>();
            of_registry.is_none_or(|error| matches!(*error.reason, Reason::Unexpected(_)))
        };
        match found {
            Err(error) if is_odd(&error) => {
                self.n_odd.set(self.n_odd.get() + 1);
                if self.n_odd.get() <= N_WARNINGS {
                    self.progress.warn(format!("{error:#}"));
                }
                Ok(None)
            }
            found => found,
        }
    }

    /// Returns those versions whose labels and annotations are wanted.
    async fn filtered(&self, mut versions: Vec<Version>) -> Result<Vec<Version>> {
        let select = &self.source.select;
        if select.label_regex.is_empty() && select.annotation_regex.is_empty() {
            return Ok(versions);
        }
        let looks = self.looks(&versions).await?;
        versions.retain(|version| looks.get(&version.digest).is_some_and(|look| look.is_wanted(select)));
        Ok(versions)
    }

    /// Looks at images, each once; those that cannot be read, or are not made for the platform, are missing.
    async fn looks(&self, versions: &[Version]) -> Result<BTreeMap<Digest, Look>> {
        let digests: BTreeSet<Digest> = versions.iter().map(|version| version.digest).collect();
        let looked = stream::iter(digests).map(async |digest| {
            let look = self.unless_odd(Look::at(&self.registry, &digest, self.source).await)?;
            anyhow::Ok(look.map(|look| (digest, look)))
        });
        let found: Vec<Option<_>> = looked.buffered(N_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }
}
