//! What steps come to in the graph, and what is done again when something of them changes. Nothing is built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Mutex;

use anyhow::Result;

use super::*;
use crate::bom::Bom;
use crate::build::definition;
use crate::build::graph::{CopiedRoot, Delta, Snapshot, Vertex};
use crate::build::lock::{Lock, LockRequest};
use crate::build::solve::{Executor, Inputs, Material, Outcome, solve};
use crate::digest::Digest;
use crate::layer::Skeleton;
use crate::oci::{Image, Platform};
use crate::progress::Progress;

/// Stages that don't know each other, and one that takes from both.
const DOCKERFILE: &str = "\
FROM scratch AS one
COPY one /one
RUN [\"/one\"]

FROM scratch AS two
COPY two /two
RUN [\"/two\"]

FROM scratch AS both
COPY --from=one /one /
COPY --from=two /two /

FROM scratch AS idle
COPY idle /
";

/// Returns a definition that takes `path` out of each step.
fn definition(files: &[(&str, &str)], steps: &str) -> String {
    let files = files.iter().map(|(step, path)| {
        format!("  file \"/{step}{path}\" {{ from_step \"{step}\" {{ path = \"{path}\" }} }}\n")
    });
    format!("image \"x\" {{\n{}}}\n{steps}", files.collect::<String>())
}

fn step(name: &str, target: &str, more: &str) -> String {
    let origin = "source_file \"/**\" { vcs \"git\" { repository = \"r\" ref = \"1\" } }";
    format!("step \"{name}\" {{\n  target = \"{target}\"\n  {more}\n  {origin}\n}}\n")
}

/// A context with what the Dockerfile names, and what was ever done in it.
struct Yard {
    directory: tempfile::TempDir,
    done: Mutex<BTreeSet<Digest>>,
    log: Mutex<Vec<String>>,
}

impl Yard {
    fn new() -> Yard {
        let directory = tempfile::tempdir().unwrap();
        let yard = Yard { directory, done: Mutex::default(), log: Mutex::default() };
        for (path, content) in [("Dockerfile", DOCKERFILE), ("one", "1"), ("two", "2"), ("idle", "0")] {
            yard.write(path, content);
        }
        yard
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn graph(&self, text: &str) -> Graph {
        let context = Context::new(self.directory.path());
        let definition = definition::parse(text, "estaleiro.hcl", &BTreeMap::new()).unwrap();
        let (platform, progress) = (Platform::host(), Progress::silent());
        let steps = Steps::read(&definition, &context, &platform, &progress).unwrap();
        let lock = lock(platform);
        let known =
            Known { lock: &lock.platforms[0], epoch: 0, context: &context, images: &Images::default() };
        plan(&definition, &steps, &known).unwrap()
    }

    /// Does what wasn't done before, and returns that, sorted.
    fn build(&self, text: &str) -> Vec<String> {
        self.log.lock().unwrap().clear();
        solve(&self.graph(text), self).unwrap();
        let mut log = self.log.lock().unwrap().clone();
        log.sort();
        log
    }
}

fn lock(platform: Platform) -> Lock {
    let locked = PlatformLock {
        platform,
        request: LockRequest::default(),
        base: None,
        suites: Vec::new(),
        keys: Vec::new(),
        packages: Vec::new(),
        beside: Vec::new(),
        taken: Vec::new(),
        remove: Vec::new(),
        images: Vec::new(),
        files: Vec::new(),
        repositories: vec![],
    };
    Lock::new(0, vec![locked])
}

/// Remembers by key, writes down what it hasn't done before, and does nothing.
impl Executor for Yard {
    fn execute(&self, vertex: &Vertex, key: &Digest, _inputs: &Inputs<'_>) -> Result<Outcome> {
        let is_new = self.done.lock().unwrap().insert(*key);
        if is_new && matches!(vertex.op, Op::Copy(_) | Op::Transfer(_) | Op::Run(_)) {
            self.log.lock().unwrap().push(vertex.title());
        }
        Ok(match &vertex.op {
            Op::Source(source) => Outcome::Material(Material::Source(source.clone())),
            Op::Context(tree) => Outcome::Material(Material::Context(tree.clone())),
            Op::Download(download) => Outcome::Material(Material::Download(download.clone())),
            Op::Scratch => Outcome::Base(Box::new(Snapshot {
                image: Image::scratch(Platform::host()),
                bom: Bom::default(),
                skeleton: Skeleton::default(),
            })),
            _ => Outcome::Delta(Box::<Delta>::default()),
        })
    }

    fn knows(&self, vertex: &Vertex, key: &Digest) -> bool {
        vertex.parent.is_some() && self.done.lock().unwrap().contains(key)
    }
}

#[test]
fn only_what_a_changed_file_leads_to_is_done_again() {
    let yard = Yard::new();
    let text = definition(&[("both", "/one")], &step("both", "both", ""));
    assert_eq!(yard.build(&text).len(), 7);
    assert_eq!(yard.build(&text), Vec::<String>::new());
    yard.write("two", "3");
    assert_eq!(
        yard.build(&text),
        ["COPY --from=two /two /", "COPY two /two", "RUN [\"/two\"]", "copy /both/one"]
    );
    yard.write("idle", "1");
    assert_eq!(yard.build(&text), Vec::<String>::new(), "nobody needs that stage");
}

#[test]
fn only_the_stages_that_a_step_needs_are_done_and_what_steps_share_is_done_once() {
    let yard = Yard::new();
    let alone = definition(&[("one", "/one")], &step("one", "one", ""));
    assert_eq!(yard.build(&alone), ["COPY one /one", "RUN [\"/one\"]", "copy /one/one"]);
    let steps = step("one", "one", "") + &step("both", "both", "") + &step("again", "both", "");
    let all = definition(&[("one", "/one"), ("both", "/one"), ("again", "/two")], &steps);
    let graph = yard.graph(&all);
    let n_runs = graph.vertices().filter(|(_, vertex)| matches!(vertex.op, Op::Run(_))).count();
    assert_eq!(n_runs, 2, "each stage is in the graph once");
    assert_eq!(
        yard.build(&all),
        [
            "COPY --from=one /one /",
            "COPY --from=two /two /",
            "COPY two /two",
            "RUN [\"/two\"]",
            "copy /again/two /both/one /one/one"
        ]
    );
}

#[test]
fn an_argument_that_no_stage_takes_does_nothing_again() {
    let yard = Yard::new();
    yard.write("Dockerfile", "FROM scratch\nARG TAKEN\nRUN [\"/a\"]\n");
    let with = |args: &str| {
        let origin = "source_file \"/**\" { vcs \"git\" { repository = \"r\" ref = \"1\" } }";
        definition(&[("a", "/a")], &format!("step \"a\" {{\n  args = {{ {args} }}\n  {origin}\n}}\n"))
    };
    assert_eq!(yard.build(&with("TAKEN = \"1\"")), ["RUN [\"/a\"]", "copy /a/a"]);
    assert_eq!(yard.build(&with("TAKEN = \"1\", OTHER = \"2\"")), ["copy /a/a"], "the account tells it");
    assert_eq!(yard.build(&with("TAKEN = \"2\"")), ["RUN [\"/a\"]", "copy /a/a"]);
}

#[test]
fn the_same_context_elsewhere_is_the_same() {
    let yard = Yard::new();
    for directory in ["a", "b"] {
        yard.write(&format!("{directory}/one"), "1");
    }
    let of = |directory: &str| {
        definition(&[("one", "/one")], &step("one", "one", &format!("context = \"{directory}\"")))
    };
    let keys = |directory: &str| {
        let graph = yard.graph(&of(directory));
        let keys = graph.keys();
        let runs = graph.vertices().filter(|(_, vertex)| matches!(vertex.op, Op::Run(_)));
        runs.map(|(id, _)| keys[id.index()]).collect::<Vec<_>>()
    };
    assert_eq!(keys("a"), keys("b"));
    let graph = yard.graph(&of("a"));
    let trees = graph.vertices().filter_map(|(_, vertex)| match &vertex.op {
        Op::Context(tree) => Some((tree.directory.as_str(), tree.entries[0].path.as_str())),
        _ => None,
    });
    assert_eq!(trees.collect::<Vec<_>>(), [("a", "one")]);
}

#[test]
fn the_account_tells_what_a_step_read() {
    let yard = Yard::new();
    let account = || {
        let graph = yard.graph(&definition(&[("one", "/one")], &step("one", "one", "")));
        let roots = graph.vertices().find_map(|(_, vertex)| match &vertex.op {
            Op::Copy(copy) => Some(copy.roots.clone()),
            _ => None,
        });
        match roots.unwrap().remove(&0).unwrap() {
            CopiedRoot::Step(step) => step,
            CopiedRoot::Image { .. } => panic!("it is a step"),
        }
    };
    let before = account();
    assert_eq!((before.target.as_str(), before.dockerfile.digest), ("one", Digest::of(DOCKERFILE)));
    yard.write("two", "3");
    assert_eq!(account(), before, "another stage's file");
    yard.write("one", "3");
    assert_ne!(account().context, before.context);
}
