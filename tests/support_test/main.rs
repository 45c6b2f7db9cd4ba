//! The support itself is tried against tools that nobody here wrote.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../support/mod.rs"]
mod support;

mod archives;
mod machines;
mod packages;
mod pipelines;
mod registries;
mod trees;
