//! Puts, gets and checks as a pipeline does them: the real programs, driven by a Concourse, against real registries
//! and one whose log is read.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../support/mod.rs"]
mod support;

mod again;
mod answers;
mod archives;
mod arrival;
mod base;
mod clouds;
mod compression;
mod debian;
mod dockerfiles;
mod elsewhere;
mod formats;
mod images;
mod order;
mod params;
mod pier;
mod proxies;
mod registries;
mod sources;
mod tags;
