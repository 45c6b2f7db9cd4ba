//! Debian's own formats as values: control paragraphs, copyright files, versions, relations, dpkg's status and
//! `.deb` files.
//!
//! Nothing here knows archives, indexes or a resolver, and nothing touches the disk or the network.

pub mod copyright;
pub mod deb;
pub mod deb822;
pub mod lists;
pub mod package;
pub mod relation;
pub mod status;
pub mod version;

pub use package::{MultiArch, Package, Priority, RelationError, RelationField};
pub use relation::{Operator, Relation};
pub use status::Installed;
pub use version::Version;
