//! Amazon's registries: a token of ECR for keys, roles, or whatever AWS gave this machine.
//!
//! Signatures, roles and the ways in which AWS gives credentials to machines are `reqsign`'s; its requests go over our
//! transport. What is asked of ECR itself is in `ecr.rs`.

mod ecr;
mod road;

use reqsign_aws_v4::{
    AssumeRoleCredentialProvider, AssumeRoleWithWebIdentityCredentialProvider, Credential,
    ECSCredentialProvider, EnvCredentialProvider, IMDSv2CredentialProvider, RequestSigner,
    StaticCredentialProvider,
};
use reqsign_core::{Context, ProvideCredential, ProvideCredentialChain, Signer};

use super::SignIn;
use super::exchange::Exchange;
use crate::redact::Secret;
use crate::transport::Credentials;
use road::Road;

/// What a role's sessions are called in AWS's records.
const SESSION: &str = "estaleiro";

/// What is to be done where AWS gives nothing; keys that are given are not asked for.
const HINT: &str = "\nhint: give aws_access_key_id and aws_secret_access_key, or give this machine a role";

/// How to get a token for an ECR registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aws {
    /// The region that the registry is in.
    pub region: String,
    /// The keys; without, those that AWS gives this machine.
    pub keys: Option<Keys>,
    /// Roles to be assumed, each with the credentials of the one before.
    pub roles: Vec<String>,
    /// The account whose registry is meant; without, the one that the credentials belong to.
    pub account: Option<String>,
}

/// Keys of a user, or of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The key's ID.
    pub id: Secret,
    /// The key.
    pub secret: Secret,
    /// The session's token, for keys of a session.
    pub session: Option<Secret>,
}

/// Which of Amazon's registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gallery {
    /// An account's own.
    Private,
    /// The public one, for all accounts.
    Public,
}

impl Gallery {
    /// Returns which one a registry's host is.
    pub fn of(registry: &str) -> Gallery {
        if registry == ecr::PUBLIC { Gallery::Public } else { Gallery::Private }
    }
}

impl Aws {
    /// Gets a token, and tells which registry it is for.
    ///
    /// # Errors
    /// When AWS gives no credentials, or doesn't take them; no secret is shown.
    pub async fn sign_in(&self, gallery: Gallery, ca_certs: &[String]) -> Result<SignIn, super::Failed> {
        let failed = |reason: String| super::Failed { what: "Amazon ECR", reason };
        let exchange = Exchange::new(ca_certs).map_err(|error| failed(error.to_string()))?;
        let road = Road::new(exchange);
        let context = road.context();
        let signed_in = async {
            let first = self.first(&context).await;
            let mut credential = first.map_err(|error| format!("{}{HINT}", road.reason(&error)))?;
            for role in &self.roles {
                credential = self
                    .assume(role, &credential, &context)
                    .await
                    .map_err(|error| format!("cannot assume role {role}: {}", road.reason(&error)))?;
            }
            ecr::token(self, gallery, &credential, &road).await
        };
        let secrets = self.keys.iter().flat_map(|keys| [Some(&keys.secret), keys.session.as_ref()]).flatten();
        let secrets: Vec<String> = secrets.map(|secret| secret.expose().to_owned()).collect();
        let (host, password) =
            signed_in.await.map_err(|reason| failed(crate::redact::all(reason, &secrets)))?;
        Ok(SignIn { host, credentials: Credentials { username: "AWS".into(), password } })
    }

    /// Returns the credentials that everything begins with.
    async fn first(&self, context: &Context) -> reqsign_core::Result<Credential> {
        if let Some(keys) = &self.keys {
            return Ok(Credential {
                access_key_id: keys.id.expose().to_owned(),
                secret_access_key: keys.secret.expose().to_owned(),
                session_token: keys.session.as_ref().map(|token| token.expose().to_owned()),
                expires_in: None,
            });
        }
        let web_identity = AssumeRoleWithWebIdentityCredentialProvider::new()
            .with_region(self.region.clone())
            .with_regional_sts_endpoint();
        let chain = ProvideCredentialChain::new()
            .push(EnvCredentialProvider::new())
            .push(web_identity)
            .push(ECSCredentialProvider::new())
            .push(IMDSv2CredentialProvider::new());
        some(chain.provide_credential(context).await?)
    }

    async fn assume(
        &self,
        role: &str,
        with: &Credential,
        context: &Context,
    ) -> reqsign_core::Result<Credential> {
        let signer = RequestSigner::new("sts", &self.region);
        let signer = Signer::new(context.clone(), fixed(with), signer);
        let provider = AssumeRoleCredentialProvider::new(role.to_owned(), signer)
            .with_region(self.region.clone())
            .with_regional_sts_endpoint()
            .with_role_session_name(SESSION.to_owned());
        some(provider.provide_credential(context).await?)
    }
}

fn fixed(credential: &Credential) -> StaticCredentialProvider {
    let provider = StaticCredentialProvider::new(&credential.access_key_id, &credential.secret_access_key);
    match &credential.session_token {
        Some(token) => provider.with_session_token(token),
        None => provider,
    }
}

fn some(found: Option<Credential>) -> reqsign_core::Result<Credential> {
    found.ok_or_else(|| reqsign_core::Error::credential_invalid("AWS gives this machine no credentials"))
}
