//! Fetches documents and blobs over HTTP or from disk, checked while they stream.
//!
//! What is fetched, and why its digest can be believed, is decided elsewhere: this room is handed
//! names, places and digests.

mod decompress;
mod document;
mod download;
mod error;
mod fetcher;
mod pin;

pub use decompress::{Compression, decompress};
pub use error::Error;
pub use fetcher::{Fetcher, Wanted};
