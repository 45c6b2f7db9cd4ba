//! An image of a registry as files: an OCI layout with all that refers to it, or one archive.

mod layout;
mod tarball;

pub use layout::layout;
pub use tarball::tarball;

/// How many blobs are pulled, or manifests read, at a time.
const N_PARALLEL: usize = 4;
