//! The files that say which host has which name, for a command. They are there for the run only.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;

use super::command::HOST_NAME;
use super::{Mount, Network, Source};

/// No list of hosts is longer.
const LONGEST: u64 = 1 << 20;

/// A name that a command knows a host by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The name.
    pub name: String,
    /// The host's address.
    pub address: IpAddr,
}

/// Why a text is no name with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected NAME=ADDRESS, as in build.example=192.0.2.1")]
pub struct InvalidHost;

impl FromStr for Host {
    type Err = InvalidHost;

    /// Reads `NAME=ADDRESS`, or `NAME:ADDRESS` as Docker has it, too.
    fn from_str(text: &str) -> Result<Host, InvalidHost> {
        let (name, address) = text.split_once(['=', ':']).ok_or(InvalidHost)?;
        let address = address.trim_start_matches('[').trim_end_matches(']');
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        match address.parse() {
            Ok(address) if !name.is_empty() && name.chars().all(is_name) => {
                Ok(Host { name: name.to_owned(), address })
            }
            _ => Err(InvalidHost),
        }
    }
}

/// Returns `/etc/hosts` and `/etc/resolv.conf` as a command with that network needs them: the host's, or nobody's. What is
/// `given` comes first.
pub fn name_service(network: Network, given: &[Host]) -> Vec<Mount> {
    let (hosts, resolv_conf) = match network {
        Network::None => (String::new(), String::new()),
        Network::Host => (read("/etc/hosts"), read("/etc/resolv.conf")),
    };
    let given: String = given.iter().map(|host| format!("{}\t{}\n", host.address, host.name)).collect();
    vec![file("/etc/hosts", given + &with_own(&hosts)), file("/etc/resolv.conf", resolv_conf)]
}

/// A host without the file has nothing to say.
fn read(path: &str) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

fn with_own(hosts: &str) -> String {
    let end = if hosts.is_empty() || hosts.ends_with('\n') { "" } else { "\n" };
    let own = format!("127.0.0.1\tlocalhost {HOST_NAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    format!("{hosts}{end}{own}")
}

fn file(target: &str, content: String) -> Mount {
    let content = content.into_bytes();
    let source = Source::File { is_secret: false, content, mode: 0o644, uid: 0, gid: 0 };
    Mount { source, target: target.into(), is_read_only: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_and_the_own_name_are_always_known() {
        assert!(with_own("").starts_with("127.0.0.1\tlocalhost estaleiro\n"));
        assert!(with_own("10.0.0.1 mirror").starts_with("10.0.0.1 mirror\n127.0.0.1\tlocalhost"));
    }

    #[test]
    fn a_host_has_a_name_and_an_address() {
        for text in ["a.b=192.0.2.1", "a.b:192.0.2.1"] {
            let host: Host = text.parse().unwrap();
            assert_eq!((host.name.as_str(), host.address.to_string().as_str()), ("a.b", "192.0.2.1"));
        }
        for text in ["a=2001:db8::1", "a:[2001:db8::1]"] {
            assert_eq!(text.parse::<Host>().unwrap().address.to_string(), "2001:db8::1");
        }
        for text in ["", "a", "=192.0.2.1", "a b=192.0.2.1", "a=b", "a=host-gateway", "a\n=::1"] {
            assert_eq!(text.parse::<Host>(), Err(InvalidHost), "{text}");
        }
        let given = ["a=192.0.2.1".parse().unwrap()];
        let Source::File { content, .. } = &name_service(Network::None, &given)[0].source else { panic!() };
        assert!(content.starts_with(b"192.0.2.1\ta\n127.0.0.1\tlocalhost"));
    }
}
