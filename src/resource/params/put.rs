//! The params of a put.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::fields::{Fields, InvalidRequest};
use super::dockerfile::DockerfileParams;
use super::path;
use super::tags::TagParams;
use crate::bom::Formats;
use crate::layer::{Compression, InvalidCompression};

const WHAT: &str = "put param";

/// What other image resources know, and what is still to come.
const PLANNED: [&str; 7] =
    ["load", "load_base", "load_bases", "load_file", "platforms", "ssh", "unpack_rootfs"];

/// The params of a put; paths are relative to its inputs and stay among them, which the put checks for links too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutParams {
    /// What is built or pushed.
    pub written: Written,
    /// Under which tags it is put.
    pub tags: TagParams,
    /// Where its files lie; beside the definition or Dockerfile without.
    pub context: Option<PathBuf>,
    /// A lock to use as it is.
    pub lock: Option<PathBuf>,
    /// Whether there must be a lock.
    pub locked: bool,
    /// Whether everything is done again, whatever is known of it.
    pub no_cache: bool,
    /// Whether the root of a command that fails is kept.
    pub keep_failed: bool,
    /// How layers are compressed.
    pub compression: Compression,
    /// Further images whose layers may be used again: a tag of the same repository after a colon, or a name.
    pub cache_from: Vec<String>,
    /// A policy that counts besides the source's and the definition's.
    pub policy_file: Option<PathBuf>,
    /// The forms in which the account is attached; as the source says without.
    pub bom_formats: Option<Formats>,
}

/// What a put builds, or pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// A definition.
    Definition(DefinitionParams),
    /// A Dockerfile.
    Dockerfile(Box<DockerfileParams>),
    /// An image that was built elsewhere: a path, or a pattern of paths that one matches.
    Image(String),
}

/// The params of a put that builds a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionParams {
    /// The definition, or the directory of an `estaleiro.hcl`.
    pub definition: PathBuf,
    /// Values for the definition's variables.
    pub vars: BTreeMap<String, String>,
    /// A file of such values, over which `vars` win.
    pub vars_file: Option<PathBuf>,
}

impl PutParams {
    /// Reads the params of a put.
    pub(in super::super) fn from_value(value: Value) -> Result<PutParams, InvalidRequest> {
        let mut fields = Fields::new(WHAT, value)?;
        let build = path(&mut fields, "build")?;
        let written = written(&mut fields, build.as_deref())?;
        let tags = TagParams::take(&mut fields)?;
        let context = path(&mut fields, "context")?.or(build);
        let lock = path(&mut fields, "lock")?;
        let locked = fields.flag("locked")?;
        let no_cache = fields.flag("no_cache")?;
        let keep_failed = fields.flag("keep_failed")?;
        let compression = compression(&mut fields)?;
        let cache_from = fields.texts("cache_from")?;
        let policy_file = path(&mut fields, "policy_file")?;
        let bom_formats = fields.bom_formats()?;
        fields.finish(|name| PLANNED.contains(&name))?;
        // What is misspelled is told before what is missing.
        let way_out = "name the definition, as `definition: source/estaleiro.hcl`, where `source` is an input; or a `dockerfile`; or an `image`";
        let written = written.ok_or_else(|| Fields::missing(WHAT, "definition", way_out))?;
        Ok(PutParams {
            written,
            tags,
            context,
            lock,
            locked,
            no_cache,
            keep_failed,
            compression,
            cache_from,
            policy_file,
            bom_formats,
        })
    }
}

fn written(fields: &mut Fields, build: Option<&Path>) -> Result<Option<Written>, InvalidRequest> {
    let image = path(fields, "image")?;
    let dockerfile = path(fields, "dockerfile")?;
    let dockerfile = dockerfile.or_else(|| build.map(|context| context.join("Dockerfile")));
    let written = match dockerfile {
        Some(dockerfile) => Some(Written::Dockerfile(Box::new(DockerfileParams::take(dockerfile, fields)?))),
        None => definition_params(fields)?.map(Written::Definition),
    };
    match (image, written) {
        (Some(_), Some(_)) => Err(fields.refusal("image", "a put either pushes an image or builds one")),
        (Some(image), None) => Ok(Some(Written::Image(image.to_string_lossy().into_owned()))),
        (None, written) => Ok(written),
    }
}

fn compression(fields: &mut Fields) -> Result<Compression, InvalidRequest> {
    let Some(text) = fields.text("compression")? else { return Ok(Compression::default()) };
    text.parse().map_err(|error: InvalidCompression| fields.refusal("compression", &error.to_string()))
}

fn definition_params(fields: &mut Fields) -> Result<Option<DefinitionParams>, InvalidRequest> {
    let definition = path(fields, "definition")?;
    let vars = fields.table("vars")?;
    let vars_file = path(fields, "vars_file")?;
    Ok(definition.map(|definition| DefinitionParams { definition, vars, vars_file }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn put_error(value: Value) -> String {
        PutParams::from_value(value).unwrap_err().to_string()
    }

    fn definition(params: &PutParams) -> &DefinitionParams {
        match &params.written {
            Written::Definition(definition) => definition,
            Written::Dockerfile(_) | Written::Image(_) => panic!("a definition is put"),
        }
    }

    #[test]
    fn a_put_needs_only_a_definition() {
        let params = PutParams::from_value(json!({"definition": "source"})).unwrap();
        assert_eq!(definition(&params).definition, Path::new("source"));
        assert_eq!((&params.context, &params.lock, params.locked), (&None, &None, false));
        let text = put_error(json!({"context": "source"}));
        assert!(text.contains("`definition`") && text.contains("hint: "), "{text}");
    }

    #[test]
    fn every_param_of_a_put_is_read() {
        let params = PutParams::from_value(json!({
            "definition": "source/estaleiro.hcl", "context": ".", "vars": {"commit": "c0ffee", "n": 1},
            "vars_file": "values/vars.yml", "lock": "locks/estaleiro.lock", "locked": true,
        }));
        let params = params.unwrap();
        assert_eq!(params.context.as_deref(), Some(Path::new(".")));
        let written = definition(&params);
        assert_eq!((written.vars["commit"].as_str(), written.vars["n"].as_str()), ("c0ffee", "1"));
        assert_eq!(written.vars_file.as_deref(), Some(Path::new("values/vars.yml")));
        assert_eq!(params.lock.as_deref(), Some(Path::new("locks/estaleiro.lock")));
        assert!(params.locked);
    }

    #[test]
    fn an_image_is_pushed_and_not_built() {
        let params = PutParams::from_value(json!({
            "image": "image/*.tar", "version": 1.2, "bump_aliases": true, "additional_tags": "tags/more",
            "tag_prefix": "v", "tag_file": "tags/name", "tag_as_latest": true,
        }));
        let PutParams { written, tags, .. } = params.unwrap();
        assert_eq!(written, Written::Image("image/*.tar".into()));
        let expected = TagParams {
            version: Some("1.2".into()),
            bump_aliases: true,
            additional_tags: Some("tags/more".into()),
            tag_file: Some("tags/name".into()),
            tag_prefix: "v".into(),
            tag_as_latest: true,
        };
        assert_eq!(tags, expected);
        for other in ["definition", "dockerfile", "build"] {
            let mut params = json!({"image": "image/image.tar"});
            params[other] = json!("source");
            assert!(put_error(params).contains("`image`: a put either pushes an image or builds one"));
        }
    }

    #[test]
    fn a_path_out_of_the_inputs_is_refused() {
        for path in ["/etc/estaleiro.hcl", "../estaleiro.hcl", "source/../../etc"] {
            for name in ["definition", "context", "vars_file", "lock", "tag_file", "additional_tags"] {
                let mut params = json!({"definition": "source"});
                params[name] = json!(path);
                assert!(
                    put_error(params).starts_with(&format!("cannot use put param `{name}`: expected a path"))
                );
            }
        }
    }

    #[test]
    fn what_other_resources_have_is_refused_by_name() {
        for name in PLANNED {
            let mut params = json!({"definition": "source"});
            params[name] = json!("x");
            assert!(put_error(params).contains(&format!("put param `{name}`: it is not built yet")));
        }
        assert!(put_error(json!({"definitoin": "source"})).contains("did you mean `definition`?"));
    }
}
