//! Puts, gets, checks and tasks in the containers that Concourse makes for them.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../hostile/base.rs"]
mod base;
mod builds;
#[allow(dead_code, reason = "the stories of dpkg use all of it")]
#[path = "../install/fleet.rs"]
mod fleet;
mod hostile;
mod live;
#[allow(dead_code, reason = "the stories of puts use all of it")]
#[path = "../put/pier.rs"]
mod pier;
#[path = "../hostile/site.rs"]
mod site;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
mod walls;
