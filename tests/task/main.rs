//! The task as a pipeline runs it: in a directory of inputs and outputs, with an environment of params alone; and skopeo and
//! umoci as judges of what it leaves there.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../support/mod.rs"]
mod support;

mod cache;
mod definitions;
mod outputs;
mod params;
mod registries;
mod wrong;
mod yard;
