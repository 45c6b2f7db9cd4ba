//! The work of each vertex, one file an operation.

pub mod bootstrap;
pub mod configure;
mod content;
pub mod copy;
pub mod install;
mod keystore;
mod owned;
pub mod symlinks;
mod tarball;
pub mod tidy;
mod withhold;
