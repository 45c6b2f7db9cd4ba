//! Puts, gets, checks and tasks in the containers that Concourse makes for them.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[allow(dead_code, reason = "the stories of puts use all of it")]
#[path = "../put/pier.rs"]
mod pier;
#[path = "../support/mod.rs"]
mod support;

mod steps;
mod walls;
