//! The graph as the account of an image tells it.

use std::collections::BTreeMap;

use super::{Graph, Op, VertexId};
use crate::bom;
use crate::digest::Digest;

impl Graph {
    /// Returns what the last vertex needs, and that one itself, with the layers of the image by the keys of the vertices
    /// that added them. What only was read has no layer there, though it may have made some.
    pub fn account(&self, layers: &BTreeMap<Digest, Digest>) -> Vec<bom::Vertex> {
        let Some(last) = self.vertices.len().checked_sub(1).map(VertexId) else { return Vec::new() };
        let (needed, keys) = (self.needed_ids(last), self.keys());
        let places: BTreeMap<VertexId, usize> = needed.iter().copied().zip(0..).collect();
        let told = needed.iter().map(|id| {
            let vertex = self.vertex(*id);
            bom::Vertex {
                title: vertex.title(),
                is_material: vertex.op.is_material(),
                parent: vertex.parent.map(|parent| places[&parent]),
                mounts: vertex.mounts.iter().map(|mount| places[mount]).collect(),
                layer: None,
            }
        });
        let mut told: Vec<bom::Vertex> = told.collect();
        let mut continued = Some(last);
        while let Some(id) = continued {
            told[places[&id]].layer = layers.get(&keys[id.index()]).copied();
            continued = self.vertex(id).parent;
        }
        told
    }
}

impl Op {
    /// Whether it only names files, and begins or continues no image.
    pub fn is_material(&self) -> bool {
        match self {
            Op::Source(_) | Op::Context(_) | Op::Download(_) => true,
            Op::Scratch
            | Op::Pull(_)
            | Op::Install(_)
            | Op::Copy(_)
            | Op::Repository(_)
            | Op::Change(_)
            | Op::Configure(_)
            | Op::Settle(_)
            | Op::Workdir(_)
            | Op::Transfer(_)
            | Op::Run(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::graph::{Change, Copy, Source};
    use crate::oci::Platform;

    #[test]
    fn what_leads_to_the_image_is_told_with_its_layers() {
        let mut graph = Graph::new(Platform::host(), 0);
        let links = |path: &str| Op::Change(Change::Symlinks(vec![(path.into(), "x".into())]));
        graph.add(links("/idle"), None, vec![]);
        let base = graph.add(Op::Scratch, None, vec![]);
        let source = Source { path: "tool".into(), package: None, files: vec![] };
        let source = graph.add(Op::Source(source), None, vec![]);
        let stage = graph.add(links("/stage"), Some(base), vec![]);
        graph.add(Op::Copy(Copy::default()), Some(base), vec![source, stage]);
        let layers = graph.keys().into_iter().map(|key| (key, Digest::of("layer"))).collect();
        let told = graph.account(&layers);
        let shown = told.iter().map(|v| (v.title.as_str(), v.parent, v.mounts.as_slice(), v.layer.is_some()));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                ("scratch", None, &[][..], true),
                ("context tool (0 files)", None, &[], false),
                ("link /stage", Some(0), &[], false),
                ("copy ", Some(0), &[1, 2], true),
            ]
        );
    }
}
