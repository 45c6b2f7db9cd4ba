//! A Dockerfile on the command line: which file, which values, which secrets.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use estaleiro::build;
use estaleiro::build::context::Context;
use estaleiro::build::secrets::{SecretSource, Secrets};
use estaleiro::build::stages::{Content, Contents, DockerfileRequest};
use estaleiro::build::{Destination, Recipe, Request};
use estaleiro::layer::Compression;
use estaleiro::oci::Platform;
use estaleiro::redact::Secret;
use estaleiro::registry::Location;

use super::args::{BuildArgs, DockerfileArgs};
use super::verbs::{WrongRequest, tag};

/// Reads the Dockerfile `file` and all that is said of it.
pub(super) fn request(file: &Path, args: &BuildArgs, location: Location) -> Result<Request> {
    let context = &args.definition.path;
    if !context.is_dir() {
        bail!(WrongRequest(format!("cannot use context {}: it is no directory", context.display())));
    }
    let said = &args.dockerfile;
    let written = DockerfileRequest {
        text: text_of(file)?,
        file_name: file.display().to_string(),
        ignore: ignore(file, context)?,
        target: said.target.clone(),
        build_args: build_args(&said.build_args)?,
        labels: pairs("--label", &said.labels)?,
        contents: contents(&said.build_contexts)?,
        secrets: secrets(said)?,
        hosts: said.hosts.clone(),
        is_for_given_platform: args.definition.platform.is_some(),
    };
    let tags = vec![tag(&location)?];
    Ok(Request {
        recipe: Recipe::Dockerfile(Box::new(written)),
        context: Context::new(context),
        lock: None,
        platform: args.definition.platform.clone().unwrap_or_else(Platform::host),
        destination: Destination { location, tags },
        is_without_cache: false,
        keeps_failed: false,
        compression: Compression::default(),
        cache_from: Vec::new(),
        policies: Vec::new(),
        bom_formats: None,
    })
}

/// `-` is the standard input.
fn text_of(file: &Path) -> Result<String> {
    match file == Path::new("-") {
        true => text("Dockerfile", "the standard input", io::stdin()),
        false => match fs::File::open(file) {
            Ok(opened) => text("Dockerfile", &file.display().to_string(), opened),
            Err(error) => {
                let hint = "\nhint: -f names the Dockerfile itself, relative to the current directory";
                bail!(WrongRequest(format!("cannot read Dockerfile {}: {error}{hint}", file.display())))
            }
        },
    }
}

fn text(what: &str, name: &str, reader: impl Read) -> Result<String> {
    let failed = |error| WrongRequest(format!("cannot read {what} {name}: {error:#}"));
    Ok(build::text::read(reader).map_err(failed)?)
}

/// Reads what counts for the Dockerfile alone, else what counts for the context.
fn ignore(file: &Path, context: &Path) -> Result<String> {
    let own = PathBuf::from(format!("{}.dockerignore", file.display()));
    for path in [own, context.join(".dockerignore")] {
        match fs::File::open(&path) {
            Ok(opened) => return text("ignore file", &path.display().to_string(), opened),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                bail!(WrongRequest(format!("cannot read ignore file {}: {error}", path.display())))
            }
        }
    }
    Ok(String::new())
}

/// One without a value has that of the environment, if it has one there.
fn build_args(said: &[String]) -> Result<BTreeMap<String, String>> {
    let mut args = BTreeMap::new();
    for pair in said {
        match pair.split_once('=') {
            Some(("", _)) => {
                bail!(WrongRequest(format!("cannot read --build-arg `{pair}`: expected NAME=VALUE")))
            }
            Some((name, value)) => drop(args.insert(name.to_owned(), value.to_owned())),
            None => args.extend(env::var(pair).ok().map(|value| (pair.clone(), value))),
        }
    }
    Ok(args)
}

fn pairs(option: &str, said: &[String]) -> Result<BTreeMap<String, String>> {
    let pairs = said.iter().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name.is_empty() {
            true => bail!(WrongRequest(format!("cannot read {option} `{pair}`: expected NAME=VALUE"))),
            false => Ok((name.to_owned(), value.to_owned())),
        }
    });
    pairs.collect()
}

fn contents(said: &[String]) -> Result<Contents> {
    let mut contents = Contents::default();
    for pair in said {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name.is_empty() || value.is_empty() {
            bail!(WrongRequest(format!("cannot read --build-context `{pair}`: expected NAME=VALUE")));
        }
        let content = Content::read(value, &|path| Ok(path.to_owned()));
        let added = content.and_then(|content| contents.add(name, content));
        added.map_err(|error| WrongRequest(format!("cannot use --build-context `{pair}`: {error:#}")))?;
    }
    Ok(contents)
}

fn secrets(said: &DockerfileArgs) -> Result<Secrets> {
    let mut secrets = Secrets::default();
    for text in &said.secrets {
        let (name, source) = secret(text)?;
        secrets.add(name, source);
    }
    for text in &said.ssh {
        let (name, places) = agent(text)?;
        secrets.add_agent(name, &places).map_err(|error| WrongRequest(error.to_string()))?;
    }
    Ok(secrets)
}

/// Reads `id=NAME`, with `src=FILE` or `env=VARIABLE`; alone it is the variable or file of that name.
fn secret(text: &str) -> Result<(String, SecretSource)> {
    let wrong = |why: &str| WrongRequest(format!("cannot read --secret `{text}`: {why}"));
    let (mut id, mut file, mut variable) = (None, None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) if !value.is_empty() => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => file = Some(PathBuf::from(value)),
            Some(("env", value)) => variable = Some(value.to_owned()),
            Some(("type", "file" | "env")) => {}
            _ => bail!(wrong("expected id=NAME,src=FILE or id=NAME,env=VARIABLE")),
        }
    }
    let Some(id) = id else { bail!(wrong("it has no id\nhint: write id=NAME,src=FILE")) };
    let source = match (file, variable) {
        (Some(file), _) => SecretSource::File(file),
        (None, variable) => {
            let name = variable.as_deref().unwrap_or(&id);
            match env::var(name) {
                Ok(value) => SecretSource::Value(Secret::new(value)),
                Err(_) if variable.is_none() => SecretSource::File(PathBuf::from(&id)),
                Err(_) => bail!(wrong(&format!("the environment has no variable {name}"))),
            }
        }
    };
    Ok((id, source))
}

/// Reads `NAME=SOCKET` or `NAME=KEY,KEY`; alone it is the agent that the environment names.
fn agent(text: &str) -> Result<(String, Vec<PathBuf>)> {
    if let Some((name, places)) = text.split_once('=') {
        return Ok((name.to_owned(), places.split(',').map(PathBuf::from).collect()));
    }
    match env::var_os("SSH_AUTH_SOCK") {
        Some(socket) => Ok((text.to_owned(), vec![PathBuf::from(socket)])),
        None => bail!(WrongRequest(format!(
            "cannot use --ssh {text}: the environment has no SSH_AUTH_SOCK\nhint: start an agent, or write --ssh {text}=SOCKET or {text}=KEY"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_file_or_a_variable() {
        let (id, source) = secret("id=token,src=/run/token").unwrap();
        assert!(
            id == "token" && matches!(source, SecretSource::File(path) if path == Path::new("/run/token"))
        );
        assert!(matches!(secret("id=x,env=PATH").unwrap().1, SecretSource::Value(_)));
        for wrong in ["token", "src=a", "id=,src=a", "id=a,env=NO_SUCH_VARIABLE_HERE"] {
            let error = secret(wrong).err().unwrap().to_string();
            assert!(error.starts_with(&format!("cannot read --secret `{wrong}`")), "{error}");
        }
    }

    #[test]
    fn an_argument_without_a_value_has_that_of_the_environment() {
        let args = build_args(&["A=1=2".into(), "PATH".into(), "NO_SUCH_VARIABLE_HERE".into()]).unwrap();
        assert_eq!(args.keys().collect::<Vec<_>>(), ["A", "PATH"]);
        assert_eq!(args["A"], "1=2");
        assert!(build_args(&["=1".into()]).is_err());
    }
}
