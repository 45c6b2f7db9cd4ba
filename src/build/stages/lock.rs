//! Pinning what stages name: images, and files from afar.

use anyhow::{Result, bail};

use super::{Images, Stages};
use crate::build::base::Base;
use crate::build::cache::CacheRecord;
use crate::build::lock::Lock;
use crate::build::{Request, World};

/// Uses the lock that is given, else makes one; either way finds out what must be known of images.
pub async fn lock(
    _stages: &Stages,
    _request: &Request,
    _recalled: &CacheRecord,
    _world: &World,
) -> Result<(Lock, Option<Base>, Images)> {
    bail!("building a Dockerfile is not built yet")
}
