//! The params of a get and of a put.

mod dockerfile;
mod get;
mod put;
mod tags;

use std::path::{Component, Path, PathBuf};

use super::fields::{Fields, InvalidRequest};

pub(super) use dockerfile::ContextParam;
pub use dockerfile::{DockerfileParams, SecretParam};
pub use get::{Format, GetParams};
pub use put::{DefinitionParams, PutParams, Written};
pub use tags::TagParams;

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
