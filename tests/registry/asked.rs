//! What is asked, and in which order.

use super::*;

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
    assert_eq!(
        fake.lines(),
        [
            format!("GET /v2/app/referrers/{}", subject.digest),
            format!("HEAD /v2/app/blobs/{}", Digest::of("{}")),
            format!("HEAD /v2/app/blobs/{}", Digest::of("bom")),
            format!("PUT /v2/app/manifests/{}", attached.digest),
        ]
    );
    let manifest = Manifest::parse(&fake.asked()[3].body).unwrap();
    assert_eq!(manifest.subject, Some(subject));
    assert_eq!(manifest.artifact_type.as_deref(), Some(BOM));
    assert_eq!(manifest.layers, [Descriptor::of(BOM, b"bom")]);
    assert_eq!(manifest.config, Descriptor::of(media_type::EMPTY, b"{}"));
}

#[tokio::test]
async fn what_was_seen_is_not_asked_for_again() {
    let fake = Fake::start(|asked, _| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", path) if path.contains("/referrers/") => {
            answer_with(200, &[("content-type", media_type::INDEX)], Index::new(vec![]).to_json())
        }
        ("HEAD", path) if path.ends_with(&Digest::of("gone").to_string()) => answer(404),
        ("PUT", _) => answer_with(201, &[("oci-subject", "sha256:x")], ""),
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
