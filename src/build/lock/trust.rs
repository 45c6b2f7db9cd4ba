//! Which keys may vouch for which repository.
//!
//! A repository is trusted by the keys it names (`signed-by`); one that names none, by those of the
//! base image or, on scratch, of this machine's archive keyrings. A definition's key counts for the
//! repositories that name it, else for those on the host it was fetched from; never for the base's.

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::apt::keyring::{Fingerprint, Keyring, Signer};
use crate::apt::sources::{Repository, SignedBy};
use crate::bom;
use crate::build::base::Facts;
use crate::build::machine::Machine;
use crate::redact;

/// The keyrings of distributions, which this machine may vouch with.
const ARCHIVE_KEYRINGS: [&str; 2] =
    ["usr/share/keyrings/debian-archive-keyring.gpg", "usr/share/keyrings/ubuntu-archive-keyring.gpg"];

/// A key block of a definition, or of a source, with its keys.
pub struct NamedKeyring {
    /// What `signed-by` calls it.
    pub name: String,
    /// The host it was fetched from.
    pub host: Option<String>,
    /// Its keys.
    pub keyring: Keyring,
}

/// Who wrote a repository down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Author {
    /// The definition, or the pipeline's source.
    Pipeline,
    /// The base image.
    Base,
    /// This machine's own apt configuration.
    Machine,
}

/// All keys that are at hand.
pub struct Trust<'a> {
    /// Those that the definition brings.
    pub named: Vec<NamedKeyring>,
    /// The base image's files.
    pub base: Option<&'a Facts>,
    /// This machine's files.
    pub machine: &'a Machine,
}

/// Keys that may vouch for a repository, and where each was found.
pub struct Trusted {
    parts: Vec<(String, Keyring)>,
    /// All of them.
    pub keyring: Keyring,
}

impl Trusted {
    fn new(parts: Vec<(String, Keyring)>) -> Trusted {
        let mut keyring = Keyring::default();
        parts.iter().for_each(|(_, part)| keyring.merge(part.clone()));
        Trusted { parts, keyring }
    }

    /// Returns the account of a key that signed.
    pub fn account(&self, signer: &Signer) -> bom::Key {
        let holds = |(_, keyring): &&(String, Keyring)| keyring.fingerprints().contains(&signer.primary);
        bom::Key {
            fingerprint: signer.primary.to_string(),
            identities: signer.identities.clone(),
            from: self.parts.iter().find(holds).map(|(from, _)| from.clone()).unwrap_or_default(),
        }
    }
}

impl Trust<'_> {
    /// Returns the keys that may vouch for `repository`.
    ///
    /// # Errors
    /// When it names one that can't be found, or when there is none at all.
    pub fn keys_for(&self, repository: &Repository, author: Author) -> Result<Trusted> {
        let shown = format!("{} {}", redact::url(&repository.uri), repository.suite);
        refuse_lenience(repository).with_context(|| format!("cannot trust repository {shown}"))?;
        let trusted =
            self.find(repository, author).with_context(|| format!("cannot trust repository {shown}"))?;
        match trusted.keyring.is_empty() {
            true => bail!(
                "cannot trust repository {shown}: no key is known for it\nhint: declare one, as in key \"name\" {{ uri = \"…\" }}, and write [signed-by=name] in the repository's line"
            ),
            false => Ok(trusted),
        }
    }

    fn find(&self, repository: &Repository, author: Author) -> Result<Trusted> {
        match &repository.signed_by {
            SignedBy::Unset => self.by_default(repository, author),
            SignedBy::Embedded(text) => {
                let keyring =
                    Keyring::parse(text.as_bytes()).context("cannot read the key in its Signed-By")?;
                Ok(Trusted::new(vec![("Signed-By".into(), keyring)]))
            }
            SignedBy::Paths(paths) => {
                let parts = paths.iter().map(|path| Ok((path.clone(), self.by_name(path, author)?)));
                Ok(Trusted::new(parts.collect::<Result<_>>()?))
            }
            SignedBy::Fingerprints(pins) => {
                let pins = pins.iter().map(|pin| Pin::parse(pin)).collect::<Result<Vec<_>>>()?;
                let all = self.by_default(repository, author)?.parts.into_iter();
                let parts = all.map(|(from, keyring)| (from, restricted(&keyring, &pins)));
                Ok(Trusted::new(parts.filter(|(_, keyring)| !keyring.is_empty()).collect()))
            }
        }
    }

    fn by_name(&self, name: &str, author: Author) -> Result<Keyring> {
        if author == Author::Pipeline
            && let Some(named) = self.named.iter().find(|named| named.name == name)
        {
            return Ok(named.keyring.clone());
        }
        let (base, machine) = match author {
            Author::Pipeline => (self.base, Some(self.machine)),
            Author::Base => (self.base, None),
            Author::Machine => (None, Some(self.machine)),
        };
        let found = base.and_then(|base| base.file(name)).or_else(|| machine?.facts().file(name));
        let Some(bytes) = found else {
            bail!(
                "its signed-by names {name}, which is neither a key block nor a keyring of the base image or of this machine"
            );
        };
        Keyring::parse(bytes).with_context(|| format!("cannot read keyring {name}"))
    }

    fn by_default(&self, repository: &Repository, author: Author) -> Result<Trusted> {
        let mut parts = Vec::new();
        if author == Author::Pipeline {
            let host = host(&repository.uri);
            let same_host = self.named.iter().filter(|named| named.host.is_some() && named.host == host);
            parts.extend(same_host.map(|named| (named.name.clone(), named.keyring.clone())));
        }
        parts.extend(match (author, self.base) {
            (Author::Pipeline | Author::Base, Some(base)) => trusted_parts(base)?,
            (Author::Pipeline | Author::Base, None) => archive_keyrings(self.machine.facts())?,
            (Author::Machine, _) => trusted_parts(self.machine.facts())?,
        });
        Ok(Trusted::new(parts))
    }
}

/// A fingerprint in a `signed-by`; with `!` after it, it means that key and none of its subkeys.
struct Pin {
    fingerprint: Fingerprint,
    is_exact: bool,
}

impl Pin {
    fn parse(text: &str) -> Result<Pin> {
        let (digits, is_exact) = text.strip_suffix('!').map_or((text, false), |digits| (digits, true));
        Ok(Pin { fingerprint: digits.parse()?, is_exact })
    }
}

/// Keeps of a keyring what any of the pins names.
fn restricted(keyring: &Keyring, pins: &[Pin]) -> Keyring {
    let mut kept = Keyring::default();
    for pin in pins {
        kept.merge(match pin.is_exact {
            true => keyring.only(&pin.fingerprint),
            false => keyring.restrict_to(std::slice::from_ref(&pin.fingerprint)).unwrap_or_default(),
        });
    }
    kept
}

/// What is written for apt to believe less than a good signature, or not even that, is not passed over in silence.
fn refuse_lenience(repository: &Repository) -> Result<()> {
    match (repository.lenience, repository.trusted) {
        (Some(option), _) => bail!(
            "it says {option}, and what nobody signed well is not used\nhint: take the option away; if the archive is signed, name its key with signed-by"
        ),
        (None, Some(false)) => bail!("it says trusted=no\nhint: take the option away, or the repository"),
        (None, Some(true) | None) => Ok(()),
    }
}

/// What apt trusts where no `signed-by` says better: trusted.gpg and trusted.gpg.d.
fn trusted_parts(facts: &Facts) -> Result<Vec<(String, Keyring)>> {
    let single = facts.file("etc/apt/trusted.gpg").map(|content| ("etc/apt/trusted.gpg", content));
    let many = facts
        .files_in("etc/apt/trusted.gpg.d/")
        .filter(|(path, _)| path.ends_with(".gpg") || path.ends_with(".asc"));
    single.into_iter().chain(many).map(|(path, content)| part(path, content)).collect()
}

fn archive_keyrings(machine: &Facts) -> Result<Vec<(String, Keyring)>> {
    let found = ARCHIVE_KEYRINGS.iter().filter_map(|path| Some((*path, machine.file(path)?)));
    found.map(|(path, content)| part(path, content)).collect()
}

fn part(path: &str, content: &[u8]) -> Result<(String, Keyring)> {
    let keyring = Keyring::parse(content).with_context(|| format!("cannot read keyring /{path}"))?;
    Ok((format!("/{path}"), keyring))
}

/// Returns the host of an address.
pub fn host(uri: &str) -> Option<String> {
    url::Url::parse(uri).ok()?.host_str().map(str::to_owned)
}
