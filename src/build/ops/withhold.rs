//! What maintainer scripts generate and no image may hold: private keys, shared secrets, one machine's identity.
//!
//! Whoever gets the image would have them, and no two builds would be the same. The entropy that scripts see is real;
//! what they made of it is taken out and reported, and can be made anew where the image runs. What a package brings
//! in its archive stays: that is no secret.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::owned::Owned;
use crate::bom::Withheld;
use crate::build::definition::Glob;
use crate::layer::{FoundFile, Root, holds_private_key};

/// A generated file longer than this is not searched for a key.
const LONGEST_KEY_FILE: u64 = 1 << 20;

/// What is known to be generated, and where.
const KNOWN: [(&str, &[&str]); 8] = [
    ("a host key of the SSH server", &["etc/ssh/ssh_host_*_key", "etc/ssh/ssh_host_*_key.pub"]),
    ("a self-signed certificate", &["etc/ssl/certs/ssl-cert-snakeoil.pem"]),
    ("a certificate of the DNS server's remote control", &["etc/unbound/unbound_*.pem"]),
    ("a shared secret of the DNS server's remote control", &["etc/bind/rndc.key"]),
    ("a shared secret of a cluster", &["etc/munge/munge.key", "etc/corosync/authkey"]),
    ("a secret of this machine", &["var/lib/systemd/random-seed", "var/lib/systemd/credential.secret"]),
    ("a secret of a server", &["var/lib/rabbitmq/.erlang.cookie", "var/lib/samba/private/secrets.tdb"]),
    (
        "the identity of a machine",
        &["etc/iscsi/initiatorname.iscsi", "etc/nvme/hostnqn", "etc/nvme/hostid", "etc/hostid"],
    ),
];

/// The file that a PostgreSQL cluster has, whose identifier is made of the time and a process number.
const CLUSTER: &str = "var/lib/postgresql/*/*/PG_VERSION";
/// Where links to certificates go by their hash.
const CERTIFICATES: &str = "etc/ssl/certs";

/// Takes out of a root, or of its changes, what scripts generated and must stay with one machine.
pub(super) fn withhold(root: &Root, owned: &Owned) -> Result<Vec<Withheld>> {
    let known = known();
    let mut withheld = Vec::new();
    for found in root.files_below(".")?.iter().filter(|found| found.size.is_some()) {
        let found = FoundFile { path: plain(&found.path), ..found.clone() };
        if owned.contains(&found.path) {
            continue;
        }
        if let Some(what) = secret(root, &found, &known)? {
            take(root, &found.path, what, &mut withheld)?;
        }
    }
    take_clusters(root, &mut withheld)?;
    remove_idle_links(root, &withheld)?;
    withheld.sort();
    Ok(withheld)
}

fn known() -> Vec<(&'static str, Glob)> {
    let globs = KNOWN.iter().flat_map(|(what, paths)| paths.iter().map(move |path| (*what, path)));
    globs.filter_map(|(what, path)| Some((what, Glob::new(path).ok()?))).collect()
}

fn plain(path: &Path) -> PathBuf {
    path.strip_prefix(".").unwrap_or(path).to_owned()
}

fn secret(root: &Root, found: &FoundFile, known: &[(&'static str, Glob)]) -> Result<Option<&'static str>> {
    let by_name = found.path.to_str().and_then(|path| known.iter().find(|(_, glob)| glob.matches(path)));
    if let Some((what, _)) = by_name {
        return Ok(Some(what));
    }
    let content = root.read(&found.path, LONGEST_KEY_FILE);
    let content = content.with_context(|| format!("cannot read /{}", found.path.display()))?;
    Ok(content.is_some_and(|content| holds_private_key(&content)).then_some("a private key"))
}

fn take(root: &Root, path: &Path, what: &str, withheld: &mut Vec<Withheld>) -> Result<()> {
    root.remove(path).with_context(|| format!("cannot remove /{}", path.display()))?;
    withheld.push(Withheld { path: format!("/{}", path.display()), what: what.to_owned() });
    Ok(())
}

/// A cluster is made at the first start, by `pg_createcluster`.
fn take_clusters(root: &Root, withheld: &mut Vec<Withheld>) -> Result<()> {
    let Ok(signature) = Glob::new(CLUSTER) else { return Ok(()) };
    for found in root.files_below("var/lib/postgresql")? {
        let Some(path) = found.path.to_str().filter(|path| signature.matches(path)) else { continue };
        let cluster = path.trim_end_matches("/PG_VERSION");
        let name = cluster.trim_start_matches("var/lib/postgresql/");
        take(root, Path::new(cluster), "a database cluster, which is of one machine", withheld)?;
        take(root, &Path::new("etc/postgresql").join(name), "its configuration", withheld)?;
    }
    Ok(())
}

/// A link to a certificate that is gone leads nowhere, and is called by that certificate's hash.
fn remove_idle_links(root: &Root, withheld: &[Withheld]) -> Result<()> {
    let gone: Vec<&str> = withheld.iter().filter_map(|gone| gone.path.rsplit('/').next()).collect();
    for found in root.files_below(CERTIFICATES)?.iter().filter(|found| found.size.is_none()) {
        let target = root.link_target(&found.path)?;
        if target.is_some_and(|target| target.to_str().is_some_and(|name| gone.contains(&name))) {
            root.remove(&found.path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const KEY: &str = "x\n-----BEGIN OPENSSH PRIVATE KEY-----\r\nAA\n-----END OPENSSH PRIVATE KEY-----\n";

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let place = directory.path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, content).unwrap();
        }
        directory
    }

    fn withheld(directory: &Path) -> Vec<String> {
        let root = Root::open(directory).unwrap();
        let withheld = withhold(&root, &Owned::read(&root).unwrap()).unwrap();
        withheld.iter().map(|withheld| format!("{}: {}", withheld.path, withheld.what)).collect()
    }

    #[test]
    fn a_private_key_that_a_script_made_is_taken_out_wherever_it_is() {
        let directory =
            root(&[("opt/x/server.pem", KEY), ("opt/x/server.crt", "-----BEGIN CERTIFICATE-----")]);
        assert_eq!(withheld(directory.path()), ["/opt/x/server.pem: a private key"]);
        assert!(!directory.path().join("opt/x/server.pem").exists());
        assert!(directory.path().join("opt/x/server.crt").exists());
    }

    #[test]
    fn a_key_that_a_package_brings_is_no_secret() {
        let list = ("var/lib/dpkg/info/p.list", "/usr/share/doc/p/example.pem\n");
        let directory = root(&[("usr/share/doc/p/example.pem", KEY), list]);
        assert!(withheld(directory.path()).is_empty());
    }

    #[test]
    fn what_belongs_to_a_key_goes_with_it() {
        let directory = root(&[
            ("etc/ssh/ssh_host_rsa_key", KEY),
            ("etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa AA"),
            ("etc/ssh/sshd_config", ""),
            ("etc/ssl/certs/ssl-cert-snakeoil.pem", "-----BEGIN CERTIFICATE-----"),
            ("etc/ssl/certs/other.pem", ""),
        ]);
        symlink("ssl-cert-snakeoil.pem", directory.path().join("etc/ssl/certs/aa.0")).unwrap();
        symlink("other.pem", directory.path().join("etc/ssl/certs/bb.0")).unwrap();
        assert_eq!(
            withheld(directory.path()),
            [
                "/etc/ssh/ssh_host_rsa_key: a host key of the SSH server",
                "/etc/ssh/ssh_host_rsa_key.pub: a host key of the SSH server",
                "/etc/ssl/certs/ssl-cert-snakeoil.pem: a self-signed certificate",
            ]
        );
        assert!(fs::symlink_metadata(directory.path().join("etc/ssl/certs/aa.0")).is_err());
        assert!(fs::symlink_metadata(directory.path().join("etc/ssl/certs/bb.0")).is_ok());
    }

    #[test]
    fn a_cluster_goes_with_its_configuration() {
        let directory = root(&[
            ("var/lib/postgresql/15/main/PG_VERSION", "15\n"),
            ("var/lib/postgresql/15/main/base/1/112", "x"),
            ("etc/postgresql/15/main/postgresql.conf", ""),
            ("etc/postgresql-common/createcluster.conf", ""),
        ]);
        assert_eq!(withheld(directory.path()).len(), 2);
        assert!(!directory.path().join("var/lib/postgresql/15/main").exists());
        assert!(!directory.path().join("etc/postgresql/15/main").exists());
        assert!(directory.path().join("etc/postgresql-common/createcluster.conf").exists());
    }

    #[test]
    fn every_known_place_is_a_pattern() {
        assert_eq!(known().len(), KNOWN.iter().map(|(_, paths)| paths.len()).sum::<usize>());
        assert!(Glob::new(CLUSTER).is_ok());
    }
}
