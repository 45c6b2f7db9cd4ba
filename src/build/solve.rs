//! From a graph to a snapshot: every vertex once, after those it needs, as many at a time as there are processors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, Scope};

use anyhow::{Context, Result, anyhow};

use super::graph::{ContextTree, Delta, Download, Graph, Snapshot, Source, Vertex, VertexId};
use crate::digest::Digest;
use crate::oci::Layer;

/// What a vertex finds at hand.
pub struct Inputs<'a> {
    /// What its parent yielded.
    pub parent: Option<&'a Snapshot>,
    /// What its mounts yielded.
    pub mounts: Vec<&'a Yield>,
    /// Whether its layer is one of the image; else nobody gets it, and only other vertices read it.
    pub is_shipped: bool,
}

/// What a vertex yielded, as later ones see it.
#[derive(Clone, Debug, PartialEq)]
pub enum Yield {
    /// An image and its account.
    Snapshot(Box<Snapshot>),
    /// Files.
    Material(Material),
}

/// Files that a vertex only names.
#[derive(Clone, Debug, PartialEq)]
pub enum Material {
    /// Files of the context, or a package.
    Source(Source),
    /// Entries of the context.
    Context(ContextTree),
    /// A file from afar.
    Download(Download),
}

/// What executing a vertex comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It begins an image.
    Base(Box<Snapshot>),
    /// It continues its parent's.
    Delta(Box<Delta>),
    /// It names files.
    Material(Material),
}

/// Whoever can execute vertices: the one that works, the one that remembers, the one that only writes down.
pub trait Executor: Sync {
    /// Executes `vertex`, whose key is `key`.
    ///
    /// # Errors
    /// When it can't be done; the build ends with that error.
    fn execute(&self, vertex: &Vertex, key: &Digest, inputs: &Inputs<'_>) -> Result<Outcome>;

    /// Whether what `vertex` yields is known: then it is executed without its mounts, which need not be executed at all.
    fn knows(&self, _vertex: &Vertex, _key: &Digest) -> bool {
        false
    }

    /// Returns a layer that was kept for other vertices alone as it is in an image.
    ///
    /// # Errors
    /// When it can't be read.
    fn ship(&self, layer: &Layer) -> Result<Layer> {
        Ok(layer.clone())
    }
}

/// Executes what the last vertex of `graph` needs, and returns what it yields.
///
/// # Errors
/// The first error of a vertex, with its title; no further vertex is begun then.
pub fn solve(graph: &Graph, executor: &dyn Executor) -> Result<Snapshot> {
    let target =
        graph.vertices().last().map(|(id, _)| id).ok_or_else(|| anyhow!("internal error: an empty graph"))?;
    let keys = graph.keys();
    let progress = Solving::new(graph, &|id| executor.knows(graph.vertex(id), &keys[id.index()]));
    thread::scope(|scope| progress.work(scope, graph, &keys, executor));
    progress.result(target)
}

/// What is needed of a vertex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    None,
    /// What is known of it.
    Known,
    /// What it does.
    Done,
}

/// Returns what the last vertex of `graph` needs of each, by its place: a known one does without its mounts.
pub fn needed(graph: &Graph, knows: &dyn Fn(VertexId) -> bool) -> Vec<Need> {
    let mut needed: Vec<Need> = graph.vertices().map(|_| Need::None).collect();
    let mut wanted: Vec<VertexId> = graph.vertices().last().map(|(id, _)| id).into_iter().collect();
    while let Some(id) = wanted.pop() {
        if needed[id.index()] != Need::None {
            continue;
        }
        let vertex = graph.vertex(id);
        wanted.extend(vertex.parent);
        needed[id.index()] = if knows(id) { Need::Known } else { Need::Done };
        if needed[id.index()] == Need::Done {
            wanted.extend(&vertex.mounts);
        }
    }
    needed
}

/// The common table of the threads.
struct Solving {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    places: Vec<Place>,
    /// Whether the vertex does without its mounts, by its place.
    is_known: Vec<bool>,
    /// Whether the image continues what the vertex yields, by its place.
    is_shipped: Vec<bool>,
    /// How many vertices have yet to read what the vertex yields, by its place.
    n_readers: Vec<usize>,
    /// How many threads there are, and may be.
    n_threads: usize,
    most_threads: usize,
    error: Option<anyhow::Error>,
}

enum Place {
    NotNeeded,
    Waiting,
    UnderWay,
    // Shared with the vertices that read it while others are being written down.
    Done(Arc<Yield>),
    /// The last one that reads it has it.
    HandedOver,
}

impl Solving {
    fn new(graph: &Graph, knows: &dyn Fn(VertexId) -> bool) -> Solving {
        let needed = needed(graph, knows);
        let is_known: Vec<bool> = needed.iter().map(|need| *need == Need::Known).collect();
        let mut n_readers = vec![0; needed.len()];
        let wanted = graph.vertices().filter(|(id, _)| needed[id.index()] != Need::None);
        let read = wanted.flat_map(|(id, vertex)| reads(vertex, is_known[id.index()]));
        read.for_each(|id| n_readers[id.index()] += 1);
        let place = |need: Need| match need {
            Need::None => Place::NotNeeded,
            Need::Known | Need::Done => Place::Waiting,
        };
        let places = needed.into_iter().map(place).collect();
        let mut is_shipped = vec![false; n_readers.len()];
        let last = graph.vertices().last().map(|(id, _)| id);
        let parents = |id: &VertexId| graph.vertex(*id).parent;
        std::iter::successors(last, parents).for_each(|id| is_shipped[id.index()] = true);
        let state = State {
            places,
            is_known,
            is_shipped,
            n_readers,
            n_threads: 1,
            most_threads: thread::available_parallelism().map_or(2, usize::from),
            error: None,
        };
        Solving { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Executes vertices until none is left; another thread joins in where more than one can be begun.
    fn work<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        graph: &'s Graph,
        keys: &'s [Digest],
        executor: &'s dyn Executor,
    ) {
        while let Some(ready) = self.take(graph) {
            if self.has_work_for_another(graph) {
                scope.spawn(move || self.work(scope, graph, keys, executor));
            }
            let (id, vertex) = (ready.id, graph.vertex(ready.id));
            let execution = || run(vertex, &keys[id.index()], ready, executor);
            // Whoever waits for this vertex must hear of a panic too, or they would wait for ever.
            let result = catch_unwind(AssertUnwindSafe(execution))
                .unwrap_or_else(|_| Err(anyhow!("internal error: it panicked")));
            self.settle(id, result.with_context(|| vertex.failed()));
        }
    }

    /// Waits for a vertex whose inputs are there; `None` when nothing is left to begin.
    fn take(&self, graph: &Graph) -> Option<Ready> {
        let mut state = self.state.lock().expect("no thread panics while it holds the table");
        loop {
            let is_over =
                state.error.is_some() || !state.places.iter().any(|place| matches!(place, Place::Waiting));
            if is_over {
                return None;
            }
            if let Some(ready) = graph.vertices().find_map(|(id, vertex)| state.ready(id, vertex)) {
                state.begin(&ready, graph.vertex(ready.id));
                return Some(ready);
            }
            state = self.changed.wait(state).expect("no thread panics while it holds the table");
        }
    }

    fn has_work_for_another(&self, graph: &Graph) -> bool {
        let mut state = self.state.lock().expect("no thread panics while it holds the table");
        let joins = state.n_threads < state.most_threads
            && graph.vertices().any(|(id, vertex)| state.ready(id, vertex).is_some());
        state.n_threads += usize::from(joins);
        joins
    }

    fn settle(&self, id: VertexId, result: Result<Yield>) {
        let mut state = self.state.lock().expect("no thread panics while it holds the table");
        match result {
            Ok(yielded) => state.places[id.index()] = Place::Done(Arc::new(yielded)),
            Err(error) => {
                state.error.get_or_insert(error);
            }
        }
        self.changed.notify_all();
    }

    fn result(self, target: VertexId) -> Result<Snapshot> {
        let mut state = self.state.into_inner().expect("no thread panics while it holds the table");
        if let Some(error) = state.error {
            return Err(error);
        }
        match state.places.swap_remove(target.index()) {
            Place::Done(yielded) => own(yielded).context("internal error: the graph ends in a file"),
            Place::NotNeeded | Place::Waiting | Place::UnderWay | Place::HandedOver => {
                Err(anyhow!("internal error: the graph was not solved"))
            }
        }
    }
}

/// A vertex that can be begun, with what it needs.
struct Ready {
    id: VertexId,
    parent: Option<Arc<Yield>>,
    mounts: Vec<Arc<Yield>>,
    is_shipped: bool,
}

impl State {
    fn ready(&self, id: VertexId, vertex: &Vertex) -> Option<Ready> {
        if !matches!(self.places[id.index()], Place::Waiting) {
            return None;
        }
        let parent = match vertex.parent {
            Some(parent) => Some(self.done(parent)?),
            None => None,
        };
        let mounts = if self.is_known[id.index()] { &[][..] } else { &vertex.mounts };
        let mounts = mounts.iter().map(|&mount| self.done(mount)).collect::<Option<Vec<_>>>()?;
        Some(Ready { id, parent, mounts, is_shipped: self.is_shipped[id.index()] })
    }

    fn done(&self, id: VertexId) -> Option<Arc<Yield>> {
        match &self.places[id.index()] {
            Place::Done(yielded) => Some(yielded.clone()),
            Place::NotNeeded | Place::Waiting | Place::UnderWay | Place::HandedOver => None,
        }
    }

    /// Notes that a vertex is under way, which keeps alone what nobody else will read.
    fn begin(&mut self, ready: &Ready, vertex: &Vertex) {
        self.places[ready.id.index()] = Place::UnderWay;
        for id in reads(vertex, self.is_known[ready.id.index()]) {
            self.n_readers[id.index()] -= 1;
            if self.n_readers[id.index()] == 0 {
                self.places[id.index()] = Place::HandedOver;
            }
        }
    }
}

/// Returns the vertices whose yield a vertex reads; one that is known does without its mounts.
fn reads(vertex: &Vertex, is_known: bool) -> impl Iterator<Item = VertexId> {
    let mounts = if is_known { &[][..] } else { &vertex.mounts };
    vertex.parent.into_iter().chain(mounts.iter().copied())
}

fn run(vertex: &Vertex, key: &Digest, ready: Ready, executor: &dyn Executor) -> Result<Yield> {
    let parent = match ready.parent.as_deref() {
        Some(Yield::Snapshot(snapshot)) => Some(&**snapshot),
        Some(Yield::Material(_)) => return Err(anyhow!("internal error: a file is no parent")),
        None => None,
    };
    let mounts = ready.mounts.iter().map(Arc::as_ref).collect();
    let inputs = Inputs { parent, mounts, is_shipped: ready.is_shipped };
    match executor.execute(vertex, key, &inputs)? {
        Outcome::Base(snapshot) => Ok(Yield::Snapshot(snapshot)),
        Outcome::Material(material) => Ok(Yield::Material(material)),
        Outcome::Delta(delta) => {
            let parent = ready.parent.ok_or_else(|| anyhow!("internal error: a change without a parent"))?;
            Ok(Yield::Snapshot(Box::new(own(parent)?.then(*delta)?)))
        }
    }
}

/// Returns a snapshot as one's own: it is copied only where somebody else reads it, too.
fn own(yielded: Arc<Yield>) -> Result<Snapshot> {
    match Arc::try_unwrap(yielded).unwrap_or_else(|shared| (*shared).clone()) {
        Yield::Snapshot(snapshot) => Ok(*snapshot),
        Yield::Material(_) => Err(anyhow!("internal error: a file is no image")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bom::Bom;
    use crate::build::graph::{Change, Copy, Op, SourceFile};
    use crate::layer::Skeleton;
    use crate::oci::{Image, Platform};

    /// Writes down what it is asked to do.
    #[derive(Default)]
    struct Recorder {
        seen: Mutex<Vec<String>>,
        threads: Mutex<Vec<thread::ThreadId>>,
        shipped: Mutex<Vec<String>>,
        fails_at: Option<&'static str>,
        panics_at: Option<&'static str>,
        knows: Option<&'static str>,
    }

    impl Executor for Recorder {
        fn execute(&self, vertex: &Vertex, key: &Digest, inputs: &Inputs<'_>) -> Result<Outcome> {
            self.seen.lock().unwrap().push(vertex.title());
            self.threads.lock().unwrap().push(thread::current().id());
            if inputs.is_shipped {
                self.shipped.lock().unwrap().push(vertex.title());
            }
            if self.fails_at.is_some_and(|title| vertex.title().starts_with(title)) {
                return Err(anyhow!("no"));
            }
            assert!(!self.panics_at.is_some_and(|title| vertex.title().starts_with(title)));
            Ok(match &vertex.op {
                Op::Source(source) => Outcome::Material(Material::Source(source.clone())),
                Op::Context(tree) => Outcome::Material(Material::Context(tree.clone())),
                Op::Download(download) => Outcome::Material(Material::Download(download.clone())),
                Op::Scratch => Outcome::Base(Box::new(Snapshot {
                    image: Image::scratch(Platform::host()),
                    bom: Bom::default(),
                    skeleton: Skeleton::default(),
                })),
                Op::Copy(_)
                | Op::Change(_)
                | Op::Configure(_)
                | Op::Install(_)
                | Op::Pull(_)
                | Op::Repository(_)
                | Op::Settle(_)
                | Op::Workdir(_)
                | Op::Transfer(_)
                | Op::Run(_) => {
                    let n_mounts = if self.knows(vertex, key) { 0 } else { vertex.mounts.len() };
                    assert_eq!(inputs.mounts.len(), n_mounts);
                    Outcome::Delta(Box::default())
                }
            })
        }

        fn knows(&self, vertex: &Vertex, _key: &Digest) -> bool {
            self.knows.is_some_and(|title| vertex.title().starts_with(title))
        }
    }

    fn graph() -> Graph {
        let mut graph = Graph::new(Platform::host(), 0);
        let source = |path: &str| {
            let files = vec![SourceFile { path: path.into(), digest: Digest::of(path), size: 0 }];
            Op::Source(Source { path: path.into(), package: None, files })
        };
        let base = graph.add(Op::Scratch, None, vec![]);
        let wanted = graph.add(source("wanted"), None, vec![]);
        graph.add(source("idle"), None, vec![]);
        let copy = graph.add(Op::Copy(Copy::default()), Some(base), vec![wanted]);
        graph.add(Op::Change(Change::Symlinks(vec![])), Some(copy), vec![]);
        graph
    }

    #[test]
    fn each_vertex_runs_once_after_those_it_needs_and_only_if_it_is_needed() {
        let recorder = Recorder::default();
        let snapshot = solve(&graph(), &recorder).unwrap();
        assert_eq!(snapshot.image.config.history.len(), 2);
        let mut seen = recorder.seen.into_inner().unwrap();
        let last_two = seen.split_off(2);
        seen.sort();
        assert_eq!(seen, ["context wanted", "scratch"]);
        assert_eq!(last_two, ["copy ", "link "]);
    }

    #[test]
    fn what_goes_one_after_the_other_needs_no_thread_of_its_own() {
        let mut graph = Graph::new(Platform::host(), 0);
        let base = graph.add(Op::Scratch, None, vec![]);
        let link = graph.add(Op::Change(Change::Symlinks(vec![])), Some(base), vec![]);
        graph.add(Op::Change(Change::Remove(vec![])), Some(link), vec![]);
        let recorder = Recorder::default();
        solve(&graph, &recorder).unwrap();
        assert_eq!(recorder.threads.into_inner().unwrap(), [thread::current().id(); 3]);
    }

    #[test]
    fn what_is_known_needs_what_it_continues_but_not_what_it_was_made_from() {
        let recorder = Recorder { knows: Some("copy"), ..Recorder::default() };
        solve(&graph(), &recorder).unwrap();
        assert_eq!(recorder.seen.into_inner().unwrap(), ["scratch", "copy ", "link "]);
    }

    #[test]
    fn what_the_image_continues_is_shipped_and_what_it_is_made_from_is_not() {
        let mut graph = Graph::new(Platform::host(), 0);
        let base = graph.add(Op::Scratch, None, vec![]);
        let stage = graph.add(Op::Change(Change::Remove(vec!["stage".into()])), Some(base), vec![]);
        let top = graph.add(Op::Change(Change::Symlinks(vec![])), Some(base), vec![]);
        graph.add(Op::Copy(Copy::default()), Some(top), vec![stage]);
        let recorder = Recorder::default();
        solve(&graph, &recorder).unwrap();
        assert_eq!(recorder.shipped.into_inner().unwrap(), ["scratch", "link ", "copy "]);
    }

    #[test]
    fn an_error_names_the_vertex_and_ends_the_build() {
        let recorder = Recorder { fails_at: Some("copy"), ..Recorder::default() };
        let error = solve(&graph(), &recorder).unwrap_err();
        assert_eq!(format!("{error:#}"), "cannot copy : no");
        assert!(!recorder.seen.into_inner().unwrap().contains(&"link ".to_owned()));
    }

    #[test]
    fn a_panic_ends_the_build_like_an_error() {
        let recorder = Recorder { panics_at: Some("copy"), ..Recorder::default() };
        let error = solve(&graph(), &recorder).unwrap_err();
        assert_eq!(format!("{error:#}"), "cannot copy : internal error: it panicked");
    }
}
