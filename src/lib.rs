//! estaleiro builds an OCI image from a declarative definition and tells where every bit came from.
//!
//! The rooms, from the ground up; each imports only from floors below its own:
//!
//! | floor | rooms | what they hold |
//! | --- | --- | --- |
//! | F0 | [`digest`] [`licence`] [`progress`] [`redact`] | what everybody needs |
//! | F1 | [`oci`] [`store`] [`debian`] [`inside`] [`rpm`] [`transport`] | values and formats; blobs by digest; one HTTP client |
//! | F2 | [`registry`] [`login`] [`sandbox`] [`fetch`] [`git`] [`layer`] | the doors to the outside |
//! | F3 | [`apt`] [`bom`] [`dockerfile`] [`signing`] | parse and decide |
//! | F4 | [`build`] | from a definition to an image and its bill of materials |
//! | F5 | [`resource`] [`run`] | what Concourse sees; how a program runs to its end |
//!
//! The walk of one `put`: text → Definition → Lock →
//! Graph → Snapshot → descriptor → version.

pub mod apt;
pub mod bom;
pub mod build;
pub mod debian;
pub mod digest;
pub mod dockerfile;
pub mod fetch;
pub mod git;
pub mod inside;
pub mod layer;
pub mod licence;
pub mod login;
pub mod oci;
pub mod progress;
pub mod redact;
pub mod registry;
pub mod resource;
pub mod rpm;
pub mod run;
pub mod sandbox;
pub mod signing;
pub mod store;
pub mod transport;
