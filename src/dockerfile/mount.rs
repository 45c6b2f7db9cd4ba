//! What RUN mounts: `--mount=type=cache,target=/var/cache`.
//!
//! See <https://docs.docker.com/reference/dockerfile/#run---mount>. Where a relative target is and whether
//! a source exists is for the build to say.

use std::ops::Range;

use super::mistake::{Problem, suggestion};

/// A mount as it is written, its options in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountWords {
    options: Vec<MountOption>,
    /// Where it stands in the text; in a trigger, the FROM that brought it.
    pub span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct MountOption {
    /// In small letters.
    name: String,
    value: Option<String>,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// Files of the context, of a stage or of an image. Where it can be written to, what is written is lost.
    Bind {
        /// The stage or image, and not the context.
        from: Option<String>,
        /// The path in there; the whole without one.
        source: Option<String>,
        /// Where it is seen; it may be relative to the working directory.
        target: String,
        /// Whether it can only be read.
        read_only: bool,
    },
    /// A directory that outlives the build.
    Cache {
        /// Its name; without one, `target` is it.
        id: Option<String>,
        /// The stage or image that it begins with.
        from: Option<String>,
        /// The path in there.
        source: Option<String>,
        /// Where it is seen; it may be relative to the working directory.
        target: String,
        /// Who may use it at once.
        sharing: Sharing,
        /// Whom a new one belongs to.
        owner: Owner,
        /// Whether it can only be read.
        read_only: bool,
    },
    /// A directory in memory.
    Tmpfs {
        /// Where it is seen; it may be relative to the working directory.
        target: String,
        /// How many bytes it may hold.
        size: Option<u64>,
    },
    /// A secret, in a file or a variable or both.
    Secret {
        /// Its name.
        id: String,
        /// The file; `/run/secrets/` and the id where neither file nor variable is asked for.
        target: Option<String>,
        /// The variable.
        variable: Option<String>,
        /// Whether there must be one.
        required: bool,
        /// Whom the file belongs to; its mode is 0400 unless said.
        owner: Owner,
    },
    /// A socket of an agent that holds keys.
    Ssh {
        /// Its name; `default` unless said.
        id: String,
        /// Where it is seen.
        target: Option<String>,
        /// Whether there must be one.
        required: bool,
        /// Whom the socket belongs to; its mode is 0600 unless said.
        owner: Owner,
    },
}

/// Who may use a cache at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// All.
    #[default]
    Shared,
    /// One, and another gets a new one.
    Private,
    /// One, and another waits.
    Locked,
}

/// Whom what is mounted belongs to, and its mode, where anything is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    /// The user.
    pub user: Option<u32>,
    /// The group.
    pub group: Option<u32>,
    /// The mode.
    pub mode: Option<u32>,
}

const TYPES: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];

const OPTIONS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];

impl MountWords {
    /// Takes a mount's options apart.
    pub(super) fn parse(text: &str, span: Range<usize>) -> Result<MountWords, Problem> {
        let options: Vec<MountOption> = fields(text)?.iter().map(|field| option(field)).collect();
        let from = options.iter().filter(|option| option.name == "from");
        let mut values = from.filter_map(|option| option.value.as_deref());
        // A `$` at the very end is no variable.
        if values.any(|value| value.trim_end_matches('$').contains('$')) {
            let hint = "name a stage: FROM $image AS name, and then from=name";
            return Err(Problem::new("cannot use a variable in `from` of a mount", hint));
        }
        Ok(MountWords { options, span })
    }

    /// Returns the stage or image that it comes from, which holds no variable.
    pub fn from(&self) -> Option<&str> {
        self.options.iter().rev().find(|option| option.name == "from")?.value.as_deref()
    }

    /// Reads the options, whose values `expand` makes.
    pub(super) fn expand(
        &self,
        expand: &mut dyn FnMut(&str) -> Result<String, Problem>,
    ) -> Result<Mount, Problem> {
        let mut given = Given::default();
        for option in &self.options {
            match &option.value {
                Some(value) => given.set(&option.name, &expand(value)?)?,
                None => given.set_alone(&option.name)?,
            }
        }
        given.check()?;
        Ok(given.mount())
    }
}

fn option(field: &str) -> MountOption {
    match field.split_once('=') {
        Some((name, value)) => MountOption { name: name.to_lowercase(), value: Some(value.to_owned()) },
        None => MountOption { name: field.to_lowercase(), value: None },
    }
}

/// Divides at commas; a field in double quotes may hold some.
fn fields(text: &str) -> Result<Vec<String>, Problem> {
    let malformed = || Problem::new("cannot read a mount: its quotes are wrong", "write type=…,target=…");
    if text.is_empty() {
        return Err(Problem::new("cannot read a mount: it has no options", "write type=…,target=…"));
    }
    let mut fields = Vec::new();
    let mut rest = Some(text);
    while let Some(ahead) = rest {
        let (field, after) = match ahead.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted).ok_or_else(malformed)?,
            None => match ahead.split_once(',') {
                Some((field, after)) => (field.to_owned(), Some(after)),
                None => (ahead.to_owned(), None),
            },
        };
        if !ahead.starts_with('"') && field.contains('"') {
            return Err(malformed());
        }
        fields.push(field);
        rest = after;
    }
    Ok(fields)
}

fn quoted_field(text: &str) -> Option<(String, Option<&str>)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.chars().next() {
            None => return Some((field, None)),
            Some(',') => return Some((field, Some(&after[1..]))),
            Some('"') => field.push('"'),
            Some(_) => return None,
        }
        rest = &after[1..];
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Type {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

impl Type {
    fn name(self) -> &'static str {
        TYPES[self as usize]
    }

    fn parse(value: &str) -> Result<Type, Problem> {
        match value.to_lowercase().as_str() {
            "bind" => Ok(Type::Bind),
            "cache" => Ok(Type::Cache),
            "tmpfs" => Ok(Type::Tmpfs),
            "secret" => Ok(Type::Secret),
            "ssh" => Ok(Type::Ssh),
            _ => {
                let hint = suggestion(value, TYPES, format!("the types are {}", TYPES.join(" ")));
                Err(Problem::new(format!("cannot mount anything of type `{value}`"), hint))
            }
        }
    }
}

/// The options that were given; a later one counts.
#[derive(Debug, Default)]
struct Given {
    kind: Type,
    from: String,
    source: String,
    target: String,
    id: String,
    variable: Option<String>,
    read_only: Option<bool>,
    required: bool,
    size: Option<u64>,
    sharing: Option<Sharing>,
    owner: Owner,
}

impl Given {
    fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let value_owned = || value.to_owned();
        match name {
            "type" => self.kind = Type::parse(value)?,
            "from" => self.from = value_owned(),
            "source" | "src" => self.source = value_owned(),
            "target" | "dst" | "destination" => self.target = value_owned(),
            "readonly" | "ro" => self.read_only = Some(truth(name, value)?),
            "readwrite" | "rw" => self.read_only = Some(!truth(name, value)?),
            "required" => {
                self.allow(name, matches!(self.kind, Type::Secret | Type::Ssh))?;
                self.required = truth(name, value)?;
            }
            "size" => {
                self.allow(name, self.kind == Type::Tmpfs)?;
                self.size = Some(size(value).ok_or_else(|| wrong_value(name, value, "64m"))?);
            }
            "id" => self.id = value_owned(),
            "sharing" => self.sharing = Some(sharing(value)?),
            "mode" => self.owner.mode = Some(number(name, value, 8)?),
            "uid" => self.owner.user = Some(number(name, value, 10)?),
            "gid" => self.owner.group = Some(number(name, value, 10)?),
            "env" => self.variable = Some(value_owned()),
            unknown => return Err(unknown_option(unknown)),
        }
        Ok(())
    }

    /// Only what is true or false can stand without a value.
    fn set_alone(&mut self, name: &str) -> Result<(), Problem> {
        match name {
            "readonly" | "ro" | "readwrite" | "rw" | "required" => self.set(name, "true"),
            name if OPTIONS.contains(&name) => {
                let message = format!("cannot use option `{name}` of a mount without a value");
                Err(Problem::new(message, format!("write {name}=…")))
            }
            unknown => Err(unknown_option(unknown)),
        }
    }

    fn allow(&self, name: &str, is_allowed: bool) -> Result<(), Problem> {
        if is_allowed {
            return Ok(());
        }
        let message = format!("cannot use option `{name}` with a mount of type {}", self.kind.name());
        Err(Problem::new(message, "leave it out, or write the type before it"))
    }

    fn check(&self) -> Result<(), Problem> {
        let has_owner = matches!(self.kind, Type::Cache | Type::Secret | Type::Ssh);
        self.allow("mode", self.owner.mode.is_none() || has_owner)?;
        self.allow("uid", self.owner.user.is_none() || has_owner)?;
        self.allow("gid", self.owner.group.is_none() || has_owner)?;
        self.allow("sharing", self.sharing.is_none() || self.kind == Type::Cache)?;
        match self.kind {
            Type::Secret => self.check_secret(),
            Type::Ssh => self.allow("source", self.source.is_empty()),
            Type::Bind | Type::Cache | Type::Tmpfs => Ok(()),
        }
    }

    fn check_secret(&self) -> Result<(), Problem> {
        self.allow("from", self.from.is_empty())?;
        match (self.source.as_str(), self.id.as_str(), self.target.as_str()) {
            ("", "", "") => Err(Problem::new("cannot mount a secret without a name", "write id=…")),
            ("", _, _) | (_, "", _) => Ok(()),
            _ => Err(Problem::new("cannot name a secret twice", "leave out `source` or `id`")),
        }
    }

    fn mount(self) -> Mount {
        let set = |text: String| Some(text).filter(|text| !text.is_empty());
        match self.kind {
            Type::Bind => Mount::Bind {
                from: set(self.from),
                source: set(self.source),
                target: self.target,
                read_only: self.read_only.unwrap_or(true),
            },
            Type::Cache => Mount::Cache {
                id: set(self.id),
                from: set(self.from),
                source: set(self.source),
                target: self.target,
                sharing: self.sharing.unwrap_or_default(),
                owner: self.owner,
                read_only: self.read_only.unwrap_or(false),
            },
            Type::Tmpfs => Mount::Tmpfs { target: self.target, size: self.size },
            Type::Secret => self.secret(),
            Type::Ssh => Mount::Ssh {
                id: set(self.id).unwrap_or_else(|| "default".to_owned()),
                target: set(self.target),
                required: self.required,
                owner: self.owner,
            },
        }
    }

    fn secret(self) -> Mount {
        let base = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let id = [self.source, self.id].into_iter().find(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| base(&self.target));
        let target = match (self.target.as_str(), &self.variable) {
            ("", Some(_)) => None,
            ("", None) => Some(format!("/run/secrets/{}", base(&id))),
            _ => Some(self.target),
        };
        Mount::Secret { id, target, variable: self.variable, required: self.required, owner: self.owner }
    }
}

fn unknown_option(name: &str) -> Problem {
    let hint = suggestion(name, OPTIONS, format!("the options are {}", OPTIONS.join(" ")));
    Problem::new(format!("cannot use option `{name}` of a mount: there is no such option"), hint)
}

fn wrong_value(name: &str, value: &str, example: &str) -> Problem {
    Problem::new(
        format!("cannot set option `{name}` of a mount to `{value}`"),
        format!("write for instance {name}={example}"),
    )
}

fn truth(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(wrong_value(name, value, "true")),
    }
}

fn sharing(value: &str) -> Result<Sharing, Problem> {
    match value.to_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        _ => {
            let hint = suggestion(value, ["shared", "private", "locked"], "choose shared, private or locked");
            Err(Problem::new(format!("cannot share a cache as `{value}`"), hint))
        }
    }
}

fn number(name: &str, value: &str, radix: u32) -> Result<u32, Problem> {
    let is_digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = u32::from_str_radix(value, radix).ok().filter(|_| is_digits);
    parsed.ok_or_else(|| wrong_value(name, value, if radix == 8 { "0755" } else { "1000" }))
}

/// Reads a number of bytes: `64m`, `1.5GiB`.
fn size(value: &str) -> Option<u64> {
    let end = value.rfind(|c: char| c.is_ascii_digit() || c == '.')? + 1;
    let (number, unit) = value.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| is_plain)?;
    let bytes = number * f64::from(1024_u32).powi(power);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 2^63")]
    (bytes < 9e18).then_some(bytes as u64)
}
