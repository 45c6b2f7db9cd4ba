//! What an image gets besides its packages: directories, users, links, and what is taken away; and what dpkg does with
//! packages besides unpacking them. Each story is measured against what other people's tools make of the same wish.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

#[path = "install/bare.rs"]
mod bare;
#[path = "hostile/base.rs"]
mod base;
#[path = "install/debconf.rs"]
mod debconf;
#[path = "install/debs.rs"]
mod debs;
#[path = "install/dpkg.rs"]
mod dpkg;
#[path = "install/files.rs"]
mod files;
#[path = "install/fleet.rs"]
mod fleet;
#[path = "install/licences.rs"]
mod licences;
#[path = "install/oracle.rs"]
mod oracle;
#[path = "install/packages.rs"]
mod packages;
#[path = "install/removals.rs"]
mod removals;
#[path = "install/roots.rs"]
mod roots;
#[path = "install/scripts.rs"]
mod scripts;
#[path = "hostile/site.rs"]
mod site;
#[path = "install/steps.rs"]
mod steps;
#[path = "install/taken_over.rs"]
mod taken_over;
#[path = "install/users.rs"]
mod users;
#[path = "install/yard.rs"]
mod yard;
#[path = "install/zips.rs"]
mod zips;
