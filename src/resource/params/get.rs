//! The params of a get.

use serde_json::Value;

use super::super::fields::{Fields, InvalidRequest};

const WHAT: &str = "get param";

/// What other image resources know, and what is still to come.
const PLANNED: [&str; 2] = ["platform", "rootfs"];

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

impl GetParams {
    /// Reads the params of a get.
    pub(in super::super) fn from_value(value: Value) -> Result<GetParams, InvalidRequest> {
        let mut fields = Fields::new(WHAT, value)?;
        let format = match fields.text("format")?.as_deref() {
            None | Some("rootfs") => Format::Rootfs,
            Some("oci" | "oci-layout") => {
                return Err(fields.refusal("format", "that format is not built yet\nhint: `rootfs` is"));
            }
            Some(_) => return Err(fields.refusal("format", "expected rootfs, oci or oci-layout")),
        };
        let skip_download = fields.flag("skip_download")?;
        let sources = fields.flag("sources")?;
        fields.finish(|name| PLANNED.contains(&name))?;
        Ok(GetParams { format, skip_download, sources })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
