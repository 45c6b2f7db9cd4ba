//! Keys on the command line, and what `estaleiro verify` prints.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use estaleiro::build::{base, verify};
use estaleiro::oci::Platform;
use estaleiro::redact::Secret;
use estaleiro::registry::Registry;
use estaleiro::resource::documents;
use estaleiro::signing::{InvalidKey, PublicKey, SigningKey};

use super::args::{BuildArgs, VerifyArgs};
use super::verbs::{WrongRequest, access_to};

/// Reads the key that a build signs with, if it does.
pub(super) fn key(args: &BuildArgs) -> Result<Option<SigningKey>> {
    let Some(path) = &args.sign_key else { return Ok(None) };
    let password = Secret::new(args.sign_password.clone().unwrap_or_default());
    let key = SigningKey::parse(&Secret::new(text(path)?), &password);
    Ok(Some(key.map_err(|error| wrong(path, &error))?))
}

/// Verifies an image and all of its documents.
pub(super) async fn verify(args: VerifyArgs) -> Result<Vec<u8>> {
    let read = |path: &std::path::PathBuf| {
        Ok::<_, anyhow::Error>(PublicKey::parse(&text(path)?).map_err(|error| wrong(path, &error))?)
    };
    let keys: Vec<PublicKey> = args.keys.iter().map(read).collect::<Result<_>>()?;
    let registry = Registry::open(&args.image, &access_to(&args.image, &args.world).await?)?;
    let root = registry
        .resolve(&args.image.tag_or_digest())
        .await?
        .with_context(|| format!("cannot find image {}\nhint: check its name and tag", args.image))?;
    let platform = args.platform.unwrap_or_else(Platform::host);
    let image = base::pin_digest(&registry, &root.digest, &platform).await?;
    let verified = verify::verify(&registry, &root.digest, &image, &keys).await?;
    verified.check(&registry, documents()).await?;
    let mut answer = format!("image {}\n", verified.signed);
    for (media_type, digest) in verified.documents.iter() {
        writeln!(answer, "{media_type} {digest}")?;
    }
    Ok(answer.into_bytes())
}

fn text(path: &Path) -> Result<String, WrongRequest> {
    fs::read_to_string(path)
        .map_err(|error| WrongRequest(format!("cannot read key {}: {error}", path.display())))
}

fn wrong(path: &Path, error: &InvalidKey) -> WrongRequest {
    WrongRequest(format!("cannot use key {}: {error}", path.display()))
}
