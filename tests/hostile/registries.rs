//! Registries that lie to `check` and `in`: what they say is refused with an error that names it, or it does no harm.

use std::fs;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use estaleiro::digest::Digest;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Value, json};

use crate::rogue::{
    Answer, CONFIG, INDEX, LAYER, MANIFEST, Rogue, check, config, descriptor, error_of, get, manifest,
    refused, respond, run, source, with_layer, with_tarball,
};
use crate::site::assert_said;
use crate::support::http::{Handler, Server};
use crate::support::tarball::Tarball;

#[test]
fn a_manifest_is_not_taken_for_an_index_nor_the_other_way_round() {
    let config = config(&[]);
    let image = manifest(&config, &[]);
    let bytes = |value: &Value| value.to_string().into_bytes();
    let child = json!([descriptor(MANIFEST, &bytes(&image))]);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": child});
    let (mut nameless, mut listing) = (image.clone(), image.clone());
    nameless.as_object_mut().unwrap().remove("mediaType");
    nameless["manifests"] = child.clone();
    listing["manifests"] = child;
    let announced = |as_what: &str, itself: &str| {
        format!("the manifest cannot be read: it was announced as {as_what}, but calls itself {itself}")
    };
    let ambiguous = |what: &str, field: &str| {
        format!("cannot read {what}: it also has the field `{field}`, so it could be taken for another kind")
    };
    let of_manifest = |why: String| format!("cannot read the manifest registry.example/app@DIGEST: {why}");
    let of_image = |why: String| format!("cannot read image registry.example/app@DIGEST: {why}");
    for (kind, body, expected) in [
        (INDEX, &image, of_manifest(announced(INDEX, MANIFEST))),
        (MANIFEST, &index, of_manifest(announced(MANIFEST, INDEX))),
        (MANIFEST, &nameless, of_image(ambiguous("manifest", "manifests"))),
        (INDEX, &nameless, ambiguous("index", "layers")),
        (MANIFEST, &listing, of_image(ambiguous("manifest", "manifests"))),
        (
            "text/html",
            &json!({}),
            of_manifest("the manifest cannot be read: it doesn't say what it is".into()),
        ),
    ] {
        let body = bytes(body);
        refused(Rogue::default().blob(&config).manifest(kind, &body), &Digest::of(&body), &expected);
    }
}

#[test]
fn a_check_that_has_to_read_a_manifest_does_not_take_it_for_another_kind_either() {
    let body = json!({"schemaVersion": 2, "mediaType": MANIFEST}).to_string();
    let said = check(&Rogue::default().manifest(INDEX, body.as_bytes()).serve(), Some("1"));
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    let why = format!("it was announced as {INDEX}, but calls itself {MANIFEST}");
    let expected = "error: cannot resolve registry.example/app:1: the manifest cannot be read: ";
    assert_said(&said.stderr, &format!("{expected}{why}"));
}

#[test]
fn what_an_error_quotes_is_short_and_moves_no_cursor() {
    let body = json!("\u{1b}[2J".repeat(100_000)).to_string();
    let said = check(&Rogue::default().manifest(MANIFEST, body.as_bytes()).serve(), Some("1"));
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.len() < 500 && !said.stderr.contains('\u{1b}'), "{}", said.stderr);
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    let layer = Tarball::new().file("hello", 0o644, "ahoy").build();
    let (honest, digest) = with_layer(LAYER, &layer, Digest::of(&layer));
    let config = config(&[Digest::of(&layer)]);
    let path = |bytes: &[u8]| format!("blobs/{}", Digest::of(bytes));
    let changed = |bytes: &[u8]| [&bytes[..bytes.len() - 1], b"x"].concat();
    let other = manifest(&config, &[]).to_string();
    let pull =
        |bytes: &[u8], why: String| format!("cannot pull registry.example/app@{}: {why}", Digest::of(bytes));
    let got =
        |bytes: &[u8], other: &[u8]| format!("expected {}, got {}", Digest::of(bytes), Digest::of(other));
    let cases = [
        (
            honest.clone().manifest_as(&digest.to_string(), MANIFEST, other.as_bytes()),
            format!(
                "cannot read the manifest registry.example/app@DIGEST: expected the manifest to be DIGEST, got {}",
                Digest::of(&other)
            ),
        ),
        (
            honest.clone().answer(&path(&config), &[], changed(&config)),
            pull(&config, got(&config, &changed(&config))),
        ),
        (
            honest.clone().answer(&path(&layer), &[], changed(&layer)),
            pull(&layer, got(&layer, &changed(&layer)).replacen("expected", "expected the blob to be", 1)),
        ),
        (
            honest.clone().answer(&path(&layer), &[], [&layer[..], b"x"].concat()),
            pull(&layer, format!("expected {} bytes, got more", layer.len())),
        ),
    ];
    for (rogue, expected) in cases {
        refused(rogue, &digest, &expected);
    }
    let (rogue, digest) = with_layer(LAYER, &layer, Digest::of("another"));
    let (is, said) = (Digest::of(&layer), Digest::of("another"));
    let expected =
        format!("cannot unpack layer {is}: its content has the digest {is}, the configuration says {said}");
    refused(rogue, &digest, &expected);
}

#[test]
fn a_tag_whose_head_lies_is_found_out_when_it_is_got() {
    let (honest, digest) = with_tarball(&Tarball::new());
    let claimed = Digest::of("claimed");
    let headers = [("content-type", MANIFEST), ("docker-content-digest", &claimed.to_string())];
    let body = honest.0["/v2/app/manifests/1"].body.clone();
    let rogue = honest.answer("manifests/1", &headers, body.clone()).answer(
        &format!("manifests/{claimed}"),
        &headers,
        body,
    );
    let server = rogue.serve();
    let said = check(&server, Some("1"));
    assert_said(&said.stdout, &format!(r#"[{{"digest":"{claimed}","tag":"1"}}]"#));
    let (said, _) = get(&server, &claimed);
    assert_said(
        &error_of(&said, &claimed),
        &format!(
            "error: cannot get registry.example/app@DIGEST: cannot read the manifest registry.example/app@DIGEST: \
             expected the manifest to be DIGEST, got {digest}"
        ),
    );
}

/// A body that goes on for 64 MiB.
fn long(server_says_so: bool) -> Server {
    Server::start(|_| {
        let handler: Handler = Arc::new(move |request: Request| {
            let is_ping = request.uri().path() == "/v2/";
            async move {
                if is_ping {
                    return respond(None, true);
                }
                let chunks = stream::repeat(axum::body::Bytes::from(vec![b' '; 1 << 16])).take(1 << 10);
                let mut response = Response::builder().header("content-type", MANIFEST);
                if server_says_so {
                    response = response.header("content-length", 64 << 20);
                }
                response.body(Body::from_stream(chunks.map(Ok::<_, std::io::Error>))).unwrap()
            }
            .boxed()
        });
        handler
    })
}

#[test]
fn a_manifest_of_64_mebibytes_is_not_read() {
    for server_says_so in [true, false] {
        let server = long(server_says_so);
        let digest = Digest::of("x");
        let (said, _) = get(&server, &digest);
        assert_said(
            &error_of(&said, &digest),
            "error: cannot get registry.example/app@DIGEST: cannot read the manifest registry.example/app@DIGEST: \
             GET http://registry.example/v2/app/manifests/DIGEST was answered by more than 4194304 bytes",
        );
        let said = check(&server, Some("1"));
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
        assert_said(
            &said.stderr,
            "error: cannot resolve registry.example/app:1: GET http://registry.example/v2/app/manifests/1 was \
             answered by more than 4194304 bytes",
        );
        let requests = server.log.requests();
        assert!(requests.iter().all(|request| request.sent < 16 << 20), "{requests:?}");
    }
}

#[test]
fn redirects_in_a_circle_end() {
    let (honest, digest) = with_tarball(&Tarball::new());
    let path = format!("manifests/{digest}");
    let expected = "cannot read the manifest registry.example/app@DIGEST: GET \
                    http://registry.example/v2/app/manifests/DIGEST failed: it redirects more than 5 times";
    let server = refused(honest.redirect(&path, &format!("/v2/app/{path}")), &digest, expected);
    assert_eq!(server.log.count("GET", &path), 6);
    let (honest, _) = with_tarball(&Tarball::new());
    let server = honest.redirect("manifests/1", "1").serve();
    assert_said(
        &check(&server, Some("1")).stderr,
        "error: cannot resolve registry.example/app:1: HEAD http://registry.example/v2/app/manifests/1 failed: it \
         redirects more than 5 times",
    );
    assert_eq!(server.log.count("HEAD", "manifests/1"), 6);
}

#[test]
fn a_redirect_leads_to_no_other_kind_of_place() {
    for (location, why) in [
        ("file:///etc/passwd", "was answered 307 Temporary Redirect"),
        ("ftp://registry.example/x", "failed: it redirects to ftp://registry.example/x"),
        ("gopher://127.0.0.1:70/x", "failed: it redirects to gopher://127.0.0.1:70/x"),
        ("http://", "was answered 307 Temporary Redirect"),
    ] {
        let (honest, digest) = with_tarball(&Tarball::new());
        let request = "GET http://registry.example/v2/app/manifests/DIGEST";
        let expected = format!("cannot read the manifest registry.example/app@DIGEST: {request} {why}");
        refused(honest.redirect(&format!("manifests/{digest}"), location), &digest, &expected);
    }
}

#[test]
fn another_host_that_a_blob_is_at_sees_no_password() {
    let layer = Tarball::new().file("hello", 0o644, "ahoy").build();
    let (honest, digest) = with_layer(LAYER, &layer, Digest::of(&layer));
    let elsewhere = Rogue::default().blob(&layer).serve();
    let path = format!("blobs/{}", Digest::of(&layer));
    let mut rogue = honest.redirect(&path, &format!("{}/v2/app/{path}", elsewhere.url()));
    let challenge = vec![("www-authenticate", "Basic realm=\"x\"".to_owned())];
    rogue.0.insert("/v2/".into(), Answer { status: 401, headers: challenge, body: Vec::new() });
    let server = rogue.serve();
    let place = tempfile::tempdir().unwrap();
    let mut source = source(&server);
    source["username"] = json!("alice");
    source["password"] = json!("hunter2");
    let request = json!({"source": source, "version": {"tag": "1", "digest": digest.to_string()}});
    let said = run(env!("CARGO_BIN_EXE_in"), Some(place.path()), "-", &request);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(fs::read_to_string(place.path().join("rootfs/hello")).unwrap(), "ahoy");
    let shown = |server: &Server| {
        let requests = server.log.requests();
        requests
            .iter()
            .filter(|r| r.path != "/v2/")
            .map(|r| r.header("authorization").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert!(shown(&server).iter().all(|header| header.as_deref() == Some("Basic")));
    assert_eq!(shown(&elsewhere), [None]);
}

#[test]
fn a_digest_that_leads_elsewhere_is_none() {
    let config = config(&[]);
    let short = format!("{}/", "0".repeat(63));
    for (digest, why) in [
        ("sha256:../../../outside", "Invalid encoded value ../../../outside"),
        ("../outside", "missing ':' in digest"),
        ("sha256:", "Empty algorithm value"),
        ("md5:00", "cannot read digest `md5:00`: expected `sha256:` and 64 lower-case hexadecimal digits"),
        (&format!("sha256:{short}"), &format!("Invalid encoded value {short}")),
    ] {
        let odd = json!({"mediaType": LAYER, "digest": digest, "size": 1});
        let mut of_config = manifest(&config, &[]);
        of_config["config"]["digest"] = json!(digest);
        let of_layer = manifest(&config, std::slice::from_ref(&odd));
        let of_child = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [odd]});
        let of_image = format!("cannot read image registry.example/app@DIGEST: cannot read manifest: {why}");
        for (kind, body, expected) in [
            (MANIFEST, of_config, &of_image),
            (MANIFEST, of_layer, &of_image),
            (INDEX, of_child, &format!("cannot read index: {why}")),
        ] {
            let body = body.to_string().into_bytes();
            let rogue = Rogue::default().blob(&config).manifest(kind, &body);
            let server = refused(rogue, &Digest::of(&body), expected);
            assert!(server.log.lines().iter().all(|line| !line.contains("..")), "{:?}", server.log.lines());
        }
    }
}

#[test]
fn a_digest_in_a_header_that_is_none_is_not_believed() {
    let (honest, digest) = with_tarball(&Tarball::new());
    let headers = [("content-type", MANIFEST), ("docker-content-digest", "sha256:../../outside")];
    let body = honest.0["/v2/app/manifests/1"].body.clone();
    let server = honest.answer("manifests/1", &headers, body).serve();
    assert_said(&check(&server, Some("1")).stdout, &format!(r#"[{{"digest":"{digest}","tag":"1"}}]"#));
}

#[test]
fn a_tag_that_leads_elsewhere_is_none() {
    let (honest, digest) = with_tarball(&Tarball::new());
    let tags = json!({"name": "app", "tags": ["../../other/manifests/1", "1", "-x", "1?x=1", "", "1"]});
    let server = honest.answer("tags/list", &[], tags.to_string()).serve();
    let mut source = source(&server);
    source["tag_regex"] = json!(".*");
    let host = server.address().to_string();
    let said = run(env!("CARGO_BIN_EXE_check"), None, &host, &json!({"source": source}));
    assert_said(&said.stdout, &format!(r#"[{{"digest":"{digest}","tag":"1"}}]"#));
    assert_said(&said.stderr, "");
    assert_eq!(server.log.count("*", "/manifests/"), 2, "{:?}", server.log.lines());
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    let config = config(&[]);
    let image = manifest(&config, &[]).to_string();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string();
    let twice =
        |text: &str, field: &str, value: &str| text.replacen('{', &format!("{{\"{field}\":{value},"), 1);
    let of_image =
        |why: &str| format!("cannot read image registry.example/app@DIGEST: cannot read manifest: {why}");
    for (kind, body, expected) in [
        (MANIFEST, twice(&image, "layers", "[]"), of_image("duplicate field `layers`")),
        (
            MANIFEST,
            twice(&image, "config", &descriptor(CONFIG, &config).to_string()),
            of_image("duplicate field `config`"),
        ),
        (
            MANIFEST,
            twice(&image, "mediaType", &format!("\"{INDEX}\"")),
            of_image("duplicate field `mediaType`"),
        ),
        (INDEX, twice(&index, "manifests", "[]"), "cannot read index: duplicate field `manifests`".into()),
    ] {
        let body = body.into_bytes();
        refused(Rogue::default().blob(&config).manifest(kind, &body), &Digest::of(&body), &expected);
    }
    let rootfs = r#"{"type":"layers","diff_ids":[]}"#;
    let config = twice(&String::from_utf8(config).unwrap(), "rootfs", rootfs).into_bytes();
    let body = manifest(&config, &[]).to_string().into_bytes();
    let expected = "cannot read the configuration of image registry.example/app: duplicate field `rootfs`";
    refused(Rogue::default().blob(&config).manifest(MANIFEST, &body), &Digest::of(&body), expected);
}

/// A registry whose list of tags has a next page for ever; `page` answers the tags of one.
fn endless(
    page: impl Fn(usize) -> Vec<String> + Send + Sync + 'static,
    next: impl Fn(usize) -> String + Send + Sync + 'static,
) -> Server {
    Server::start(|_| {
        let handler: Handler = Arc::new(move |request: Request| {
            let number = request
                .uri()
                .query()
                .and_then(|query| query.rsplit_once("last=")?.1.parse().ok())
                .unwrap_or(0);
            let tags = json!({"name": "app", "tags": page(number)});
            let link = format!("<{}>; rel=\"next\"", next(number));
            let answer =
                Answer { status: 200, headers: vec![("link", link)], body: tags.to_string().into_bytes() };
            async move { respond(Some(answer), false) }.boxed()
        });
        handler
    })
}

#[test]
fn a_list_without_end_is_given_up() {
    let next = |number: usize| format!("/v2/app/tags/list?n=1000&last={}", number + 1);
    let a_few = |number: usize| vec![format!("1.0.{number}")];
    let fat = |number: usize| (0..30_000).map(|n| format!("{number}.{n}-{}", "x".repeat(100))).collect();
    let circle = |_: usize| "/v2/app/tags/list?n=1000".to_owned();
    for (server, n_pages) in
        [(endless(a_few, next), 10_000), (endless(fat, next), 50), (endless(a_few, circle), 10_000)]
    {
        let said = check(&server, None);
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
        assert_said(
            &said.stderr,
            "error: cannot list the tags of registry.example/app: the list doesn't come to an end",
        );
        let n_asked = server.log.count("GET", "tags/list");
        assert!(n_asked <= n_pages, "{n_asked}");
    }
}

#[test]
fn a_list_does_not_go_on_at_another_host() {
    let elsewhere = Rogue::default().answer("tags/list", &[], r#"{"name":"app","tags":["2"]}"#).serve();
    let next = format!("http://localhost:{}/v2/app/tags/list", elsewhere.address().port());
    let server = endless(|_| vec!["1".to_owned()], move |_| next.clone());
    let said = check(&server, None);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    let expected = format!(
        "error: cannot list the tags of registry.example/app: it goes on at http://localhost:{}/v2/app/tags/list, which is another host",
        elsewhere.address().port()
    );
    assert_said(&said.stderr, &expected);
    assert_eq!(elsewhere.log.lines(), [""; 0]);
}
