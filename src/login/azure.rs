//! Azure's registries: a token of Microsoft Entra ID, exchanged for one of the registry.
//!
//! See Azure Container Registry's "AAD integration" (`/oauth2/exchange`), the Microsoft identity platform's client
//! credentials flow, and "How to use managed identities to acquire an access token".

use std::env;
use std::path::PathBuf;

use reqwest::header::{self, HeaderValue};
use reqwest::{Method, Request, Url};
use serde::Deserialize;
use serde_json::Value;

use super::exchange::{Answer, Exchange};
use super::{Failed, SignIn, file};
use crate::redact::Secret;
use crate::transport::Credentials;

/// No token file is larger, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// Where a machine is told who it is (Azure Instance Metadata Service).
const METADATA: &str = "http://169.254.169.254";

/// How to get a token for an Azure registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Azure {
    /// The registry: host and port.
    pub registry: String,
    /// Whether the registry is spoken to by plain http.
    pub is_plain: bool,
    /// Who signs in.
    pub identity: Identity,
    /// The application or identity.
    pub client: Option<String>,
    /// The directory that it is in.
    pub tenant: Option<String>,
    /// Which of the clouds; without, the registry's domain tells.
    pub environment: Option<Environment>,
}

/// Who signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// An application, by its secret.
    Secret(Secret),
    /// An application, by the token in the file that `AZURE_FEDERATED_TOKEN_FILE` names.
    Workload,
    /// The machine.
    Managed,
}

/// Azure's clouds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// For everybody.
    Public,
    /// For the government of the United States.
    Government,
    /// In China.
    China,
}

impl Environment {
    /// Returns the cloud that a registry is in, by its domain.
    fn of(registry: &str) -> Environment {
        match registry.rsplit_once('.').map(|(_, domain)| domain.to_ascii_lowercase()).as_deref() {
            Some("us") => Environment::Government,
            Some("cn") => Environment::China,
            Some(_) | None => Environment::Public,
        }
    }

    fn authority(self) -> &'static str {
        match self {
            Environment::Public => "https://login.microsoftonline.com",
            Environment::Government => "https://login.microsoftonline.us",
            Environment::China => "https://login.chinacloudapi.cn",
        }
    }

    /// Returns what a token is asked for: the cloud's management, which is what registries take.
    fn resource(self) -> &'static str {
        match self {
            Environment::Public => "https://management.azure.com/",
            Environment::Government => "https://management.usgovcloudapi.net/",
            Environment::China => "https://management.chinacloudapi.cn/",
        }
    }
}

impl Azure {
    /// Gets a token of the registry's.
    ///
    /// # Errors
    /// When Azure gives none; no secret is shown.
    pub async fn sign_in(&self, ca_certs: &[String]) -> Result<SignIn, Failed> {
        let failed = |reason: String| Failed { what: "Azure Container Registry", reason };
        let exchange = Exchange::new(ca_certs).map_err(|error| failed(error.to_string()))?;
        let signed_in = async {
            let access = ask(&exchange, self.request()?, "access_token").await?;
            ask(&exchange, self.exchange_of(&access)?, "refresh_token").await
        };
        let token = signed_in.await.map_err(failed)?;
        Ok(SignIn { host: self.registry.clone(), credentials: Credentials::identity(token) })
    }

    /// Asks Entra ID, or the machine, for an access token.
    fn request(&self) -> Result<Request, String> {
        let resource = self.environment().resource();
        let scope = format!("{resource}.default");
        match &self.identity {
            Identity::Managed => self.question_to_the_machine(resource),
            Identity::Secret(secret) => {
                self.request_of_application(&scope, &[("client_secret", secret.expose())])
            }
            Identity::Workload => {
                let path = variable("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from);
                let path = path.ok_or("AZURE_FEDERATED_TOKEN_FILE does not name the workload's token")?;
                let unreadable = |why: String| format!("cannot read {}: {why}", path.display());
                let token = file::read(&path, LARGEST_FILE).map_err(|error| unreadable(error.to_string()))?;
                let token = String::from_utf8(token).map_err(|_| unreadable("it is no text".into()))?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                let assertion = [("client_assertion_type", kind), ("client_assertion", token.trim())];
                self.request_of_application(&scope, &assertion)
            }
        }
    }

    fn request_of_application(&self, scope: &str, proof: &[(&str, &str)]) -> Result<Request, String> {
        let tenant = self.tenant().ok_or("the tenant is missing: give azure_tenant_id")?;
        let client = self.client().ok_or("the application is missing: give azure_client_id")?;
        let authority = variable("AZURE_AUTHORITY_HOST");
        let authority = authority.as_deref().unwrap_or(self.environment().authority()).trim_end_matches('/');
        let url = url(&format!("{authority}/{tenant}/oauth2/v2.0/token"))?;
        let fields = [("grant_type", "client_credentials"), ("client_id", &client), ("scope", scope)];
        Ok(post(url, fields.iter().chain(proof)))
    }

    fn question_to_the_machine(&self, resource: &str) -> Result<Request, String> {
        let place = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST");
        let place = place.as_deref().unwrap_or(METADATA).trim_end_matches('/');
        let mut url = url(&format!("{place}/metadata/identity/oauth2/token"))?;
        url.query_pairs_mut()
            .append_pair("api-version", "2018-02-01")
            .append_pair("resource", resource)
            .extend_pairs(self.client().iter().map(|client| ("client_id", client)));
        let mut request = Request::new(Method::GET, url);
        request.headers_mut().insert("metadata", HeaderValue::from_static("true"));
        Ok(request)
    }

    /// Asks the registry for a token of its own.
    fn exchange_of(&self, access_token: &Secret) -> Result<Request, String> {
        let scheme = if self.is_plain { "http" } else { "https" };
        let url = url(&format!("{scheme}://{}/oauth2/exchange", self.registry))?;
        let mut fields = vec![("grant_type", "access_token"), ("service", self.registry.as_str())];
        let tenant = self.tenant();
        fields.extend(tenant.iter().map(|tenant| ("tenant", tenant.as_str())));
        fields.push(("access_token", access_token.expose()));
        Ok(post(url, fields.iter()))
    }

    fn environment(&self) -> Environment {
        self.environment.unwrap_or_else(|| Environment::of(&self.registry))
    }

    fn tenant(&self) -> Option<String> {
        self.tenant.clone().or_else(|| variable("AZURE_TENANT_ID"))
    }

    fn client(&self) -> Option<String> {
        self.client.clone().or_else(|| variable("AZURE_CLIENT_ID"))
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| format!("`{text}` is no address: {error}"))
}

fn post<'a>(url: Url, fields: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Request {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields.copied()).finish();
    let mut request = Request::new(Method::POST, url);
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(header::CONTENT_TYPE, form_type);
    *request.body_mut() = Some(form.into());
    request
}

/// Sends a request, and returns the token in the answer.
async fn ask(exchange: &Exchange, request: Request, name: &str) -> Result<Secret, String> {
    let answer = exchange.send(request).await?;
    if !answer.status.is_success() {
        return Err(answer.refusal(&said(&answer)));
    }
    let fields: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let token = fields[name].as_str().filter(|token| !token.is_empty());
    token.map(Secret::new).ok_or_else(|| format!("{} was answered without `{name}`", answer.asked))
}

/// Returns why it is no, in the words of OAuth 2 or of a registry.
fn said(answer: &Answer) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Refusal {
        error: String,
        error_description: String,
        errors: Vec<Entry>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Entry {
        message: String,
    }
    let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
    let messages = refusal.errors.into_iter().map(|entry| entry.message);
    let texts: Vec<String> = [refusal.error, refusal.error_description].into_iter().chain(messages).collect();
    texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_of_a_registry_tells_its_cloud() {
        for (registry, expected) in [
            ("team.azurecr.io", Environment::Public),
            ("team.AzureCR.US", Environment::Government),
            ("team.azurecr.cn", Environment::China),
            ("registry.example", Environment::Public),
            ("localhost", Environment::Public),
        ] {
            assert_eq!(Environment::of(registry), expected, "{registry}");
        }
    }
}
