//! Why something is built again: what the last build of an image was made from, beside what this one is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::graph::{ContextKind, ContextTree, Graph, Op, Vertex, VertexId};
use crate::digest::Digest;
use crate::oci::canonical_json;

/// Of a larger piece of the context it is only told that it changed.
const MOST_ENTRIES: usize = 5000;

/// What a vertex was made from, as a cache record tells the next build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// What it does, with a number where several do the same.
    name: String,
    key: Digest,
    op: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mounts: Vec<usize>,
    /// What it names of the context: a few digits of each file's digest, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    entries: BTreeMap<String, String>,
}

/// Returns what the vertices of a graph are made from, in their order.
pub fn parts(graph: &Graph) -> Vec<Parts> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let keys = graph.keys();
    let mut name = |vertex: &Vertex| {
        let title = vertex.title();
        let nth = times.entry(title.clone()).or_insert(0);
        *nth += 1;
        if *nth == 1 { title } else { format!("{title} (number {nth})") }
    };
    let parts = graph.vertices().zip(keys).map(|((_, vertex), key)| Parts {
        name: name(vertex),
        key,
        op: Digest::of(canonical_json(&vertex.op)),
        parent: vertex.parent.map(VertexId::index),
        mounts: vertex.mounts.iter().map(|id| id.index()).collect(),
        entries: entries(&vertex.op),
    });
    parts.collect()
}

fn entries(op: &Op) -> BTreeMap<String, String> {
    match op {
        Op::Context(tree) if tree.entries.len() <= MOST_ENTRIES => entries_of(tree),
        Op::Source(source) => {
            source.files.iter().map(|file| (file.path.clone(), file.digest.short())).collect()
        }
        _ => BTreeMap::new(),
    }
}

fn entries_of(tree: &ContextTree) -> BTreeMap<String, String> {
    let entries = tree.entries.iter().map(|entry| {
        let what = match &entry.kind {
            ContextKind::File { digest, .. } => digest.short(),
            other => Digest::of(canonical_json(other)).short(),
        };
        (entry.path.clone(), format!("{:o} {what}", entry.mode))
    });
    entries.collect()
}

/// Returns, by the key of each vertex that the last build had too and now has other inputs, what changed.
pub fn causes(now: &[Parts], last: &[Parts]) -> BTreeMap<Digest, String> {
    let before: BTreeMap<&str, &Parts> = last.iter().map(|parts| (parts.name.as_str(), parts)).collect();
    let changed = now.iter().filter_map(|parts| {
        let before = before.get(parts.name.as_str()).filter(|before| before.key != parts.key)?;
        Some((parts.key, cause(parts, before, now, last)))
    });
    changed.collect()
}

fn cause(parts: &Parts, before: &Parts, now: &[Parts], last: &[Parts]) -> String {
    let inputs = parts.mounts.iter().map(Some).zip(before.mounts.iter().map(Some));
    let parents = (parts.parent.as_ref(), before.parent.as_ref());
    let changed = inputs.chain([parents]).find_map(|(new, old)| {
        let (new, old) = (now.get(*new?)?, last.get(*old?)?);
        (new.key != old.key).then(|| difference(new, old))
    });
    match changed {
        Some(difference) => difference,
        None if parts.op != before.op => "what it does changed".into(),
        None => "the image's time or platform, or the builder itself, changed".into(),
    }
}

fn difference(new: &Parts, old: &Parts) -> String {
    let came = new.entries.keys().find(|path| !old.entries.contains_key(*path));
    let went = old.entries.keys().find(|path| !new.entries.contains_key(*path));
    let changed =
        new.entries.iter().find(|(path, what)| old.entries.get(*path).is_some_and(|old| old != *what));
    match (changed, came, went) {
        (Some((path, _)), _, _) => format!("{path} changed in the context"),
        (None, Some(path), _) => format!("{path} is new in the context"),
        (None, None, Some(path)) => format!("{path} is gone from the context"),
        (None, None, None) => format!("`{}` changed", new.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::graph::{ContextEntry, Instruction, Run, Transfer};
    use crate::oci::Platform;

    fn graph(files: &[(&str, &str)], command: &str) -> Graph {
        let mut graph = Graph::new(Platform::host(), 0);
        let entry = |(path, content): &(&str, &str)| ContextEntry {
            path: (*path).into(),
            mode: 0o644,
            kind: ContextKind::File { digest: Digest::of(content), size: 1 },
        };
        let entries = files.iter().map(entry).collect();
        let tree = ContextTree { name: "src".into(), entries, ..ContextTree::default() };
        let instruction = |text: &str| Instruction { text: text.into(), ..Instruction::default() };
        let scratch = graph.add(Op::Scratch, None, vec![]);
        let context = graph.add(Op::Context(tree), None, vec![]);
        let transfer = Transfer {
            instruction: instruction("COPY src /src"),
            sources: vec![],
            target: "/src".into(),
            owner: None,
            mode: None,
            unpacks: false,
            keeps_parents: false,
            is_link: false,
            exclude: vec![],
        };
        let copy = graph.add(Op::Transfer(transfer), Some(scratch), vec![context]);
        let run = Run {
            instruction: instruction("RUN make"),
            argv: vec![command.into()],
            env: vec![],
            proxies: vec![],
            workdir: "/".into(),
            user: String::new(),
            has_network: false,
            hosts: vec![],
            mounts: vec![],
            secret_env: vec![],
        };
        graph.add(Op::Run(run), Some(copy), vec![]);
        graph
    }

    fn told(now: &Graph, last: &Graph) -> Vec<String> {
        let causes = causes(&parts(now), &parts(last));
        let told =
            parts(now).into_iter().filter_map(|parts| Some((parts.name, causes.get(&parts.key)?.clone())));
        told.map(|(name, cause)| format!("{name}: {cause}")).collect()
    }

    #[test]
    fn the_file_that_changed_is_named_and_then_what_stood_on_it() {
        let last = graph(&[("src/a", "1"), ("src/b", "1")], "make");
        assert_eq!(told(&last, &last), Vec::<String>::new());
        let changed = graph(&[("src/a", "1"), ("src/b", "2")], "make");
        let expected = ["COPY src /src: src/b changed in the context", "RUN make: `COPY src /src` changed"];
        assert_eq!(told(&changed, &last)[1..], expected);
        let more = graph(&[("src/a", "1"), ("src/b", "1"), ("src/c", "1")], "make");
        assert_eq!(told(&more, &last)[0], "COPY src /src: src/c is new in the context");
        let fewer = graph(&[("src/a", "1")], "make");
        assert_eq!(told(&fewer, &last)[0], "COPY src /src: src/b is gone from the context");
    }

    #[test]
    fn an_instruction_that_means_something_else_now_says_so() {
        let last = graph(&[("src/a", "1")], "make");
        assert_eq!(told(&graph(&[("src/a", "1")], "gmake"), &last), ["RUN make: what it does changed"]);
        let mut later = graph(&[("src/a", "1")], "make");
        later.epoch = 1;
        assert!(told(&later, &last).iter().any(|told| told.contains("the image's time")));
    }
}
