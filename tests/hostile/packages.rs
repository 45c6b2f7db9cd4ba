//! Packages whose scripts do what they please, on a real Debian root.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use estaleiro::digest::Digest;

use crate::base;
use crate::interruption::processes_with;
use crate::site::{Site, assert_said, manifest};
use crate::support::{Archive, Deb, Key, tree};

/// In the builder's environment, and to be seen nowhere else.
const CANARY: &str = "canary-in-the-environment";

/// What the script of the package does, and what it finds out, in /var/lib/tool.
const SCRIPT: &str = r#"#!/bin/bash
set -e
echo "$@" > /var/lib/tool/arguments
env | sort > /var/lib/tool/environment
cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' > /var/lib/tool/processes

# The network.
ls /sys/class/net > /var/lib/tool/interfaces
if (exec 3<>/dev/tcp/127.0.0.1/PORT) 2>/dev/null; then echo reached; else echo not reached; fi > /var/lib/tool/network
if (exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null; then echo reached; else echo not reached; fi >> /var/lib/tool/network

# The kernel.
for file in /proc/sys/kernel/hostname /proc/sys/vm/drop_caches /proc/sysrq-trigger /sys/kernel/uevent_helper; do
  if (echo 1 > $file) 2>/dev/null; then echo "wrote $file"; else echo "could not write $file"; fi
done > /var/lib/tool/kernel
if mount -t tmpfs none /mnt 2>/dev/null; then echo mounted; else echo could not mount; fi >> /var/lib/tool/kernel

# A service.
policy=0
/usr/sbin/policy-rc.d tool start || policy=$?
echo $policy > /var/lib/tool/policy

# Daemons, one that lets go of everything and one that holds on to the script's output.
setsid sleep DAEMON < /dev/null > /dev/null 2>&1 &
sleep DAEMON &

update-alternatives --install /usr/bin/implement implement /usr/bin/tool 10
setcap cap_net_raw+ep /usr/bin/tool
echo left > /run/tool.pid
echo left > /tmp/tool.tmp
rm /usr/share/doc/libcap2-bin/copyright
"#;

struct Tool {
    site: Site,
    root: PathBuf,
    layer: String,
    took: Duration,
    daemon: String,
}

/// Returns a build with the package, shared by the stories below.
fn tool() -> &'static Tool {
    static TOOL: OnceLock<Tool> = OnceLock::new();
    TOOL.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let daemon = format!("100.{}", std::process::id());
        let script = SCRIPT.replace("PORT", &port).replace("DAEMON", &daemon);
        // What the script tries inside works out here.
        let control = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
        assert!(Command::new("bash").args(["-c", &control]).status().unwrap().success());

        let archive = Archive::new().add(deb(&script)).sign_with(&Key::ed25519()).serve();
        let site = base::site(&archive, "package \"tool\" {}");
        let start = Instant::now();
        site.succeeds(site.build().env("CANARY", CANARY));
        let took = start.elapsed();
        let layers = manifest(&site.layout())["layers"].as_array().unwrap().clone();
        let digest: Digest = layers.last().unwrap()["digest"].as_str().unwrap().parse().unwrap();
        let bytes = fs::read(site.layout().join("blobs/sha256").join(digest.hex())).unwrap();
        let (layer, root) = (tree::dump_tar(&bytes), site.path("root"));
        tar::Archive::new(tree::decompress(&bytes).as_slice()).unpack(&root).unwrap();
        Tool { site, root, layer, took, daemon }
    })
}

fn deb(script: &str) -> Deb {
    Deb::new("tool", "1.0-1")
        .file("/usr/bin/tool", 0o755, "#!/bin/sh\n")
        .file("/usr/bin/privileged", 0o4755, "#!/bin/sh\n")
        .file("/usr/share/tool/one", 0o644, "one")
        .hardlink("/usr/share/tool/same", "/usr/share/tool/one")
        .symlink("/usr/share/tool/link", "one")
        .file("/etc/tool.conf", 0o640, "setting=1\n")
        .conffile("/etc/tool.conf")
        .directory("/var/lib/tool", 0o700)
        .script("preinst", "#!/bin/sh\nexit 0\n")
        .script("postinst", script)
}

/// Returns what the script wrote down.
fn found(name: &str) -> String {
    fs::read_to_string(tool().root.join("var/lib/tool").join(name)).unwrap()
}

#[test]
fn a_layer_holds_exactly_what_a_package_changed() {
    let varying = |line: &&str| {
        ["/var/lib/tool/", "/var/lib/dpkg/status", "/var/lib/dpkg/info/tool.", "/var/cache/ldconfig"]
            .iter()
            .any(|part| line.contains(part))
    };
    let layer: Vec<&str> = tool().layer.lines().filter(|line| !varying(line)).collect();
    assert_said(
        &layer.join("\n"),
        "dir  0755 0:0 /etc\n\
         dir  0755 0:0 /etc/alternatives\n\
         link 0777 0:0 /etc/alternatives/implement -> /usr/bin/tool\n\
         file 0640 0:0 10:2bb264bf86e6 /etc/tool.conf\n\
         dir  0755 0:0 /run\n\
         file 0644 0:0 5:14156f2c20b4 /run/tool.pid\n\
         dir  1777 0:0 /tmp\n\
         file 0644 0:0 5:14156f2c20b4 /tmp/tool.tmp\n\
         dir  0755 0:0 /usr\n\
         dir  0755 0:0 /usr/bin\n\
         link 0777 0:0 /usr/bin/implement -> /etc/alternatives/implement\n\
         file 4755 0:0 10:a8076d3d28d2 /usr/bin/privileged\n\
         file 0755 0:0 10:a8076d3d28d2 /usr/bin/tool {security.capability=0100000200200000000000000000000000000000}\n\
         dir  0755 0:0 /usr/share\n\
         dir  0755 0:0 /usr/share/doc\n\
         dir  0755 0:0 /usr/share/doc/libcap2-bin\n\
         file 0644 0:0 0:e3b0c44298fc /usr/share/doc/libcap2-bin/.wh.copyright\n\
         dir  0755 0:0 /usr/share/tool\n\
         link 0777 0:0 /usr/share/tool/link -> one\n\
         file 0644 0:0 3:7692c3ad3540 /usr/share/tool/one\n\
         hard 0644 0:0 /usr/share/tool/same = /usr/share/tool/one\n\
         dir  0755 0:0 /var\n\
         dir  0755 0:0 /var/lib\n\
         dir  0755 0:0 /var/lib/dpkg\n\
         dir  0755 0:0 /var/lib/dpkg/alternatives\n\
         file 0644 0:0 43:7751e1c36882 /var/lib/dpkg/alternatives/implement\n\
         dir  0755 0:0 /var/lib/dpkg/info\n\
         dir  0700 0:0 /var/lib/tool",
    );
    assert_eq!(
        crate::site::names_in(&tool().root.join("var/lib/tool")),
        ["arguments", "environment", "interfaces", "kernel", "network", "policy", "processes"]
    );
    for name in ["conffiles", "list", "md5sums", "postinst", "preinst"] {
        assert!(tool().layer.contains(&format!(" /var/lib/dpkg/info/tool.{name}\n")), "{name}");
    }
    let info = tool().layer.lines().filter(|line| line.contains("/var/lib/dpkg/info/")).count();
    assert_eq!(info, 5, "{}", tool().layer);
    let status = fs::read_to_string(tool().root.join("var/lib/dpkg/status")).unwrap();
    assert!(status.contains("Package: tool\nStatus: install ok installed\n"));
    assert!(status.contains("Package: libcap2-bin\nStatus: install ok installed\n"));
}

#[test]
fn a_script_sees_nothing_of_the_builders_environment() {
    assert_said(&found("arguments"), "configure \n");
    let varying = |line: &str| match line.split_once('=') {
        Some((name @ ("SOURCE_DATE_EPOCH" | "DPKG_RUNNING_VERSION"), value)) if !value.is_empty() => {
            format!("{name}=…")
        }
        _ => line.to_owned(),
    };
    let environment: Vec<String> = found("environment").lines().map(varying).collect();
    assert_said(
        &environment.join("\n"),
        "DEBCONF_NONINTERACTIVE_SEEN=true\n\
         DEBIAN_FRONTEND=noninteractive\n\
         DPKG_ADMINDIR=/var/lib/dpkg\n\
         DPKG_FORCE=security-mac,downgrade,unsafe-io,confold,confdef\n\
         DPKG_MAINTSCRIPT_ARCH=all\n\
         DPKG_MAINTSCRIPT_DEBUG=0\n\
         DPKG_MAINTSCRIPT_NAME=postinst\n\
         DPKG_MAINTSCRIPT_PACKAGE=tool\n\
         DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1\n\
         DPKG_ROOT=\n\
         DPKG_RUNNING_VERSION=…\n\
         HOME=/root\n\
         LC_CTYPE=C.UTF-8\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         PWD=/\n\
         SHLVL=1\n\
         SOURCE_DATE_EPOCH=…\n\
         TERM=dumb\n\
         _=/usr/bin/env",
    );
    let processes = found("processes");
    assert!(processes.contains("DPKG_MAINTSCRIPT_NAME=postinst"), "{processes}");
    assert!(!processes.contains(CANARY) && !processes.contains("--state"), "{processes}");
    for (path, bytes) in tool().site.everything_kept() {
        assert!(!String::from_utf8_lossy(&bytes).contains(CANARY), "{}", path.display());
    }
}

#[test]
fn a_script_has_no_network() {
    assert_said(&found("interfaces"), "lo\n");
    assert_said(&found("network"), "not reached\nnot reached\n");
}

#[test]
fn a_script_changes_nothing_of_the_kernels() {
    assert_said(
        &found("kernel"),
        "could not write /proc/sys/kernel/hostname\ncould not write /proc/sys/vm/drop_caches\n\
         could not write /proc/sysrq-trigger\ncould not write /sys/kernel/uevent_helper\ncould not mount\n",
    );
}

#[test]
fn a_script_starts_no_service() {
    assert_said(&found("policy"), "101\n");
    assert!(!tool().layer.contains("policy-rc.d"), "{}", tool().layer);
}

#[test]
fn what_a_script_starts_does_not_outlive_it_and_is_not_waited_for() {
    assert!(tool().took < Duration::from_secs(60), "{:?}", tool().took);
    assert_eq!(processes_with(&tool().daemon), Vec::<String>::new());
}

#[test]
fn nothing_of_the_builders_is_in_the_layer() {
    for name in [
        ".estaleiro",
        ".deb",
        "overlay",
        "policy-rc.d",
        "dpkg.log",
        "alternatives.log",
        "status-old",
        "/dev/",
        "/proc/",
        "/sys/",
    ] {
        assert!(!tool().layer.contains(name), "{name}: {}", tool().layer);
    }
}

#[test]
fn a_script_that_fails_is_shown_with_its_package() {
    let script =
        "#!/bin/sh\nfor i in $(seq 60); do echo line $i; done\necho cannot reach the moon >&2\nexit 3\n";
    let failing = Deb::new("failing", "2:1.0").script("postinst", script);
    let archive = Archive::new().add(failing).sign_with(&Key::ed25519()).serve();
    let site = base::site(&archive, "package \"failing\" {}");
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot install failing (1 package): cannot run dpkg --configure: it ended with 1; it said last:\n\
         line 26\n\
         line 27\n\
         line 28\n\
         line 29\n\
         line 30\n\
         line 31\n\
         line 32\n\
         line 33\n\
         line 34\n\
         line 35\n\
         line 36\n\
         line 37\n\
         line 38\n\
         line 39\n\
         line 40\n\
         line 41\n\
         line 42\n\
         line 43\n\
         line 44\n\
         line 45\n\
         line 46\n\
         line 47\n\
         line 48\n\
         line 49\n\
         line 50\n\
         line 51\n\
         line 52\n\
         line 53\n\
         line 54\n\
         line 55\n\
         line 56\n\
         line 57\n\
         line 58\n\
         line 59\n\
         line 60\n\
         cannot reach the moon\n\
         dpkg: error processing package failing (--configure):\n\
         \x20installed failing package post-installation script subprocess returned error exit status 3\n\
         Errors were encountered while processing:\n\
         \x20failing",
    );
    // And the same after another try: nothing of the first is remembered.
    assert!(site.fails(1, &mut site.build()).contains("cannot reach the moon"));
}

#[test]
fn a_package_that_takes_another_ones_file_is_refused() {
    let with_tool = |name: &str| Deb::new(name, "1").file("/usr/bin/tool", 0o755, "#!/bin/sh\n");
    let thief = with_tool("thief").depends("owner");
    let archive = Archive::new().add(with_tool("owner")).add(thief).sign_with(&Key::ed25519()).serve();
    let site = base::site(&archive, "package \"thief\" {}");
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot install thief (2 packages): cannot run dpkg --unpack: it ended with 1; it said last:\n\
         Selecting previously unselected package owner.\n\
         (Reading database ... N files and directories currently installed.)\n\
         Preparing to unpack .../archives/owner_1_all.deb ...\n\
         Unpacking owner (1) ...\n\
         Selecting previously unselected package thief.\n\
         Preparing to unpack .../archives/thief_1_all.deb ...\n\
         Unpacking thief (1) ...\n\
         dpkg: error processing archive /.estaleiro/archives/thief_1_all.deb (--unpack):\n\
         \x20trying to overwrite '/usr/bin/tool', which is also in package owner 1\n\
         Errors were encountered while processing:\n\
         \x20/.estaleiro/archives/thief_1_all.deb",
    );
}

#[test]
fn a_package_is_kept_inside_by_dpkg_as_well() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    use crate::support::tarball::Entry;
    let file = |name: &str| Entry::file(name, 0o644, "escaped");
    for (entries, refused) in [
        // It has no copyright file, so the archive itself is read for one, and not as it is.
        (vec![file("../../../../../../escaped")], Some("its path holds `..`")),
        (vec![Entry::symlink("./out", target), file("./out/escaped")], None),
    ] {
        let evil = entries.into_iter().fold(Deb::new("evil", "1"), Deb::entry);
        let archive = Archive::new().add(evil).sign_with(&Key::ed25519()).serve();
        let site = base::site(&archive, "package \"evil\" {}");
        match refused {
            Some(why) => {
                let said = site.fails(1, &mut site.build());
                assert!(said.contains(why), "{said}");
            }
            // In a root of its own, whatever leads up leads to that root.
            None => drop(site.succeeds(&mut site.build())),
        }
        assert_eq!(crate::site::names_in(outside.path()), Vec::<String>::new());
        assert!(!Path::new("/escaped").exists());
    }
}
