//! What the builder is up against: archives, tarballs and packages that lie, registries that refuse, disks that
//! fill up, and people who interrupt it. Each story ends in a message, and with nothing half done left behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

#[path = "hostile/archives.rs"]
mod archives;
#[path = "hostile/base.rs"]
mod base;
#[path = "hostile/canary.rs"]
mod canary;
#[path = "hostile/credentials.rs"]
mod credentials;
#[path = "hostile/debs.rs"]
mod debs;
#[path = "hostile/interruption.rs"]
mod interruption;
#[path = "hostile/layers.rs"]
mod layers;
#[path = "hostile/packages.rs"]
mod packages;
#[path = "hostile/registries.rs"]
mod registries;
#[path = "hostile/requests.rs"]
mod requests;
#[path = "hostile/rogue.rs"]
mod rogue;
#[path = "hostile/site.rs"]
mod site;
#[path = "hostile/space.rs"]
mod space;
#[path = "hostile/tarballs.rs"]
mod tarballs;
#[path = "hostile/trust.rs"]
mod trust;
