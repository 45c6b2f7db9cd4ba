//! The files that say which host has which name, for a command. They are there for the run only.

use std::fs::File;
use std::io::{self, Read};

use super::command::HOST_NAME;
use super::{Mount, Network, Source};

/// No list of hosts is longer.
const LONGEST: u64 = 1 << 20;

/// Returns `/etc/hosts` and `/etc/resolv.conf` as a command with that network needs them: the host's, or nobody's.
pub fn name_service(network: Network) -> Vec<Mount> {
    let (hosts, resolv_conf) = match network {
        Network::None => (String::new(), String::new()),
        Network::Host => (read("/etc/hosts"), read("/etc/resolv.conf")),
    };
    vec![file("/etc/hosts", with_own(&hosts)), file("/etc/resolv.conf", resolv_conf)]
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
    let source = Source::File { content: content.into_bytes(), mode: 0o644, uid: 0, gid: 0 };
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
}
