//! What a source says of clouds that give credentials for their registries, with registry-image's names: `aws_…`, `azure_…`.

use anyhow::{Context as _, Result};

use super::fields::{Fields, InvalidRequest};
use super::source::{Repository, Source};
use crate::login::{Aws, Azure, Environment, Failed, Gallery, Identity, Keys, SignIn};
use crate::redact::Secret;
use crate::registry::Access;

/// Stands for the host of an account's registry until AWS tells it.
const UNKNOWN_HOST: &str = "ecr.invalid";

/// Whom to ask for credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon.
    Aws(Aws),
    /// Microsoft; registry and scheme are those of the source.
    Azure {
        /// Who signs in.
        identity: Identity,
        /// The application or identity.
        client: Option<String>,
        /// The directory that it is in.
        tenant: Option<String>,
        /// Which of the clouds.
        environment: Option<Environment>,
    },
}

impl Cloud {
    /// Reads the fields of clouds; none are there for any other registry.
    pub(super) fn read(fields: &mut Fields) -> Result<Option<Cloud>, InvalidRequest> {
        let (aws, azure) = (aws(fields)?, azure(fields)?);
        match (aws, azure) {
            (Some(_), Some(_)) => {
                Err(fields.refusal("azure_acr", "a registry is of one cloud; there is `aws_region` too"))
            }
            (aws, azure) => Ok(aws.or(azure)),
        }
    }

    async fn sign_in(&self, registry: &str, access: &Access) -> Result<SignIn, Failed> {
        match self {
            Cloud::Aws(aws) => aws.sign_in(Gallery::of(registry), &access.ca_certs).await,
            Cloud::Azure { identity, client, tenant, environment } => {
                let azure = Azure {
                    registry: registry.to_owned(),
                    is_plain: access.allows_plain_http(registry),
                    identity: identity.clone(),
                    client: client.clone(),
                    tenant: tenant.clone(),
                    environment: *environment,
                };
                azure.sign_in(&access.ca_certs).await
            }
        }
    }

    /// Completes a repository's name, which for ECR has no host.
    pub(super) fn completed(&self, repository: String) -> String {
        let has_host = repository.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']));
        match self {
            Cloud::Aws(_) if !has_host => format!("{UNKNOWN_HOST}/{repository}"),
            Cloud::Aws(_) | Cloud::Azure { .. } => repository,
        }
    }
}

/// Returns the source with the credentials that its cloud gives, and with the registry that they are for.
pub(super) async fn signed_in(source: &Source) -> Result<Source> {
    let mut source = source.clone();
    let Repository::Remote(reference) = &mut source.repository else { return Ok(source) };
    let further = source.registries.get(&reference.registry);
    let cloud = source.cloud.take().or_else(|| further.and_then(|further| further.cloud.clone()));
    let Some(cloud) = cloud else { return Ok(source) };
    let sign_in = cloud.sign_in(&reference.registry, &source.access).await?;
    if reference.registry == UNKNOWN_HOST {
        reference.registry = sign_in.host;
    }
    source.access.credentials = Some(sign_in.credentials);
    Ok(source)
}

/// Returns the source with the credentials of all clouds that it names, for bases and other images, too.
pub(super) async fn signed_in_everywhere(source: &Source) -> Result<Source> {
    let mut source = signed_in(source).await?;
    for (host, further) in &mut source.registries {
        if let Some(cloud) = further.cloud.take() {
            let sign_in = cloud.sign_in(host, &further.access).await;
            let sign_in = sign_in.with_context(|| format!("cannot use registry {host}"))?;
            further.access.credentials = Some(sign_in.credentials);
        }
    }
    Ok(source)
}

fn aws(fields: &mut Fields) -> Result<Option<Cloud>, InvalidRequest> {
    let region = fields.text("aws_region")?;
    let keys = keys(fields)?;
    let role = fields.text("aws_role_arn")?;
    let roles = fields.texts("aws_role_arns")?;
    let account = fields.text_or_number("aws_account_id")?.or(fields.text_or_number("aws_ecr_registry_id")?);
    if role.is_some() && !roles.is_empty() {
        return Err(fields.refusal("aws_role_arn", "there is `aws_role_arns` too; write one of them"));
    }
    if account.as_ref().is_some_and(|id| id.len() != 12 || !id.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(fields.refusal("aws_account_id", "expected twelve digits"));
    }
    let is_name =
        |region: &str| region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match region {
        Some(region) if !is_name(&region) => {
            Err(fields.refusal("aws_region", "expected a region, as `eu-west-1`"))
        }
        Some(region) => {
            let roles = role.into_iter().chain(roles).collect();
            Ok(Some(Cloud::Aws(Aws { region, keys, roles, account })))
        }
        None if keys.is_none() && role.is_none() && roles.is_empty() && account.is_none() => Ok(None),
        None => Err(fields.refusal("aws_region", "it is missing; ECR is asked in a region")),
    }
}

fn keys(fields: &mut Fields) -> Result<Option<Keys>, InvalidRequest> {
    let (id, secret) = (fields.text("aws_access_key_id")?, fields.text("aws_secret_access_key")?);
    let session = fields.text("aws_session_token")?.map(Secret::new);
    match (id, secret) {
        (Some(id), Some(secret)) => {
            Ok(Some(Keys { id: Secret::new(id), secret: Secret::new(secret), session }))
        }
        (Some(_), None) => Err(fields.refusal("aws_secret_access_key", "it is missing")),
        (None, Some(_)) => Err(fields.refusal("aws_access_key_id", "it is missing")),
        (None, None) if session.is_some() => Err(fields.refusal("aws_access_key_id", "it is missing")),
        (None, None) => Ok(None),
    }
}

fn azure(fields: &mut Fields) -> Result<Option<Cloud>, InvalidRequest> {
    let is_meant = fields.flag("azure_acr")?;
    let kind = fields.text("azure_auth_type")?.map(|kind| kind.trim().to_ascii_lowercase());
    let (client, tenant) = (fields.text("azure_client_id")?, fields.text("azure_tenant_id")?);
    let secret = fields.text("azure_client_secret")?.map(Secret::new);
    let environment = environment(fields)?;
    if !is_meant {
        let is_unused = kind.is_none()
            && client.is_none()
            && tenant.is_none()
            && secret.is_none()
            && environment.is_none();
        let way_out = "it is not true, but there are other fields of Azure's";
        return if is_unused { Ok(None) } else { Err(fields.refusal("azure_acr", way_out)) };
    }
    let identity = match (kind.as_deref(), secret) {
        (None | Some("client_secret" | "service_principal"), Some(secret)) => Identity::Secret(secret),
        (None, None) if std::env::var_os("AZURE_FEDERATED_TOKEN_FILE").is_some() => Identity::Workload,
        (Some("workload_identity"), _) => Identity::Workload,
        (None, None) | (Some("managed_identity"), _) => Identity::Managed,
        (Some("client_secret" | "service_principal"), None) => {
            return Err(fields.refusal("azure_client_secret", "it is missing"));
        }
        (Some(_), _) => {
            let why = "expected `client_secret`, `workload_identity` or `managed_identity`";
            return Err(fields.refusal("azure_auth_type", why));
        }
    };
    Ok(Some(Cloud::Azure { identity, client, tenant, environment }))
}

fn environment(fields: &mut Fields) -> Result<Option<Environment>, InvalidRequest> {
    match fields.text("azure_environment")?.as_deref() {
        None => Ok(None),
        Some("AzurePublic" | "AzureCloud" | "AzurePublicCloud") => Ok(Some(Environment::Public)),
        Some("AzureGovernment" | "AzureUSGovernment") => Ok(Some(Environment::Government)),
        Some("AzureChina" | "AzureChinaCloud") => Ok(Some(Environment::China)),
        Some(_) => {
            let why = "expected `AzurePublic`, `AzureGovernment` or `AzureChina`";
            Err(fields.refusal("azure_environment", why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn source(more: &Value) -> Result<Source, String> {
        let mut source = json!({"repository": "app"});
        for (name, value) in more.as_object().unwrap() {
            source[name] = value.clone();
        }
        Source::from_value(source).map_err(|error| error.to_string())
    }

    #[test]
    fn a_repository_of_ecr_has_no_host_yet_unless_one_is_written() {
        for (repository, expected) in [
            ("app", "ecr.invalid/app"),
            ("team/app", "ecr.invalid/team/app"),
            ("1.dkr.ecr.eu-west-1.amazonaws.com/app", "1.dkr.ecr.eu-west-1.amazonaws.com/app"),
            ("public.ecr.aws/team/app", "public.ecr.aws/team/app"),
        ] {
            let source = source(&json!({"repository": repository, "aws_region": "eu-west-1"})).unwrap();
            assert_eq!(source.repository.name(), expected);
        }
        assert_eq!(source(&json!({})).unwrap().repository.name(), "docker.io/library/app");
    }

    #[test]
    fn the_fields_of_amazon_are_read() {
        let read = source(&json!({
            "aws_region": "eu-west-1", "aws_access_key_id": "canary1", "aws_secret_access_key": "canary2",
            "aws_session_token": "canary3", "aws_role_arn": "arn:aws:iam::123456789012:role/a", "aws_account_id": 123_456_789_012_u64,
        }));
        let read = read.unwrap();
        assert!(!format!("{read:?}").contains("canary"));
        let Some(Cloud::Aws(Aws { region, keys, roles, account })) = read.cloud else { panic!() };
        assert_eq!(
            (region.as_str(), roles.len(), account.as_deref()),
            ("eu-west-1", 1, Some("123456789012"))
        );
        let keys = keys.unwrap();
        let keys = [&keys.id, &keys.secret, keys.session.as_ref().unwrap()];
        assert_eq!(keys.map(Secret::expose), ["canary1", "canary2", "canary3"]);
    }

    #[test]
    fn azure_is_signed_in_to_in_one_of_three_ways() {
        let identity = |more: Value| {
            let mut fields = json!({"repository": "team.azurecr.io/app", "azure_acr": true});
            fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let Some(Cloud::Azure { identity, .. }) = source(&fields).unwrap().cloud else { panic!() };
            identity
        };
        assert_eq!(identity(json!({"azure_client_secret": "s"})), Identity::Secret(Secret::new("s")));
        assert_eq!(identity(json!({"azure_auth_type": " Workload_Identity "})), Identity::Workload);
        assert_eq!(identity(json!({"azure_auth_type": "managed_identity"})), Identity::Managed);
        assert_eq!(identity(json!({})), Identity::Managed);
    }

    #[test]
    fn what_is_missing_or_too_much_is_named_and_not_shown() {
        let region = "eu-west-1";
        for (fields, name) in [
            (json!({"aws_access_key_id": "canary", "aws_secret_access_key": "canary"}), "aws_region"),
            (json!({"aws_role_arn": "canary"}), "aws_region"),
            (json!({"aws_region": "canary.example/"}), "aws_region"),
            (json!({"aws_region": region, "aws_access_key_id": "canary"}), "aws_secret_access_key"),
            (json!({"aws_region": region, "aws_secret_access_key": "canary"}), "aws_access_key_id"),
            (json!({"aws_region": region, "aws_session_token": "canary"}), "aws_access_key_id"),
            (
                json!({"aws_region": region, "aws_role_arn": "canary", "aws_role_arns": ["canary"]}),
                "aws_role_arn",
            ),
            (json!({"aws_region": region, "aws_account_id": "canary"}), "aws_account_id"),
            (json!({"aws_region": region, "azure_acr": true}), "azure_acr"),
            (json!({"azure_client_secret": "canary"}), "azure_acr"),
            (json!({"azure_acr": true, "azure_auth_type": "canary"}), "azure_auth_type"),
            (json!({"azure_acr": true, "azure_auth_type": "client_secret"}), "azure_client_secret"),
            (json!({"azure_acr": true, "azure_environment": "canary"}), "azure_environment"),
        ] {
            let text = source(&fields).unwrap_err();
            assert!(text.starts_with(&format!("cannot use source field `{name}`: ")), "{text}");
            assert!(!text.contains("canary"), "{text}");
        }
    }
}
