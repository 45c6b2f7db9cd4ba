//! Another image, or a stage, as a tree that things are taken out of: the directories of its layers, seen as one.

use anyhow::{Result, bail};

use super::Taken;
use super::content::Bytes;
use crate::bom::{self, Bom, FileSource};
use crate::build::tree::{Form, Node};
use crate::layer::{self, Entry};

/// What is known of the image.
#[derive(Clone, Copy)]
pub(super) struct Image<'a> {
    /// Which of the vertex's mounts it is.
    pub(super) mount: usize,
    /// What it is called in the account.
    pub(super) name: Option<&'a str>,
    /// Where its contents came from.
    pub(super) bom: &'a Bom,
}

/// A path in it.
#[derive(Clone)]
pub(super) struct Place<'a> {
    image: Image<'a>,
    /// None is the top of an image without layers.
    node: Option<layer::Node>,
}

impl<'a> Image<'a> {
    pub(super) fn top(self, root: Option<layer::Node>) -> Place<'a> {
        Place { image: self, node: root }
    }
}

impl<'a> Place<'a> {
    fn at(&self, node: layer::Node) -> Place<'a> {
        Place { image: self.image, node: Some(node) }
    }
}

impl Node for Place<'_> {
    fn path(&self) -> &[u8] {
        self.node.as_ref().map_or(b"", layer::Node::path)
    }

    fn form(&self) -> Result<Form> {
        Ok(match &self.node {
            Some(node) if node.is_symlink() => Form::Symlink(node.link_target()?),
            Some(node) if !node.is_directory() => Form::Other,
            Some(_) | None => Form::Directory,
        })
    }

    fn child(&self, name: &[u8]) -> Result<Option<Self>> {
        let Some(node) = &self.node else { return Ok(None) };
        Ok(node.child(name)?.map(|child| self.at(child)))
    }

    fn children(&self) -> Result<Vec<Self>> {
        let Some(node) = &self.node else { return Ok(Vec::new()) };
        Ok(node.children()?.into_iter().map(|child| self.at(child)).collect())
    }
}

impl Taken for Place<'_> {
    fn entry(&self) -> Result<Entry> {
        match &self.node {
            Some(node) => Ok(node.entry()?),
            None => Ok(Entry::directory(Vec::new(), 0o755)),
        }
    }

    fn identity(&self) -> Option<(u64, u64)> {
        self.node.as_ref().filter(|node| node.n_links() > 1).map(layer::Node::id)
    }

    fn bytes(&self) -> Result<(Bytes, FileSource)> {
        let Some(node) = &self.node else { bail!("internal error: no file of an image") };
        let path = format!("/{}", String::from_utf8_lossy(node.path()));
        let known = self.image.bom.files.get(&path);
        let image = self.image.name.map(|name| Box::new(bom::ImageFile { name: name.to_owned(), path }));
        let source = known.map(|file| file.source.clone()).unwrap_or_default();
        let known = known.map(|file| file.digest);
        let bytes = Bytes::Image { mount: self.image.mount, path: node.path().to_vec(), known };
        Ok((bytes, FileSource { image, ..source }))
    }
}
