//! Which sources of ADD are git repositories, and what their addresses say (BuildKit's `dfgitutil`).
//!
//! Nothing is known here of a repository but its address.

use url::{Url, form_urlencoded};

/// A git repository as a source of ADD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repository {
    /// Its address, with the credentials that are written, without what stands behind `?` and `#`.
    pub remote: String,
    /// The branch, tag, full name of a ref, or commit; the default branch without.
    pub reference: Option<String>,
    /// The directory whose content is meant, without `.` and `..`; empty for the whole.
    pub subdir: String,
    /// Digits that the commit begins with.
    pub checksum: Option<String>,
    /// Whether `.git` stays, if the address says so.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are fetched, if the address says so.
    pub submodules: Option<bool>,
}

impl Repository {
    /// Reads a source of ADD; none if it is no repository.
    ///
    /// # Errors
    /// What the address of a repository can't mean.
    pub fn parse(source: &str) -> Result<Option<Repository>, String> {
        let Some((remote, query, fragment)) = split(source) else { return Ok(None) };
        let (reference, subdir) = fragment.split_once(':').unwrap_or((&fragment, ""));
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut repository = Repository { remote, reference: said(reference), ..Repository::default() };
        let mut subdir = said(subdir);
        repository.read_query(&query, &mut subdir)?;
        repository.subdir = cleaned(&subdir.unwrap_or_default())?;
        Ok(Some(repository))
    }

    fn read_query(&mut self, query: &[(String, String)], subdir: &mut Option<String>) -> Result<(), String> {
        let (mut tag, mut branch) = (None, None);
        for (index, (name, value)) in query.iter().enumerate() {
            if query[..index].iter().any(|(other, _)| other == name) {
                return Err(format!("`{name}` is given twice"));
            }
            let value = (!value.is_empty()).then(|| value.clone());
            let given = || value.clone().ok_or_else(|| format!("`{name}` has no value"));
            match name.as_str() {
                "ref" => agree("ref", &mut self.reference, given()?)?,
                "subdir" => agree("subdir", subdir, given()?)?,
                "tag" => tag = Some(given()?),
                "branch" => branch = Some(given()?),
                "checksum" | "commit" => agree("checksum", &mut self.checksum, given()?)?,
                "keep-git-dir" => self.keep_git_dir = Some(truth(name, value.as_deref())?),
                "submodules" => self.submodules = Some(truth(name, value.as_deref())?),
                _ => return Err(format!("nobody knows `{name}`")),
            }
        }
        let full = |prefix: &str, name: String| match name.starts_with(prefix) {
            true => name,
            false => format!("{prefix}{name}"),
        };
        match (tag, branch) {
            (Some(_), Some(_)) => return Err("it names a tag and a branch".into()),
            (Some(tag), None) => agree("ref", &mut self.reference, full("refs/tags/", tag))?,
            (None, Some(branch)) => agree("ref", &mut self.reference, full("refs/heads/", branch))?,
            (None, None) => {}
        }
        if self.reference.is_none() {
            self.reference.clone_from(&self.checksum);
        }
        Ok(())
    }
}

/// A repository, what stands behind `?`, and behind `#`.
type Parts = (String, Vec<(String, String)>, String);

/// Takes an address apart.
fn split(source: &str) -> Option<Parts> {
    let Some((scheme, _)) = source.split_once("://").filter(|(scheme, _)| is_word(scheme)) else {
        return split_scp(source);
    };
    let scheme = scheme.to_ascii_lowercase();
    let is_http = matches!(scheme.as_str(), "http" | "https");
    if !is_http && !matches!(scheme.as_str(), "git" | "ssh") {
        return None;
    }
    let mut url = Url::parse(source).ok()?;
    if is_http && !decoded(url.path()).ends_with(".git") {
        return None;
    }
    let query = url.query_pairs().into_owned().collect();
    let fragment = decoded(url.fragment().unwrap_or_default());
    url.set_query(None);
    url.set_fragment(None);
    Some((url.into(), query, fragment))
}

/// `user@host:path`, as ssh has it.
fn split_scp(source: &str) -> Option<Parts> {
    let (user, rest) = source.split_once('@')?;
    let (host, _) = rest.split_once(':')?;
    let in_user = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let in_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if user.is_empty() || host.is_empty() || !user.chars().all(in_user) || !host.chars().all(in_host) {
        return None;
    }
    let (address, fragment) = source.split_once('#').unwrap_or((source, ""));
    let (address, query) = address.split_once('?').unwrap_or((address, ""));
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    Some((address.to_owned(), query, fragment.to_owned()))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn agree(what: &str, place: &mut Option<String>, value: String) -> Result<(), String> {
    match place {
        Some(other) if *other != value => Err(format!("it has two of `{what}`: `{other}` and `{value}`")),
        Some(_) | None => {
            *place = Some(value);
            Ok(())
        }
    }
}

/// As Go reads a truth; a name alone says that it is so.
fn truth(name: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(format!("`{name}` is true or false, not `{other}`")),
    }
}

fn cleaned(subdir: &str) -> Result<String, String> {
    let mut parts = Vec::new();
    for part in subdir.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => return Err(format!("`{subdir}` leads out of the repository")),
            ".." => {}
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}
