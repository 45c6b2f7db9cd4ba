//! The second opinion: any set that satisfies the request, by a SAT solver.
//!
//! The only file that knows `resolvo`. A relation becomes a union of version sets, one for each package that can
//! satisfy it; a conflict becomes a version set of what is left of a package. What is installed stays, in its
//! version or a newer one.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display, Write as _};

use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, DenseIndex, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, NameId, Problem, Requirement, SolvableId, Solver,
    SolverCache, StringId, UnsolvableOrCancelled, VersionSetId, VersionSetUnionId,
};

use super::error::{Cause, Unsatisfiable};
use super::view::{Node, View};
use crate::debian::Relation;
use crate::debian::package::RelationError;

/// Returns everything that is there in the end; if there is no such set, `cause` tells why, as far as it is known.
pub(super) fn solve(
    view: &View<'_>,
    wanted: &[Node],
    cause: Option<Cause>,
) -> Result<Vec<Node>, Unsatisfiable> {
    let provider = Provider::new(view);
    let mut requirements = Vec::new();
    for (name, _) in view.all_installed() {
        requirements.extend(provider.one_of(name, &provider.choices(name)));
    }
    for node in wanted {
        requirements.extend(provider.one_of(&view.package(*node).name, &[*node]));
    }
    let mut solver = Solver::new(provider);
    let result = solver.solve(Problem::new().requirements(requirements));
    if let Some(error) = solver.provider().failure.borrow_mut().take() {
        return Err(error.into());
    }
    let problem = match (result, cause) {
        (Ok(solvables), _) => {
            return Ok(solvables.into_iter().map(|id| solver.provider().node(id)).collect());
        }
        (Err(_), Some(cause)) => return Err(Unsatisfiable::Unmet(cause)),
        (Err(UnsolvableOrCancelled::Unsolvable(conflict)), None) => {
            explain(&conflict.display_user_friendly(&solver))
        }
        (Err(UnsolvableOrCancelled::Cancelled(_)), None) => {
            "what was asked for: the search was given up".to_owned()
        }
    };
    Err(Unsatisfiable::Unmet(Cause { chain: Vec::new(), problem }))
}

/// The solver tells a conflict as a tree, which can be endless: only its beginning is told.
fn explain(conflict: &impl Display) -> String {
    let mut told = Told("what was asked for, all together:\n".to_owned());
    let is_whole = write!(told, "{conflict}").is_ok();
    let end = if is_whole { "" } else { "\n…" };
    format!("{}{end}", told.0.trim_end())
}

/// A text that takes no more than some lines.
struct Told(String);

impl fmt::Write for Told {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() > 4000 {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

struct Provider<'a> {
    view: &'a View<'a>,
    tables: RefCell<Tables<'a>>,
    /// The first field that could not be read; its package counts as not installable until then.
    failure: RefCell<Option<RelationError>>,
}

/// What the solver knows only by number.
#[derive(Default)]
struct Tables<'a> {
    names: Vec<&'a str>,
    name_ids: HashMap<&'a str, NameId>,
    solvables: Vec<Node>,
    solvable_ids: HashMap<Node, SolvableId>,
    /// Versions of one package, the preferred first, and how to show them.
    sets: Vec<(NameId, Vec<Node>, String)>,
    unions: Vec<Vec<VersionSetId>>,
}

impl<'a> Provider<'a> {
    fn new(view: &'a View<'a>) -> Provider<'a> {
        Provider { view, tables: RefCell::default(), failure: RefCell::default() }
    }

    fn node(&self, id: SolvableId) -> Node {
        self.tables.borrow().solvables[id.to_index()]
    }

    fn name_of(&self, id: NameId) -> &'a str {
        self.tables.borrow().names[id.to_index()]
    }

    fn name_id(&self, node: Node) -> NameId {
        let name = &*self.view.package(node).name;
        let Tables { names, name_ids, .. } = &mut *self.tables.borrow_mut();
        *name_ids.entry(name).or_insert_with(|| {
            names.push(name);
            NameId::from_index(names.len() - 1)
        })
    }

    fn solvable_id(&self, node: Node) -> SolvableId {
        let Tables { solvables, solvable_ids, .. } = &mut *self.tables.borrow_mut();
        *solvable_ids.entry(node).or_insert_with(|| {
            solvables.push(node);
            SolvableId::from_index(solvables.len() - 1)
        })
    }

    /// Returns the versions of a package that may be there: the installed one and the candidate.
    fn choices(&self, name: &str) -> Vec<Node> {
        let mut choices: Vec<Node> = self.view.installed(name).into_iter().collect();
        choices.extend(self.view.candidate(name).filter(|node| !choices.contains(node)));
        choices
    }

    fn set(&self, name: NameId, nodes: Vec<Node>, shown: String) -> VersionSetId {
        let sets = &mut self.tables.borrow_mut().sets;
        sets.push((name, nodes, shown));
        VersionSetId::from_index(sets.len() - 1)
    }

    /// Requires one of these versions of one package.
    fn one_of(&self, name: &str, nodes: &[Node]) -> Option<ConditionalRequirement> {
        let first = *nodes.first()?;
        debug_assert_eq!(&*self.view.package(first).name, name);
        let shown = nodes
            .iter()
            .map(|node| self.view.package(*node).version.to_string())
            .collect::<Vec<_>>()
            .join(" or ");
        Some(self.set(self.name_id(first), nodes.to_vec(), shown).into())
    }

    /// Requires any package that satisfies a group, the left alternatives preferred.
    fn requirement(&self, group: &[Relation]) -> ConditionalRequirement {
        let mut sets: Vec<(NameId, Vec<Node>)> = Vec::new();
        for node in group.iter().flat_map(|relation| self.view.nodes_for(relation)) {
            if !self.choices(&self.view.package(node).name).contains(&node) {
                continue;
            }
            let name = self.name_id(node);
            match sets.iter_mut().find(|(known, _)| *known == name) {
                Some((_, nodes)) => nodes.push(node),
                None => sets.push((name, vec![node])),
            }
        }
        let shown = crate::debian::relation::display_group(group);
        if let ([], [first, ..]) = (&sets[..], group) {
            return self.set(self.missing(first), Vec::new(), shown).into();
        }
        let sets: Vec<_> =
            sets.into_iter().map(|(name, nodes)| self.set(name, nodes, String::new())).collect();
        match sets[..] {
            [one] => one.into(),
            _ => {
                let unions = &mut self.tables.borrow_mut().unions;
                unions.push(sets);
                Requirement::Union(VersionSetUnionId::from_index(unions.len() - 1)).into()
            }
        }
    }

    /// Returns a name under which nothing can be found, for a relation that nothing satisfies.
    fn missing(&self, relation: &Relation) -> NameId {
        let owned = self.view.universe.versions(&relation.name).first();
        let name: &'a str = owned.map_or("(nothing)", |id| &self.view.universe.candidate(*id).package.name);
        let Tables { names, name_ids, .. } = &mut *self.tables.borrow_mut();
        *name_ids.entry(name).or_insert_with(|| {
            names.push(name);
            NameId::from_index(names.len() - 1)
        })
    }

    /// Restricts each package that a relation is against to what remains of it.
    fn restrictions(&self, node: Node, against: &[Relation]) -> Vec<VersionSetId> {
        let own = &self.view.package(node).name;
        let mut hit: BTreeMap<&str, (Vec<Node>, String)> = BTreeMap::new();
        for relation in against {
            for other in self.view.nodes_for(relation) {
                let name = &self.view.package(other).name;
                let both_installed = self.view.as_candidate(node).or(self.view.as_candidate(other)).is_none();
                if name != own && !both_installed {
                    hit.entry(name).or_insert_with(|| (Vec::new(), relation.to_string())).0.push(other);
                }
            }
        }
        let restrictions = hit.into_iter().filter_map(|(name, (excluded, relation))| {
            let mut rest = self.choices(name);
            let first = *rest.first()?;
            rest.retain(|node| !excluded.contains(node));
            Some(self.set(self.name_id(first), rest, format!("not {relation}")))
        });
        restrictions.collect()
    }

    fn known_dependencies(&self, node: Node) -> Result<KnownDependencies, RelationError> {
        let relations = self.view.relations(node)?;
        let mut groups: Vec<&Vec<Relation>> = relations.depends.iter().collect();
        if self.view.as_candidate(node).is_none() {
            groups.retain(|group| self.was_satisfied(group));
        }
        Ok(KnownDependencies {
            requirements: groups.into_iter().map(|group| self.requirement(group)).collect(),
            constrains: self.restrictions(node, &relations.against),
        })
    }

    /// Whether what is installed satisfies a group; a base that is broken already is not ours to mend.
    fn was_satisfied(&self, group: &[Relation]) -> bool {
        let mut nodes = group.iter().flat_map(|relation| self.view.nodes_for(relation));
        nodes.any(|node| self.view.as_candidate(node).is_none())
    }
}

impl Interner for Provider<'_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.view.title(self.node(solvable))
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.name_of(name)
    }

    fn display_version_set(&self, set: VersionSetId) -> impl Display + '_ {
        self.tables.borrow().sets[set.to_index()].2.clone()
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        ""
    }

    fn version_set_name(&self, set: VersionSetId) -> NameId {
        self.tables.borrow().sets[set.to_index()].0
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        self.name_id(self.node(solvable))
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.tables.borrow().unions[union.to_index()].clone().into_iter()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        unreachable!("no requirement here has a condition")
    }
}

impl DependencyProvider for Provider<'_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let tables = self.tables.borrow();
        let nodes = &tables.sets[set.to_index()].1;
        let fits = |id: &SolvableId| nodes.contains(&tables.solvables[id.to_index()]) != inverse;
        candidates.iter().copied().filter(fits).collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates<SolvableId>> {
        let name = self.name_of(name);
        let candidates: Vec<SolvableId> =
            self.choices(name).into_iter().map(|node| self.solvable_id(node)).collect();
        let favored = self.view.installed(name).map(|node| self.solvable_id(node));
        let hint_dependencies_available = HintDependenciesAvailable::None;
        Some(Candidates { candidates, favored, hint_dependencies_available, ..Candidates::default() })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        solvables.sort_by_key(|id| std::cmp::Reverse(self.node(*id)));
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        match self.known_dependencies(self.node(solvable)) {
            Ok(known) => Dependencies::Known(known),
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                Dependencies::Unknown(StringId(0))
            }
        }
    }
}
