//! The params of a get and of a put.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::fields::{Fields, InvalidRequest};

const GET: &str = "get param";
const PUT: &str = "put param";

/// What other image resources know in a get, and what is still to come.
const PLANNED_FOR_GET: [&str; 2] = ["platform", "rootfs"];

/// What other image resources know in a put, and what is still to come.
const PLANNED_FOR_PUT: [&str; 26] = [
    "additional_tags",
    "build",
    "build_args",
    "build_args_file",
    "bump_aliases",
    "cache_from",
    "dockerfile",
    "image",
    "labels",
    "labels_file",
    "load",
    "load_base",
    "load_bases",
    "load_file",
    "platforms",
    "policy",
    "secrets",
    "ssh",
    "tag_as_latest",
    "tag_file",
    "tag_prefix",
    "target",
    "target_file",
    "target_name",
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
    /// The definition, or the directory of an `estaleiro.hcl`.
    pub definition: PathBuf,
    /// Where the definition's files lie; beside the definition without.
    pub context: Option<PathBuf>,
    /// Values for the definition's variables.
    pub vars: BTreeMap<String, String>,
    /// A file of such values, over which `vars` win.
    pub vars_file: Option<PathBuf>,
    /// A lock to use as it is.
    pub lock: Option<PathBuf>,
    /// Whether there must be a lock.
    pub locked: bool,
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
        let definition = path(&mut fields, "definition")?;
        let context = path(&mut fields, "context")?;
        let vars = fields.table("vars")?;
        let vars_file = path(&mut fields, "vars_file")?;
        let lock = path(&mut fields, "lock")?;
        let locked = fields.flag("locked")?;
        fields.finish(|name| PLANNED_FOR_PUT.contains(&name))?;
        let way_out =
            "name the definition, as `definition: source/estaleiro.hcl`, where `source` is an input";
        let definition = definition.ok_or_else(|| Fields::missing(PUT, "definition", way_out))?;
        Ok(PutParams { definition, context, vars, vars_file, lock, locked })
    }
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

fn stays_inside(path: &Path) -> bool {
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

    #[test]
    fn a_put_needs_only_a_definition() {
        let params = PutParams::from_value(json!({"definition": "source"})).unwrap();
        assert_eq!(params.definition, Path::new("source"));
        assert_eq!((params.context, params.vars_file, params.lock, params.locked), (None, None, None, false));
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
        assert_eq!((params.vars["commit"].as_str(), params.vars["n"].as_str()), ("c0ffee", "1"));
        assert_eq!(params.vars_file.as_deref(), Some(Path::new("values/vars.yml")));
        assert_eq!(params.lock.as_deref(), Some(Path::new("locks/estaleiro.lock")));
        assert!(params.locked);
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
