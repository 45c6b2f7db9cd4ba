//! `estaleiro bom`: prints the account of an image or of a file in one of its forms, or what differs between two.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use estaleiro::bom::{self, Diff, Document, Format};
use estaleiro::build::attach;
use estaleiro::build::audit::{Findings, audit};
use estaleiro::oci::Descriptor;
use estaleiro::progress::Progress;
use estaleiro::registry::{InvalidLocation, Location, Registry};

use super::args::{BomArgs, WorldArgs};
use super::verbs::{WrongRequest, access_to};

/// Where an account is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a file, in estaleiro's own form.
    File(PathBuf),
    /// Attached to an image.
    Image(Location),
}

/// A form in which something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Of an account.
    Account(Format),
    /// Of what differs between two, or of the licences.
    Diff(DiffForm),
}

/// The forms of what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiffForm {
    Text,
    Markdown,
    Json,
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

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Form, String> {
        match text {
            "text" => Ok(Form::Diff(DiffForm::Text)),
            "markdown" => Ok(Form::Diff(DiffForm::Markdown)),
            "json" => Ok(Form::Diff(DiffForm::Json)),
            other => {
                let known = other.parse().map(Form::Account);
                known.map_err(|_| {
                    "expected yaml, cyclonedx, spdx or spdx3; with --diff text, markdown or json".into()
                })
            }
        }
    }
}

pub(crate) async fn bom(args: BomArgs, progress: Progress) -> Result<Vec<u8>> {
    let printed = match (&args.image, args.diff.as_slice()) {
        (None, [before, after]) => diff(before, after, &args).await?,
        (Some(place), _) if args.html => bom::html(&document(place, &args.world).await?)?.into_bytes(),
        (Some(place), _) if args.licenses => licences(place, &args).await?,
        (Some(place), _) if args.verify => verify(place, &args, &progress).await?,
        (Some(place), _) => account(place, &args).await?,
        (None, _) => bail!("internal error: neither an image nor two to compare"),
    };
    match &args.output {
        None => Ok(printed),
        Some(path) => {
            fs::write(path, printed).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(Vec::new())
        }
    }
}

async fn account(place: &Place, args: &BomArgs) -> Result<Vec<u8>> {
    let format = match args.format {
        None => Format::Yaml,
        Some(Form::Account(format)) => format,
        Some(Form::Diff(_)) => {
            bail!(WrongRequest("cannot print that form of one account: it is one of what differs\nhint: name two with --diff A B, or a form of an account: yaml, cyclonedx, spdx or spdx3".into()))
        }
    };
    match place {
        Place::File(path) => Ok(read(path)?.view(format)?),
        Place::Image(image) => of_image(image, format, &args.world).await,
    }
}

async fn licences(place: &Place, args: &BomArgs) -> Result<Vec<u8>> {
    let document = document(place, &args.world).await?;
    let report = document.licence_report();
    match args.format {
        None | Some(Form::Diff(DiffForm::Text)) => Ok(report.to_string().into_bytes()),
        Some(Form::Diff(DiffForm::Json)) => Ok(report.to_json()?.into_bytes()),
        Some(Form::Diff(DiffForm::Markdown) | Form::Account(_)) => {
            bail!(WrongRequest("cannot print the licences in that form\nhint: name text or json".into()))
        }
    }
}

async fn diff(before: &Place, after: &Place, args: &BomArgs) -> Result<Vec<u8>> {
    let form = match args.format {
        None => DiffForm::Text,
        Some(Form::Diff(form)) => form,
        Some(Form::Account(_)) => {
            bail!(WrongRequest("cannot print what differs in that form: it is one of an account\nhint: name text, markdown or json".into()))
        }
    };
    let diff = Diff::of(&document(before, &args.world).await?, &document(after, &args.world).await?);
    Ok(match form {
        DiffForm::Text => diff.to_text().into_bytes(),
        DiffForm::Markdown => diff.to_markdown().into_bytes(),
        DiffForm::Json => diff.to_json()?.into_bytes(),
    })
}

async fn document(place: &Place, world: &WorldArgs) -> Result<Document> {
    match place {
        Place::File(path) => read(path),
        Place::Image(image) => {
            let yaml = of_image(image, Format::Yaml, world).await?;
            Document::parse(&yaml).with_context(|| format!("in what is attached to {image}"))
        }
    }
}

fn read(path: &Path) -> Result<Document> {
    let shown = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    Document::parse(&bytes).with_context(|| format!("in {shown}"))
}

async fn of_image(location: &Location, format: Format, world: &WorldArgs) -> Result<Vec<u8>> {
    let (registry, image) = open(location, world).await?;
    account_of(&registry, &image, format).await
}

async fn open(location: &Location, world: &WorldArgs) -> Result<(Registry, Descriptor)> {
    let registry = Registry::open(location, &access_to(location, world).await?)?;
    let image = registry
        .resolve(&location.tag_or_digest())
        .await?
        .with_context(|| format!("cannot find image {location}\nhint: check its name and tag"))?;
    Ok((registry, image))
}

async fn account_of(registry: &Registry, image: &Descriptor, format: Format) -> Result<Vec<u8>> {
    attach::account(registry, &image.digest, format).await?.with_context(|| {
        format!(
            "cannot print the bill of materials of {}@{}: none of this format refers to it\nhint: an image has one if estaleiro built it",
            registry.name(),
            image.digest
        )
    })
}

/// Says that an image is what its account says; everything that differs is an error.
async fn verify(place: &Place, args: &BomArgs, progress: &Progress) -> Result<Vec<u8>> {
    let Place::Image(location) = place else {
        bail!(WrongRequest("cannot verify a file\nhint: name the image that it is of".into()))
    };
    let (registry, image) = open(location, &args.world).await?;
    let document = Document::parse(&account_of(&registry, &image, Format::Yaml).await?)?;
    let task = progress.start("read the layers");
    let findings = audit(&document, &image, &registry, &task).await?;
    task.done("read");
    let what = format!("{}@{}", registry.name(), image.digest);
    if !findings.differences.is_empty() {
        bail!("{what} is not what its account says:\n  {}", findings.differences.join("\n  "));
    }
    let Findings { n_paths, n_layers, n_files, .. } = findings;
    let said = format!(
        "{what}: {n_paths} paths of {n_layers} layers are accounted for, {n_files} files are as told\n"
    );
    Ok(said.into_bytes())
}
