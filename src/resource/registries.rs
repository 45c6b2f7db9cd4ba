//! How registries are reached, as a source says it: its own one, and by host those of bases, caches and other images.

use std::collections::BTreeMap;

use super::cloud::Cloud;
use super::fields::{Fields, InvalidRequest};
use crate::oci::reference::registry_of;
use crate::redact::Secret;
use crate::registry::{Access, ClientCertificate, Credentials};

/// How a registry is reached that is not the source's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Further {
    /// How it is reached.
    pub access: Access,
    /// The cloud that gives the credentials.
    pub cloud: Option<Cloud>,
}

/// Reads how the source's own registry is reached.
pub(super) fn own(fields: &mut Fields) -> Result<Access, InvalidRequest> {
    Ok(Access {
        credentials: credentials(fields)?,
        insecure: fields.flag("insecure")?,
        ca_certs: ca_certs(fields)?,
        client_certificate: client_certificate(fields, "client_cert", "client_key")?,
        ..Access::default()
    })
}

/// Reads how further registries are reached, by host: `registries`, and docker-image's names for parts of it.
pub(super) fn by_host(fields: &mut Fields) -> Result<BTreeMap<String, Further>, InvalidRequest> {
    let mut registries = BTreeMap::new();
    for mut object in fields.objects("registries")? {
        let host = host(&mut object, "host")?;
        let further = Further { access: own(&mut object)?, cloud: Cloud::read(&mut object)? };
        if registries.insert(host, further).is_some() {
            return Err(object.refusal("host", "it is there twice"));
        }
        object.finish(|_| false)?;
    }
    for mut object in fields.objects("additional_private_registries")? {
        let host = host(&mut object, "registry")?;
        let access: &mut Access = &mut registries.entry(host).or_default().access;
        if access.credentials.is_some() {
            return Err(object.refusal("registry", "it has credentials already"));
        }
        access.credentials = credentials(&mut object)?;
        object.finish(|_| false)?;
    }
    for mut object in fields.objects("client_certs")? {
        let host = host(&mut object, "domain")?;
        let access: &mut Access = &mut registries.entry(host).or_default().access;
        if access.client_certificate.is_some() {
            return Err(object.refusal("domain", "it has a client certificate already"));
        }
        access.client_certificate = client_certificate(&mut object, "cert", "key")?;
        object.finish(|_| false)?;
    }
    Ok(registries)
}

/// Puts together what is said of one registry in two places: what `own` says comes first, authorities add up.
pub(super) fn merged(own: Access, further: Option<&Further>) -> Access {
    let Some(further) = further.map(|further| further.access.clone()) else { return own };
    Access {
        credentials: own.credentials.or(further.credentials),
        insecure: own.insecure || further.insecure,
        ca_certs: [own.ca_certs, further.ca_certs].concat(),
        client_certificate: own.client_certificate.or(further.client_certificate),
        ..own
    }
}

fn host(object: &mut Fields, name: &'static str) -> Result<String, InvalidRequest> {
    let Some(text) = object.text(name)? else {
        return Err(object.refusal(name, "it is missing; write which registry this is for"));
    };
    let why = "expected a host, as `registry.example` or `registry.example:5000`";
    registry_of(&text).ok_or_else(|| object.refusal(name, why))
}

/// Reads a name and a password.
pub(super) fn credentials(fields: &mut Fields) -> Result<Option<Credentials>, InvalidRequest> {
    let username = fields.text("username")?;
    let password = fields.text_or_json("password")?;
    match (username, password) {
        (None, None) => Ok(None),
        (Some(username), Some(password)) => {
            Ok(Some(Credentials { username, password: Secret::new(password) }))
        }
        (Some(_), None) => Err(fields.refusal("username", "the field `password` is missing")),
        (None, Some(_)) => Err(fields.refusal("password", "the field `username` is missing")),
    }
}

fn ca_certs(fields: &mut Fields) -> Result<Vec<String>, InvalidRequest> {
    let certificates = fields.texts("ca_certs")?;
    match certificates.iter().all(|text| is_certificate(text)) {
        true => Ok(certificates),
        false => Err(fields.refusal("ca_certs", "expected a list of certificates in PEM")),
    }
}

fn client_certificate(
    fields: &mut Fields,
    certificate_name: &'static str,
    key_name: &'static str,
) -> Result<Option<ClientCertificate>, InvalidRequest> {
    match (fields.text(certificate_name)?, fields.text(key_name)?) {
        (None, None) => Ok(None),
        (Some(certificate), _) if !is_certificate(&certificate) => {
            Err(fields.refusal(certificate_name, "expected a certificate in PEM"))
        }
        (_, Some(key)) if !key.contains("PRIVATE KEY-----") => {
            Err(fields.refusal(key_name, "expected a private key in PEM"))
        }
        (Some(certificate), Some(key)) => Ok(Some(ClientCertificate { certificate, key: Secret::new(key) })),
        (Some(_), None) => {
            Err(fields.refusal(key_name, "it is missing; a certificate needs its private key"))
        }
        (None, Some(_)) => {
            Err(fields.refusal(certificate_name, "it is missing; a key is of use with its certificate"))
        }
    }
}

fn is_certificate(text: &str) -> bool {
    text.contains("-----BEGIN CERTIFICATE-----")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n…";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nhunter2";

    fn read(value: Value) -> Result<BTreeMap<String, Further>, InvalidRequest> {
        by_host(&mut Fields::new("source field", value).unwrap())
    }

    #[test]
    fn each_host_has_its_own() {
        let registries = read(json!({
            "registries": [
                {"host": "registry.example:5000", "username": "sailor", "password": 7, "insecure": true},
                {"host": "https://Registry.example/", "ca_certs": [CERTIFICATE], "client_cert": CERTIFICATE, "client_key": KEY},
            ],
            "additional_private_registries": [{"registry": "https://index.docker.io/v1/", "username": "u", "password": "p"}],
            "client_certs": [{"domain": "registry.example:5000", "cert": CERTIFICATE, "key": KEY}],
        }));
        let registries = registries.unwrap();
        assert_eq!(
            registries.keys().collect::<Vec<_>>(),
            ["docker.io", "registry.example", "registry.example:5000"]
        );
        let [hub, secured, plain] =
            registries.values().map(|further| &further.access).collect::<Vec<_>>()[..]
        else {
            panic!()
        };
        assert_eq!(hub.credentials.as_ref().unwrap().username, "u");
        assert_eq!(
            (secured.credentials.is_none(), secured.ca_certs.len(), secured.insecure),
            (true, 1, false)
        );
        assert_eq!(secured.client_certificate, plain.client_certificate);
        assert_eq!(plain.credentials.as_ref().unwrap().password.expose(), "7");
        assert!(plain.insecure);
        assert!(!format!("{registries:?}").contains("hunter2"));
    }

    #[test]
    fn a_json_key_may_be_written_as_an_object() {
        let password = json!({"type": "service_account", "private_key": "hunter2"});
        for given in [password.clone(), json!(password.to_string())] {
            let registries =
                json!([{"host": "registry.example", "username": "_json_key", "password": given}]);
            let registries = read(json!({"registries": registries})).unwrap();
            let credentials = registries["registry.example"].access.credentials.clone().unwrap();
            assert_eq!(serde_json::from_str::<Value>(credentials.password.expose()).unwrap(), password);
        }
    }

    #[test]
    fn what_the_source_says_itself_comes_first() {
        let access = |username: &str, ca: &str| Access {
            credentials: Some(Credentials { username: username.into(), password: Secret::new("p") }),
            ca_certs: vec![ca.into()],
            ..Access::default()
        };
        let merged = merged(
            access("own", "a"),
            Some(&Further { access: Access { insecure: true, ..access("other", "b") }, cloud: None }),
        );
        assert_eq!(merged.credentials.unwrap().username, "own");
        assert_eq!((merged.ca_certs, merged.insecure), (vec!["a".to_owned(), "b".into()], true));
    }

    #[test]
    fn a_mistake_is_named_with_its_place_and_shows_nothing() {
        for (registry, place) in [
            (json!({"username": "hunter2"}), "registries[0].host"),
            (json!({"host": "hunter2@registry.example"}), "registries[0].host"),
            (json!({"host": "a.example", "username": "hunter2"}), "registries[0].username"),
            (json!({"host": "a.example", "password": "hunter2"}), "registries[0].password"),
            (json!({"host": "a.example", "client_key": KEY}), "registries[0].client_cert"),
            (json!({"host": "a.example", "client_cert": CERTIFICATE}), "registries[0].client_key"),
            (json!({"host": "a.example", "client_key": "hunter2"}), "registries[0].client_key"),
            (json!({"host": "a.example", "client_cert": "hunter2"}), "registries[0].client_cert"),
            (json!({"host": "a.example", "token": "hunter2"}), "registries[0].token"),
        ] {
            let text = read(json!({"registries": [registry]})).unwrap_err().to_string();
            assert!(text.contains(&format!("`{place}`")), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        let twice = json!({"registries": [{"host": "a.example"}, {"host": "a.example"}]});
        assert!(read(twice).unwrap_err().to_string().contains("`registries[1].host`: it is there twice"));
    }
}
