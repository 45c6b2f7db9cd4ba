//! The SHA-512 digests of packages' archives, which the BSI's TR-03183-2 asks for; archives' indexes have none.

use std::num::NonZeroUsize;
use std::thread;

use anyhow::{Context as _, Result, anyhow};

use crate::bom::AddedPackage;
use crate::digest::Sha512;
use crate::store::Store;

/// Adds those of packages whose archives the store has.
pub(super) fn add(packages: &mut [AddedPackage], store: &Store) -> Result<()> {
    let n_threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let size = packages.len().div_ceil(n_threads).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> =
            packages.chunks_mut(size).map(|some| scope.spawn(|| add_in_turn(some, store))).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow!("internal error: hashing panicked"))?)
    })
}

fn add_in_turn(packages: &mut [AddedPackage], store: &Store) -> Result<()> {
    packages.iter_mut().try_for_each(|added| {
        let blob = store.open_blob(&added.location.digest)?;
        let name = &added.location.name;
        added.location.sha512 = Some(Sha512::read(blob).with_context(|| format!("cannot read {name}"))?);
        Ok(())
    })
}
