//! Gets as a pipeline does them: in every format, of every kind of image, from registries that fail; and images that move
//! from one registry to another.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../put/pier.rs"]
#[allow(dead_code, reason = "the stories of puts use all of it")]
mod pier;
#[path = "../support/mod.rs"]
mod support;

mod broken;
mod formats;
mod promotion;
