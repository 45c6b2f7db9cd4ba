//! Fetches commits from git repositories over HTTP: which commit a ref names, and the files of one. Reads checkouts on this
//! machine.
//!
//! The protocol is gix's, and the HTTP client is ours. Packs are unpacked here, so that a hostile one costs neither more
//! memory nor more disk than it may. Which repositories a build names, and where their files go, is decided elsewhere.

mod address;
mod attributes;
mod checkout;
mod directory;
mod local;
mod modules;
mod objects;
mod pack;
mod refs;
mod remote;
mod wire;

pub use checkout::{Checkout, Content, Leaf, Wanted, checkout};
pub use local::{Kept, LocalCheckout, Meaning};
pub use objects::Section;
pub use refs::{Found, find, is_commit};
pub use remote::Remote;
