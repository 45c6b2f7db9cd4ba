//! A printout of a graph for Graphviz: in-tree edges blue, what is out of tree in gray boxes.

use std::fmt::Write;

use super::graph::Graph;

/// Returns the graph in the DOT language.
pub fn dot(graph: &Graph) -> String {
    let mut text = String::from("digraph build {\n  rankdir=BT;\n  node [fontname=\"sans-serif\"];\n");
    for (id, vertex) in graph.vertices() {
        let style = match vertex.op.is_material() {
            true => "shape=box style=filled fillcolor=gray90",
            false => "shape=ellipse color=blue",
        };
        let _ = writeln!(text, "  v{} [label={:?} {style}];", id.index(), vertex.title());
        if let Some(parent) = vertex.parent {
            let _ = writeln!(text, "  v{} -> v{} [color=blue];", id.index(), parent.index());
        }
        for mount in &vertex.mounts {
            let _ = writeln!(text, "  v{} -> v{} [color=gray style=dashed];", id.index(), mount.index());
        }
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::graph::{Copy, Op, Source, SourceFile};
    use crate::digest::Digest;
    use crate::oci::Platform;

    #[test]
    fn a_graph_is_printed_with_its_edges() {
        let mut graph = Graph::new(Platform::host(), 0);
        let base = graph.add(Op::Scratch, None, vec![]);
        let files = vec![SourceFile { path: "a \"b\"".into(), digest: Digest::of(""), size: 0 }];
        let source = Source { path: "a \"b\"".into(), package: None, files };
        let source = graph.add(Op::Source(source), None, vec![]);
        graph.add(Op::Copy(Copy::default()), Some(base), vec![source]);
        let text = dot(&graph);
        assert!(text.contains("v0 [label=\"scratch\" shape=ellipse color=blue];"), "{text}");
        assert!(text.contains("v1 [label=\"context a \\\"b\\\"\" shape=box"), "{text}");
        assert!(text.contains("v2 -> v0 [color=blue];\n  v2 -> v1 [color=gray"), "{text}");
    }
}
