//! `estaleiro bom`: prints the account of an image, or makes another form of one that lies in a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result};
use estaleiro::bom::Document;
use estaleiro::build::attach;
use estaleiro::registry::{InvalidLocation, Location, Registry};

use super::args::BomArgs;
use super::verbs::access_to;

/// Where an account is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a file, in estaleiro's own form.
    File(PathBuf),
    /// Attached to an image.
    Image(Location),
}

impl FromStr for Place {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Place, InvalidLocation> {
        match Path::new(text).is_file() {
            true => Ok(Place::File(text.into())),
            false => text.parse().map(Place::Image),
        }
    }
}

pub(crate) async fn bom(args: BomArgs) -> Result<Vec<u8>> {
    match &args.image {
        Place::File(path) => Ok(read(path)?.view(args.format)?),
        Place::Image(image) => of_image(image, &args).await,
    }
}

fn read(path: &Path) -> Result<Document> {
    let shown = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    Document::parse(&bytes).with_context(|| format!("in {shown}"))
}

async fn of_image(location: &Location, args: &BomArgs) -> Result<Vec<u8>> {
    let registry = Registry::open(location, &access_to(location, &args.world).await?)?;
    let image = registry
        .resolve(&location.tag_or_digest())
        .await?
        .with_context(|| format!("cannot find image {location}\nhint: check its name and tag"))?;
    attach::account(&registry, &image.digest, args.format).await?.with_context(|| {
        format!(
            "cannot print the bill of materials of {}@{}: none of this format refers to it\nhint: an image has one if estaleiro built it",
            registry.name(),
            image.digest
        )
    })
}
