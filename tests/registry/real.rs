//! Debian's registry, and what any registry does.

use super::support::registry::{Options, TestRegistry};
use super::*;

#[tokio::test]
async fn an_image_comes_back_from_a_real_registry_as_it_was_pushed() {
    let server = DebianRegistry::start();
    let here = Desk::new();
    let registry = open(&server.host, "team/app", &access());
    let image = push_image(&registry, &here, "1.0").await;

    assert_eq!(registry.resolve("1.0").await.unwrap().unwrap(), image);
    assert_eq!(registry.resolve("2.0").await.unwrap(), None);
    let (found, bytes) = registry.manifest(&image.digest.to_string()).await.unwrap().unwrap();
    assert_eq!(found, image);
    let layer = &Manifest::parse(&bytes).unwrap().layers[0];

    let there = Desk::new();
    registry.pull_blob(layer, &there.store, &there.task).await.unwrap();
    assert_eq!(there.read(&layer.digest), here.read(&layer.digest));
    assert_eq!(registry.push_blob(layer, &here.store, None, &here.task).await.unwrap(), Pushed::Existed);
    assert_eq!(registry.tags().await.unwrap(), ["1.0"]);
}

#[tokio::test]
async fn a_real_registry_takes_a_blob_over_from_another_repository() {
    let server = DebianRegistry::start();
    let desk = Desk::new();
    let blob = desk.blob(b"a layer");
    let (base, app) = (open(&server.host, "base", &access()), open(&server.host, "app", &access()));
    assert_eq!(base.push_blob(&blob, &desk.store, None, &desk.task).await.unwrap(), Pushed::Uploaded);
    assert_eq!(app.push_blob(&blob, &desk.store, Some("base"), &desk.task).await.unwrap(), Pushed::Mounted);
    let other = desk.blob(b"another layer");
    assert_eq!(app.push_blob(&other, &desk.store, Some("base"), &desk.task).await.unwrap(), Pushed::Uploaded);
    assert!(app.has_blob(&blob.digest).await.unwrap() && app.has_blob(&other.digest).await.unwrap());
}

#[tokio::test]
async fn a_real_registry_lets_in_who_has_the_password() {
    let server = DebianRegistry::start_with_password();
    let desk = Desk::new();
    let image = push_image(&open(&server.host, "app", &with_password("hunter2")), &desk, "1").await;
    let nobody = open(&server.host, "app", &access());
    let error = nobody.resolve("1").await.unwrap_err().to_string();
    assert!(error.contains("refused access without credentials (401"), "{error}");
    let wrong = open(&server.host, "app", &with_password("hunter3"));
    let error = wrong.manifest(&image.digest.to_string()).await.unwrap_err().to_string();
    assert!(error.contains("refused the credentials (401"), "{error}");
}

#[tokio::test]
async fn a_registry_nearby_may_speak_tls() {
    let server = DebianRegistry::start_with_tls();
    let desk = Desk::new();
    let ca_certs = vec![server.certificate_authority()];
    push_image(&open(&server.host, "app", &Access { ca_certs, ..access() }), &desk, "1").await;
    let error = open(&server.host, "app", &access()).resolve("1").await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_registry_may_ask_for_a_client_certificate() {
    let server = DebianRegistry::start_with_client_certificates();
    let ca_certs = vec![server.certificate_authority()];
    let stranger = open(&server.host, "app", &Access { ca_certs: ca_certs.clone(), ..access() });
    stranger.resolve("1").await.unwrap_err();
    let shown = |certificate: &str, key: &str| {
        let key = Secret::new(server.pem(key));
        let certificate = ClientCertificate { certificate: server.pem(certificate), key };
        Access { ca_certs: ca_certs.clone(), client_certificate: Some(certificate), ..access() }
    };
    let registry = open(&server.host, "app", &shown("cert", "cert-key"));
    let desk = Desk::new();
    let pushed = push_image(&registry, &desk, "1").await;
    assert_eq!(registry.resolve("1").await.unwrap().map(|found| found.digest), Some(pushed.digest));
    let location = format!("{}/app", server.host).parse().unwrap();
    let error = Registry::open(&location, &shown("cert", "cert")).err().unwrap().to_string();
    assert!(error.contains("cannot set up TLS: the client's certificate and key"), "{error}");
}

#[tokio::test]
async fn what_refers_to_an_image_is_listed_at_a_tag_where_the_registry_keeps_no_list() {
    let server = DebianRegistry::start();
    let registry = open(&server.host, "app", &access());
    let subject = push_image(&registry, &Desk::new(), "1").await;
    let tag = subject.digest.to_string().replace(':', "-");
    let theirs = Index::new(vec![Descriptor::new("application/x", subject.digest, subject.size)]);
    registry.push_manifest(&tag, media_type::INDEX, &theirs.to_json()).await.unwrap();

    let bom = artifact(BOM, "the bom");
    let attached = registry.attach(&subject, &bom).await.unwrap();
    assert_eq!(registry.attach(&subject, &bom).await.unwrap(), attached);
    registry.attach(&subject, &artifact("application/lock", "the lock")).await.unwrap();

    assert_eq!(registry.referrers(&subject.digest, None).await.unwrap().len(), 3);
    let boms = registry.referrers(&subject.digest, Some(BOM)).await.unwrap();
    assert_eq!(boms, [attached]);
    assert_eq!(boms[0].annotations, bom.annotations);
    assert_eq!(registry.artifact(&boms[0], 100).await.unwrap(), b"the bom");
    assert!(registry.artifact(&boms[0], 3).await.is_err());
}

#[tokio::test]
async fn two_who_attach_at_once_are_both_listed() {
    let server = DebianRegistry::start();
    let registry = open(&server.host, "app", &access());
    let subject = push_image(&registry, &Desk::new(), "1").await;
    let other = open(&server.host, "app", &access());
    let (bom, lock, cache) =
        (artifact(BOM, "b"), artifact("application/lock", "l"), artifact("application/c", "c"));
    let attached = tokio::join!(
        registry.attach(&subject, &bom),
        registry.attach(&subject, &lock),
        other.attach(&subject, &cache)
    );
    attached.0.and(attached.1).and(attached.2).unwrap();
    assert_eq!(registry.referrers(&subject.digest, None).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_newer_artifact_takes_the_place_of_an_older_one_when_told_to() {
    let server = DebianRegistry::start();
    let registry = open(&server.host, "app", &access());
    let subject = push_image(&registry, &Desk::new(), "1").await;
    registry.attach(&subject, &artifact(BOM, "old")).await.unwrap();
    let lock = registry.attach(&subject, &artifact("application/lock", "lock")).await.unwrap();
    let new = Artifact { replace: true, ..artifact(BOM, "new") };
    let new = registry.attach(&subject, &new).await.unwrap();
    assert_eq!(registry.referrers(&subject.digest, None).await.unwrap(), [new, lock]);
}

#[tokio::test]
async fn all_that_is_attached_at_once_is_listed_in_its_order() {
    let bundle =
        |blob| Artifact { content: Content::Blobs(vec![blob]), ..artifact("application/bundle", "") };
    let server = DebianRegistry::start();
    let lists = TestRegistry::start();
    let lists_not = TestRegistry::with(Options { referrers: false, ..Options::default() });
    for (host, are_listed) in [(server.host.clone(), false), (lists.host(), true), (lists_not.host(), false)]
    {
        let registry = open(&host, "app", &access());
        let subject = push_image(&registry, &Desk::new(), "1").await;
        let blob = registry.push_bytes("x", b"a source").await.unwrap();
        let mut artifacts: Vec<Artifact> =
            (0..9).map(|n| artifact(&format!("application/{n}"), &format!("document {n}"))).collect();
        artifacts.push(bundle(blob));
        let attached = registry.attach_all(&subject, &artifacts).await.unwrap();
        let listed = open(&host, "app", &access()).referrers(&subject.digest, None).await.unwrap();
        let digests = |list: &[Descriptor]| list.iter().map(|one| one.digest).collect::<Vec<Digest>>();
        match are_listed {
            true => assert_eq!(sorted(digests(&listed)), sorted(digests(&attached))),
            false => assert_eq!(digests(&listed), digests(&attached)),
        }
        for (n, referrer) in attached[..9].iter().enumerate() {
            let content = registry.artifact(referrer, 100).await.unwrap();
            assert_eq!(content, format!("document {n}").into_bytes());
        }
        assert_eq!(registry.attach_all(&subject, &artifacts).await.unwrap(), attached);
    }
}

fn sorted(mut digests: Vec<Digest>) -> Vec<Digest> {
    digests.sort();
    digests
}

#[tokio::test]
async fn the_list_of_referrers_is_written_once_for_all() {
    let server = TestRegistry::with(Options { referrers: false, ..Options::default() });
    let registry = open(&server.host(), "app", &access());
    let subject = push_image(&registry, &Desk::new(), "1").await;
    let tag = subject.digest.to_string().replace(':', "-");
    let artifacts: Vec<Artifact> = (0..6).map(|n| artifact(&format!("application/{n}"), "x")).collect();
    server.log().clear();
    registry.attach_all(&subject, &artifacts).await.unwrap();
    let lines = server.log().lines();
    let of = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(of("/referrers/"), 1, "{lines:#?}");
    let list = format!("/manifests/{tag}");
    let listings: Vec<&str> =
        lines.iter().filter(|line| line.contains(&list)).map(|line| &line[..3]).collect();
    assert_eq!(listings, ["GET", "GET", "PUT", "GET"], "{lines:#?}");
    assert_eq!(of("POST "), 2, "the same bytes are sent once: {lines:#?}");
}

#[tokio::test]
async fn several_who_attach_all_of_theirs_at_once_lose_nothing() {
    let server = DebianRegistry::start();
    let subject = push_image(&open(&server.host, "app", &access()), &Desk::new(), "1").await;
    let attach = async |writer: usize| {
        let kind = |n: usize| format!("application/{writer}-{n}");
        let artifacts: Vec<Artifact> = (0..6).map(|n| artifact(&kind(n), &kind(n))).collect();
        open(&server.host, "app", &access()).attach_all(&subject, &artifacts).await.unwrap();
    };
    tokio::join!(attach(0), attach(1), attach(2));
    let listed = open(&server.host, "app", &access()).referrers(&subject.digest, None).await.unwrap();
    let kinds: BTreeSet<_> = listed.iter().map(|one| one.artifact_type.clone()).collect();
    assert_eq!((listed.len(), kinds.len()), (18, 18));
}
