//! What keys are made of.

use super::*;

fn graph(content: &str, path: &str) -> Graph {
    let mut graph = Graph::new(Platform::host(), 0);
    let base = graph.add(Op::Scratch, None, vec![]);
    let digest = Digest::of(content);
    let files = vec![SourceFile { path: path.into(), digest, size: 1 }];
    let source = graph.add(Op::Source(Source { path: path.into(), package: None, files }), None, vec![]);
    graph.add(Op::Copy(Copy::default()), Some(base), vec![source]);
    graph
}

#[test]
fn a_key_follows_the_content_and_not_the_path() {
    assert_eq!(graph("a", "x").keys(), graph("a", "y").keys());
    assert_ne!(graph("a", "x").keys()[2], graph("b", "x").keys()[2]);
}

#[test]
fn what_is_added_once_is_one_vertex_for_all_who_need_it() {
    let mut graph = graph("a", "x");
    let base = graph.add_once(Op::Scratch, None, vec![]);
    assert_eq!(base.index(), 0);
    let linked = graph.add_once(Op::Change(Change::Symlinks(vec![])), Some(base), vec![]);
    assert_eq!((linked.index(), graph.vertices().count()), (3, 4));
    assert_eq!(graph.needed(linked).count(), 2);
}

#[test]
fn platform_and_epoch_are_part_of_a_key() {
    let mut other = graph("a", "x");
    other.epoch = 1;
    assert_ne!(other.keys()[0], graph("a", "x").keys()[0]);
    let mut other = graph("a", "x");
    other.platform.architecture = "riscv64".into();
    assert_ne!(other.keys()[2], graph("a", "x").keys()[2]);
}
