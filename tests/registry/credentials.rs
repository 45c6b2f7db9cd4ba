//! Who gets in, with which tokens, and who sees no password.

use super::*;

/// A registry with a token server beside it, as tokens are given out by scope.
fn token_server(host: &'static OnceLock<String>, asked: &Asked) -> Response<Body> {
    let host = host.get().unwrap();
    let challenge = format!(r#"Bearer realm="http://{host}/token",service="s",scope="ignored""#);
    match (asked.path.as_str(), asked.authorization.as_deref()) {
        ("/token", Some("Basic YWxpY2U6aHVudGVyMg==")) => {
            answer_with(200, &[], format!(r#"{{"token":"T{}"}}"#, asked.query.len()))
        }
        ("/token", _) => answer_with(401, &[], r#"{"errors":[{"code":"DENIED","message":"no hunter3"}]}"#),
        (_, None) => answer_with(401, &[("www-authenticate", &challenge)], ""),
        (_, Some(_)) if asked.method == "HEAD" => answer(404),
        (_, Some(_)) if asked.query.contains("mount=") => answer(201),
        (_, Some(_)) => answer(200),
    }
}

#[tokio::test]
async fn a_token_for_a_mount_covers_both_repositories() {
    static HOST: OnceLock<String> = OnceLock::new();
    let fake = Fake::start_with_ping(|asked, _| token_server(&HOST, asked)).await;
    HOST.set(fake.host.clone()).unwrap();
    let desk = Desk::new();
    let blob = desk.blob(b"a layer");
    let registry = open(&fake.host, "app", &with_password("hunter2"));
    let pushed = registry.push_blob(&blob, &desk.store, Some("base"), &desk.task).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted);
    let pull = "GET /token?service=s&scope=repository%3Aapp%3Apull";
    let asked = fake.lines();
    assert_eq!(asked[0], pull);
    assert_eq!(asked[2], format!("{pull}%2Cpush&scope=repository%3Abase%3Apull"));
    assert!(asked[3].starts_with("POST "), "{asked:?}");
    registry.has_blob(&Digest::of("another layer")).await.unwrap();
    assert_eq!(fake.asked().len(), 5, "a token is used again");
}

#[tokio::test]
async fn refused_credentials_are_said_so_and_not_shown() {
    static HOST: OnceLock<String> = OnceLock::new();
    let fake = Fake::start_with_ping(|asked, _| token_server(&HOST, asked)).await;
    HOST.set(fake.host.clone()).unwrap();
    let error = open(&fake.host, "app", &with_password("hunter3")).resolve("1").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot resolve {}/app:1: the registry refused the credentials (401 Unauthorized: no ***)\n\
             hint: check username and password, and that they may do this in this repository",
            fake.host
        )
    );
    assert!(!format!("{error:?}").contains("hunter3"));
    let error = open(&fake.host, "app", &access()).resolve("1").await.unwrap_err().to_string();
    assert!(error.contains("refused access without credentials (401 Unauthorized"), "{error}");
}

#[tokio::test]
async fn an_identity_token_is_exchanged_with_the_token_server_and_shown_to_nobody_else() {
    static TOKENS: OnceLock<String> = OnceLock::new();
    let tokens = Fake::start(|asked, _| match asked.form("refresh_token").as_deref() {
        Some("hunter2") => answer_with(200, &[], r#"{"access_token":"T","refresh_token":"new"}"#),
        _ => answer_with(401, &[], r#"{"errors":[{"code":"DENIED","message":"no hunter3"}]}"#),
    })
    .await;
    TOKENS.set(tokens.host.clone()).unwrap();
    let fake = Fake::start_with_ping(|asked, _| {
        let challenge = format!(r#"Bearer realm="http://{}/token",service="s""#, TOKENS.get().unwrap());
        match asked.authorization.as_deref() {
            Some("Bearer T") => answer(404),
            _ => answer_with(401, &[("www-authenticate", &challenge)], ""),
        }
    })
    .await;
    let with_identity =
        |token: &str| Access { credentials: Some(Credentials::identity(Secret::new(token))), ..access() };
    let registry = open(&fake.host, "app", &with_identity("hunter2"));
    assert_eq!(registry.resolve("1").await.unwrap(), None);
    let asked = tokens.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].line().as_str(), asked[0].authorization.as_deref()), ("POST /token", None));
    let expected = "grant_type=refresh_token&refresh_token=hunter2&client_id=estaleiro&service=s&scope=repository%3Aapp%3Apull";
    assert_eq!(asked[0].body, expected);
    assert!(fake.asked().iter().all(|asked| asked.authorization.as_deref() != Some("Bearer hunter2")));
    let error =
        open(&fake.host, "app", &with_identity("hunter3")).resolve("1").await.unwrap_err().to_string();
    assert!(error.contains("the registry refused the credentials (401 Unauthorized: no ***)"), "{error}");
}

#[tokio::test]
async fn an_identity_token_follows_no_redirect() {
    static PLACES: OnceLock<[String; 2]> = OnceLock::new();
    let elsewhere = Fake::start(|_, _| answer_with(200, &[], r#"{"token":"T"}"#)).await;
    let fake = Fake::start_with_ping(|asked, _| {
        let [fake, elsewhere] = PLACES.get().unwrap();
        match asked.path.as_str() {
            "/token" => answer_with(307, &[("location", &format!("http://{elsewhere}/token"))], ""),
            _ => answer_with(
                401,
                &[("www-authenticate", &format!(r#"Bearer realm="http://{fake}/token""#))],
                "",
            ),
        }
    })
    .await;
    PLACES.set([fake.host.clone(), elsewhere.host.clone()]).unwrap();
    let credentials = Some(Credentials::identity(Secret::new("hunter2")));
    let access = Access { credentials, ..access() };
    let error = open(&fake.host, "app", &access).resolve("1").await.unwrap_err().to_string();
    assert!(error.contains("redirects"), "{error}");
    assert_eq!(elsewhere.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_server_elsewhere_gets_the_password_and_whom_it_points_to_gets_none() {
    static PLACES: OnceLock<[String; 2]> = OnceLock::new();
    let third = Fake::start(|_, _| answer_with(200, &[], r#"{"token":"T"}"#)).await;
    let tokens = Fake::start(|_, _| {
        answer_with(307, &[("location", &format!("http://{}/token", PLACES.get().unwrap()[1]))], "")
    })
    .await;
    PLACES.set([tokens.host.clone(), third.host.clone()]).unwrap();
    let fake = Fake::start_with_ping(|asked, _| match asked.authorization.as_deref() {
        Some("Bearer T") => answer(404),
        _ => {
            let realm = format!(r#"Bearer realm="http://{}/token""#, PLACES.get().unwrap()[0]);
            answer_with(401, &[("www-authenticate", &realm)], "")
        }
    })
    .await;
    let registry = open(&fake.host, "app", &with_password("hunter2"));
    assert_eq!(registry.resolve("1").await.unwrap(), None);
    let shown =
        |fake: &Fake| fake.asked().into_iter().filter_map(|asked| asked.authorization).collect::<Vec<_>>();
    assert_eq!(shown(&tokens), ["Basic YWxpY2U6aHVudGVyMg=="]);
    assert_eq!((third.lines().len(), shown(&third)), (1, vec![]));
    assert_eq!(shown(&fake), ["Bearer T"]);
}

#[tokio::test]
async fn a_registry_that_takes_passwords_only_sees_no_identity_token() {
    let fake =
        Fake::start_with_ping(|_, _| answer_with(401, &[("www-authenticate", "Basic realm=x")], "")).await;
    let credentials = Some(Credentials::identity(Secret::new("hunter2")));
    let access = Access { credentials, ..access() };
    open(&fake.host, "app", &access).resolve("1").await.unwrap_err();
    assert!(fake.asked().iter().all(|asked| asked.authorization.is_none()));
}

#[tokio::test]
async fn a_token_that_the_registry_echoes_is_not_shown() {
    static HOST: OnceLock<String> = OnceLock::new();
    let fake = Fake::start_with_ping(|asked, _| {
        let challenge = format!(r#"Bearer realm="http://{}/token""#, HOST.get().unwrap());
        match (asked.path.as_str(), &asked.authorization) {
            ("/token", _) => answer_with(200, &[], r#"{"token":"canary"}"#),
            (_, None) => answer_with(401, &[("www-authenticate", &challenge)], ""),
            (_, Some(shown)) => {
                let body = format!(r#"{{"errors":[{{"code":"X","message":"why {shown}?"}}]}}"#);
                answer_with(400, &[], body)
            }
        }
    })
    .await;
    HOST.set(fake.host.clone()).unwrap();
    let error = open(&fake.host, "app", &access()).manifest("1").await.unwrap_err().to_string();
    assert!(error.ends_with("400 Bad Request: why Bearer ***?"), "{error}");
}

#[tokio::test]
async fn an_upload_whose_token_expires_starts_again_with_a_new_one() {
    static HOST: OnceLock<String> = OnceLock::new();
    let fake = Fake::start_with_ping(|asked, n_before| {
        let challenge = format!(r#"Bearer realm="http://{}/token""#, HOST.get().unwrap());
        match (asked.method.as_str(), asked.path.as_str(), n_before) {
            ("GET", "/token", _) => answer_with(200, &[], format!(r#"{{"access_token":"{n_before}"}}"#)),
            ("GET", "/v2/", _) | ("PUT", _, 0) => {
                answer_with(401, &[("www-authenticate", challenge.as_str())], "")
            }
            ("HEAD", ..) => answer(404),
            ("POST", ..) => answer_with(202, &[("location", "/upload")], ""),
            _ => answer(201),
        }
    })
    .await;
    HOST.set(fake.host.clone()).unwrap();
    let desk = Desk::new();
    let blob = desk.blob(b"a layer");
    let registry = open(&fake.host, "app", &access());
    assert_eq!(registry.push_blob(&blob, &desk.store, None, &desk.task).await.unwrap(), Pushed::Uploaded);
    let uploads: Vec<_> = fake.asked().into_iter().filter(|asked| asked.method == "PUT").collect();
    let tokens: Vec<_> = uploads.iter().map(|asked| asked.authorization.as_deref().unwrap()).collect();
    assert_eq!(tokens, ["Bearer 1", "Bearer 2"]);
    assert_eq!(uploads[1].body.as_ref(), b"a layer");
}

#[tokio::test]
async fn another_host_sees_no_credentials() {
    let elsewhere = Fake::start(|asked, _| match asked.method.as_str() {
        "GET" => answer_with(200, &[], "a layer"),
        _ => answer(201),
    })
    .await;
    let there = format!("http://{}/bucket", elsewhere.host);
    let fake =
        Fake::start_with_ping(move |asked, _| match (asked.authorization.is_some(), asked.method.as_str()) {
            (false, _) => answer_with(401, &[("www-authenticate", "Basic realm=x")], ""),
            (true, "HEAD") => answer(404),
            (true, "GET") => answer_with(307, &[("location", &there)], ""),
            (true, _) => answer_with(202, &[("location", &there)], ""),
        })
        .await;
    let desk = Desk::new();
    let registry = open(&fake.host, "app", &with_password("hunter2"));
    let blob = Descriptor::of("x", b"a layer");
    registry.pull_blob(&blob, &desk.store, &desk.task).await.unwrap();
    registry.push_blob(&blob, &desk.store, None, &desk.task).await.unwrap();
    let seen = elsewhere.asked();
    assert_eq!(seen.iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(), ["GET", "PUT"]);
    assert!(seen.iter().all(|asked| asked.authorization.is_none()), "{seen:?}");
}
