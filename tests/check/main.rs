//! Which versions there are: the real `check` (and `in`), in an empty environment, against registries whose log is read,
//! and against a real one.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../support/mod.rs"]
mod support;

mod fleet;
mod guarded;
mod looks;
mod many;
mod mirrors;
mod numbers;
mod patterns;
mod tags;
