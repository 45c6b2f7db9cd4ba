//! What Concourse sees: the requests that it writes to stdin, the verbs, and the answers it reads from stdout.
//!
//! The verbs are thin: what they decide and do is `build`'s.

mod check;
mod cloud;
mod dockerfile;
mod fields;
mod files;
mod get;
mod image;
mod inputs;
mod params;
mod policy;
mod protocol;
mod put;
mod reach;
mod registries;
mod select;
mod semver;
mod signing;
mod source;
mod tags;
mod task;

pub use check::check;
pub use cloud::Cloud;
pub use fields::InvalidRequest;
pub use files::documents;
pub use get::get;
pub use params::{
    DefinitionParams, DockerfileParams, Format, GetParams, PutParams, SecretParam, TagParams, Written,
};
pub use protocol::{
    CheckRequest, GetRequest, Metadata, PutRequest, Response, Version, check_response, read_request,
};
pub use put::put;
pub use registries::Further;
pub use select::{Numbers, Pattern, Select};
pub use semver::{Constraint, InvalidConstraint, LooseVersion};
pub use signing::Signing;
pub use source::{AptKey, AptSource, Mirror, Repository, Source};
pub use task::{HELP as TASK_HELP, Login, TaskDockerfile, TaskParams, TaskWritten, task};
