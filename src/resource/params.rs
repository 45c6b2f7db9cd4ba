//! The params of a get and of a put.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::fields::{Fields, InvalidRequest};
use crate::digest::Digest;
use crate::redact::Secret;

const GET: &str = "get param";
const PUT: &str = "put param";

/// What other image resources know in a get, and what is still to come.
const PLANNED_FOR_GET: [&str; 2] = ["platform", "rootfs"];

/// What other image resources know in a put, and what is still to come.
const PLANNED_FOR_PUT: [&str; 16] = [
    "additional_tags",
    "bump_aliases",
    "cache_from",
    "image",
    "load",
    "load_base",
    "load_bases",
    "load_file",
    "platforms",
    "policy",
    "ssh",
    "tag_as_latest",
    "tag_file",
    "tag_prefix",
    "unpack_rootfs",
    "version",
];

/// In which form an image is got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The unpacked root file system, and `metadata.json`.
    #[default]
    Rootfs,
}

/// The params of a get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetParams {
    /// In which form.
    pub format: Format,
    /// Whether only the small files are wanted.
    pub skip_download: bool,
    /// Whether the sources are wanted that are attached to it.
    pub sources: bool,
}

/// The params of a put; paths are relative to its inputs and stay among them, which the put checks for links too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutParams {
    /// What is built.
    pub written: Written,
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
}

/// What a put builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// A definition.
    Definition(DefinitionParams),
    /// A Dockerfile.
    Dockerfile(Box<DockerfileParams>),
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

/// The params of a put that builds a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerfileParams {
    /// The Dockerfile.
    pub dockerfile: PathBuf,
    /// The stage to build.
    pub target: Option<String>,
    /// A file that holds its name.
    pub target_file: Option<PathBuf>,
    /// Values for its arguments.
    pub build_args: BTreeMap<String, String>,
    /// A file of such values, over which `build_args` win.
    pub build_args_file: Option<PathBuf>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// A file of labels, over which `labels` win.
    pub labels_file: Option<PathBuf>,
    /// What names stand for instead of its stages and images.
    pub build_contexts: BTreeMap<String, ContextParam>,
    /// What its commands may be told, by name.
    pub secrets: BTreeMap<String, SecretParam>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextParam {
    /// As it is written on the command line: a directory among the inputs, or an image.
    Written(String),
    /// An image in an OCI layout among the inputs.
    Layout {
        /// The directory.
        path: PathBuf,
        /// The image's tag.
        tag: Option<String>,
        /// Its digest, which counts more than the tag.
        digest: Option<Digest>,
    },
}

/// Where a secret's value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretParam {
    /// In a file among the inputs.
    Source(PathBuf),
    /// Here.
    Value(Secret),
}

impl GetParams {
    /// Reads the params of a get.
    pub(super) fn from_value(value: Value) -> Result<GetParams, InvalidRequest> {
        let mut fields = Fields::new(GET, value)?;
        let format = match fields.text("format")?.as_deref() {
            None | Some("rootfs") => Format::Rootfs,
            Some("oci" | "oci-layout") => {
                return Err(fields.refusal("format", "that format is not built yet\nhint: `rootfs` is"));
            }
            Some(_) => return Err(fields.refusal("format", "expected rootfs, oci or oci-layout")),
        };
        let skip_download = fields.flag("skip_download")?;
        let sources = fields.flag("sources")?;
        fields.finish(|name| PLANNED_FOR_GET.contains(&name))?;
        Ok(GetParams { format, skip_download, sources })
    }
}

impl PutParams {
    /// Reads the params of a put.
    pub(super) fn from_value(value: Value) -> Result<PutParams, InvalidRequest> {
        let mut fields = Fields::new(PUT, value)?;
        let build = path(&mut fields, "build")?;
        let dockerfile = path(&mut fields, "dockerfile")?;
        let dockerfile = dockerfile.or_else(|| build.as_ref().map(|context| context.join("Dockerfile")));
        let written = match dockerfile {
            Some(dockerfile) => {
                Some(Written::Dockerfile(Box::new(dockerfile_params(dockerfile, &mut fields)?)))
            }
            None => definition_params(&mut fields)?.map(Written::Definition),
        };
        let context = path(&mut fields, "context")?.or(build);
        let lock = path(&mut fields, "lock")?;
        let locked = fields.flag("locked")?;
        let no_cache = fields.flag("no_cache")?;
        let keep_failed = fields.flag("keep_failed")?;
        fields.finish(|name| PLANNED_FOR_PUT.contains(&name))?;
        // What is misspelled is told before what is missing.
        let way_out = "name the definition, as `definition: source/estaleiro.hcl`, where `source` is an input; or a `dockerfile`";
        let written = written.ok_or_else(|| Fields::missing(PUT, "definition", way_out))?;
        Ok(PutParams { written, context, lock, locked, no_cache, keep_failed })
    }
}

fn definition_params(fields: &mut Fields) -> Result<Option<DefinitionParams>, InvalidRequest> {
    let definition = path(fields, "definition")?;
    let vars = fields.table("vars")?;
    let vars_file = path(fields, "vars_file")?;
    Ok(definition.map(|definition| DefinitionParams { definition, vars, vars_file }))
}

fn dockerfile_params(dockerfile: PathBuf, fields: &mut Fields) -> Result<DockerfileParams, InvalidRequest> {
    let target = fields.text("target")?;
    let of_docker_image = fields.text("target_name")?;
    Ok(DockerfileParams {
        dockerfile,
        target: target.or(of_docker_image),
        target_file: path(fields, "target_file")?,
        build_args: fields.table("build_args")?,
        build_args_file: path(fields, "build_args_file")?,
        labels: fields.table("labels")?,
        labels_file: path(fields, "labels_file")?,
        build_contexts: build_contexts(fields)?,
        secrets: secrets(fields)?,
    })
}

/// Each is a text, or `{oci_layout: input/directory}`: of `oci-layout://input/…` Concourse wouldn't know which input it names.
fn build_contexts(fields: &mut Fields) -> Result<BTreeMap<String, ContextParam>, InvalidRequest> {
    let mut contexts = BTreeMap::new();
    for (name, value) in fields.entries("build_contexts")? {
        let context = match value {
            Value::String(text) => ContextParam::Written(text),
            object => layout(fields.inside("build_contexts", &name, object)?)?,
        };
        contexts.insert(name, context);
    }
    Ok(contexts)
}

fn layout(mut fields: Fields) -> Result<ContextParam, InvalidRequest> {
    let path = path(&mut fields, "oci_layout")?;
    let Some(path) = path else { return Err(fields.refusal("oci_layout", "expected a directory")) };
    let tag = fields.text_or_number("tag")?;
    let digest = fields.text("digest")?.map(|text| text.parse::<Digest>()).transpose();
    let digest = digest.map_err(|error| fields.refusal("digest", &error.to_string()))?;
    fields.finish(|_| false)?;
    Ok(ContextParam::Layout { path, tag, digest })
}

/// Each is a text, the value itself, or names the file that it is in: `{source: input/file}`.
fn secrets(fields: &mut Fields) -> Result<BTreeMap<String, SecretParam>, InvalidRequest> {
    let mut secrets = BTreeMap::new();
    for (name, value) in fields.entries("secrets")? {
        let secret = match value {
            Value::String(text) => SecretParam::Value(Secret::new(text)),
            object => {
                let mut fields = fields.inside("secrets", &name, object)?;
                let source = path(&mut fields, "source")?;
                let value = fields.text("value")?;
                let secret = match (source, value) {
                    (Some(source), None) => SecretParam::Source(source),
                    (None, Some(value)) => SecretParam::Value(Secret::new(value)),
                    (Some(_), Some(_)) | (None, None) => {
                        return Err(fields.refusal("source", "expected either `source` or `value`"));
                    }
                };
                fields.finish(|_| false)?;
                secret
            }
        };
        secrets.insert(name, secret);
    }
    Ok(secrets)
}

fn path(fields: &mut Fields, name: &'static str) -> Result<Option<PathBuf>, InvalidRequest> {
    let Some(path) = fields.text(name)?.map(PathBuf::from) else { return Ok(None) };
    match stays_inside(&path) {
        true => Ok(Some(path)),
        false => {
            let why = "expected a path among the put's inputs\nhint: it begins with an input's name and has no `..`";
            Err(fields.refusal(name, why))
        }
    }
}

pub(super) fn stays_inside(path: &Path) -> bool {
    path.components().all(|component| match component {
        Component::Normal(_) | Component::CurDir => true,
        Component::ParentDir | Component::RootDir | Component::Prefix(_) => false,
    })
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
            Written::Dockerfile(_) => panic!("a definition is put"),
        }
    }

    fn dockerfile(params: &PutParams) -> &DockerfileParams {
        match &params.written {
            Written::Definition(_) => panic!("a Dockerfile is put"),
            Written::Dockerfile(dockerfile) => dockerfile,
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
    fn every_param_of_a_put_of_a_dockerfile_is_read() {
        let params = PutParams::from_value(json!({
            "dockerfile": "source/Dockerfile", "context": "source", "target": "app", "target_file": "t/name",
            "build_args": {"VERSION": 1.5, "DEBUG": true}, "build_args_file": "a/args.yml",
            "labels": {"team": "x"}, "labels_file": "l/labels.yml", "no_cache": true,
            "keep_failed": true,
            "build_contexts": {"lib": "lib/src", "base": {"oci_layout": "base/oci", "tag": 1}},
            "secrets": {"token": "s3cret", "key": {"source": "keys/id"}, "other": {"value": "t"}},
        }));
        let params = params.unwrap();
        let written = dockerfile(&params);
        assert_eq!(written.dockerfile, Path::new("source/Dockerfile"));
        assert_eq!(written.target.as_deref(), Some("app"));
        assert_eq!(written.target_file.as_deref(), Some(Path::new("t/name")));
        assert_eq!(
            (written.build_args["VERSION"].as_str(), written.build_args["DEBUG"].as_str()),
            ("1.5", "true")
        );
        assert_eq!(written.labels["team"], "x");
        assert!(
            params.no_cache
                && params.keep_failed
                && written.labels_file.is_some()
                && written.build_args_file.is_some()
        );
        assert_eq!(written.build_contexts["lib"], ContextParam::Written("lib/src".into()));
        let layout = ContextParam::Layout { path: "base/oci".into(), tag: Some("1".into()), digest: None };
        assert_eq!(written.build_contexts["base"], layout);
        assert_eq!(written.secrets["token"], SecretParam::Value(Secret::new("s3cret")));
        assert_eq!(written.secrets["key"], SecretParam::Source("keys/id".into()));
        assert!(!format!("{params:?}").contains("s3cret"));
    }

    #[test]
    fn the_words_of_docker_image_name_a_dockerfile_too() {
        let params = PutParams::from_value(json!({"build": "source", "target_name": "app"})).unwrap();
        assert_eq!(dockerfile(&params).dockerfile, Path::new("source/Dockerfile"));
        assert_eq!(dockerfile(&params).target.as_deref(), Some("app"));
        assert_eq!(params.context.as_deref(), Some(Path::new("source")));
    }

    #[test]
    fn a_build_context_that_is_none_is_refused() {
        for (context, told) in [
            (json!(7), "build_contexts.lib"),
            (json!({}), "build_contexts.lib.oci_layout"),
            (json!({"oci_layout": "../x"}), "build_contexts.lib.oci_layout"),
            (json!({"oci_layout": "x", "digest": "md5:1"}), "build_contexts.lib.digest"),
            (json!({"oci_layout": "x", "tga": "1"}), "did you mean `build_contexts.lib.tag`?"),
        ] {
            let text = put_error(json!({"dockerfile": "s/Dockerfile", "build_contexts": {"lib": context}}));
            assert!(text.contains(told), "{text}");
        }
    }

    #[test]
    fn a_secret_that_is_no_secret_is_refused_without_being_shown() {
        for secret in [json!(7), json!({}), json!({"source": "a", "value": "b"}), json!({"source": "../x"})] {
            let text = put_error(json!({"dockerfile": "s/Dockerfile", "secrets": {"token": secret}}));
            assert!(text.contains("secrets.token"), "{text}");
        }
    }

    #[test]
    fn a_path_out_of_the_inputs_is_refused() {
        for path in ["/etc/estaleiro.hcl", "../estaleiro.hcl", "source/../../etc"] {
            for name in ["definition", "context", "vars_file", "lock"] {
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
        for name in PLANNED_FOR_PUT {
            let mut params = json!({"definition": "source"});
            params[name] = json!("x");
            assert!(put_error(params).contains(&format!("put param `{name}`: it is not built yet")));
        }
        assert!(put_error(json!({"definitoin": "source"})).contains("did you mean `definition`?"));
    }

    #[test]
    fn a_get_brings_a_rootfs_unless_told_otherwise() {
        let get = |value: Value| GetParams::from_value(value).map_err(|error| error.to_string());
        assert_eq!(get(Value::Null), Ok(GetParams::default()));
        assert!(get(json!({"format": "rootfs", "skip_download": true})).unwrap().skip_download);
        assert!(get(json!({"format": "oci"})).unwrap_err().contains("not built yet"));
        assert!(get(json!({"format": "zip"})).unwrap_err().contains("expected rootfs, oci or oci-layout"));
        assert!(get(json!({"platform": {}})).unwrap_err().contains("`platform`: it is not built yet"));
        assert!(get(json!({"skip": true})).unwrap_err().contains("no such get param"));
    }
}
