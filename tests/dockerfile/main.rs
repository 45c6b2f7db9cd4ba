//! Dockerfiles as people build them: the real program, a registry with a small base, and skopeo and umoci as judges of what
//! came out.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../support/mod.rs"]
mod support;

mod again;
mod config;
mod contexts;
mod copies;
mod downloads;
mod mistakes;
mod platforms;
mod repositories;
mod route;
mod runs;
mod secrets;
mod shop;
mod stages;
