//! The params of a put that builds a Dockerfile.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::super::fields::{Fields, InvalidRequest};
use super::path;
use crate::digest::Digest;
use crate::redact::Secret;

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

impl DockerfileParams {
    /// Takes them; `dockerfile` is where it lies.
    pub(super) fn take(dockerfile: PathBuf, fields: &mut Fields) -> Result<DockerfileParams, InvalidRequest> {
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

#[cfg(test)]
mod tests {
    use super::super::put::{PutParams, Written};
    use super::*;
    use serde_json::json;
    use std::path::Path;

    fn put_error(value: Value) -> String {
        PutParams::from_value(value).unwrap_err().to_string()
    }

    fn dockerfile(params: &PutParams) -> &DockerfileParams {
        match &params.written {
            Written::Definition(_) | Written::Image(_) => panic!("a Dockerfile is put"),
            Written::Dockerfile(dockerfile) => dockerfile,
        }
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
}
