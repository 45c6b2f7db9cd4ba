//! What is built in a container is what is built as root on the machine: commands of a Dockerfile, and packages with
//! their scripts.

use std::time::Instant;

use serde_json::{Value, json};

use crate::base;
use crate::fleet;
use crate::pier::{self, Yard};
use crate::site::definition_of;
use crate::support::concourse::{Concourse, Outcome, Put};
use crate::support::container::Kind;
use crate::support::image::busybox;
use crate::support::tarball::Entry;
use crate::support::{Archive, Deb, Key, Tarball, TestRegistry, tree};

/// Three stages, whose commands do what commands of Dockerfiles do, with what busybox has.
pub(crate) const DOCKERFILE: &str = r#"
FROM @base AS tools
RUN mkdir -p /opt/tools/bin && cd /opt/tools && echo tool > bin/one && ln bin/one bin/two && ln -s one bin/three \
 && chown -R 7:8 . && chmod 4755 bin/one && chmod 2775 bin && mkfifo queue
FROM @base AS made
RUN --mount=type=cache,target=/var/cache/made echo first >> /var/cache/made/log
RUN --mount=type=cache,target=/var/cache/made --mount=from=tools,source=/opt/tools,target=/mnt \
    cat /var/cache/made/log > /made && cp -a /mnt/bin /srv && rm /etc/group && mv /tmp /var/tmp
RUN echo x > /dev/null && head -c 8 /dev/urandom | wc -c > /n && cat /proc/self/comm >> /n && test -e /dev/fd/0
USER ann
RUN id > /tmp/id || id > /var/tmp/id; uname -n > /var/tmp/uname; env > /var/tmp/env
FROM @base
COPY --from=made --chown=ann:staff /srv /srv
COPY --from=made /made /n /var/tmp/ /out/
RUN rm -r /srv/three && touch /srv/new && mv /srv/one /srv/moved && echo changed >> /out/n
"#;

/// Puts as root on this machine, and in a container of each kind, each time on an empty worker, and insists that all made
/// the same image; tells how long each took.
pub(crate) fn assert_same_everywhere(registry: &TestRegistry, apt: &Value, step: &Put) {
    let state = tempfile::tempdir().unwrap();
    let mut concourses = vec![("machine", pier::concourse(state.path()))];
    for kind in Kind::ALL {
        concourses.push((kind.name(), Concourse::in_container(kind).environment("NO_COLOR", "1")));
    }
    let mut first = None;
    for (place, concourse) in concourses {
        let mut source = pier::source(&registry.host(), place);
        source["apt"] = apt.clone();
        let start = Instant::now();
        let (outcome, _) =
            concourse.resource(source.clone()).put(step).unwrap_or_else(|f| panic!("{place}: {}", f.stderr));
        eprintln!("{place}: {:.1} s", start.elapsed().as_secs_f64());
        let made = (source, outcome);
        let first = first.get_or_insert_with(|| made.clone());
        assert!(
            made.1.version["digest"] == first.1.version["digest"],
            "{place}: it is another image than the machine's:{}",
            differences(&whole(first), &whole(&made))
        );
    }
}

/// Returns the root, the configuration and the account of an image, line by line.
fn whole((source, outcome): &(Value, Outcome)) -> Vec<String> {
    let got = pier::get(source, &outcome.version, &json!({}));
    let root = tree::dump(&got.path("rootfs"));
    let texts = [root, got.read("metadata.json"), got.read("bom.yml")];
    texts.iter().flat_map(|text| text.lines().map(str::to_owned)).collect()
}

/// Returns the lines that only one of them has.
fn differences(one: &[String], other: &[String]) -> String {
    let only = |some: &[String], others: &[String], sign: &str| {
        let lines = some.iter().filter(|line| !others.contains(line));
        lines.map(|line| format!("\n{sign} {line}")).collect::<String>()
    };
    only(one, other, "-") + &only(other, one, "+")
}

#[test]
fn a_dockerfile_of_three_stages_makes_the_same_image_in_every_container() {
    let registry = TestRegistry::start();
    busybox().put(&registry, "base", Some("latest"));
    let yard = Yard::new("");
    yard.write("Dockerfile", DOCKERFILE.replace('@', &format!("{}/", registry.host())));
    let step = pier::with_params(&yard, json!({"dockerfile": "source/Dockerfile"}));
    assert_same_everywhere(&registry, &json!({}), &step);
}

/// Devices and most extended attributes can't be made in an unprivileged one.
#[test]
fn a_base_with_devices_and_attributes_is_the_same_in_every_container() {
    let registry = TestRegistry::start();
    let capability = [1, 0, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let odd = Tarball::new()
        .directory("odd/", 0o755)
        .entry(Entry::device("odd/null", 0o666, 1, 3).owned_by(0, 5))
        .entry(Entry::device("odd/other", 0o600, 240, 70_000))
        .entry(Entry::file("odd/ping", 0o755, "ping").xattr("security.capability", capability))
        .entry(Entry::file("odd/measured", 0o644, "x").xattr("security.ima", b"\x03\0x"))
        .entry(Entry::directory("odd/d/", 0o755).xattr("trusted.note", "note"))
        .file("odd/d/x", 0o644, "x");
    busybox().layer(&odd).put(&registry, "odd", Some("latest"));
    let yard = Yard::new("");
    let dockerfile = "FROM @odd AS changed\nRUN chmod 600 /odd/null && mv /odd/other /odd/moved && rm /odd/d/x && chmod 700 /odd/d /odd/ping\n\
        RUN echo y > /odd/d/y && mv /odd/null /odd/d/\n\
        FROM @odd\nCOPY --from=changed /odd /copied\nRUN --mount=from=changed,target=/m cp -a /m/odd/d/y /odd/measured /\n";
    yard.write("Dockerfile", dockerfile.replace('@', &format!("{}/", registry.host())));
    let step = pier::with_params(&yard, json!({"dockerfile": "source/Dockerfile"}));
    assert_same_everywhere(&registry, &json!({}), &step);
}

#[test]
fn the_sandbox_is_the_best_that_the_container_allows_and_is_told() {
    let registry = TestRegistry::start();
    busybox().put(&registry, "base", Some("latest"));
    let yard = Yard::new("");
    yard.write("Dockerfile", format!("FROM {}/base\nRUN true\n", registry.host()));
    let step = pier::with_params(&yard, json!({"dockerfile": "source/Dockerfile"}));
    for (kind, sandbox) in
        [(Kind::Unprivileged, "chroot"), (Kind::FuseOnly, "chroot"), (Kind::Privileged, "namespaces")]
    {
        let concourse = Concourse::in_container(kind).environment("NO_COLOR", "1");
        let (outcome, _) =
            concourse.resource(pier::source(&registry.host(), kind.name())).put(&step).unwrap();
        let told: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("sandbox: ")).collect();
        assert_eq!(told, [format!("sandbox: {sandbox}")], "{kind:?}");
    }
}

/// A package whose script does what scripts do with the system: owners, a capability, a named pipe, devices, /proc.
fn diligent() -> Deb {
    let script = "#!/bin/sh\nset -e\ninstall -d -o daemon -m 0750 /var/lib/diligent\nsetcap cap_net_raw+ep /usr/bin/diligent\n\
        mkfifo /var/lib/diligent/queue\nid > /dev/null 2>&1\ncat /proc/self/comm > /var/lib/diligent/comm\n\
        head -c 4 /dev/zero > /var/lib/diligent/zeros\n";
    Deb::new("diligent", "1").file("/usr/bin/diligent", 0o755, "diligent").script("postinst", script)
}

#[test]
fn packages_are_installed_the_same_in_every_container() {
    let archive = fleet::old().into_iter().chain([diligent()]).fold(Archive::new(), Archive::add);
    let archive = archive.sign_with(&Key::ed25519()).serve();
    let names: Vec<String> = fleet::old().iter().map(|deb| deb.name().to_owned()).collect();
    let packages = names.iter().map(|name| format!("package {name:?} {{}}\n")).collect::<String>();
    let yard = Yard::new(&definition_of(&archive, &base::name(), &(packages + "package \"diligent\" {}")));
    yard.write("archive.asc", archive.key());
    assert_same_everywhere(&TestRegistry::start(), &json!({}), &pier::step(&yard));
}
