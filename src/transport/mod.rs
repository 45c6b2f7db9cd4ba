//! One HTTP client: TLS, further certificate authorities, proxies, redirects, retries, time-outs.
//!
//! It knows neither registries nor archives, and keeps nothing; `file:` is not its business.

mod client;
mod error;
mod response;

pub use client::{Client, Options, Retry};
pub use error::Error;
pub use response::Response;
