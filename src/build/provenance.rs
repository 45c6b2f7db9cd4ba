//! What a declared commit is worth: the account of files is compared with the git checkouts that they lie in.
//!
//! It is done when everything is built, and kept nowhere: the same files may be of another commit tomorrow. No byte of the
//! image depends on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::graph::{ContextKind, Graph, Op};
use crate::bom::{self, Bom, ContextFile, FileSource, Git};
use crate::digest::Digest;
use crate::git::{Kept, LocalCheckout, Meaning};
use crate::redact;

/// Which files of the context are read by steps, by the directory that is the step's context.
#[derive(Default)]
pub struct StepInputs(BTreeMap<String, BTreeSet<(String, Digest)>>);

impl StepInputs {
    /// Returns those of a graph.
    pub fn of(graph: &Graph) -> StepInputs {
        let mut inputs = StepInputs::default();
        for (_, vertex) in graph.vertices() {
            let Op::Context(tree) = &vertex.op else { continue };
            let files = tree.entries.iter().filter_map(|entry| match &entry.kind {
                ContextKind::File { digest, .. } => Some((tree.in_context(&entry.path), *digest)),
                _ => None,
            });
            inputs.0.entry(tree.directory.clone()).or_default().extend(files);
        }
        inputs
    }
}

/// Compares the files of an account with the checkouts around them. Returns what is declared and was seen to be wrong.
pub fn verify(bom: &mut Bom, context: &Context, inputs: &StepInputs) -> Vec<String> {
    let mut checkouts = Checkouts { context, known: BTreeMap::new() };
    let mut wrong: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for file in bom.files.values_mut() {
        let contradiction = checkouts.judge(&mut file.source, &file.digest, inputs);
        if let Some(contradiction) = contradiction {
            wrong.entry(contradiction).or_default().push(&file.path);
        }
    }
    let told = wrong.into_iter().map(|(contradiction, paths)| match paths.as_slice() {
        [first, _, ..] => format!("{first} and {} more: {contradiction}", paths.len() - 1),
        _ => format!("{}: {contradiction}", paths.concat()),
    });
    told.collect()
}

/// What a comparison came to.
enum Verdict {
    /// It is of the commit.
    Verified(Git),
    /// Nothing shows that it isn't.
    Unknown(String),
    /// It isn't what is declared.
    Wrong(String),
}

/// The checkouts of a context and around it, each opened once.
struct Checkouts<'a> {
    context: &'a Context,
    known: BTreeMap<PathBuf, Option<Result<LocalCheckout, String>>>,
}

impl Checkouts<'_> {
    /// Fills in what is known of a file's commit. Returns in which way the declaration is wrong, if it is.
    fn judge(&mut self, source: &mut FileSource, digest: &Digest, inputs: &StepInputs) -> Option<String> {
        let verdict = match (&source.context, &source.step) {
            (Some(file), _) => self.of_file(file, digest, source.git.as_deref()),
            (None, Some(made)) => self.of_step(made, source.git.as_deref()?, inputs),
            (None, None) => None,
        };
        let declared = source.git.as_deref_mut();
        match (verdict?, declared) {
            (Verdict::Verified(git), _) => {
                source.git = Some(Box::new(git));
                if let Some(file) = &mut source.context {
                    file.unversioned = false;
                }
                None
            }
            (Verdict::Unknown(why) | Verdict::Wrong(why), None) => {
                if let Some(file) = &mut source.context {
                    file.unversioned_because = why;
                }
                None
            }
            (Verdict::Unknown(why), Some(git)) => {
                git.unverified_because = why;
                None
            }
            (Verdict::Wrong(why), Some(git)) => {
                git.unverified_because.clone_from(&why);
                let Git { repository_uri, reference, .. } = git;
                Some(format!("it is declared to be of {repository_uri} at `{reference}`, but {why}"))
            }
        }
    }

    fn of_file(&mut self, file: &ContextFile, digest: &Digest, declared: Option<&Git>) -> Option<Verdict> {
        let context = self.context.called(file.name.as_deref()).ok()?;
        let place = context.on_disk(&file.path).canonicalize().ok()?;
        let (top, checkout) = self.around(place.parent()?)?;
        let is_there = context.source(&file.path).is_ok_and(|(now, _)| now.digest == *digest);
        let verdict = match checkout {
            _ if !is_there => Err(Verdict::Unknown("it is no longer there as it was used".into())),
            Err(why) => Err(Verdict::Unknown(format!("the checkout around it can't be read: {why}"))),
            Ok(checkout) => {
                let path = place.strip_prefix(&top).unwrap_or(&place);
                head(checkout, declared)
                    .and_then(|git| unchanged(checkout, path, &place, digest).map(|()| git))
            }
        };
        Some(verdict.map_or_else(|verdict| verdict, Verdict::Verified))
    }

    /// Returns the checkout that a directory is in, and its top.
    fn around(&mut self, directory: &Path) -> Option<(PathBuf, &Result<LocalCheckout, String>)> {
        let top = directory.ancestors().find(|directory| self.at(directory).is_some())?.to_owned();
        let checkout = self.known.get(&top)?.as_ref()?;
        Some((top, checkout))
    }

    fn at(&mut self, directory: &Path) -> Option<&Result<LocalCheckout, String>> {
        let open = || match LocalCheckout::at(directory) {
            Ok(found) => found.map(Ok),
            Err(error) => Some(Err(redact::line(&format!("{error:#}")))),
        };
        self.known.entry(directory.to_owned()).or_insert_with(open).as_ref()
    }

    /// What a step makes is of a commit if all that it reads is.
    fn of_step(&mut self, made: &bom::StepFile, declared: &Git, inputs: &StepInputs) -> Option<Verdict> {
        let directory = made.step.context.as_ref()?.path.trim_start_matches('.');
        let files = inputs.0.get(directory)?;
        let mut verdict = None;
        for (path, digest) in files {
            let file = ContextFile { path: path.clone(), ..ContextFile::default() };
            match self.of_file(&file, digest, Some(declared)) {
                Some(Verdict::Verified(git)) => verdict = Some(Verdict::Verified(git)),
                Some(Verdict::Wrong(why)) => return Some(Verdict::Wrong(of_input(path, &why))),
                Some(Verdict::Unknown(why)) => return Some(Verdict::Unknown(of_input(path, &why))),
                None => return None,
            }
        }
        verdict
    }
}

/// Returns the commit that is checked out, unless that is not what is declared.
fn head(checkout: &LocalCheckout, declared: Option<&Git>) -> Result<Git, Verdict> {
    let commit = checkout.commit();
    let Some(remote) = checkout.remote() else {
        return Err(Verdict::Unknown(
            "the checkout around it has no remote, which would tell its repository".into(),
        ));
    };
    let is = |repository: &str| Git {
        repository_uri: repository.to_owned(),
        reference: commit.clone(),
        verified: true,
        ..Git::default()
    };
    let Some(Git { repository_uri, reference, .. }) = declared else { return Ok(is(remote)) };
    if !checkout.is_of(repository_uri) {
        return Err(Verdict::Wrong(format!("the checkout around it is of {remote}")));
    }
    match checkout.meaning(reference) {
        Meaning::ThisCommit => Ok(is(repository_uri)),
        // What a variable left empty is what there is.
        _ if reference.is_empty() => Ok(is(repository_uri)),
        Meaning::OtherCommit => Err(Verdict::Wrong(format!("the checkout around it is at {commit}"))),
        Meaning::Unknown => {
            Err(Verdict::Unknown(format!("the checkout around it knows no such ref, and is at {commit}")))
        }
    }
}

fn unchanged(checkout: &LocalCheckout, path: &Path, place: &Path, digest: &Digest) -> Result<(), Verdict> {
    let commit = checkout.commit();
    match checkout.compare(path, digest, &|| File::open(place)) {
        Ok(Kept::Same) => Ok(()),
        Ok(Kept::Absent) => Err(Verdict::Wrong(format!("commit {commit} has no such file"))),
        Ok(Kept::Changed) => Err(Verdict::Wrong(format!("it was changed since commit {commit}"))),
        Ok(Kept::Unclear) => {
            Err(Verdict::Unknown("by its attributes git may keep it in a form that isn't known here".into()))
        }
        Err(error) => {
            let why = redact::line(&format!("{error:#}"));
            Err(Verdict::Unknown(format!("what commit {commit} has can't be read: {why}")))
        }
    }
}

fn of_input(path: &str, why: &str) -> String {
    format!("of {path}, which it was made from: {why}")
}
