//! What is asked, and in which order.

use super::*;
use estaleiro::registry::Blob;

#[tokio::test]
async fn a_blob_is_looked_for_then_mounted_then_uploaded_in_one_piece() {
    let fake = Fake::start(|asked, _| match asked.method.as_str() {
        "HEAD" => answer(404),
        // The mount is declined: the session that comes with it is used.
        "POST" => answer_with(202, &[("location", "/upload/1?state=x")], ""),
        _ => answer(201),
    })
    .await;
    let desk = Desk::new();
    let blob = desk.blob(b"a layer");
    let registry = open(&fake.host, "app", &access());
    assert_eq!(
        registry.push_blob(&blob, &desk.store, Some("base"), &desk.task).await.unwrap(),
        Pushed::Uploaded
    );
    let digest = blob.digest;
    let encoded = digest.to_string().replace(':', "%3A");
    assert_eq!(
        fake.lines(),
        [
            format!("HEAD /v2/app/blobs/{digest}"),
            format!("POST /v2/app/blobs/uploads/?mount={digest}&from=base"),
            format!("PUT /upload/1?state=x&digest={encoded}"),
        ]
    );
    let put = &fake.asked()[2];
    assert_eq!((put.content_length, put.body.as_ref()), (Some(7), &b"a layer"[..]));
}

#[tokio::test]
async fn a_mount_that_is_refused_becomes_an_upload() {
    let fake = Fake::start(|asked, _| match (asked.method.as_str(), asked.query.contains("mount=")) {
        ("HEAD", _) => answer(404),
        ("POST", true) => answer(403),
        ("POST", false) => answer_with(202, &[("location", "/upload/1")], ""),
        _ => answer(201),
    })
    .await;
    let desk = Desk::new();
    let blob = desk.blob(b"a layer");
    let registry = open(&fake.host, "app", &access());
    let pushed = registry.push_blob(&blob, &desk.store, Some("secret/base"), &desk.task).await.unwrap();
    assert_eq!((pushed, fake.asked().len()), (Pushed::Uploaded, 4));
}

#[tokio::test]
async fn a_registry_that_keeps_the_list_of_referrers_is_left_to_it() {
    let fake = Fake::start(|asked, _| match asked.method.as_str() {
        "GET" => answer_with(200, &[("content-type", media_type::INDEX)], Index::new(vec![]).to_json()),
        "HEAD" => answer(200),
        _ => answer_with(201, &[("oci-subject", "sha256:x")], ""),
    })
    .await;
    let registry = open(&fake.host, "app", &access());
    let subject = Descriptor::of(media_type::MANIFEST, b"image");
    let attached = registry.attach(&subject, &artifact(BOM, "bom")).await.unwrap();
    let mut lines = fake.lines();
    lines[1..3].sort();
    assert_eq!(
        lines,
        [
            format!("GET /v2/app/referrers/{}", subject.digest),
            format!("HEAD /v2/app/blobs/{}", Digest::of("{}")),
            format!("POST /v2/app/blobs/uploads/?digest={}", Digest::of("bom")),
            format!("PUT /v2/app/manifests/{}", attached.digest),
        ]
    );
    let asked = fake.asked();
    assert_eq!(asked.iter().find(|asked| asked.method == "POST").unwrap().body.as_ref(), b"bom");
    let manifest = Manifest::parse(&fake.asked()[3].body).unwrap();
    assert_eq!(manifest.subject, Some(subject));
    assert_eq!(manifest.artifact_type.as_deref(), Some(BOM));
    assert_eq!(manifest.layers, [Descriptor::of(BOM, b"bom")]);
    assert_eq!(manifest.config, Descriptor::of(media_type::EMPTY, b"{}"));
}

#[tokio::test]
async fn a_registry_that_does_not_see_a_blob_yet_is_asked_once_more() {
    let fake = Fake::start(|asked, n_before| match (asked.method.as_str(), n_before) {
        ("GET", _) => answer_with(200, &[("content-type", media_type::INDEX)], Index::new(vec![]).to_json()),
        ("HEAD", _) => answer(200),
        ("PUT", 0) => answer(400),
        _ => answer_with(201, &[("oci-subject", "sha256:x")], ""),
    })
    .await;
    let subject = Descriptor::of(media_type::MANIFEST, b"image");
    open(&fake.host, "app", &access()).attach(&subject, &artifact(BOM, "bom")).await.unwrap();
    assert_eq!(fake.asked().iter().filter(|asked| asked.method == "PUT").count(), 2);
}

#[tokio::test]
async fn a_small_blob_goes_with_the_first_request_where_that_is_taken() {
    const CONTENTS: [&[u8]; 2] = [b"one", b"two"];
    for (status, n_asked, second) in [
        (201, 2, "POST /v2/app/blobs/uploads/?digest="),
        // The session is used, and no more bytes are sent in vain.
        (202, 4, "PUT /upload/1?digest="),
        // It is begun again as everybody does.
        (404, 5, "POST /v2/app/blobs/uploads/"),
        (501, 5, "POST /v2/app/blobs/uploads/"),
    ] {
        let fake = Fake::start(move |asked, _| match (asked.method.as_str(), asked.query.is_empty()) {
            ("POST", false) => answer_with(status, &[("location", "/upload/1")], ""),
            ("POST", true) => answer_with(202, &[("location", "/upload/1")], ""),
            _ => answer(201),
        })
        .await;
        let registry = open(&fake.host, "app", &access());
        for bytes in CONTENTS {
            registry.push_new_blob(&Blob::new("x", bytes.to_vec())).await.unwrap();
            registry.push_new_blob(&Blob::new("x", bytes.to_vec())).await.unwrap();
        }
        let lines = fake.lines();
        assert_eq!(lines.len(), n_asked, "{status}: {lines:#?}");
        assert!(lines[1].starts_with(second), "{status}: {lines:#?}");
        let asked = fake.asked();
        let sent = asked.iter().filter(|asked| asked.method == "PUT" || status == 201);
        assert!(sent.map(|asked| asked.body.as_ref()).eq(CONTENTS), "{status}: {lines:#?}");
    }
}

#[tokio::test]
async fn only_a_large_blob_is_looked_for_before_it_is_sent() {
    for (size, expected) in [(64 << 10, &["POST"][..]), (512 << 10, &["POST", "PUT"]), (2 << 20, &["HEAD"])] {
        let fake = Fake::start(|asked, _| match (asked.method.as_str(), asked.query.is_empty()) {
            ("HEAD", _) => answer(200),
            ("POST", true) => answer_with(202, &[("location", "/upload/1")], ""),
            _ => answer(201),
        })
        .await;
        open(&fake.host, "app", &access()).push_new_blob(&Blob::new("x", vec![0; size])).await.unwrap();
        let asked = fake.asked();
        assert!(asked.iter().map(|asked| asked.method.as_str()).eq(expected.iter().copied()), "{size}");
    }
}

#[tokio::test]
async fn a_small_blob_whose_request_breaks_is_sent_as_everybody_does() {
    let fake = Fake::start(|asked, _| match (asked.method.as_str(), asked.query.is_empty()) {
        ("POST", false) => answer(503),
        ("POST", true) => answer_with(202, &[("location", "/upload/1")], ""),
        _ => answer(201),
    })
    .await;
    open(&fake.host, "app", &access()).push_new_blob(&Blob::new("x", b"a document".to_vec())).await.unwrap();
    let asked = fake.asked();
    assert!(asked.iter().map(|asked| asked.method.as_str()).eq(["POST", "POST", "PUT"]));
}

#[tokio::test]
async fn what_was_seen_is_not_asked_for_again() {
    let fake = Fake::start(|asked, _| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", path) if path.contains("/referrers/") => {
            answer_with(200, &[("content-type", media_type::INDEX)], Index::new(vec![]).to_json())
        }
        ("HEAD", path) if path.ends_with(&Digest::of("gone").to_string()) => answer(404),
        ("PUT" | "POST", _) => answer_with(201, &[("oci-subject", "sha256:x")], ""),
        _ => answer(200),
    })
    .await;
    let registry = open(&fake.host, "app", &access());
    let subject = Descriptor::of(media_type::MANIFEST, b"image");
    let count = |method: &str, part: &str| {
        fake.asked().iter().filter(|asked| asked.method == method && asked.path.contains(part)).count()
    };
    for _ in 0..3 {
        assert!(registry.has_blob(&Digest::of("there")).await.unwrap());
        assert!(!registry.has_blob(&Digest::of("gone")).await.unwrap());
        assert!(registry.referrers(&subject.digest, None).await.unwrap().is_empty());
        assert!(registry.referrers(&subject.digest, Some(BOM)).await.unwrap().is_empty());
    }
    assert_eq!((count("HEAD", "/blobs/"), count("GET", "/referrers/")), (1 + 3, 1), "{:?}", fake.lines());
    registry.attach(&subject, &artifact(BOM, "bom")).await.unwrap();
    registry.referrers(&subject.digest, None).await.unwrap();
    assert_eq!(count("GET", "/referrers/"), 2, "what was attached changes the list");
}

#[tokio::test]
async fn a_registry_that_knows_no_head_is_asked_for_the_manifest_itself() {
    let fake = Fake::start(|asked, _| match asked.method.as_str() {
        "HEAD" => answer(405),
        _ => answer_with(200, &[("content-type", media_type::INDEX)], Index::new(vec![]).to_json()),
    })
    .await;
    let found = open(&fake.host, "app", &access()).resolve("1").await.unwrap().unwrap();
    assert_eq!(found, Descriptor::of(media_type::INDEX, &Index::new(vec![]).to_json()));
    assert_eq!(fake.lines(), ["HEAD /v2/app/manifests/1", "GET /v2/app/manifests/1"]);
}

#[tokio::test]
async fn all_pages_of_tags_are_read() {
    let fake = Fake::start(|asked, _| match asked.query.as_str() {
        "n=1000" => {
            let next = [("link", r#"</v2/app/tags/list?n=1000&last=b>; rel="next""#)];
            answer_with(200, &next, r#"{"name":"app","tags":["a","b"]}"#)
        }
        _ => answer_with(200, &[], r#"{"name":"app","tags":["c"]}"#),
    })
    .await;
    assert_eq!(open(&fake.host, "app", &access()).tags().await.unwrap(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_repository_that_is_not_there_has_no_tags_and_no_referrers() {
    let fake = Fake::start(|_, _| answer(404)).await;
    let registry = open(&fake.host, "app", &access());
    assert!(registry.tags().await.unwrap().is_empty());
    assert!(registry.referrers(&Digest::of("x"), None).await.unwrap().is_empty());
    assert_eq!(registry.manifest("1").await.unwrap(), None);
}
