//! How a registry may be reached: credentials, certificates, patience.

use std::net::IpAddr;
use std::time::Duration;

use super::{ClientCertificate, Credentials, Retry};

/// How a registry may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Who asks; nobody in particular without.
    pub credentials: Option<Credentials>,
    /// Whether plain http is good enough, for whatever host.
    pub insecure: bool,
    /// Certificate authorities, PEM, trusted beside the system's.
    pub ca_certs: Vec<String>,
    /// The certificate that is shown to the registry, if it asks for one.
    pub client_certificate: Option<ClientCertificate>,
    /// How often and how fast a failed request is made again.
    pub retry: Retry,
    /// How long a connection may be silent before it counts as broken.
    pub silence: Duration,
}

impl Default for Access {
    fn default() -> Access {
        Access {
            credentials: None,
            insecure: false,
            ca_certs: Vec::new(),
            client_certificate: None,
            retry: Retry::default(),
            silence: Duration::from_secs(120),
        }
    }
}

impl Access {
    /// Whether this host may be spoken to in plain http; a port may follow it.
    pub fn allows_plain_http(&self, host: &str) -> bool {
        let port = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        self.insecure || is_near(host) || port.is_some_and(|(host, _)| is_near(host))
    }
}

/// Whether a host is this one, or in a network of one's own.
fn is_near(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => host == "localhost" || host.ends_with(".local") || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::Secret;

    #[test]
    fn plain_http_is_for_hosts_nearby() {
        let access = Access::default();
        for host in [
            "localhost",
            "127.0.0.1",
            "127.0.0.1:5000",
            "127.1.2.3",
            "[::1]",
            "10.0.0.7",
            "192.168.1.2",
            "nas.local",
        ] {
            assert!(access.allows_plain_http(host), "{host}");
        }
        for host in
            ["registry.example", "localhost.example", "8.8.8.8", "127.example", "[2001:db8::1]", "local"]
        {
            assert!(!access.allows_plain_http(host), "{host}");
        }
        let insecure = Access { insecure: true, ..Access::default() };
        assert!(insecure.allows_plain_http("registry.example"));
    }

    #[test]
    fn access_shows_no_credentials() {
        let credentials = Credentials { username: "alice".into(), password: Secret::new("hunter2") };
        let access = Access { credentials: Some(credentials), ..Access::default() };
        let shown = format!("{access:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("alice"), "{shown}");
    }
}
