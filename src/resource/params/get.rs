//! The params of a get.

use serde_json::Value;

use super::super::fields::{Fields, InvalidRequest};
use super::super::signing;
use super::super::source::platform;
use crate::oci::Platform;
use crate::signing::PublicKey;

const WHAT: &str = "get param";

/// What other image resources know, and what is still to come.
const PLANNED: [&str; 1] = ["rootfs"];

/// In which form an image is got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The unpacked root file system, and `metadata.json`.
    #[default]
    Rootfs,
    /// One archive, `image.tar`, for `docker load` and whoever reads an OCI layout.
    Oci,
    /// An OCI layout, with all that refers to the image.
    OciLayout,
}

/// The params of a get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetParams {
    /// In which form.
    pub format: Format,
    /// Whom it is for, of an image for several platforms; else the source says it.
    pub platform: Option<Platform>,
    /// Whether only the small files are wanted.
    pub skip_download: bool,
    /// Whether the sources are wanted that are attached to it.
    pub sources: bool,
    /// Of these keys one must have signed it; without, of the source's.
    pub verify: Vec<PublicKey>,
}

impl GetParams {
    /// Reads the params of a get.
    pub(in super::super) fn from_value(value: Value) -> Result<GetParams, InvalidRequest> {
        let mut fields = Fields::new(WHAT, value)?;
        let format = match fields.text("format")?.as_deref() {
            None | Some("rootfs") => Format::Rootfs,
            Some("oci") => Format::Oci,
            Some("oci-layout") => Format::OciLayout,
            Some(_) => return Err(fields.refusal("format", "expected rootfs, oci or oci-layout")),
        };
        let platform = platform(&mut fields)?;
        let skip_download = fields.flag("skip_download")?;
        let sources = fields.flag("sources")?;
        let verify = signing::keys(&mut fields)?;
        fields.finish(|name| PLANNED.contains(&name))?;
        Ok(GetParams { format, platform, skip_download, sources, verify })
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
        assert_eq!(get(json!({"format": "oci"})).unwrap().format, Format::Oci);
        assert_eq!(get(json!({"format": "oci-layout"})).unwrap().format, Format::OciLayout);
        let platform = get(json!({"platform": {"architecture": "arm64"}})).unwrap().platform;
        assert_eq!(platform.unwrap().architecture, "arm64");
        assert!(get(json!({"format": "zip"})).unwrap_err().contains("expected rootfs, oci or oci-layout"));
        assert!(get(json!({"rootfs": true})).unwrap_err().contains("`rootfs`: it is not built yet"));
        assert!(get(json!({"skip": true})).unwrap_err().contains("no such get param"));
    }
}
