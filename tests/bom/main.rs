//! The bill of materials in the eyes of others: every form of it is valid, and says what the image holds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod images;
mod sample;
mod schema;
mod spdx3;
#[path = "../support/mod.rs"]
mod support;
mod views;
