//! What `.gitmodules` says: where the repositories of submodules are.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use gix::bstr::{BStr, ByteSlice as _};

/// Returns the addresses of submodules by their paths; those that are never to be fetched have none.
pub(super) fn parse(text: &[u8]) -> Result<BTreeMap<Vec<u8>, Option<String>>> {
    let file = gix::config::File::try_from(BStr::new(text))
        .map_err(|error| anyhow!("{error}"))
        .context("the repository's .gitmodules can't be read")?;
    let mut addresses = BTreeMap::new();
    for section in file.sections_by_name("submodule").into_iter().flatten() {
        let is_idle = section.value("update").is_some_and(|update| update == "none");
        if let (Some(path), Some(url)) = (section.value("path"), section.value("url")) {
            let url = url.to_str().context("a submodule's address is no UTF-8")?;
            addresses.insert(path.to_vec(), (!is_idle).then(|| url.to_owned()));
        }
    }
    Ok(addresses)
}

/// Returns where a submodule is that a repository names, which may be relative to the repository's own address.
pub(super) fn address(parent: &str, written: &str) -> Result<String> {
    if written.starts_with("http://") || written.starts_with("https://") {
        return Ok(written.to_owned());
    }
    if !written.starts_with("./") && !written.starts_with("../") {
        bail!("only http and https are spoken");
    }
    let (origin, path) = split(parent).context("the repository's address can't be read")?;
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." => ensure!(parts.pop().is_some(), "it leads out of its server"),
            part => parts.push(part),
        }
    }
    Ok(format!("{origin}/{}", parts.join("/")))
}

fn split(url: &str) -> Option<(&str, &str)> {
    let start = url.find("://")? + 3;
    let end = url[start..].find('/').map_or(url.len(), |slash| start + slash);
    Some(url.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_addresses_begin_at_the_repository() {
        let parent = "https://git.example/team/app.git";
        assert_eq!(address(parent, "../lib.git").unwrap(), "https://git.example/team/lib.git");
        assert_eq!(address(parent, "./lib").unwrap(), "https://git.example/team/app.git/lib");
        assert_eq!(address(parent, "https://other.example/x").unwrap(), "https://other.example/x");
        assert!(address(parent, "../../../x").is_err());
        assert!(address(parent, "/srv/git/x").is_err() && address(parent, "git@git.example:x").is_err());
    }

    #[test]
    fn quoted_values_and_idle_submodules_are_understood() {
        let text = b"[submodule \"a b\"]\n\tpath = \"a b\" # here\n\turl = ../a\n[submodule \"c\"]\npath=c\nurl=../c\nupdate=none\n";
        let parsed = parse(text).unwrap();
        assert_eq!(
            parsed,
            BTreeMap::from([(b"a b".to_vec(), Some("../a".to_owned())), (b"c".to_vec(), None)])
        );
        assert!(parse(b"[submodule").is_err());
    }
}
