//! Prints what each name given resolves to: the resolver of a statically linked program, and nothing else.

use std::net::ToSocketAddrs;

fn main() {
    for name in std::env::args().skip(1) {
        let address = (name.as_str(), 0).to_socket_addrs().map(|mut found| found.next());
        println!("{name} {}", address.ok().flatten().map_or("unknown".into(), |found| found.ip().to_string()));
    }
}
