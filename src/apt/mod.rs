//! apt's decisions as functions: from sources and indexes to what is installed, in which order.
//!
//! Nothing is fetched, verified against the clock or installed here.

mod date;
pub mod index;
pub mod keyring;
mod offers;
pub mod order;
pub mod preferences;
pub mod reach;
pub mod release;
pub mod resolve;
pub mod source_index;
pub mod sources;
mod stream;
