//! The work of each vertex, one file an operation.

pub mod accounts;
pub mod beside;
pub mod bootstrap;
pub mod chown;
pub mod configure;
mod content;
pub mod copy;
pub mod debconf;
pub mod found;
pub mod install;
mod keystore;
pub mod known;
pub mod marks;
mod members;
mod owned;
mod present;
pub mod remove;
pub mod roots;
pub mod run;
pub mod symlinks;
mod tarball;
pub mod tidy;
pub mod transfer;
pub mod unpack;
pub mod users;
mod withhold;
pub mod workdir;
