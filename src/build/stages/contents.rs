//! What names stand for that are given to a build: a directory, an image, nothing; instead of the stage or image that the
//! Dockerfile would mean by them (Docker's `--build-context`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::build::context::Context;
use crate::build::text;
use crate::digest::Digest;
use crate::dockerfile::Ignore;
use crate::oci::Reference;
use crate::registry::Location;

const IMAGE: &str = "docker-image://";
const LAYOUT: &str = "oci-layout://";

/// What names stand for.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    contents: BTreeMap<String, Content>,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Content {
    /// The files of a directory, without those that its `.dockerignore` leaves out.
    Directory(Context, Ignore),
    /// An image of a registry.
    Image(Reference),
    /// An image in an OCI layout directory.
    Layout(Layout),
    /// Nothing: `scratch`.
    Nothing,
}

/// An image in an OCI layout directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The directory.
    pub directory: PathBuf,
    /// The image's tag.
    pub tag: String,
    /// The digest of its manifest or index, which counts more than the tag.
    pub digest: Option<Digest>,
}

impl Content {
    /// Reads a directory, `docker-image://REFERENCE`, or `oci-layout://DIRECTORY[:TAG][@DIGEST]`; `place` says where a
    /// directory that is written really lies.
    ///
    /// # Errors
    /// When it is something else, or no such directory is there.
    pub fn read(text: &str, place: &dyn Fn(&Path) -> Result<PathBuf>) -> Result<Content> {
        if let Some(reference) = text.strip_prefix(IMAGE) {
            return Ok(match reference {
                "scratch" => Content::Nothing,
                reference => Content::Image(reference.parse()?),
            });
        }
        if let Some(written) = text.strip_prefix(LAYOUT) {
            let layout = Layout::read(written)?;
            return Content::layout(Layout { directory: place(&layout.directory)?, ..layout });
        }
        if text.contains("://") || text.starts_with("git@") || text.starts_with("target:") {
            bail!(
                "only a directory, {IMAGE} and {LAYOUT} can be used\nhint: fetch it before, in a pipeline as an input, and name the directory"
            );
        }
        Content::directory(Context::new(place(Path::new(text))?))
    }

    /// Returns the files of a directory as what a name stands for.
    fn directory(context: Context) -> Result<Content> {
        context.check()?;
        let ignore = context.read_if_there(".dockerignore", text::LONGEST)?.unwrap_or_default();
        let ignore = text::read(ignore.as_slice()).context("cannot read its .dockerignore")?;
        let ignore =
            Ignore::parse(&ignore).map_err(|problem| anyhow!("cannot use its .dockerignore: {problem}"))?;
        Ok(Content::Directory(context, ignore))
    }

    /// Returns an image in an OCI layout as what a name stands for.
    ///
    /// # Errors
    /// When the directory is none.
    pub fn layout(layout: Layout) -> Result<Content> {
        let marker = Context::new(&layout.directory).read_if_there("oci-layout", text::LONGEST);
        match marker.ok().flatten() {
            Some(_) => Ok(Content::Layout(layout)),
            None => bail!(
                "{} is no OCI layout: there is no file `oci-layout` in it\nhint: a tarball of one must be unpacked before",
                layout.directory.display()
            ),
        }
    }

    /// Returns its kind, as the account tells it.
    fn kind(&self) -> &'static str {
        match self {
            Content::Directory(..) => "directory",
            Content::Image(_) => "docker-image",
            Content::Layout(_) => "oci-layout",
            Content::Nothing => "scratch",
        }
    }
}

impl Layout {
    fn read(text: &str) -> Result<Layout> {
        let (rest, digest) = match text.rsplit_once('@') {
            Some((rest, digest)) if digest.starts_with("sha256:") => (rest, Some(digest.parse()?)),
            Some(_) | None => (text, None),
        };
        match format!("oci:{rest}").parse() {
            Ok(Location::Layout { directory, tag }) => Ok(Layout { directory, tag, digest }),
            Ok(Location::Remote(_)) | Err(_) => bail!("expected {LAYOUT}DIRECTORY[:TAG][@sha256:…]"),
        }
    }

    /// Returns where it is.
    pub(super) fn location(&self) -> Location {
        Location::Layout { directory: self.directory.clone(), tag: self.tag.clone() }
    }

    /// Returns what the image is asked for by.
    pub(super) fn tag_or_digest(&self) -> String {
        self.digest.map_or_else(|| self.tag.clone(), |digest| digest.to_string())
    }
}

impl Contents {
    /// Lets a name stand for something; `alpine` and `docker.io/library/alpine:latest` are one name.
    ///
    /// # Errors
    /// When no stage and no image could have the name.
    pub fn add(&mut self, name: &str, content: Content) -> Result<()> {
        let reference: Reference = name.parse().map_err(|_| {
            anyhow!("no stage or image has such a name\nhint: write it as FROM does, in lower-case letters")
        })?;
        self.contents.insert(reference.familiar(), content);
        Ok(())
    }

    /// Returns the names.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.contents.keys().cloned().collect()
    }

    /// Returns what a name stands for.
    pub(super) fn get(&self, name: &str) -> Result<&Content> {
        self.contents.get(name).with_context(|| format!("internal error: {name} stands for nothing"))
    }

    /// Returns the layout that an image lies in, by the image's full name.
    pub(super) fn layout_of(&self, image: &str) -> Option<&Layout> {
        match self.contents.get(image.strip_prefix(LAYOUT)?)? {
            Content::Layout(layout) => Some(layout),
            Content::Directory(..) | Content::Image(_) | Content::Nothing => None,
        }
    }

    /// Returns the directories, by their names.
    pub fn directories(&self) -> BTreeMap<String, Context> {
        let directories = self.with_ignored().map(|(name, context, _)| (name.to_owned(), context.clone()));
        directories.collect()
    }

    /// Returns the directories with what is ignored in them.
    pub(super) fn with_ignored(&self) -> impl Iterator<Item = (&str, &Context, &Ignore)> {
        self.contents.iter().filter_map(|(name, content)| match content {
            Content::Directory(context, ignore) => Some((name.as_str(), context, ignore)),
            Content::Image(_) | Content::Layout(_) | Content::Nothing => None,
        })
    }

    /// Returns each name with its kind, and the full name of the image that it stands for.
    pub fn told(&self) -> impl Iterator<Item = (&str, &'static str, Option<String>)> {
        self.contents.iter().map(|(name, content)| (name.as_str(), content.kind(), image(name, content)))
    }
}

/// Returns the full name of the image that a name stands for. Where a layout lies on this machine is nobody's business.
pub(super) fn image(name: &str, content: &Content) -> Option<String> {
    match content {
        Content::Image(reference) => Some(reference.to_string()),
        Content::Layout(_) => Some(format!("{LAYOUT}{name}")),
        Content::Directory(..) | Content::Nothing => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Content> {
        Content::read(text, &|path| Ok(path.to_owned()))
    }

    #[test]
    fn an_image_is_in_a_registry_or_a_layout_and_may_be_nothing() {
        assert!(matches!(read("docker-image://scratch").unwrap(), Content::Nothing));
        let Content::Image(reference) = read("docker-image://alpine:3").unwrap() else { panic!("no image") };
        assert_eq!(reference.to_string(), "docker.io/library/alpine:3");
        let digest = Digest::of("x");
        for (written, directory, tag, pinned) in [
            ("a/b".to_owned(), "a/b", "latest", None),
            ("/a:1/b@c:2".into(), "/a:1/b@c", "2", None),
            (format!("a@{digest}"), "a", "latest", Some(digest)),
            (format!("a:1@{digest}"), "a", "1", Some(digest)),
        ] {
            let layout = Layout::read(&written).unwrap();
            let expected = Layout { directory: directory.into(), tag: tag.into(), digest: pinned };
            assert_eq!(layout, expected, "{written}");
        }
    }

    #[test]
    fn what_would_have_to_be_fetched_is_refused_with_a_way_out() {
        for text in ["https://git.example/a.git", "git@git.example:a", "target:other", "ssh://x/y"] {
            let error = read(text).err().unwrap().to_string();
            assert!(error.contains("hint: fetch it before"), "{error}");
        }
        for text in ["docker-image://A", "oci-layout://", "oci-layout://a@sha256:1", "no/such/directory"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
