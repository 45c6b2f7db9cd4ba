//! What one source of a `COPY` or `ADD` takes: the paths that it means, and of each what lies below it.

use anyhow::{Result, anyhow, bail};

use super::{Form, MOST_DEPTH, Node, find, join, rooted, split};
use crate::dockerfile::{Glob, Ignore, Judgement, Problem, is_pattern};

/// One source of a `COPY` or `ADD`.
pub struct Pick {
    /// As it was written.
    text: String,
    /// The path, as far as it is none of a pattern.
    base: Vec<u8>,
    /// What matches names below it, a pattern a name.
    globs: Vec<Glob>,
    /// What isn't meant below that, where paths are kept.
    outside: Ignore,
    /// What must be there, where paths are kept.
    required: Option<Vec<u8>>,
    /// What isn't taken, though it is meant.
    exclude: Ignore,
}

/// A path that a source means.
#[derive(Clone)]
pub struct Match<N> {
    /// Its name, which may be a link's; none is the top's.
    pub name: Vec<u8>,
    /// What is there, or what the link leads to.
    pub node: N,
}

/// What a source means, and what was looked at on the way.
pub struct Matches<N> {
    /// In the order in which they are taken.
    pub matches: Vec<Match<N>>,
    /// Links that were followed, and directories that were looked into.
    pub passed: Vec<N>,
}

/// Something that is taken.
pub struct Step<'a, N> {
    /// Where it lies below what the source means; empty for that itself.
    pub below: &'a [u8],
    /// The thing.
    pub node: &'a N,
    /// Why it is taken.
    pub role: Role,
}

/// Why something is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The source means it.
    Meant,
    /// The source means something in it.
    Around,
}

impl Pick {
    /// Reads a source; with `keeps_parents`, what stands before `/./` isn't kept of its path.
    ///
    /// # Errors
    /// When a pattern is none.
    pub fn new(text: &str, keeps_parents: bool, exclude: &[String]) -> Result<Pick> {
        let (path, kept) = match (keeps_parents, text.split_once("/./")) {
            (true, Some((path, kept))) => (path, kept),
            (true, None) => ("", text),
            (false, _) => (text, ""),
        };
        let [path, kept] = [path, kept].map(|path| rooted(path).split_off(1));
        let names: Vec<&str> = path.split('/').collect();
        let n_plain = names.iter().take_while(|name| !is_pattern(name)).count();
        let is_required = keeps_parents && n_plain == names.len() && !is_pattern(&kept);
        let globs = names[n_plain..].iter().map(|pattern| Glob::parse(pattern));
        Ok(Pick {
            text: text.to_owned(),
            base: names[..n_plain].join("/").into_bytes(),
            globs: globs.collect::<Result<_, _>>().map_err(told)?,
            outside: if keeps_parents { outside(&kept)? } else { Ignore::default() },
            required: is_required.then(|| join(path.as_bytes(), kept.as_bytes())),
            exclude: Ignore::of_patterns(exclude).map_err(told)?,
        })
    }

    /// Finds the paths that the source means in a tree. A pattern may mean none.
    ///
    /// # Errors
    /// When a path leads to nothing.
    pub fn matches<N: Node>(&self, top: &N) -> Result<Matches<N>> {
        let mut passed = Vec::new();
        if let Some(required) = &self.required {
            self.found(top, required, &mut passed)?;
        }
        let base = self.found(top, &self.base, &mut passed)?;
        if self.globs.is_empty() {
            let name = split(&self.base).1.to_vec();
            return Ok(Matches { matches: vec![Match { name, node: base }], passed });
        }
        passed.push(base.clone());
        let mut paths = Vec::new();
        expand(&base, &self.globs, &mut paths)?;
        let follow = |path: &Vec<u8>| {
            let node = self.found(top, path, &mut passed)?;
            Ok(Match { name: split(path).1.to_vec(), node })
        };
        let matches = paths.iter().map(follow).collect::<Result<_>>()?;
        Ok(Matches { matches, passed })
    }

    /// Shows what is taken of a match to `visitor`: directories before what is in them, sorted by name.
    pub fn walk<N: Node>(
        &self,
        top: &Match<N>,
        visitor: &mut dyn FnMut(Step<'_, N>) -> Result<()>,
    ) -> Result<()> {
        let mut walk = Walk { pick: self, visitor, around: Vec::new() };
        walk.take(b"", &top.node, &Taking::default())
    }

    fn found<N: Node>(&self, top: &N, path: &[u8], passed: &mut Vec<N>) -> Result<N> {
        let found = find(top, path, &mut |link| passed.push(link.clone()))?;
        found.ok_or_else(|| anyhow!("{}: there is no such file or directory", self.text))
    }
}

/// Returns what isn't meant by a pattern; without one nothing is.
fn outside(pattern: &str) -> Result<Ignore> {
    let inside = (!pattern.is_empty()).then(|| format!("!{pattern}"));
    Ignore::of_patterns(["**".to_owned()].into_iter().chain(inside)).map_err(told)
}

fn told(problem: Problem) -> anyhow::Error {
    match problem.hint.as_str() {
        "" => anyhow!(problem.message),
        hint => anyhow!("{}\nhint: {hint}", problem.message),
    }
}

/// Finds what matches a pattern a name; links aren't followed here.
fn expand<N: Node>(directory: &N, globs: &[Glob], paths: &mut Vec<Vec<u8>>) -> Result<()> {
    let (Some((glob, rest)), Form::Directory) = (globs.split_first(), directory.form()?) else {
        return Ok(());
    };
    let children = directory.children()?;
    let matches = |child: &&N| glob.matches(&String::from_utf8_lossy(split(child.path()).1));
    for child in children.iter().filter(matches) {
        match rest {
            [] => paths.push(child.path().to_vec()),
            _ => expand(child, rest, paths)?,
        }
    }
    Ok(())
}

/// How what lies around a path was judged.
#[derive(Default)]
struct Taking {
    outside: Judgement,
    exclude: Judgement,
}

struct Walk<'a, N> {
    pick: &'a Pick,
    visitor: &'a mut dyn FnMut(Step<'_, N>) -> Result<()>,
    /// The directories around the path, outermost first, and whether they were shown.
    around: Vec<(Vec<u8>, N, bool)>,
}

impl<N: Node> Walk<'_, N> {
    fn take(&mut self, below: &[u8], node: &N, outer: &Taking) -> Result<()> {
        let (is_meant, taking) = self.judge(below, outer);
        if is_meant {
            self.show(below, node)?;
        }
        if node.form()? != Form::Directory || !is_meant && !self.may_mean_something_in(below, &taking) {
            return Ok(());
        }
        if self.around.len() >= MOST_DEPTH {
            bail!("{}: its directories are nested too deep", self.pick.text);
        }
        self.around.push((below.to_vec(), node.clone(), is_meant));
        for child in node.children()? {
            self.take(&join(below, split(child.path()).1), &child, &taking)?;
        }
        self.around.pop();
        Ok(())
    }

    fn show(&mut self, below: &[u8], node: &N) -> Result<()> {
        for (below, node, is_shown) in self.around.iter_mut().filter(|(_, _, is_shown)| !is_shown) {
            (self.visitor)(Step { below, node, role: Role::Around })?;
            *is_shown = true;
        }
        (self.visitor)(Step { below, node, role: Role::Meant })
    }

    /// What the source names is taken, whatever patterns say.
    fn judge(&self, below: &[u8], outer: &Taking) -> (bool, Taking) {
        if below.is_empty() {
            return (true, Taking::default());
        }
        let path = String::from_utf8_lossy(below);
        let outside = self.pick.outside.judge(&path, &outer.outside);
        let exclude = self.pick.exclude.judge(&path, &outer.exclude);
        (!outside.is_ignored && !exclude.is_ignored, Taking { outside, exclude })
    }

    /// Whether something in a directory that isn't meant itself may be.
    fn may_mean_something_in(&self, below: &[u8], taking: &Taking) -> bool {
        let path = String::from_utf8_lossy(below);
        !self.pick.outside.prunes(&path, &taking.outside) && !self.pick.exclude.prunes(&path, &taking.exclude)
    }
}
