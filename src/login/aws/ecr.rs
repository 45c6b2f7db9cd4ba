//! ECR's `GetAuthorizationToken`: asked, and its answer read.
//!
//! See the API references of Amazon ECR and Amazon ECR Public.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::Signer;
use serde::Deserialize;

use super::road::{Road, endpoint};
use super::{Aws, Gallery, fixed};
use crate::digest::Digest;
use crate::oci::reference::registry_of;
use crate::redact::Secret;

/// The host of the public registry.
pub(super) const PUBLIC: &str = "public.ecr.aws";

/// The region that its API is in.
const PUBLIC_REGION: &str = "us-east-1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: OneOrMany,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Authorization),
    Many(Vec<Authorization>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: Secret,
    proxy_endpoint: Option<String>,
}

/// Returns the registry's host and the password for it.
pub(super) async fn token(
    aws: &Aws,
    gallery: Gallery,
    credential: &Credential,
    road: &Road,
) -> Result<(String, Secret), String> {
    let (service, region, target) = match gallery {
        Gallery::Private => {
            ("ecr", aws.region.as_str(), "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken")
        }
        Gallery::Public => ("ecr-public", PUBLIC_REGION, "SpencerFrontendService.GetAuthorizationToken"),
    };
    let url = endpoint(&service.to_ascii_uppercase().replace('-', "_"))
        .map_or_else(|| format!("https://api.{service}.{region}.{}/", suffix(region)), String::from);
    let request = http::Request::post(&url)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .body(Bytes::from_static(b"{}"));
    let (mut parts, body) = request.map_err(|_| format!("`{url}` is no endpoint"))?.into_parts();
    let hash =
        Digest::of(&body).hex().parse().map_err(|_| "internal error: a digest is no header".to_owned())?;
    parts.headers.insert("x-amz-content-sha256", hash);
    let signer = Signer::new(road.context(), fixed(credential), RequestSigner::new(service, region));
    signer.sign(&mut parts, None).await.map_err(|error| error.to_string())?;
    let answer = road.ask(http::Request::from_parts(parts, body)).await?;
    let unexpected = || format!("{url} did not answer with a token");
    let (password, endpoint) = read(&answer).ok_or_else(unexpected)?;
    let host = match (gallery, &aws.account) {
        (Gallery::Public, _) => PUBLIC.to_owned(),
        (Gallery::Private, Some(account)) => host(account, region),
        (Gallery::Private, None) => endpoint.and_then(|url| registry_of(&url)).ok_or_else(unexpected)?,
    };
    Ok((host, password))
}

/// Returns the host of an account's registry.
fn host(account: &str, region: &str) -> String {
    format!("{account}.dkr.ecr.{region}.{}", suffix(region))
}

/// The token is the base64 of `AWS:` and the password.
fn read(answer: &[u8]) -> Option<(Secret, Option<String>)> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let data = match answer.authorization_data {
        OneOrMany::One(data) => data,
        OneOrMany::Many(data) => data.into_iter().next()?,
    };
    let token = String::from_utf8(BASE64_STANDARD.decode(data.authorization_token.expose()).ok()?).ok()?;
    Some((Secret::new(token.split_once(':')?.1), data.proxy_endpoint))
}

/// Returns the domain that AWS has in a region's partition.
fn suffix(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "amazonaws.com.cn",
        Some("eusc") => "amazonaws.eu",
        _ if region.starts_with("us-iso-") => "c2s.ic.gov",
        _ if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        _ if region.starts_with("eu-isoe-") => "cloud.adc-e.uk",
        _ if region.starts_with("us-isof-") => "csp.hci.ic.gov",
        _ => "amazonaws.com",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accounts_registry_has_the_domain_of_its_partition() {
        assert_eq!(host("123456789012", "eu-west-1"), "123456789012.dkr.ecr.eu-west-1.amazonaws.com");
        assert_eq!(host("123456789012", "cn-north-1"), "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn the_token_is_what_stands_behind_the_name() {
        let private = br#"{"authorizationData":[{"authorizationToken":"QVdTOnA6cQ==","expiresAt":1.7e9,"proxyEndpoint":"https://a.example"}]}"#;
        assert_eq!(read(private), Some((Secret::new("p:q"), Some("https://a.example".into()))));
        let public = br#"{"authorizationData":{"authorizationToken":"QVdTOnA=","expiresAt":"x"}}"#;
        assert_eq!(read(public), Some((Secret::new("p"), None)));
        for text in [
            "",
            "{}",
            r#"{"authorizationData":[]}"#,
            r#"{"authorizationData":[{"authorizationToken":"QVdT"}]}"#,
        ] {
            assert_eq!(read(text.as_bytes()), None);
        }
    }
}
