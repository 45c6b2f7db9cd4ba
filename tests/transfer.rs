//! What `COPY` and `ADD` put into a layer: a table of instructions over small contexts and roots.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "transfer/archives.rs"]
mod archives;
#[path = "transfer/bench.rs"]
mod bench;
#[path = "transfer/context.rs"]
mod context;
#[path = "transfer/images.rs"]
mod images;
#[path = "transfer/oracles.rs"]
mod oracles;
mod support;
#[path = "transfer/targets.rs"]
mod targets;
