//! Our own image: one program that is all five.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "ship/program.rs"]
mod program;
