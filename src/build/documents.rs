//! What goes along with an image: its account in several forms, its lock, and the cache record. What the last build attached is
//! not written again where this one comes to the same.

use anyhow::Result;
use futures_util::future::{join, try_join_all};
use futures_util::{StreamExt, stream};

use super::cache::{self, CacheRecord, Forms, Last};
use super::lock;
use super::{attach, titled};
use crate::bom::{self, Format};
use crate::digest::Digest;
use crate::oci::Descriptor;
use crate::registry::{Artifact, Blob, Registry};

/// How many things are looked for at a time.
const N_PARALLEL: usize = 8;
/// No account has more forms that are looked for beforehand.
const MOST_FORMS: usize = 16;

/// Looks whether the documents that were attached to the last image are there, and the content of `lock`, for those who will
/// want to know; they are told what went wrong, too.
pub async fn look_for(last: &Last, lock: &Artifact, registry: &Registry) {
    let Ok(listed) = registry.referrers(&last.image, None).await else { return };
    let Some(forms) = &last.record.forms else { return };
    let forms = forms.blobs.iter().take(MOST_FORMS);
    let kinds =
        forms.clone().map(|blob| blob.media_type.as_str()).chain([lock::MEDIA_TYPE, cache::MEDIA_TYPE]);
    let newest = kinds.filter_map(|kind| attach::newest_of(&listed, kind));
    let manifests: Vec<_> = newest.map(|artifact| registry.has_manifest(&artifact.digest)).collect();
    let blobs = forms.chain([&last.blob]).chain(lock.blob().map(Blob::descriptor));
    let blobs: Vec<_> = blobs.map(|blob| registry.has_blob(&blob.digest)).collect();
    let manifests = stream::iter(manifests).buffer_unordered(N_PARALLEL).for_each(async |_| ());
    let blobs = stream::iter(blobs).buffer_unordered(N_PARALLEL).for_each(async |_| ());
    join(manifests, blobs).await;
}

/// Writes the documents of an image, in the order: account, lock, record.
pub struct Writing<'a> {
    /// The account.
    pub document: &'a bom::Document,
    /// The forms that it is attached in.
    pub formats: &'a bom::Formats,
    /// When it was made, in seconds since 1970.
    pub epoch: i64,
    /// What the image was built from, as it is attached.
    pub lock: Artifact,
    /// What the next build may believe of this one.
    pub record: CacheRecord,
    /// What the last one left.
    pub last: Option<&'a Last>,
    /// Where they go.
    pub registry: &'a Registry,
}

impl Writing<'_> {
    /// Returns them; of what is there already, where it lies.
    ///
    /// # Errors
    /// When the account can't be written, or the registry can't be asked.
    pub async fn documents(mut self) -> Result<Vec<Artifact>> {
        let account = self.document.digest();
        let views = match self.attached(&account).await? {
            Some(blobs) => blobs.iter().map(Artifact::of_known).collect(),
            None => self.views()?,
        };
        let blobs = views.iter().flat_map(Artifact::layers).collect();
        self.record.forms = Some(Forms { account, blobs });
        let titles = self.formats.iter().map(Format::file_name).chain(["estaleiro.lock", "cache.json"]);
        let record = self.record().await?;
        let artifacts = views.into_iter().chain([self.lock, record]).zip(titles);
        Ok(artifacts.map(|(artifact, title)| titled(artifact, title, self.epoch)).collect())
    }

    /// Returns what holds the forms of the account, if the last build attached them and they are all there.
    async fn attached(&self, account: &Digest) -> Result<Option<Vec<Descriptor>>> {
        let forms = self.last.and_then(|last| last.record.forms.as_ref());
        let Some(blobs) = forms.and_then(|forms| forms.find(account, self.formats)) else { return Ok(None) };
        let are_there = try_join_all(blobs.iter().map(|blob| self.registry.has_blob(&blob.digest))).await?;
        Ok(are_there.into_iter().all(|is_there| is_there).then_some(blobs))
    }

    fn views(&self) -> Result<Vec<Artifact>> {
        let views = self.document.views(self.formats)?.into_iter();
        Ok(views.map(|(format, bytes)| Artifact::new(format.media_type(), bytes)).collect())
    }

    /// Returns the record: the last one, where it says the same and is there.
    async fn record(&self) -> Result<Artifact> {
        match self.last.filter(|last| last.record == self.record) {
            Some(last) if self.registry.has_blob(&last.blob.digest).await? => {
                Ok(Artifact::of_known(&last.blob))
            }
            Some(_) | None => Ok(self.record.artifact()),
        }
    }
}
