//! One HTTP client: TLS, further certificate authorities, certificates of one's own, proxies, redirects, retries, time-outs.
//!
//! It knows neither registries nor archives, and keeps nothing; `file:` is not its business.

mod authorities;
mod client;
mod credentials;
mod error;
mod response;

pub use client::{Client, Options, Retry};
pub use credentials::{ClientCertificate, Credentials};
pub use error::Error;
pub use response::Response;
