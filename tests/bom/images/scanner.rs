//! What syft finds in an image with all that it has.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Returns the package URLs of what it finds in an image of a registry on this machine.
pub(super) fn found(name: &str) -> BTreeSet<String> {
    let mut syft = Command::new("syft");
    syft.args(["scan", "--quiet", "--output", "json", "--override-default-catalogers", "all"]);
    syft.arg(format!("registry:{name}")).env("SYFT_REGISTRY_INSECURE_USE_HTTP", "true");
    let output = syft.env("SYFT_CHECK_FOR_APP_UPDATE", "false").output();
    let output = output.expect("this test needs syft: ci/prepare installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = found["artifacts"].as_array().unwrap().iter();
    packages.map(|package| package["purl"].as_str().unwrap().to_owned()).collect()
}

/// Returns a package URL without qualifiers, in one spelling.
pub(super) fn plain(purl: &str) -> String {
    let (purl, subpath) = purl.split_once('#').unwrap_or((purl, ""));
    let purl = purl.split('?').next().unwrap_or_default();
    let purl = percent_encoding::percent_decode_str(purl).decode_utf8_lossy();
    match purl.rsplit_once('@').filter(|_| purl.starts_with("pkg:golang/")) {
        // A module's name is all of its path, and in small letters: so says
        // <https://github.com/package-url/purl-spec/blob/main/PURL-TYPES.rst>. syft makes a subpath of its end. And Go's
        // word for a checkout is no version.
        Some((path, version)) => {
            let path = [path, subpath].join("/").trim_end_matches('/').to_lowercase();
            format!("{path}@{version}").trim_end_matches("@(devel)").to_owned()
        }
        None => purl.into_owned(),
    }
}

/// Returns the package URL of a Java archive without its group: where neither Maven nor the manifest tells one, syft takes
/// another field of that, or the name itself.
pub(super) fn without_group(purl: &str) -> Option<String> {
    let (_, name) = purl.strip_prefix("pkg:maven/")?.split_once('/')?;
    Some(format!("pkg:maven/{name}"))
}
