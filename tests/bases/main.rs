//! What is told of bases that aren't made of Debian's packages: rpm's and Alpine's, as rpm and another scanner see them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod apk;
mod databases;
mod rpm;
mod site;
#[path = "../support/mod.rs"]
mod support;
