//! The vertices that an instruction reads, each once.

use crate::build::graph::VertexId;

#[derive(Default)]
pub(super) struct Mounts {
    vertices: Vec<VertexId>,
    n_agents: usize,
}

impl Mounts {
    /// Returns the number by which the instruction knows a vertex.
    pub(super) fn add(&mut self, vertex: VertexId) -> usize {
        if let Some(known) = self.vertices.iter().position(|&known| known == vertex) {
            return known;
        }
        self.vertices.push(vertex);
        self.vertices.len() - 1
    }

    /// Returns the number of the next agent's socket.
    pub(super) fn next_agent(&mut self) -> usize {
        self.n_agents += 1;
        self.n_agents - 1
    }

    pub(super) fn into_vertices(self) -> Vec<VertexId> {
        self.vertices
    }
}
