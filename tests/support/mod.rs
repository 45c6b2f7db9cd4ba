//! What the tests stand on: archives, packages, registries and a Concourse, all built in code.
//!
//! Nothing of estaleiro itself is imitated here, only the far side of the wire. Servers listen on
//! 127.0.0.1 on a port of their own and end with their value.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program includes the whole of it and uses a part; a fixture that fails should panic"
)]

pub mod archive;
pub mod certificate;
pub mod concourse;
pub mod container;
pub mod cosign;
pub mod deb;
pub mod docker_registry;
pub mod far;
pub mod fault;
pub mod git;
pub mod http;
pub mod image;
pub mod key;
pub mod machine;
pub mod registry;
pub mod rpm;
pub mod tarball;
pub mod tls;
pub mod tree;
pub mod validators;

pub use archive::{Archive, ServedArchive, Source};
pub use concourse::Concourse;
pub use deb::{Compression, Deb};
pub use docker_registry::DockerRegistry;
pub use fault::Fault;
pub use git::{GitRepository, GitServer};
pub use image::TestImage;
pub use key::Key;
pub use registry::TestRegistry;
pub use rpm::{RpmHeaders, Rpms};
pub use tarball::Tarball;
pub use tls::Tls;

/// Runs a program of the machine and returns what it said; the test fails when it fails.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        panic!("cannot run `{program}`: {error}\nhint: ./ci/test installs what the tests need")
    });
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{stdout}{stderr}", output.status);
    stdout
}
