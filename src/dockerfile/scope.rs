//! The variables of a build: what ARG and ENV make of what was given, and who sees which.
//!
//! Where in an instruction variables are replaced is said in `expand`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::expand::word;
use super::kind::{Argument, Expanded, Pair};
use super::lexer::Escape;
use super::mistake::{Mistake, Problem};
use super::{Dockerfile, Instruction, Kind};
use crate::oci::Reference;

/// Where programs are looked for in an image that does not say it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Build arguments that each RUN sees without ARG, and that no image records; also in small letters.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Build arguments that say something to the builder, with or without ARG.
const FOR_THE_BUILDER: [&str; 2] = ["SOURCE_DATE_EPOCH", "BUILDKIT_"];

/// Arguments that no command sees.
const UNSEEN: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// A platform, as the predefined arguments name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform {
    /// The operating system, `linux`.
    pub os: String,
    /// The architecture, `amd64`.
    pub architecture: String,
    /// The variant, `v7`; it may be empty.
    pub variant: String,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// What is given to a build, besides the Dockerfile.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The build arguments.
    pub arguments: BTreeMap<String, String>,
    /// The platform that builds.
    pub builder: Platform,
    /// The platform that is built for.
    pub platform: Platform,
    /// The stage that is built; the last one, if not said.
    pub target: Option<String>,
    /// Names that stand for something that is given, instead of a stage or an image, in their short form.
    pub names: BTreeSet<String>,
}

/// The arguments before the first FROM, and those given to the build.
#[derive(Debug, Clone)]
pub struct Globals {
    given: BTreeMap<String, String>,
    names: BTreeSet<String>,
    variables: Variables,
    pub(super) escape: Escape,
}

impl Globals {
    /// Evaluates the arguments before the first FROM.
    pub fn of(dockerfile: &Dockerfile, given: Given) -> Result<Globals, Mistake> {
        let predefined = predefined(dockerfile, &given);
        let mut globals = Globals {
            given: given.arguments,
            names: given.names,
            variables: Variables::default(),
            escape: dockerfile.directives.escape,
        };
        for (name, value) in predefined {
            let value = globals.given.get(name).cloned().unwrap_or(value);
            globals.variables.set(name, value);
        }
        for argument in &dockerfile.arguments {
            globals.declare(argument)?;
            globals.variables.check().map_err(|problem| problem.at(argument.span.clone()))?;
        }
        Ok(globals)
    }

    fn declare(&mut self, argument: &Argument) -> Result<(), Mistake> {
        let value = match (self.given.get(&argument.name), &argument.value) {
            (Some(given), _) => given.clone(),
            (None, Some(default)) => {
                let value = word(default, self.escape, &|name| self.get(name));
                value.map_err(|problem| problem.at(argument.span.clone()))?
            }
            (None, None) => return Ok(()),
        };
        self.variables.set(&argument.name, value);
        Ok(())
    }

    /// Returns the value of a variable, as FROM sees it.
    pub fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(str::to_owned)
    }

    /// Returns the name, as it was given, that stands for what is called `name` here. `alpine` and
    /// `docker.io/library/alpine:latest` are one name, and nothing but nothing is called `scratch`.
    pub(super) fn named(&self, name: &str) -> Option<String> {
        let is_its_own = ["scratch", "context"].iter().any(|own| name.eq_ignore_ascii_case(own));
        let familiar = name.parse::<Reference>().ok()?.familiar();
        (!is_its_own && self.names.contains(&familiar)).then_some(familiar)
    }

    /// Returns the names of given arguments that no ARG of `dockerfile` takes.
    pub fn unused(&self, dockerfile: &Dockerfile) -> Vec<String> {
        let declared = |name: &str| {
            let instructions = dockerfile.stages.iter().flat_map(|stage| &stage.instructions);
            let in_stages = instructions.filter_map(|instruction| {
                let Kind::Arg(arguments) = &instruction.kind else { return None };
                Some(arguments)
            });
            let mut all = dockerfile.arguments.iter().chain(in_stages.flatten());
            all.any(|argument| argument.name == name)
        };
        let is_known = |name: &str| {
            PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
                || FOR_THE_BUILDER.iter().any(|prefix| name.starts_with(prefix))
                || self.variables.get(name).is_some()
        };
        self.given.keys().filter(|name| !is_known(name) && !declared(name)).cloned().collect()
    }
}

/// Returns the proxies that are among these variables, in both spellings; that in small letters counts.
pub fn proxies(given: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut proxies = Vec::new();
    for proxy in PROXIES {
        let given = given.iter().rev().find(|(name, _)| proxy.eq_ignore_ascii_case(name));
        if let Some((_, value)) = given.filter(|(_, value)| !value.is_empty()) {
            proxies.push((proxy.to_owned(), value.clone()));
            proxies.push((proxy.to_lowercase(), value.clone()));
        }
    }
    proxies
}

/// Returns the arguments that every build has; ARG without a value makes one known in a stage.
fn predefined(dockerfile: &Dockerfile, given: &Given) -> [(&'static str, String); 11] {
    let Given { builder, platform, .. } = given;
    let last = dockerfile.stages.last().and_then(|stage| stage.name.clone());
    let target = given.target.clone().or(last).filter(|name| !name.is_empty());
    [
        ("BUILDPLATFORM", builder.to_string()),
        ("BUILDOS", builder.os.clone()),
        ("BUILDOSVERSION", String::new()),
        ("BUILDARCH", builder.architecture.clone()),
        ("BUILDVARIANT", builder.variant.clone()),
        ("TARGETPLATFORM", platform.to_string()),
        ("TARGETOS", platform.os.clone()),
        ("TARGETOSVERSION", String::new()),
        ("TARGETARCH", platform.architecture.clone()),
        ("TARGETVARIANT", platform.variant.clone()),
        ("TARGETSTAGE", target.unwrap_or_else(|| "default".to_owned())),
    ]
}

/// The variables in a stage, at some place of it.
#[derive(Debug, Clone)]
pub struct Scope<'g> {
    globals: &'g Globals,
    /// What commands and words see: ARG and ENV, the later one of the same name.
    variables: Variables,
    /// What the image's configuration says, and where in it a name is.
    image: Vec<String>,
    places: BTreeMap<String, usize>,
    /// What was declared, each name once, and where in it a name is.
    declared: Vec<(String, Option<String>)>,
    declared_places: BTreeMap<String, usize>,
}

impl<'g> Scope<'g> {
    /// Begins a stage on an image that has `environment`, each `NAME=value`; on none, on nothing.
    pub fn on_image(globals: &'g Globals, environment: &[String]) -> Scope<'g> {
        let mut scope = Scope {
            globals,
            variables: Variables::default(),
            image: Vec::new(),
            places: BTreeMap::new(),
            declared: Vec::new(),
            declared_places: BTreeMap::new(),
        };
        for entry in environment {
            scope.push(entry.clone());
        }
        if !scope.places.contains_key("PATH") {
            scope.push(format!("PATH={DEFAULT_PATH}"));
        }
        scope.see_image();
        scope
    }

    fn push(&mut self, entry: String) {
        let name = pair(&entry).0.to_owned();
        self.places.entry(name).or_insert(self.image.len());
        self.image.push(entry);
    }

    /// Begins a stage on the end of another one, whose arguments it sees, too.
    pub fn on_stage(base: &Scope<'g>) -> Scope<'g> {
        let mut scope = base.clone();
        scope.see_image();
        scope
    }

    fn see_image(&mut self) {
        for entry in &self.image {
            let (name, value) = pair(entry);
            self.variables.set(name, value.to_owned());
        }
    }

    /// Returns the value of a variable, as the next instruction sees it.
    pub fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(str::to_owned)
    }

    /// Goes past an instruction: returns it with its variables replaced by what they are before it, and
    /// knows afterwards what it sets. An ARG is returned with the values that its arguments have.
    pub fn follow(&mut self, instruction: &Instruction) -> Result<Expanded, Mistake> {
        if let Kind::Arg(arguments) = &instruction.kind {
            return self.declare(arguments).map(Kind::Arg);
        }
        let expanded = instruction.kind.expand(self.globals.escape, &|name| self.get(name));
        let expanded = expanded.map_err(|problem| problem.at(instruction.span.clone()))?;
        if let Kind::Env(pairs) = &expanded {
            self.set(pairs);
            self.variables.check().map_err(|problem| problem.at(instruction.span.clone()))?;
        }
        Ok(expanded)
    }

    fn declare(&mut self, arguments: &[Argument]) -> Result<Vec<Argument>, Mistake> {
        let mut declared = Vec::new();
        let mut n_bytes = 0;
        for argument in arguments {
            let value = self.value_of(argument)?;
            n_bytes += value.as_ref().map_or(0, String::len);
            if let Some(value) = value.clone().filter(|_| !UNSEEN.contains(&argument.name.as_str())) {
                self.variables.set(&argument.name, value);
            }
            let checked = self.variables.check().and_then(|()| check(n_bytes));
            checked.map_err(|problem| problem.at(argument.span.clone()))?;
            self.note(&argument.name, value.clone());
            declared.push(Argument { value, ..argument.clone() });
        }
        Ok(declared)
    }

    fn note(&mut self, name: &str, value: Option<String>) {
        match self.declared_places.get(name) {
            Some(place) => self.declared[*place].1 = value,
            None => {
                self.declared_places.insert(name.to_owned(), self.declared.len());
                self.declared.push((name.to_owned(), value));
            }
        }
    }

    /// What was given counts most, then the default, then what stands before the first FROM.
    fn value_of(&self, argument: &Argument) -> Result<Option<String>, Mistake> {
        if let Some(given) = self.globals.given.get(&argument.name) {
            return Ok(Some(given.clone()));
        }
        let Some(default) = &argument.value else { return Ok(self.globals.get(&argument.name)) };
        let value = word(default, self.globals.escape, &|name| self.get(name));
        value.map(Some).map_err(|problem| problem.at(argument.span.clone()))
    }

    fn set(&mut self, pairs: &[Pair]) {
        for Pair { name, value } in pairs {
            self.variables.set(name, value.clone());
            let entry = format!("{name}={value}");
            match self.places.get(name) {
                Some(place) => self.image[*place] = entry,
                None => self.push(entry),
            }
        }
    }

    /// Returns what the image's configuration says, each `NAME=value`.
    pub fn of_image(&self) -> &[String] {
        &self.image
    }

    /// Returns what a RUN sees, in this order: the image's variables and arguments as they were last set,
    /// then the proxies that were given, as far as these don't say it.
    pub fn of_run(&self) -> Vec<(String, String)> {
        let mut variables = self.variables.clone();
        for (name, value) in proxies(&self.globals.given) {
            if variables.get(&name).is_none() {
                variables.set(&name, value);
            }
        }
        variables.in_order()
    }

    /// Returns the arguments declared so far and what a RUN sees of them, for the history.
    pub fn of_history(&self) -> Vec<(String, String)> {
        let seen = self.declared.iter().map(|(name, value)| {
            let value = self.get(name).or_else(|| value.clone()).unwrap_or_default();
            (name.clone(), value)
        });
        seen.collect()
    }
}

fn pair(entry: &str) -> (&str, &str) {
    entry.split_once('=').unwrap_or((entry, ""))
}

/// Variables, with the order in which they were last set.
#[derive(Debug, Clone, Default)]
struct Variables {
    values: BTreeMap<String, (usize, String)>,
    n_set: usize,
    n_bytes: usize,
}

/// More than Linux gives to a program.
const MOST_BYTES: usize = 1 << 20;

fn check(n_bytes: usize) -> Result<(), Problem> {
    let message = "cannot set more variables: they have more than 1 MiB of text";
    match n_bytes <= MOST_BYTES {
        true => Ok(()),
        false => Err(Problem::new(message, "no program takes as much; use a file")),
    }
}

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        self.n_set += 1;
        self.n_bytes += name.len() + value.len();
        if let Some((_, earlier)) = self.values.insert(name.to_owned(), (self.n_set, value)) {
            self.n_bytes -= name.len() + earlier.len();
        }
    }

    fn check(&self) -> Result<(), Problem> {
        check(self.n_bytes)
    }

    fn in_order(self) -> Vec<(String, String)> {
        let mut list: Vec<_> = self.values.into_iter().collect();
        list.sort_by_key(|(_, (place, _))| *place);
        list.into_iter().map(|(name, (_, value))| (name, value)).collect()
    }
}
