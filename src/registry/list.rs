//! The list of referrers of an image, at a tag, where the registry doesn't keep one.
//!
//! See the OCI distribution specification, "Referrers Tag Schema". Others write the list as well, and no registry
//! says whether it is still the one that was read: so it is written for as many referrers at once as there are, and
//! read again.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::referrers::{Referrer, SharedIndex};
use super::remote::Remote;
use super::{N_PARALLEL, Reason};
use crate::digest::Digest;
use crate::oci::{Descriptor, media_type};

/// How long a round of reading and writing the list is thought to take at most.
const LONGEST_ROUND: Duration = Duration::from_secs(1);

/// How often the list is written before the other writers have won.
const N_WRITES: u32 = 8;

/// How long it may take until a registry sees a blob that it took.
const MOMENT: Duration = Duration::from_millis(100);

impl Remote {
    /// Puts the manifests of referrers, and where need be their entries in the list, in their order.
    pub(super) async fn attach(&self, subject: &Digest, referrers: &[&Referrer]) -> Result<(), Reason> {
        self.seen.forget_referrers(subject);
        let puts: Vec<_> = referrers.iter().map(|referrer| self.put_referrer(referrer)).collect();
        let put: Vec<Option<&Referrer>> = stream::iter(puts).buffered(N_PARALLEL).try_collect().await?;
        let unlisted: Vec<&Referrer> = put.into_iter().flatten().collect();
        match unlisted.is_empty() {
            true => Ok(()),
            false => self.list_at_tag(&fallback_tag(subject), &unlisted).await,
        }
    }

    /// Puts the manifest of a referrer; returns it if the registry doesn't list it by itself.
    async fn put_referrer<'r>(&self, referrer: &'r Referrer) -> Result<Option<&'r Referrer>, Reason> {
        let name = referrer.descriptor.digest.to_string();
        let put = || self.push_manifest(&name, &referrer.descriptor, &referrer.manifest);
        let is_listed = match put().await {
            // While somebody else sends the same blob, Debian's registry doesn't see it for a moment.
            Err(reason) if is_refusal(&reason) => {
                tokio::time::sleep(MOMENT).await;
                put().await?
            }
            put => put?,
        };
        Ok((!is_listed).then_some(referrer))
    }

    async fn list_at_tag(&self, tag: &str, referrers: &[&Referrer]) -> Result<(), Reason> {
        let _list = self.list.lock().await;
        for _ in 0..N_WRITES {
            let started = Instant::now();
            let mut list = self.fallback_list(tag).await?;
            if referrers.iter().all(|referrer| list.has_settled(referrer)) {
                return Ok(());
            }
            referrers.iter().for_each(|referrer| list.put_referrer(referrer));
            self.push_list(tag, &mut list).await?;
            // Another writer may have read the same list. As it takes about as long as we do, it will
            // soon have written its own, and the next round sees whether ours is still in there.
            tokio::time::sleep(started.elapsed().min(LONGEST_ROUND) * 2).await;
        }
        Err(Reason::Unexpected(format!("others keep overwriting the list of referrers at tag {tag}")))
    }

    /// Writes the list. Some registries refuse one that names what is gone; then that is left out.
    async fn push_list(&self, tag: &str, list: &mut SharedIndex) -> Result<(), Reason> {
        let refusal = match self.push_index(tag, list).await {
            Err(reason) if is_refusal(&reason) => reason,
            written => return written,
        };
        let mut is_shorter = false;
        for entry in list.entries() {
            if self.resolve(&entry.digest.to_string()).await?.is_none() {
                list.remove(&entry.digest);
                is_shorter = true;
            }
        }
        match is_shorter {
            true => self.push_index(tag, list).await,
            false => Err(refusal),
        }
    }

    async fn push_index(&self, tag: &str, list: &SharedIndex) -> Result<(), Reason> {
        let bytes = list.to_json();
        self.push_manifest(tag, &Descriptor::of(media_type::INDEX, &bytes), &bytes).await.map(|_| ())
    }

    pub(super) async fn fallback_list(&self, tag: &str) -> Result<SharedIndex, Reason> {
        match self.manifest(tag).await? {
            Some((_, bytes)) => SharedIndex::parse(&bytes),
            None => Ok(SharedIndex::empty()),
        }
    }
}

fn is_refusal(reason: &Reason) -> bool {
    matches!(reason, Reason::Answered { status, .. } if status.is_client_error())
}

/// The tag of the list.
pub(super) fn fallback_tag(subject: &Digest) -> String {
    subject.to_string().replace(':', "-")
}
