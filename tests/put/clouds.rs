//! Credentials that clouds give: what their APIs are asked, in their documented words, and what becomes of a refusal.

use std::fs;

use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::pier::{self, APP, Yard};
use crate::support::far::{Asked, Far};
use crate::support::registry::{Auth, Options};
use crate::support::{Concourse, TestRegistry, http};

const KEY_ID: &str = "AKIDEXAMPLECANARY";
const PASSWORD: &str = "canary of ecr";
const ROLE: &str = "arn:aws:iam::123456789012:role/pusher";

fn registry() -> TestRegistry {
    let auth = Auth::Basic { user: "AWS".into(), password: PASSWORD.into() };
    let registry = TestRegistry::with(Options { auth, ..Options::default() });
    pier::base_image().put(&registry, "team/app", Some("latest"));
    registry
}

fn json(status: u16, value: &Value) -> Response {
    http::bytes(status, value.to_string())
}

/// What STS answers: keys named after whom they are for.
fn session(action: &str, name: &str) -> Response {
    let expiration = "2100-01-01T00:00:00Z";
    http::bytes(
        200,
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
             <AccessKeyId>ASIAEXAMPLE0{name}</AccessKeyId><SecretAccessKey>canary secret</SecretAccessKey>\
             <SessionToken>canary-session-{name}</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
             </{action}Result></{action}Response>"
        ),
    )
}

/// AWS on one host: ECR, STS, a container's credentials and a machine's metadata.
fn amazon(registry: &TestRegistry) -> Far {
    let endpoint = format!("http://{}", registry.host());
    Far::start(move |_, asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("PUT", "/latest/api/token") => http::bytes(200, "canary-metadata"),
        ("GET", "/latest/meta-data/iam/security-credentials/") => http::bytes(200, "machine"),
        ("GET", "/latest/meta-data/iam/security-credentials/machine" | "/container") => json(
            200,
            &json!({"Code": "Success", "AccessKeyId": "ASIAEXAMPLE0MACHINE", "SecretAccessKey": "canary secret",
                "Token": "canary-session-MACHINE", "Expiration": "2100-01-01T00:00:00Z", "RoleArn": ROLE}),
        ),
        ("GET" | "POST", "/") if asked.field("Action") == "AssumeRole" => session("AssumeRole", "ROLE"),
        ("POST", "/") if asked.field("Action") == "AssumeRoleWithWebIdentity" => {
            session("AssumeRoleWithWebIdentity", "WEB")
        }
        ("POST", "/") if asked.header("x-amz-target").ends_with(".GetAuthorizationToken") => {
            let token = BASE64_STANDARD.encode(format!("AWS:{PASSWORD}"));
            let data = json!({"authorizationToken": token, "expiresAt": 4.1e9, "proxyEndpoint": endpoint});
            json(200, &json!({"authorizationData": [data]}))
        }
        _ => http::plain(404),
    })
}

fn concourse(amazon: &Far) -> Concourse {
    Concourse::new().environment("AWS_ENDPOINT_URL", &amazon.url()).environment("NO_COLOR", "1")
}

/// Who signed a request, for what.
fn signature(asked: &Asked) -> (String, String) {
    let signed =
        asked.header("authorization").strip_prefix("AWS4-HMAC-SHA256 Credential=").unwrap().to_owned();
    let parts: Vec<&str> = signed.split(',').next().unwrap().split('/').collect();
    (parts[0].to_owned(), parts[2..].join("/"))
}

/// Checks once, and returns what the cloud was asked last.
fn checked(concourse: &Concourse, amazon: &Far, more: &Value) -> Asked {
    let mut source = json!({"repository": "team/app", "aws_region": "eu-west-1"});
    source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let versions = concourse.resource(source).check().unwrap_or_else(|failure| panic!("{}", failure.stderr));
    assert_eq!(versions.len(), 1);
    amazon.asked().pop().unwrap()
}

#[test]
fn ecr_is_asked_with_keys_and_names_the_registry() {
    let (registry, state) = (registry(), tempfile::tempdir().unwrap());
    let amazon = amazon(&registry);
    let concourse = concourse(&amazon).environment("ESTALEIRO_STATE", state.path().to_str().unwrap());
    let keys = json!({"aws_access_key_id": KEY_ID, "aws_secret_access_key": "canary-key", "aws_session_token": "canary-t"});
    let asked = checked(&concourse, &amazon, &keys);
    assert_eq!(asked.line(), "POST /");
    assert_eq!(signature(&asked), (KEY_ID.to_owned(), "eu-west-1/ecr/aws4_request".into()));
    assert_eq!(asked.header("x-amz-security-token"), "canary-t");
    assert_eq!(asked.header("x-amz-target"), "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
    assert_eq!((asked.header("content-type"), &asked.body[..]), ("application/x-amz-json-1.1", &b"{}"[..]));

    // The step's own keys win, and the registry's name is in all that comes out.
    let yard = Yard::new(APP);
    let mut step =
        pier::with_params(&yard, json!({"definition": "source", "aws_access_key_id": "AKIDOFTHESTEP"}));
    step.no_get = false;
    step.get_params = json!({"skip_download": true});
    let mut source = keys;
    source["repository"] = json!("team/new");
    source["aws_region"] = json!("eu-west-1");
    let (outcome, got) =
        concourse.resource(source).put(&step).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    let name = format!("{}/team/new", registry.host());
    assert_eq!(outcome.metadata("repository"), Some(name.as_str()));
    assert_eq!(got.unwrap().read("repository"), name);
    assert_eq!(registry.tags("team/new"), ["latest"]);
    assert!(amazon.asked().iter().any(|asked| signature(asked).0 == "AKIDOFTHESTEP"));
}

#[test]
fn a_base_may_lie_in_another_cloud_than_the_image() {
    let (base, own) = (registry(), TestRegistry::start());
    let amazon = amazon(&base);
    let yard = Yard::new("");
    yard.write("Dockerfile", format!("FROM {}\n", base.name("team/app", "latest")));
    let step = pier::with_params(&yard, json!({"dockerfile": "source/Dockerfile"}));
    let mut source = pier::source(&own.host(), "app");
    let put = |source: &Value| {
        let state = tempfile::tempdir().unwrap();
        let concourse = concourse(&amazon).environment("ESTALEIRO_STATE", state.path().to_str().unwrap());
        concourse.resource(source.clone()).put(&step).map_err(|failure| failure.stderr)
    };
    let mut entry = json!({"host": base.host(), "aws_region": "eu-west-1", "aws_access_key_id": KEY_ID, "aws_secret_access_key": "canary-key"});
    source["registries"] = json!([entry]);
    put(&source).unwrap();
    assert_eq!(own.tags("app"), ["latest"]);
    assert!(own.log().requests().iter().all(|request| request.header("authorization").is_none()));
    entry["aws_role_arn"] = json!("arn:aws:iam::nobody");
    source["registries"] = json!([entry]);
    let said = put(&source).unwrap_err();
    assert!(
        said.contains(&format!(
            "cannot use registry {}: cannot sign in to Amazon ECR: cannot assume role arn:aws:iam::nobody: ",
            base.host()
        )),
        "{said}"
    );
}

#[test]
fn roles_are_assumed_one_after_the_other() {
    let registry = registry();
    let amazon = amazon(&registry);
    let roles = json!({"aws_access_key_id": KEY_ID, "aws_secret_access_key": "canary-key", "aws_role_arns": [ROLE, format!("{ROLE}/2")]});
    checked(&concourse(&amazon), &amazon, &roles);
    let asked = amazon.asked();
    let told: Vec<_> = asked.iter().map(|asked| (signature(asked), asked.field("RoleArn"))).collect();
    let (sts, ecr) = ("eu-west-1/sts/aws4_request", "eu-west-1/ecr/aws4_request");
    let signed = |id: &str, scope: &str, role: String| ((id.to_owned(), scope.to_owned()), role);
    assert_eq!(
        told,
        [
            signed(KEY_ID, sts, ROLE.to_owned()),
            signed("ASIAEXAMPLE0ROLE", sts, format!("{ROLE}/2")),
            signed("ASIAEXAMPLE0ROLE", ecr, String::new()),
        ]
    );
    assert_eq!(asked[0].header("host"), "sts.eu-west-1.amazonaws.com");
    assert_eq!(
        (asked[0].field("RoleSessionName"), asked[0].field("Version")),
        ("estaleiro".into(), "2011-06-15".into())
    );
    assert_eq!(asked[1].header("x-amz-security-token"), "canary-session-ROLE");
}

#[test]
fn without_keys_aws_gives_what_this_machine_may_do() {
    let registry = registry();
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "canary-web-identity\n").unwrap();
    let amazon = amazon(&registry);
    let none = json!({});

    let keys =
        concourse(&amazon).environment("AWS_ACCESS_KEY_ID", KEY_ID).environment("AWS_SECRET_ACCESS_KEY", "s");
    assert_eq!(signature(&checked(&keys, &amazon, &none)).0, KEY_ID);

    let token = token.to_str().unwrap();
    let pod = concourse(&amazon)
        .environment("AWS_ROLE_ARN", ROLE)
        .environment("AWS_WEB_IDENTITY_TOKEN_FILE", token);
    assert_eq!(signature(&checked(&pod, &amazon, &none)).0, "ASIAEXAMPLE0WEB");
    let asked = amazon.asked();
    let exchange = &asked[asked.len() - 2];
    assert_eq!(
        (exchange.field("WebIdentityToken"), exchange.header("authorization")),
        ("canary-web-identity".into(), "")
    );

    let place = format!("{}/container", amazon.url());
    let task = concourse(&amazon)
        .environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", &place)
        .environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token);
    assert_eq!(signature(&checked(&task, &amazon, &none)).0, "ASIAEXAMPLE0MACHINE");
    let asked = amazon.asked();
    assert_eq!(asked[asked.len() - 2].header("authorization"), "canary-web-identity");

    let machine = concourse(&amazon).environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", &amazon.url());
    assert_eq!(signature(&checked(&machine, &amazon, &none)).0, "ASIAEXAMPLE0MACHINE");
    let asked = amazon.asked();
    assert_eq!(asked[asked.len() - 2].header("x-aws-ec2-metadata-token"), "canary-metadata");
    assert_eq!(asked[asked.len() - 4].line(), "PUT /latest/api/token");
}

#[test]
fn an_account_and_a_public_repository_name_their_registry_themselves() {
    let registry = registry();
    let amazon = amazon(&registry);
    let failure = |source: Value| {
        concourse(&amazon)
            .environment("HTTPS_PROXY", "http://127.0.0.1:9")
            .resource(source)
            .check()
            .unwrap_err()
            .stderr
    };
    let keys = json!({"aws_access_key_id": KEY_ID, "aws_secret_access_key": "canary-key", "aws_region": "eu-west-1"});
    let with = |name: &str, value: &str, repository: &str| {
        let mut source = keys.clone();
        source[name] = json!(value);
        source["repository"] = json!(repository);
        source
    };
    let said = failure(with("aws_account_id", "123456789012", "app"));
    assert!(said.contains("GET https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/v2/ failed"), "{said}");
    let said = failure(with("tag", "1", "public.ecr.aws/team/app"));
    assert!(said.contains("GET https://public.ecr.aws/v2/ failed"), "{said}");
    let asked = amazon.asked().pop().unwrap();
    assert_eq!(asked.header("x-amz-target"), "SpencerFrontendService.GetAuthorizationToken");
    assert_eq!(signature(&asked).1, "us-east-1/ecr-public/aws4_request");
}

#[test]
fn what_amazon_refuses_is_told_by_endpoint_and_cause_and_without_secrets() {
    let said = |answer: fn(&str, &Asked) -> Response, more: Value| {
        let amazon = Far::start(answer);
        let mut source = json!({"repository": "app", "aws_region": "eu-west-1"});
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let machine = concourse(&amazon).environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", &amazon.url());
        let failure = machine.resource(source).check().unwrap_err();
        assert!(!failure.stderr.contains("canary"), "{}", failure.stderr);
        failure.stderr.replace(&amazon.host(), "aws.example").trim_end().to_owned()
    };
    let keys = json!({"aws_access_key_id": KEY_ID, "aws_secret_access_key": "canary-key", "aws_session_token": "canary-t"});
    let refuse: fn(&str, &Asked) -> Response = |_, asked| {
        let echo = format!(
            "no {} {} canary-key",
            asked.header("authorization"),
            asked.header("x-amz-security-token")
        );
        json(400, &json!({"__type": "UnrecognizedClientException", "message": echo}))
    };
    assert_eq!(
        said(refuse, keys.clone()),
        "error: cannot sign in to Amazon ECR: POST http://aws.example/ was answered 400 Bad Request: UnrecognizedClientException: no *** *** ***"
    );
    let mut with_role = keys.clone();
    with_role["aws_role_arn"] = json!(ROLE);
    let expired: fn(&str, &Asked) -> Response = |_, asked| {
        let echo = format!(
            "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>{} is expired</Message></Error></ErrorResponse>",
            asked.header("x-amz-security-token")
        );
        http::bytes(403, echo)
    };
    assert_eq!(
        said(expired, with_role),
        format!(
            "error: cannot sign in to Amazon ECR: cannot assume role {ROLE}: GET http://aws.example/ was answered 403 Forbidden: ExpiredToken: *** is expired"
        )
    );
    assert_eq!(
        said(|_, _| http::bytes(200, "{}"), keys.clone()),
        "error: cannot sign in to Amazon ECR: http://aws.example/ did not answer with a token"
    );
    assert_eq!(
        said(|_, _| http::plain(404), json!({})),
        "error: cannot sign in to Amazon ECR: PUT http://aws.example/latest/api/token was answered 404 Not Found\n\
         hint: give aws_access_key_id and aws_secret_access_key, or give this machine a role"
    );
    assert_eq!(
        said(|_, _| http::redirect(307, "http://127.0.0.1:9/"), keys),
        "error: cannot sign in to Amazon ECR: POST http://aws.example/ failed: it redirects more than 0 times"
    );
}

/// A registry of Azure's that gives a refresh token for an access token, and access to who shows that.
fn azure_registry() -> Far {
    Far::start(|host, asked| match (asked.line().as_str(), asked.header("authorization")) {
        ("POST /oauth2/exchange", _) if asked.field("access_token") == "canary-aad" => {
            json(200, &json!({"refresh_token": "canary-refresh"}))
        }
        ("POST /oauth2/token", _) if asked.field("refresh_token") == "canary-refresh" => {
            json(200, &json!({"access_token": "canary-access"}))
        }
        ("POST /oauth2/exchange" | "POST /oauth2/token", _) => {
            let echo = format!("no {} is taken", asked.field("access_token"));
            json(401, &json!({"errors": [{"code": "UNAUTHORIZED", "message": echo}]}))
        }
        (_, "Bearer canary-access") => http::plain(404),
        _ => {
            let mut refusal = http::plain(401);
            let challenge = format!("Bearer realm=\"http://{host}/oauth2/token\",service=\"{host}\"");
            refusal.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
            refusal
        }
    })
}

fn microsoft(asked: &Asked) -> Response {
    let is_known = asked.field("client_secret") == "canary-secret"
        || asked.field("client_assertion") == "canary-federated"
        || asked.header("metadata") == "true";
    match is_known {
        true => json(200, &json!({"token_type": "Bearer", "access_token": "canary-aad"})),
        false => {
            let echo = format!("AADSTS7000215: Invalid client secret {}", asked.field("client_secret"));
            json(401, &json!({"error": "invalid_client", "error_description": echo}))
        }
    }
}

#[test]
fn azure_gives_a_token_to_applications_workloads_and_machines() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "canary-federated").unwrap();
    let scope = "https://management.azure.com/.default";
    for (kind, expected) in [
        ("client_secret", ("POST /tenant-1/oauth2/v2.0/token", "client_credentials", scope)),
        ("workload_identity", ("POST /tenant-1/oauth2/v2.0/token", "client_credentials", scope)),
        ("managed_identity", ("GET /metadata/identity/oauth2/token", "", "")),
    ] {
        let (registry, microsoft) = (azure_registry(), Far::start(|_, asked| microsoft(asked)));
        let source = json!({
            "repository": format!("{}/team/app", registry.host()), "azure_acr": true, "azure_auth_type": kind,
            "azure_client_id": "client-1", "azure_client_secret": "canary-secret", "azure_tenant_id": "tenant-1",
        });
        let concourse = Concourse::new()
            .environment("AZURE_AUTHORITY_HOST", &microsoft.url())
            .environment("AZURE_POD_IDENTITY_AUTHORITY_HOST", &microsoft.url())
            .environment("AZURE_FEDERATED_TOKEN_FILE", token.to_str().unwrap());
        let versions =
            concourse.resource(source).check().unwrap_or_else(|failure| panic!("{}", failure.stderr));
        assert_eq!(versions, []);
        let asked = microsoft.asked();
        assert_eq!(asked.len(), 1);
        let (line, grant, scope) = (asked[0].line(), asked[0].field("grant_type"), asked[0].field("scope"));
        assert_eq!((line.as_str(), grant.as_str(), scope.as_str()), expected);
        assert_eq!(asked[0].field("client_id"), "client-1");
        let exchange = &registry.asked()[0];
        assert_eq!(exchange.line(), "POST /oauth2/exchange");
        assert_eq!(exchange.field("grant_type"), "access_token");
        assert_eq!(
            (exchange.field("service"), exchange.field("tenant")),
            (registry.host(), "tenant-1".into())
        );
        if kind == "managed_identity" {
            assert_eq!(asked[0].field("resource"), "https://management.azure.com/");
            assert_eq!(asked[0].field("api-version"), "2018-02-01");
        }
    }
}

#[test]
fn what_azure_refuses_is_told_by_endpoint_and_cause_and_without_secrets() {
    let (registry, microsoft) = (azure_registry(), Far::start(|_, asked| microsoft(asked)));
    let concourse =
        Concourse::new().environment("AZURE_AUTHORITY_HOST", &microsoft.url()).environment("NO_COLOR", "1");
    let said = |concourse: &Concourse, more: Value| {
        let mut source = json!({"repository": format!("{}/app", registry.host()), "azure_acr": true});
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let failure = concourse.resource(source).check().unwrap_err();
        assert!(!failure.stderr.contains("canary"), "{}", failure.stderr);
        let said = failure.stderr.replace(&registry.host(), "registry.example");
        said.replace(&microsoft.host(), "azure.example").trim_end().to_owned()
    };
    let client =
        json!({"azure_client_id": "c", "azure_client_secret": "canary-wrong", "azure_tenant_id": "t"});
    assert_eq!(
        said(&concourse, client),
        "error: cannot sign in to Azure Container Registry: POST http://azure.example/t/oauth2/v2.0/token was answered \
         401 Unauthorized: invalid_client: AADSTS7000215: Invalid client secret ***"
    );
    assert_eq!(
        said(&concourse, json!({"azure_client_secret": "canary-wrong", "azure_tenant_id": "t"})),
        "error: cannot sign in to Azure Container Registry: the application is missing: give azure_client_id"
    );
    assert_eq!(
        said(&concourse, json!({"azure_auth_type": "workload_identity"})),
        "error: cannot sign in to Azure Container Registry: AZURE_FEDERATED_TOKEN_FILE does not name the workload's token"
    );
    let other = Far::start(|_, _| json(200, &json!({"access_token": "canary-other"})));
    let machine = concourse.environment("AZURE_POD_IDENTITY_AUTHORITY_HOST", &other.url());
    assert_eq!(
        said(&machine, json!({"azure_auth_type": "managed_identity"})),
        "error: cannot sign in to Azure Container Registry: POST http://registry.example/oauth2/exchange was answered \
         401 Unauthorized: no *** is taken"
    );
}
