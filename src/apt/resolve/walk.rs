//! apt's own way through the dependencies: depth first, left to right, one version of each package.
//!
//! An explicit stack in place of recursion, since an index may hold a chain of any length. A package that could not
//! be installed once is not tried again, which bounds the walk by the number of packages.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::error::Cause;
use super::view::{Node, Relations, View};
use crate::debian::package::{Priority, RelationError};
use crate::debian::relation::display_group;
use crate::debian::{MultiArch, Relation};

pub(super) struct Walk<'v> {
    view: &'v View<'v>,
    recommends: bool,
    /// What will be there in the end, by name.
    present: BTreeMap<&'v str, Node>,
    /// What was asked for.
    wanted: BTreeSet<&'v str>,
    /// What was asked for and all it cannot do without: apt lets nothing stand in its way.
    firm: BTreeSet<&'v str>,
    /// What could not be installed.
    discarded: BTreeSet<&'v str>,
    /// The upgrades there are of what is installed, by the name and version of their source.
    upgrades: BTreeMap<(&'v str, &'v str), Vec<Node>>,
    /// Names and what was present of them before, to undo.
    journal: Vec<(&'v str, Option<Node>)>,
    stack: Vec<Frame>,
    cause: Option<Cause>,
}

fn upgrades<'v>(view: &'v View<'v>) -> BTreeMap<(&'v str, &'v str), Vec<Node>> {
    let mut upgrades: BTreeMap<_, Vec<Node>> = BTreeMap::new();
    for (name, installed) in view.all_installed() {
        if let Some(node) = view.candidate(name).filter(|node| *node != installed) {
            let package = view.package(node);
            upgrades
                .entry((package.source_name(), package.source_version().as_str()))
                .or_default()
                .push(node);
        }
    }
    upgrades
}

/// A package whose needs are being met.
struct Frame {
    node: Node,
    relations: Rc<Relations>,
    /// What to do, the next last.
    tasks: Vec<Task>,
    /// What remains to try for the task at hand, the next last; `None` before it is begun.
    choices: Option<Vec<Node>>,
    /// The length of the journal before this package.
    undo: usize,
}

#[derive(Debug, Clone, Copy)]
enum Task {
    /// Bring this package along in its newer version.
    Upgrade(Node),
    /// Bring this package along if that is possible: it comes from the same source.
    Accompany(Node),
    /// Satisfy the numbered group of `Depends`.
    Depend(usize),
    /// Satisfy the numbered group of `Recommends`, if that is possible.
    Recommend(usize),
}

impl<'v> Walk<'v> {
    pub(super) fn new(view: &'v View<'v>, recommends: bool) -> Walk<'v> {
        Walk {
            view,
            recommends,
            present: view.all_installed().collect(),
            wanted: BTreeSet::new(),
            firm: BTreeSet::new(),
            discarded: BTreeSet::new(),
            upgrades: upgrades(view),
            journal: Vec::new(),
            stack: Vec::new(),
            cause: None,
        }
    }

    /// Walks from what is wanted; false if something on the way could not be had.
    pub(super) fn run(&mut self, wanted: &[Node]) -> Result<bool, RelationError> {
        for node in wanted {
            let name = self.name(*node);
            self.present.insert(name, *node);
            self.wanted.insert(name);
            self.firm.insert(name);
        }
        for node in wanted {
            let entered = self.enter(*node)?;
            if !entered || !self.finish()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn into_installed(self) -> Vec<Node> {
        self.present.into_values().collect()
    }

    pub(super) fn into_cause(self) -> Option<Cause> {
        self.cause
    }

    /// Works until the stack is empty; false if the bottom frame failed.
    fn finish(&mut self) -> Result<bool, RelationError> {
        while let Some(frame) = self.stack.last_mut() {
            match (frame.tasks.last().copied(), &mut frame.choices) {
                (None, _) => {
                    self.stack.pop();
                    self.task_done();
                }
                (Some(task), None) => self.begin_task(task)?,
                (Some(task), Some(choices)) => match choices.pop() {
                    Some(choice) => self.try_choice(choice)?,
                    None => self.task_failed(task),
                },
            }
            if self.stack.is_empty() && self.cause.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks whether the task is done already, else gathers its choices.
    fn begin_task(&mut self, task: Task) -> Result<(), RelationError> {
        let Some(frame) = self.stack.last() else { return Ok(()) };
        let (node, relations) = (frame.node, frame.relations.clone());
        if let Task::Depend(index) = task
            && self.firm.contains(self.name(node))
            && self.make_firm(&relations.depends[index])?
        {
            return Ok(());
        }
        let choices = match task {
            Task::Upgrade(node) | Task::Accompany(node) => {
                let is_present = self.present.get(self.name(node)) == Some(&node);
                (!is_present).then(|| vec![node])
            }
            Task::Depend(index) => self.open_choices(&relations.depends[index])?,
            Task::Recommend(index) => self.open_choices(&relations.recommends[index])?,
        };
        match choices {
            None => self.task_done(),
            Some(mut choices) => {
                choices.reverse();
                if let Some(frame) = self.stack.last_mut() {
                    frame.choices = Some(choices);
                }
            }
        }
        Ok(())
    }

    /// Makes firm what alone can satisfy a firm package's need; true if that is being walked again for it.
    fn make_firm(&mut self, group: &[Relation]) -> Result<bool, RelationError> {
        let choices = self.choices(group)?;
        let [only] = choices[..] else { return Ok(false) };
        let is_new = self.firm.insert(self.name(only));
        let is_present = self.present.get(self.name(only)) == Some(&only);
        if is_new && is_present { self.enter(only) } else { Ok(false) }
    }

    fn try_choice(&mut self, choice: Node) -> Result<(), RelationError> {
        if self.present.get(self.name(choice)) == Some(&choice) {
            self.task_done();
            return Ok(());
        }
        if !self.discarded.contains(self.name(choice)) && !self.wanted.contains(self.name(choice)) {
            self.enter(choice)?;
        }
        Ok(())
    }

    fn task_done(&mut self) {
        if let Some(frame) = self.stack.last_mut() {
            frame.tasks.pop();
            frame.choices = None;
        }
        self.cause = None;
    }

    /// Lets the package at hand fail, unless it can do without.
    fn task_failed(&mut self, task: Task) {
        let Some(frame) = self.stack.last() else { return };
        let relations = frame.relations.clone();
        match task {
            Task::Recommend(_) | Task::Accompany(_) => return self.task_done(),
            Task::Depend(index) => self.blame(|walk| walk.unmet(&relations.depends[index])),
            Task::Upgrade(node) => {
                self.blame(|walk| format!("cannot be installed beside {}", walk.view.title(node)));
            }
        }
        if let Some(frame) = self.stack.pop() {
            self.undo_to(frame.undo);
            self.discarded.insert(self.name(frame.node));
        }
    }

    /// Keeps the first reason, which lies deepest.
    fn blame(&mut self, problem: impl FnOnce(&Self) -> String) {
        if self.cause.is_none() {
            let chain = self.stack.iter().map(|frame| self.view.title(frame.node)).collect();
            self.cause = Some(Cause { chain, problem: problem(self) });
        }
    }

    /// Makes a package present and puts its needs on the stack; false if it is out of the question.
    fn enter(&mut self, node: Node) -> Result<bool, RelationError> {
        let name = self.name(node);
        let relations = self.view.relations(node)?;
        let frame = Frame { node, relations, tasks: Vec::new(), choices: None, undo: self.journal.len() };
        let relations = frame.relations.clone();
        self.stack.push(frame);
        let upgrades = match self.out_of_the_question(node, &relations)? {
            Ok(upgrades) => upgrades,
            Err(problem) => {
                self.blame(|_| problem);
                self.stack.pop();
                self.discarded.insert(name);
                return Ok(false);
            }
        };
        let before = self.present.insert(name, node);
        self.journal.push((name, before));
        let upgrades = upgrades.into_iter().chain(self.left_behind(node)?).map(Task::Upgrade);
        let upgrades = upgrades.chain(self.of_the_same_source(node).into_iter().map(Task::Accompany));
        let recommends = if self.recommends { relations.recommends.len() } else { 0 };
        let needs =
            (0..relations.depends.len()).map(Task::Depend).chain((0..recommends).map(Task::Recommend));
        let mut tasks: Vec<Task> = upgrades.chain(needs).collect();
        tasks.reverse();
        if let Some(frame) = self.stack.last_mut() {
            frame.tasks = tasks;
        }
        Ok(true)
    }

    /// Says why a package cannot come, or else what must be upgraded with it.
    fn out_of_the_question(
        &mut self,
        node: Node,
        relations: &Relations,
    ) -> Result<Result<Vec<Node>, String>, RelationError> {
        for group in &relations.depends {
            if !self.is_satisfied(group)? && self.choices(group)?.is_empty() {
                return Ok(Err(self.unmet(group)));
            }
        }
        let is_firm = self.firm.contains(self.name(node));
        let mut upgrades = Vec::new();
        for relation in &relations.against {
            for other in self.view.nodes_for(relation) {
                let other_name = self.name(other);
                if other_name == self.name(node) {
                    continue;
                }
                if self.present.get(other_name) != Some(&other) {
                    if is_firm
                        && self.candidate(other_name) == Some(other)
                        && self.view.installed(other_name).is_none()
                    {
                        self.discarded.insert(other_name);
                    }
                    continue;
                }
                match self.upgrade_away(relation, other)? {
                    Some(upgrade) => upgrades.push(upgrade),
                    None => {
                        return Ok(Err(format!(
                            "conflicts with {relation}, and {} {}",
                            self.view.title(other),
                            self.why_present(other)
                        )));
                    }
                }
            }
        }
        Ok(Ok(upgrades))
    }

    /// Returns the version of an installed package that is no longer conflicted with.
    fn upgrade_away(&self, relation: &Relation, other: Node) -> Result<Option<Node>, RelationError> {
        let name = self.name(other);
        let upgrade = self
            .candidate(name)
            .filter(|upgrade| *upgrade != other && self.view.as_candidate(other).is_none());
        let Some(upgrade) = upgrade else { return Ok(None) };
        Ok((!self.view.matches(relation, upgrade)?).then_some(upgrade))
    }

    fn why_present(&self, node: Node) -> &'static str {
        match (self.wanted.contains(self.name(node)), self.view.as_candidate(node)) {
            (true, _) => "is asked for too",
            (false, None) => "is installed",
            (false, Some(_)) => "is needed too",
        }
    }

    /// Returns the newer versions of installed packages whose needs an upgrade leaves unmet.
    fn left_behind(&self, node: Node) -> Result<Vec<Node>, RelationError> {
        let Some(old) = self.view.installed(self.name(node)).filter(|old| *old != node) else {
            return Ok(Vec::new());
        };
        let mut upgrades = Vec::new();
        for (name, installed) in self.view.all_installed() {
            if self.present.get(name) != Some(&installed) {
                continue;
            }
            for group in &self.view.relations(installed)?.depends {
                if self.any_matches(group, old)? && !self.is_satisfied(group)? {
                    upgrades.push(self.candidate(name).unwrap_or(installed));
                    break;
                }
            }
        }
        Ok(upgrades)
    }

    /// Returns the upgrades that were built together with this package; apt keeps a source's binaries in step.
    fn of_the_same_source(&self, node: Node) -> Vec<Node> {
        let package = self.view.package(node);
        let source = (package.source_name(), package.source_version().as_str());
        self.upgrades.get(&source).into_iter().flatten().copied().filter(|other| *other != node).collect()
    }

    fn undo_to(&mut self, length: usize) {
        for (name, before) in self.journal.split_off(length).into_iter().rev() {
            match before {
                Some(node) => self.present.insert(name, node),
                None => self.present.remove(name),
            };
        }
    }

    /// Returns what could be installed to satisfy a group, or `None` if it is satisfied.
    fn open_choices(&self, group: &[Relation]) -> Result<Option<Vec<Node>>, RelationError> {
        if self.is_satisfied(group)? { Ok(None) } else { self.choices(group).map(Some) }
    }

    fn is_satisfied(&self, group: &[Relation]) -> Result<bool, RelationError> {
        for relation in group {
            if self.present_for(relation)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn present_for(&self, relation: &Relation) -> Result<Option<Node>, RelationError> {
        let by_name = self.present.get(&*relation.name).copied();
        if let Some(node) = by_name
            && self.view.matches(relation, node)?
        {
            return Ok(Some(node));
        }
        Ok(self
            .view
            .nodes_for(relation)
            .into_iter()
            .find(|node| self.present.get(self.name(*node)) == Some(node)))
    }

    fn any_matches(&self, group: &[Relation], node: Node) -> Result<bool, RelationError> {
        for relation in group {
            if self.view.matches(relation, node)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns what could satisfy a group, in apt's order: upgrades first, then from left to right.
    fn choices(&self, group: &[Relation]) -> Result<Vec<Node>, RelationError> {
        let mut upgrades = Vec::new();
        let mut fresh = Vec::new();
        for relation in group {
            let nodes = self.view.nodes_for(relation).into_iter();
            let mut nodes: Vec<Node> =
                nodes.filter(|node| self.candidate(self.name(*node)) == Some(*node)).collect();
            if nodes.len() > 1 {
                nodes.sort_by_cached_key(|node| self.preference(relation, *node));
            }
            let (known, new): (Vec<_>, Vec<_>) =
                nodes.into_iter().partition(|node| self.view.installed(self.name(*node)).is_some());
            upgrades.extend(known);
            fresh.extend(new);
        }
        upgrades.append(&mut fresh);
        let mut seen = BTreeSet::new();
        upgrades.retain(|node| seen.insert(*node));
        Ok(upgrades)
    }

    /// apt's order among the providers of one name; the smallest comes first.
    fn preference(&self, relation: &Relation, node: Node) -> impl Ord + use<> {
        let package = self.view.package(node);
        let is_installed = self.view.installed(&package.name).is_some();
        let rank = match package.priority {
            Priority::Unknown => 0,
            Priority::Required => 1,
            Priority::Important => 2,
            Priority::Standard => 3,
            Priority::Optional => 4,
            Priority::Extra => 5,
        };
        (
            Reverse(self.firm.contains(&*package.name)),
            Reverse(is_installed && package.multi_arch == MultiArch::Same),
            Reverse(is_installed),
            Reverse(package.name == relation.name),
            Reverse(package.essential),
            Reverse(package.protected),
            rank,
            Reverse(self.view.mention(node)),
            node,
        )
    }

    fn candidate(&self, name: &str) -> Option<Node> {
        if self.discarded.contains(name) { self.view.installed(name) } else { self.view.candidate(name) }
    }

    fn name(&self, node: Node) -> &'v str {
        &self.view.package(node).name
    }

    /// Tells what a group asks for and what there is instead.
    fn unmet(&self, group: &[Relation]) -> String {
        let reasons: Vec<String> = group.iter().map(|relation| self.why_not(relation)).collect();
        format!("depends on {}, but {}", display_group(group), reasons.join(" and "))
    }

    fn why_not(&self, relation: &Relation) -> String {
        let name = &relation.name;
        if let Some(present) = self.present.get(&**name) {
            return format!("{} {}", self.view.title(*present), self.why_present(*present));
        }
        match self.view.candidate(name) {
            Some(node) if self.view.matches(relation, node).unwrap_or(false) => {
                format!("{} cannot be installed", self.view.title(node))
            }
            Some(node) => format!("{name} is there only as {}", self.view.package(node).version),
            None if self.view.providers_of(name).is_empty() => format!("no repository has {name}"),
            None => format!("no package that provides {name} can be installed"),
        }
    }

    /// Whether nothing is broken that was whole before.
    pub(super) fn is_sound(&mut self) -> Result<bool, RelationError> {
        let nodes: Vec<Node> = self.present.values().copied().collect();
        for node in nodes {
            let relations = self.view.relations(node)?;
            if self.view.as_candidate(node).is_some() {
                for group in &relations.depends {
                    if !self.is_satisfied(group)? {
                        return Ok(false);
                    }
                }
            } else if !self.is_as_whole_as_before(&relations)? {
                return Ok(false);
            }
            for relation in &relations.against {
                let others = self.view.nodes_for(relation).into_iter();
                let hit = others.filter(|other| self.name(*other) != self.name(node));
                let mut hit = hit.filter(|other| self.present.get(self.name(*other)) == Some(other));
                let both_old = |other: &Node| {
                    self.view.as_candidate(node).is_none() && self.view.as_candidate(*other).is_none()
                };
                if hit.any(|other| !both_old(&other)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn is_as_whole_as_before(&self, relations: &Relations) -> Result<bool, RelationError> {
        for group in &relations.depends {
            let mut was_satisfied = false;
            for relation in group {
                let mut nodes = self.view.nodes_for(relation).into_iter();
                was_satisfied |= nodes.any(|node| self.view.installed(self.name(node)) == Some(node));
            }
            if was_satisfied && !self.is_satisfied(group)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
