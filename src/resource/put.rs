//! `out`: builds an image, pushes it, and attaches its bill of materials; or pushes one that is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::cloud::signed_in_everywhere;
use super::inputs::Inputs;
use super::params::{DefinitionParams, PutParams, Written};
use super::protocol::{Metadata, PutRequest, Response, Version};
use super::source::Source;
use super::{image, policy, reach, tags};
use crate::build::cache::Fate;
use crate::build::context::Context;
use crate::build::lock::Lock;
use crate::build::{self, Built, DefinitionRequest, Destination, Recipe, Request, report};
use crate::oci::Reference;
use crate::progress::Progress;
use crate::registry::Location;
use crate::sandbox::Cancel;

const DEFINITION: &str = "estaleiro.hcl";
pub(super) const LOCK: &str = "estaleiro.lock";

/// Builds and pushes what `request` asks for; its paths are below `sources`.
pub async fn put(
    request: &PutRequest,
    sources: &Path,
    progress: Progress,
    cancel: Cancel,
) -> Result<Response> {
    let request = &PutRequest { source: signed_in_everywhere(&request.source).await?, ..request.clone() };
    let world = reach::world(&request.source, progress, cancel)?;
    if let Written::Image(pattern) = &request.params.written {
        return image::put(pattern, request, sources, &world).await;
    }
    let registry = world.open(&reach::location(&request.source, sources)).await?;
    let tags = tags::wanted(&request.source, &request.params.tags, sources, &registry).await?;
    let request = read(request, tags, sources)?;
    let built = build::build(&request, &world).await?;
    report::summary(&built, &request.destination, &world.progress);
    Ok(response(&built, &request.destination))
}

fn response(built: &Built, destination: &Destination) -> Response {
    let n_built = built.fates.iter().filter(|(_, fate)| *fate == Fate::Built).count();
    let steps = format!("{n_built} built, {} cached", built.fates.len() - n_built);
    Response {
        version: Version { tag: destination.tags[0].clone(), digest: built.published.manifest.digest },
        metadata: vec![
            Metadata::new("repository", &destination.location.name()),
            Metadata::new("tags", &destination.tags.join(" ")),
            Metadata::new("digest", &built.published.manifest.digest),
            Metadata::new("bom", &built.bom),
            Metadata::new("packages", &built.document.installed().len()),
            Metadata::new("steps", &steps),
        ],
    }
}

fn read(request: &PutRequest, tags: Vec<String>, sources: &Path) -> Result<Request> {
    let (source, params, inputs) = (&request.source, &request.params, Inputs::of_put(sources));
    let (recipe, file) = match &params.written {
        Written::Definition(written) => definition(written, inputs)?,
        Written::Dockerfile(written) => {
            let (context, has_platform) = (params.context.as_deref(), source.platform.is_some());
            let request = super::dockerfile::request(written, context, has_platform, inputs)?;
            (Recipe::Dockerfile(Box::new(request)), written.dockerfile.clone())
        }
        Written::Image(_) => bail!("internal error: an image that is there is not built"),
    };
    let directory = file.parent().unwrap_or(Path::new(""));
    let context = params.context.as_deref().unwrap_or(directory);
    Ok(Request {
        context: Context::new(inputs.place(context)?),
        lock: lock(params, &recipe, directory, inputs)?,
        recipe,
        platform: reach::platform(source),
        destination: Destination { location: reach::location(source, sources), tags },
        is_without_cache: params.no_cache,
        keeps_failed: params.keep_failed,
        compression: params.compression,
        cache_from: further_images(source, sources, &params.cache_from)?,
        policies: policy::of_put(source, params, inputs)?,
        bom_formats: params.bom_formats.clone().or(source.bom_formats.clone()),
    })
}

/// Returns where the images are that `cache_from` names, by a tag of the put's own repository or by a whole name.
fn further_images(source: &Source, sources: &Path, names: &[String]) -> Result<Vec<Location>> {
    let location = |name: &String| match name.strip_prefix(':') {
        Some(tag) => Ok(tagged(reach::location(source, sources), tag)),
        None => name.parse().map(Location::Remote).with_context(|| {
            format!(
                "cannot use cache_from {name}\nhint: write `:TAG` for the same repository, or an image's name"
            )
        }),
    };
    names.iter().map(location).collect()
}

fn tagged(location: Location, tag: &str) -> Location {
    let tag = tag.to_owned();
    match location {
        Location::Remote(reference) => Location::Remote(Reference { tag: Some(tag), ..reference }),
        Location::Layout { directory, .. } => Location::Layout { directory, tag },
    }
}

/// Reads a definition; returns its path among the inputs, too.
pub(super) fn definition(written: &DefinitionParams, inputs: Inputs<'_>) -> Result<(Recipe, PathBuf)> {
    let file = definition_file(&written.definition, inputs)?;
    let shown = file.display().to_string();
    let text = inputs.text("definition", &file)?;
    let variables = variables(written, inputs)?;
    Ok((Recipe::Definition(DefinitionRequest { text, file_name: shown, variables }), file))
}

/// Returns the path of the definition among the inputs, without any `.`.
fn definition_file(path: &Path, inputs: Inputs<'_>) -> Result<PathBuf> {
    let plain: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    Ok(if inputs.place(path)?.is_dir() { plain.join(DEFINITION) } else { plain })
}

/// Values given in the params win over those of the file.
fn variables(params: &DefinitionParams, inputs: Inputs<'_>) -> Result<BTreeMap<String, String>> {
    inputs.table_with("vars_file", params.vars_file.as_deref(), &params.vars)
}

/// A lock that is named must be there; one beside the definition, in `directory`, may be.
fn lock(params: &PutParams, recipe: &Recipe, directory: &Path, inputs: Inputs<'_>) -> Result<Option<Lock>> {
    let beside = directory.join(LOCK);
    let is_definition = matches!(recipe, Recipe::Definition(_));
    let file = match &params.lock {
        Some(path) => path,
        // The one beside a Dockerfile may be a definition's.
        None if is_definition && inputs.has(&beside) => &beside,
        None if params.locked => {
            bail!(
                "cannot put: `locked` is asked for, and there is no {LOCK} beside the definition\nhint: write one with `estaleiro lock`, and commit it"
            )
        }
        None => return Ok(None),
    };
    read_lock(file, inputs).map(Some)
}

/// Reads a lock among the inputs.
pub(super) fn read_lock(file: &Path, inputs: Inputs<'_>) -> Result<Lock> {
    let shown = file.display();
    let bytes = fs::read(inputs.place(file)?).with_context(|| format!("cannot read lock {shown}"))?;
    Lock::parse(&bytes).with_context(|| format!("in {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::os::unix::fs::symlink;

    fn put_request(params: &Value) -> PutRequest {
        let source = json!({"repository": "registry.example/app"});
        PutRequest::parse(&json!({"source": source, "params": params}).to_string()).unwrap()
    }

    fn written(request: &Request) -> &DefinitionRequest {
        match &request.recipe {
            Recipe::Definition(written) => written,
            Recipe::Dockerfile(_) => panic!("a definition was put"),
        }
    }

    #[test]
    fn an_input_that_is_not_mounted_gets_an_error_that_says_how() {
        let sources = tempfile::tempdir().unwrap();
        let request = put_request(&json!({"definition": "source/estaleiro.hcl"}));
        let error = read(&request, vec![], sources.path()).err().unwrap().to_string();
        assert!(error.contains("there is no input source") && error.contains("inputs: all"), "{error}");
    }

    #[test]
    fn values_in_params_win_over_those_of_the_file() {
        let sources = tempfile::tempdir().unwrap();
        fs::create_dir(sources.path().join("s")).unwrap();
        fs::write(sources.path().join("s/estaleiro.hcl"), "").unwrap();
        fs::write(sources.path().join("s/vars.yml"), "a: 1\nb: true\n").unwrap();
        let params = json!({"definition": "s", "vars_file": "s/vars.yml", "vars": {"b": "no"}});
        let request = read(&put_request(&params), vec![], sources.path()).unwrap();
        let expected = [("a", "1"), ("b", "no")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(written(&request).variables, BTreeMap::from(expected));
        assert_eq!(written(&request).file_name, "s/estaleiro.hcl");
    }

    /// Two inputs, `s` with links that lead out and `other`, beside what no put may read.
    fn place_with_links() -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let (outside, sources) = (place.path().join("outside"), place.path().join("sources"));
        for directory in [&outside, &sources.join("s/sub"), &sources.join("other")] {
            fs::create_dir_all(directory).unwrap();
            fs::write(directory.join(DEFINITION), "").unwrap();
            fs::write(directory.join("vars.yml"), "a: 1").unwrap();
        }
        fs::write(outside.join(LOCK), "").unwrap();
        symlink(&outside, sources.join("s/out")).unwrap();
        symlink("../../outside/vars.yml", sources.join("s/file")).unwrap();
        symlink("../other", sources.join("s/within")).unwrap();
        (place, sources)
    }

    #[test]
    fn a_link_of_an_input_does_not_lead_out_of_the_inputs() {
        let (_place, sources) = place_with_links();
        for path in ["s/file", "s/out/vars.yml", "s/out"] {
            for name in ["definition", "context", "vars_file", "lock"] {
                let mut params = json!({"definition": "s/sub"});
                params[name] = json!(path);
                let error = read(&put_request(&params), vec![], &sources).err().unwrap().to_string();
                assert!(
                    error.starts_with(&format!("cannot use {path}: a symbolic link leads out")),
                    "{error}"
                );
            }
        }
        let params =
            json!({"definition": "s/within", "context": "s/within", "vars_file": "s/within/vars.yml"});
        let request = read(&put_request(&params), vec![], &sources).unwrap();
        assert_eq!(
            (written(&request).file_name.as_str(), written(&request).variables["a"].as_str()),
            ("s/within/estaleiro.hcl", "1")
        );
    }

    #[test]
    fn neither_do_links_in_the_place_of_files_that_no_param_names() {
        let (place, sources) = place_with_links();
        for name in [DEFINITION, LOCK] {
            let link = sources.join("s/sub").join(name);
            let _ = fs::remove_file(&link);
            symlink(place.path().join("outside").join(name), &link).unwrap();
            let error = read(&put_request(&json!({"definition": "s/sub"})), vec![], &sources).err().unwrap();
            let expected = format!("cannot use s/sub/{name}: a symbolic link leads out");
            assert!(error.to_string().starts_with(&expected), "{error}");
            fs::remove_file(&link).unwrap();
            fs::write(sources.join("s/sub").join(DEFINITION), "").unwrap();
        }
    }

    #[test]
    fn the_inputs_themselves_may_lie_behind_a_link() {
        let (place, sources) = place_with_links();
        let link = place.path().join("link");
        symlink(&sources, &link).unwrap();
        let request = read(&put_request(&json!({"definition": "./s/sub"})), vec![], &link).unwrap();
        assert_eq!(written(&request).file_name, "s/sub/estaleiro.hcl");
    }

    #[test]
    fn a_locked_put_without_a_lock_says_how_to_get_one() {
        let sources = tempfile::tempdir().unwrap();
        fs::write(sources.path().join("estaleiro.hcl"), "").unwrap();
        let request = put_request(&json!({"definition": "estaleiro.hcl", "locked": true}));
        let error = read(&request, vec![], sources.path()).err().unwrap().to_string();
        assert!(error.contains("estaleiro lock"), "{error}");
    }
}
