//! Signatures as cosign has them: keys, what is signed with them, and the manifests that signatures lie in.
//!
//! Values alone. Who asks a registry for a signature, or puts one there, is `build`'s business; certificates and
//! transparency logs are nobody's here.

mod envelope;
mod error;
mod key;
mod manifest;
mod payload;
mod pem;
mod public;
mod sealed;
mod statement;

pub use envelope::Envelope;
pub use error::InvalidKey;
pub use key::SigningKey;
pub use manifest::{Signed, attestation, parts, signature, signature_of, with_layer};
pub use payload::{MEDIA_TYPE as PAYLOAD, Payload};
pub use public::PublicKey;
pub use statement::{REFERENCE, References, Resource, Statement};
