//! Under which tags a put puts.

use std::path::PathBuf;

use super::super::fields::{Fields, InvalidRequest};
use super::path;

/// The params that say so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagParams {
    /// A version number, which becomes a tag.
    pub version: Option<String>,
    /// Whether the tags of its major and minor version, and `latest`, are to follow, where there is no newer one.
    pub bump_aliases: bool,
    /// A file of further tags.
    pub additional_tags: Option<PathBuf>,
    /// A file of the tag that takes the place of the source's.
    pub tag_file: Option<PathBuf>,
    /// What is put before the tags of both files.
    pub tag_prefix: String,
    /// Whether `latest` is one of them.
    pub tag_as_latest: bool,
}

impl TagParams {
    /// Takes them.
    pub(super) fn take(fields: &mut Fields) -> Result<TagParams, InvalidRequest> {
        Ok(TagParams {
            version: fields.text_or_number("version")?,
            bump_aliases: fields.flag("bump_aliases")?,
            additional_tags: path(fields, "additional_tags")?,
            tag_file: path(fields, "tag_file")?,
            tag_prefix: fields.text("tag_prefix")?.unwrap_or_default(),
            tag_as_latest: fields.flag("tag_as_latest")?,
        })
    }
}
