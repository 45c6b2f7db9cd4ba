//! Policies as a pipeline and a laptop meet them: what is refused before anything is pushed, and what commits are worth.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod commits;
#[path = "../put/pier.rs"]
#[allow(dead_code, reason = "these stories need less of it")]
mod pier;
mod rules;
#[path = "../support/mod.rs"]
mod support;
