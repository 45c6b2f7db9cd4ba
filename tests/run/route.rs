//! The way to the network: proxies, and authorities that were given by hand.

use std::fs;

use estaleiro::build::graph::Run;

use super::place::{Place, directory, file, sh};

fn online(script: &str) -> Run {
    Run { has_network: true, ..sh(script) }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn a_command_with_a_network_knows_the_proxies_and_never_tells_their_passwords() {
    let mut place = Place::new();
    let base = place.base();
    place.route.proxies =
        vec![pair("http_proxy", "http://ann:p%40ss@worker.example"), pair("no_proxy", "worker.example")];
    let mut run = online("echo $http_proxy $no_proxy; echo p@ss YW5uOnBAc3M=; echo $http_proxy > /kept");
    let (delta, said) = place.run(&run, &base).unwrap();
    assert_eq!(said, ["http://ann:***@worker.example worker.example", "*** ***"]);
    // What it writes is its own affair.
    assert_eq!(place.contents(delta.layer.as_ref().unwrap()), "http://ann:p%40ss@worker.example\n");
    // What is given to the build counts more, and what the image says most.
    run.argv[2] = "echo $http_proxy $no_proxy".into();
    run.proxies = vec![pair("http_proxy", "http://given.example"), pair("no_proxy", "given.example")];
    run.env.push(pair("no_proxy", "image.example"));
    assert_eq!(place.run(&run, &base).unwrap().1, ["http://given.example image.example"]);
    run.argv[2] = "echo $http_proxy >&2; exit 1".into();
    run.proxies.clear();
    let error = place.error_of(&run, &base, &[]);
    assert!(error.ends_with("it said last:\nhttp://ann:***@worker.example"), "{error}");
    assert_eq!(place.run(&sh("echo ${http_proxy-none}"), &base).unwrap().1, ["none"]);
}

const ALL: &str = "for v in SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE PIP_CERT GIT_SSL_CAINFO NODE_EXTRA_CA_CERTS AWS_CA_BUNDLE CARGO_HTTP_CAINFO; do eval cat \\$$v; done";

#[test]
fn authorities_that_were_given_are_seen_beside_the_images_own_and_leave_no_trace() {
    let mut place = Place::new();
    let mut base = place.base();
    let bundle = file("etc/ssl/certs/ca-certificates.crt", 0o644, "image's\n");
    base.push(place.layer(&[directory("etc"), directory("etc/ssl"), directory("etc/ssl/certs"), bundle]));
    let unknown = online("echo ${SSL_CERT_FILE-none} ${APT_CONFIG-none}; ls /dev");
    let (_, said) = place.run(&unknown, &base).unwrap();
    assert_eq!(said[0], "none none");
    assert!(!said.contains(&"estaleiro".to_owned()), "{said:?}");

    place.route.ca_certs = vec!["given".into(), "another\n".into()];
    let mut run = online(ALL);
    run.user = "app".into();
    let (delta, said) = place.run(&run, &base).unwrap();
    assert_eq!(
        (delta.layer, said),
        (None, ["given", "another", "image's"].repeat(8).iter().map(|&line| line.into()).collect())
    );
    run.env.push(pair("SSL_CERT_FILE", "/own"));
    run.argv[2] = "echo $SSL_CERT_FILE ${APT_CONFIG-none}; head -n 1 $CURL_CA_BUNDLE; (echo x > $PIP_CERT) 2>/dev/null || echo refused".into();
    let (delta, said) = place.run(&run, &base).unwrap();
    assert_eq!((delta.layer, said), (None, ["/own none", "given", "refused"].map(String::from).to_vec()));
    // The image's own places are as they were, and can be changed.
    run.argv[2] = "cat /etc/ssl/certs/*; echo new > /made".into();
    run.user = String::new();
    let (delta, said) = place.run(&run, &base).unwrap();
    assert_eq!((place.shown(&delta), said), ("file 644 0:0 made\n".to_owned(), vec!["image's".to_owned()]));
    assert_eq!(place.run(&sh("echo ${CURL_CA_BUNDLE-none}"), &base).unwrap().1, ["none"]);
}

#[test]
fn an_image_without_authorities_has_the_machines_for_a_while() {
    let mut place = Place::new();
    let base = place.base();
    place.route.ca_certs = vec!["given".into()];
    let count = online("head -n 1 $SSL_CERT_FILE; grep -c BEGIN.CERTIFICATE $SSL_CERT_FILE");
    let (delta, said) = place.run(&count, &base).unwrap();
    let own = rustls_native_certs::load_native_certs().certs.len();
    assert!(own > 0, "this test needs Debian's ca-certificates");
    assert_eq!((delta.layer, said), (None, vec!["given".into(), own.to_string()]));
}

#[test]
fn apt_is_told_where_the_image_has_it_and_says_nothing_of_its_own() {
    let mut place = Place::new();
    let mut base = place.base();
    base.push(place.layer(&[directory("usr"), directory("usr/bin"), file("usr/bin/apt-get", 0o755, "")]));
    place.route.ca_certs = vec!["given".into()];
    let mut run = online("cat $APT_CONFIG");
    let (delta, said) = place.run(&run, &base).unwrap();
    assert_eq!(delta.layer, None);
    // Apt itself understands it.
    let configuration = place.path("apt.conf");
    fs::write(&configuration, said.join("\n")).unwrap();
    let read = std::process::Command::new("apt-config")
        .args(["shell", "FILE", "Acquire::https::CaInfo"])
        .env("APT_CONFIG", configuration)
        .output();
    let read = String::from_utf8(read.expect("apt-config is there").stdout).unwrap();
    assert_eq!(read, "FILE='/dev/estaleiro/ca-certificates.crt'\n");
    run.env.push(pair("APT_CONFIG", "/etc/old"));
    assert_eq!(place.run(&run, &base).unwrap().1, ["old"]);
}
