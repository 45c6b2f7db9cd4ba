//! Names of hosts: a statically linked program finds them by what the image has, and by nothing of this machine.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::definition::Ship;
use crate::support::run;

/// A name server that knows `registry.example`; on loopback like all servers here, at the one port that names have.
const SERVER: &str = "127.0.53.1";

/// Answers each question: an address of documentation for the one name, and nothing for others.
fn serve() {
    let socket =
        UdpSocket::bind((SERVER, 53)).unwrap_or_else(|error| panic!("cannot bind {SERVER}:53: {error}"));
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((size, from)) = socket.recv_from(&mut question) {
            socket.send_to(&answer(&question[..size]), from).unwrap();
        }
    });
}

/// <https://www.rfc-editor.org/rfc/rfc1035#section-4.1>
fn answer(question: &[u8]) -> Vec<u8> {
    let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let asked = &question[12..name_end + 4];
    let is_known = asked.starts_with(b"\x08registry\x07example\0\x00\x01");
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_known), 0, 0, 0, 0]);
    answer.extend(asked);
    if is_known {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 9]);
    }
    answer
}

fn compile(program: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ship/resolve.rs");
    let linked = ["-C", "target-feature=+crt-static", "--edition", "2024"];
    run("rustc", &[&linked[..], &[source, "-o", program.to_str().unwrap()]].concat());
}

#[test]
fn a_static_program_finds_them_by_file_and_by_server() {
    serve();
    let ship = Ship::built();
    let root = ship.root();
    compile(&root.join("resolve"));
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n192.0.2.7 archive.example\n").unwrap();
    fs::write(root.join("etc/resolv.conf"), format!("nameserver {SERVER}\n")).unwrap();
    let mut resolve = Command::new("chroot");
    resolve.arg(&root).args([
        "/resolve",
        "localhost",
        "archive.example",
        "registry.example",
        "nobody.example",
    ]);
    let found = resolve.env_clear().env("PATH", "/usr/sbin:/usr/bin").output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&found.stdout),
        "localhost 127.0.0.1\narchive.example 192.0.2.7\nregistry.example 192.0.2.9\nnobody.example unknown\n",
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
}
