//! Registries behind a proxy that asks for a name and a password, for plain http and for TLS.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;

use crate::support::{Concourse, DockerRegistry, TestImage, TestRegistry, certificate};

/// `user:canary-proxy`.
const AUTHORIZATION: &str = "proxy-authorization: Basic dXNlcjpjYW5hcnktcHJveHk=";

/// A proxy that reaches one server only, whatever it is asked for. It lasts as long as the test's process.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, heads) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let kept = heads.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                thread::spawn(move || serve(client, target, &kept));
            }
        });
        Proxy { address, heads }
    }

    fn url(&self) -> String {
        format!("http://user:canary-proxy@{}", self.address)
    }

    /// Returns the beginning of each connection that was used.
    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(client: TcpStream, target: SocketAddr, heads: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    if head.is_empty() {
        return Ok(()); // A connection that the client opened beforehand and had no use for.
    }
    let lines: Vec<String> = head.lines().map(|line| line.replacen("Proxy-Auth", "proxy-auth", 1)).collect();
    heads.lock().unwrap().push(lines.join("\n"));
    let mut server = TcpStream::connect(target)?;
    let mut client = client;
    match head.starts_with("CONNECT ") {
        true => client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?,
        false => server.write_all(head.as_bytes())?,
    }
    let mut upstream = server.try_clone()?;
    thread::spawn(move || {
        let _ = io::copy(&mut reader, &mut upstream);
        upstream.shutdown(std::net::Shutdown::Write)
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}

#[test]
fn plain_http_goes_through_the_proxy_that_the_environment_names() {
    let registry = TestRegistry::start();
    TestImage::new().put(&registry, "app", Some("1"));
    let proxy = Proxy::start(registry.host().parse().unwrap());
    let source = json!({"repository": "registry.example/app", "tag": "1", "insecure": true});
    let concourse = Concourse::new().environment("HTTP_PROXY", &proxy.url());
    let versions =
        concourse.resource(source.clone()).check().unwrap_or_else(|failure| panic!("{}", failure.stderr));
    assert_eq!(versions.len(), 1);
    let heads = proxy.heads();
    assert!(heads[0].starts_with("GET http://registry.example/v2/ HTTP/1.1\n"), "{heads:?}");
    assert!(heads.iter().all(|head| head.contains(AUTHORIZATION)), "{heads:?}");

    let without =
        Concourse::new().environment("HTTP_PROXY", &proxy.url()).environment("NO_PROXY", "127.0.0.1");
    let near = json!({"repository": format!("{}/app", registry.host()), "tag": "1"});
    assert_eq!(
        without.resource(near).check().unwrap_or_else(|failure| panic!("{}", failure.stderr)).len(),
        1
    );
    assert_eq!(proxy.heads(), heads);
}

#[test]
fn tls_goes_through_a_tunnel_of_the_proxys() {
    let directory = tempfile::tempdir().unwrap();
    certificate::make(directory.path());
    let path = |name: &str| directory.path().join(name).display().to_string();
    let tls = format!("  tls:\n    certificate: {}\n    key: {}\n", path("cert.pem"), path("cert-key.pem"));
    let registry = DockerRegistry::with(&tls);
    let proxy = Proxy::start(registry.host().parse().unwrap());
    let authority = std::fs::read_to_string(path("ca.pem")).unwrap();
    let source =
        json!({"repository": format!("{}/app", registry.host()), "tag": "1", "ca_certs": [authority]});
    let concourse = Concourse::new().environment("HTTPS_PROXY", &proxy.url());
    let versions =
        concourse.resource(source.clone()).check().unwrap_or_else(|failure| panic!("{}", failure.stderr));
    assert_eq!(versions, []);
    let heads = proxy.heads();
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with(&format!("CONNECT {} HTTP/1.1\n", registry.host())), "{head}");
        assert!(head.contains(AUTHORIZATION), "{head}");
    }

    // An authority that the environment names is as good as one that the source does.
    let mut source = source;
    source.as_object_mut().unwrap().remove("ca_certs");
    let untrusted = Concourse::new().resource(source.clone()).check().unwrap_err().stderr;
    assert!(untrusted.contains("certificate"), "{untrusted}");
    let trusting = Concourse::new().environment("SSL_CERT_FILE", &path("ca.pem"));
    let versions = trusting.resource(source).check().unwrap_or_else(|failure| panic!("{}", failure.stderr));
    assert_eq!(versions, []);
}
