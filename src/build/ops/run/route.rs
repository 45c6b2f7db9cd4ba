//! The way that commands take to the network, where it isn't the plain one: through proxies, and to servers whose
//! authorities were given by hand.
//!
//! It decides nothing of what is built: it is in no image and in no key, and is there while a command runs only.

use std::collections::BTreeMap;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use crate::dockerfile::proxies;
use crate::layer::{LastLink, Stack};
use crate::sandbox::{Mount, Source};

/// Where the authorities are seen: in a directory that is in no image, and that no command empties.
const AUTHORITIES: &str = "/dev/estaleiro/ca-certificates.crt";
/// Where apt is told of them.
const APT_CONFIGURATION: &str = "/dev/estaleiro/apt.conf";
/// The variable that names one more configuration of apt's; those in `/etc/apt` win over it.
const APT_VARIABLE: &str = "APT_CONFIG";

/// Variables that name a file of authorities: OpenSSL's and Go's, curl's, Python's, git's, Node's, the cloud's, cargo's.
const VARIABLES: [&str; 8] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
];

/// Where an image may have the authorities that it trusts: Debian's and Alpine's place, Fedora's, SUSE's, BSD's.
const BUNDLES: [&str; 4] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
];
/// A larger bundle is none.
const LARGEST_BUNDLE: u64 = 8 << 20;

/// How commands with a network get there.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Proxies, in both spellings of each variable.
    pub proxies: Vec<(String, String)>,
    /// Certificates (PEM) of authorities that are trusted besides the image's own.
    pub ca_certs: Vec<String>,
}

impl Route {
    /// Returns the way that this process takes itself, by its environment and these authorities.
    pub fn of_this_process(ca_certs: &[String]) -> Route {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let given: BTreeMap<String, String> = std::env::vars_os().filter_map(text).collect();
        Route { proxies: proxies(&given), ca_certs: ca_certs.to_vec() }
    }

    /// Shows a command on top of `below` the authorities that were given, and adds the variables that it finds them by.
    pub(super) fn authorities(&self, below: &Stack, env: &mut Vec<(String, String)>) -> Result<Vec<Mount>> {
        if self.ca_certs.is_empty() {
            return Ok(Vec::new());
        }
        let mut mounts = vec![file(AUTHORITIES, bundle(&self.ca_certs, below)?)];
        add_missing(env, VARIABLES.map(|name| (name.to_owned(), AUTHORITIES.to_owned())));
        let is_apts = below.find("usr/bin/apt-get", LastLink::Followed)?.is_some();
        if is_apts && env.iter().all(|(name, _)| name != APT_VARIABLE) {
            env.push((APT_VARIABLE.into(), APT_CONFIGURATION.into()));
            let text = format!("Acquire::https::CaInfo \"{AUTHORITIES}\";\n");
            mounts.push(file(APT_CONFIGURATION, text.into_bytes()));
        }
        Ok(mounts)
    }
}

/// Adds those variables that are not set.
pub(super) fn add_missing(
    env: &mut Vec<(String, String)>,
    variables: impl IntoIterator<Item = (String, String)>,
) {
    for (name, value) in variables {
        if env.iter().all(|(known, _)| *known != name) {
            env.push((name, value));
        }
    }
}

/// Returns what must not be seen of the proxies that an environment names.
pub(super) fn passwords(env: &[(String, String)]) -> Vec<Vec<u8>> {
    let proxies = env.iter().filter(|(name, _)| name.to_ascii_lowercase().ends_with("_proxy"));
    proxies.flat_map(|(_, proxy)| passwords_of(proxy)).collect()
}

/// The password as it is written and as it is meant, and what a client sends of it.
fn passwords_of(proxy: &str) -> Vec<Vec<u8>> {
    let login = proxy.rsplit_once('@').map(|(login, _)| login);
    let login = login.map(|login| login.split_once("://").map_or(login, |(_, login)| login));
    let Some((user, password)) = login.and_then(|login| login.split_once(':')) else { return Vec::new() };
    let meant: Vec<u8> = percent_decode_str(password).collect();
    let sent = [&percent_decode_str(user).collect::<Vec<u8>>(), &b":"[..], &meant].concat();
    vec![password.into(), meant, STANDARD.encode(sent).into()]
}

/// The given ones, and those that the image trusts; where it has none yet, those that this machine does.
fn bundle(given: &[String], below: &Stack) -> Result<Vec<u8>> {
    let mut bundle = Vec::new();
    for pem in given {
        bundle.extend_from_slice(pem.trim().as_bytes());
        bundle.push(b'\n');
    }
    for path in BUNDLES {
        if let Some(own) = below.read(path, LARGEST_BUNDLE)?.filter(|own| !own.is_empty()) {
            bundle.extend(own);
            return Ok(bundle);
        }
    }
    bundle.extend(of_machine().into_bytes());
    Ok(bundle)
}

fn of_machine() -> String {
    let pem = |der: &[u8]| {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> =
            (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    rustls_native_certs::load_native_certs().certs.iter().map(|certificate| pem(certificate)).collect()
}

fn file(target: &str, content: Vec<u8>) -> Mount {
    let source = Source::File { is_secret: false, content, mode: 0o444, uid: 0, gid: 0 };
    Mount { source, target: target.into(), is_read_only: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_proxys_address_the_password_is_hidden_in_each_of_its_forms() {
        for (proxy, expected) in [
            ("http://ann:p%40ss@proxy.example:3128/", &["p%40ss", "p@ss", "YW5uOnBAc3M="][..]),
            ("ann:p@ss@proxy.example:3128", &["p@ss", "p@ss", "YW5uOnBAc3M="]),
            ("http://ann@proxy.example", &[]),
            ("http://proxy.example:3128", &[]),
            ("", &[]),
        ] {
            let expected: Vec<Vec<u8>> = expected.iter().map(|&text| text.into()).collect();
            assert_eq!(passwords_of(proxy), expected, "{proxy}");
        }
    }
}
