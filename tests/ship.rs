//! Our own image: one program that is all five, and what the root's `estaleiro.hcl` makes of it.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "ship/builders.rs"]
mod builders;
#[path = "ship/definition.rs"]
mod definition;
#[path = "ship/migration.rs"]
mod migration;
#[path = "ship/names.rs"]
mod names;
#[path = "ship/pipeline.rs"]
mod pipeline;
#[path = "ship/program.rs"]
mod program;
mod support;
