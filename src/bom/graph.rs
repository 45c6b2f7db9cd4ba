//! The build graph as the account tells it: what was done on top of what, with what at hand.
//!
//! Titles and edges alone; what is built, and how, is not this room's.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A vertex of the build graph. The vertices of a graph stand in an order in which each comes after those it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vertex {
    /// What it does, in a few words.
    pub title: String,
    /// Whether it only names files, and begins or continues no image.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_material: bool,
    /// The vertex whose file system it continues, by its place in the graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<usize>,
    /// The vertices that it reads, by their places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<usize>,
    /// The layer that it added to the image, by its diff ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
}

impl Vertex {
    /// Returns the vertices that it names, the parent first. What names no earlier one than `own`, as a graph from
    /// outside may, is left out.
    pub fn needs(&self, own: usize) -> impl Iterator<Item = usize> {
        self.parent.iter().chain(&self.mounts).copied().filter(move |place| *place < own)
    }
}
