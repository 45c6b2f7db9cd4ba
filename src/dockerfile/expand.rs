//! Where variables are replaced in an instruction, and where not.
//!
//! Not in RUN, CMD, ENTRYPOINT, HEALTHCHECK and SHELL, whose commands expand their own; not in ONBUILD, whose
//! time is yet to come; nor in `--from` and `--exclude`. ARG is expanded by [`Scope`](super::Scope), which
//! knows whether its default counts.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::kind::{Add, Copy, Document, Expanded, Kind, Pair, Run, Transfer};
use super::lexer::{Escape, Lexer, Lookup, MOST_EXPANDED};
use super::mistake::Problem;
use super::{ports, signal};

/// Returns `word` with its variables replaced, and without its quotes and escapes.
pub fn word(word: &str, escape: Escape, lookup: &Lookup<'_>) -> Result<String, Problem> {
    Lexer::of_words(escape).word(word, lookup)
}

/// Returns `word` with its variables replaced, split at the spaces outside of quotes.
pub fn words(word: &str, escape: Escape, lookup: &Lookup<'_>) -> Result<Vec<String>, Problem> {
    Lexer::of_words(escape).words(word, lookup)
}

impl Kind {
    /// Returns the instruction with its variables replaced by what they are before it, and checks what can
    /// be checked only then.
    pub fn expand(&self, escape: Escape, lookup: &Lookup<'_>) -> Result<Expanded, Problem> {
        let expander = Expander { lexer: Lexer::of_words(escape), lookup, n_expanded: Cell::new(0) };
        Ok(match self {
            Kind::Add(add) => Kind::Add(expander.add(add)?),
            Kind::Copy(copy) => Kind::Copy(expander.copy(copy)?),
            Kind::Env(pairs) => Kind::Env(expander.pairs(pairs)?),
            Kind::Label(pairs) => Kind::Label(expander.pairs(pairs)?),
            Kind::Expose(words) => Kind::Expose(expander.ports(words)?),
            Kind::Run(run) => Kind::Run(expander.run(run)?),
            Kind::Stopsignal(word) => {
                let word = expander.word(word)?;
                signal::check(&word)?;
                Kind::Stopsignal(word)
            }
            Kind::User(word) => Kind::User(expander.word(word)?),
            Kind::Volume(words) => Kind::Volume(expander.volumes(words)?),
            Kind::Workdir(word) => Kind::Workdir(expander.word(word)?),
            Kind::Arg(arguments) => Kind::Arg(arguments.clone()),
            Kind::Cmd(command) => Kind::Cmd(command.clone()),
            Kind::Entrypoint(command) => Kind::Entrypoint(command.clone()),
            Kind::Healthcheck(check) => Kind::Healthcheck(check.clone()),
            Kind::Maintainer(name) => Kind::Maintainer(name.clone()),
            Kind::Onbuild(trigger) => Kind::Onbuild(trigger.clone()),
            Kind::Shell(words) => Kind::Shell(words.clone()),
        })
    }
}

/// How much longer than a word an instruction may become.
const MOST_IN_ONE: usize = 4 * MOST_EXPANDED;

/// More than all ports of all protocols, some of them twice.
const MOST_PORTS: usize = 500_000;

struct Expander<'a> {
    lexer: Lexer,
    lookup: &'a Lookup<'a>,
    n_expanded: Cell<usize>,
}

impl Expander<'_> {
    fn word(&self, word: &str) -> Result<String, Problem> {
        self.count(self.lexer.word(word, self.lookup)?)
    }

    fn count(&self, text: String) -> Result<String, Problem> {
        self.n_expanded.set(self.n_expanded.get() + text.len());
        match self.n_expanded.get() <= MOST_IN_ONE {
            true => Ok(text),
            false => Err(Problem::new("cannot expand the instruction: it is longer than 4 MiB then", "")),
        }
    }

    fn option(&self, word: Option<&String>) -> Result<Option<String>, Problem> {
        let word = word.map(|word| self.word(word)).transpose()?;
        Ok(word.filter(|word| !word.is_empty()))
    }

    fn all(&self, words: &[String]) -> Result<Vec<String>, Problem> {
        words.iter().map(|word| self.word(word)).collect()
    }

    fn pairs(&self, pairs: &[Pair]) -> Result<Vec<Pair>, Problem> {
        let expand = |pair: &Pair| Ok(Pair { name: self.word(&pair.name)?, value: self.word(&pair.value)? });
        pairs.iter().map(expand).collect()
    }

    fn transfer(&self, transfer: &Transfer) -> Result<Transfer, Problem> {
        Ok(Transfer {
            sources: self.all(&transfer.sources)?,
            documents: transfer.documents.iter().map(|it| self.document(it)).collect::<Result<_, _>>()?,
            destination: self.word(&transfer.destination)?,
            chown: self.option(transfer.chown.as_ref())?,
            chmod: self.option(transfer.chmod.as_ref())?,
            link: transfer.link,
            exclude: transfer.exclude.clone(),
        })
    }

    fn document(&self, document: &Document) -> Result<Document, Problem> {
        let text = match document.is_expanded {
            true => self.count(Lexer::of_documents().word(&document.text, self.lookup)?)?,
            false => document.text.clone(),
        };
        Ok(Document { text, ..document.clone() })
    }

    fn copy(&self, copy: &Copy) -> Result<Copy, Problem> {
        let transfer = self.transfer(&copy.transfer)?;
        Ok(Copy { transfer, from: copy.from.clone(), parents: copy.parents })
    }

    fn add(&self, add: &Add) -> Result<Add, Problem> {
        let transfer = self.transfer(&add.transfer)?;
        Ok(Add { transfer, checksum: self.option(add.checksum.as_ref())?, ..*add })
    }

    fn run(&self, run: &Run) -> Result<Run<super::Mount>, Problem> {
        let mounts = run.mounts.iter().map(|mount| {
            let expanded = mount.expand(&mut |value| self.word(value));
            expanded.map_err(|problem| problem.within(&mount.span))
        });
        Ok(Run {
            command: run.command.clone(),
            mounts: mounts.collect::<Result<_, _>>()?,
            network: run.network,
            security: run.security,
        })
    }

    /// A variable may hold several ports; of those that are the same, the first counts.
    fn ports(&self, words: &[String]) -> Result<Vec<String>, Problem> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        let mut n_ports = 0;
        for word in words {
            for word in self.lexer.words(word, self.lookup)? {
                let ports = ports::parse(&self.count(word)?)?;
                n_ports += ports.len();
                if n_ports > MOST_PORTS {
                    return Err(Problem::new("cannot expose so many ports", "write each port once"));
                }
                found.extend(ports.into_iter().filter(|port| seen.insert(port.clone())));
            }
        }
        Ok(found)
    }

    fn volumes(&self, words: &[String]) -> Result<Vec<String>, Problem> {
        let volumes = self.all(words)?;
        match volumes.iter().any(String::is_empty) {
            true => Err(Problem::new("cannot make a volume without a name", "give its variable a value")),
            false => Ok(volumes),
        }
    }
}
