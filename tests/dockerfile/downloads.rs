//! ADD from afar.

use std::sync::Arc;

use estaleiro::digest::Digest;
use futures_util::FutureExt;

use crate::shop::Shop;
use crate::support::http::{self, Handler, Server};

/// Serves one file.
fn serve(content: &'static str) -> Server {
    Server::start(move |_| {
        let handler: Handler = Arc::new(move |_| async move { http::bytes(200, content) }.boxed());
        handler
    })
}

#[test]
fn a_file_from_afar_is_put_where_it_is_asked_for() {
    let shop = Shop::new();
    let server = serve("from afar");
    let url = format!("http://{}/dist/tool.txt", server.address());
    let built = shop.build(&format!("FROM scratch\nADD {url} /in/\nADD {url} /as/name\n"), &[]);
    let line = |path: &str| format!("file 0600 0:0 9:{} {path}", Digest::of("from afar").short());
    assert!(built.tree("/in/").contains(&line("/in/tool.txt")), "{}", built.tree("/"));
    assert!(built.tree("/as/").contains(&line("/as/name")), "{}", built.tree("/"));
}

#[test]
fn a_file_that_is_not_what_its_checksum_says_is_refused() {
    let shop = Shop::new();
    let server = serve("from afar");
    let url = format!("http://{}/dist/tool.txt", server.address());
    let add = |digest: Digest| format!("FROM scratch\nADD --checksum={digest} {url} /\n");
    shop.build(&add(Digest::of("from afar")), &[]);
    let stderr = shop.fail(&add(Digest::of("something else")), &[]);
    assert!(stderr.contains("expected sha256:"), "{stderr}");
}
