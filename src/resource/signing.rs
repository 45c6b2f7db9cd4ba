//! What a source says of keys: the one that puts sign with, and those that a get verifies by.

use super::fields::{Fields, InvalidRequest};
use crate::redact::Secret;
use crate::signing::{PublicKey, SigningKey};

/// The key that puts sign with, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    key: Secret,
    password: Secret,
}

impl Signing {
    /// Takes `signing`.
    pub(super) fn take(fields: &mut Fields) -> Result<Option<Signing>, InvalidRequest> {
        let Some(mut object) = fields.object("signing")? else { return Ok(None) };
        let (key, password) = (object.text("key")?, object.text_or_number("password")?);
        let Some(key) = key else {
            return Err(object.refusal("key", "it is missing; expected a private key, PEM"));
        };
        object.finish(|_| false)?;
        Ok(Some(Signing { key: Secret::new(key), password: Secret::new(password.unwrap_or_default()) }))
    }

    /// Reads the key. That takes a while where it is encrypted, so only a put does it.
    pub(super) fn key(&self) -> Result<SigningKey, InvalidRequest> {
        SigningKey::parse(&self.key, &self.password)
            .map_err(|error| InvalidRequest::new(format!("cannot use source field `signing.key`: {error}")))
    }
}

/// Takes `verify`: the keys of which one must have signed; without the field, none.
pub(super) fn keys(fields: &mut Fields) -> Result<Vec<PublicKey>, InvalidRequest> {
    let Some(mut object) = fields.object("verify")? else { return Ok(Vec::new()) };
    let texts = object.one_or_more("key")?;
    if texts.is_empty() {
        return Err(object.refusal("key", "it is missing; expected a public key, PEM, or a list of such"));
    }
    let key =
        |text: &String| PublicKey::parse(text).map_err(|error| object.refusal("key", &error.to_string()));
    let keys = texts.iter().map(key).collect::<Result<_, _>>()?;
    object.finish(|_| false)?;
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8x0UjDDdzaRUbOoGiraL40O/hDOK
EWu81EV4QsoYoTvTN9V8vLqfd8PYNeSZhD0GmLaEbpgl1X4ZkDHkwrkVrw==
-----END PUBLIC KEY-----
";

    fn fields(value: Value) -> Fields {
        Fields::new("source field", value).unwrap()
    }

    #[test]
    fn one_key_verifies_or_each_of_several() {
        for (value, n) in [(json!(PUBLIC), 1), (json!([PUBLIC, PUBLIC]), 2)] {
            assert_eq!(keys(&mut fields(json!({"verify": {"key": value}}))).unwrap().len(), n);
        }
        assert!(keys(&mut fields(json!({}))).unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_told_without_showing_a_key() {
        for (value, expected) in [
            (json!({"verify": {"key": "hunter2"}}), "`verify.key`: it has no line `-----BEGIN"),
            (json!({"verify": {"key": []}}), "`verify.key`: it is missing"),
            (json!({"verify": {}}), "`verify.key`: it is missing"),
            (json!({"verify": {"key": PUBLIC, "keys": "hunter2"}}), "did you mean `verify.key`?"),
            (json!({"signing": {"password": "hunter2"}}), "`signing.key`: it is missing"),
            (
                json!({"signing": {"key": "hunter2", "pasword": "hunter2"}}),
                "did you mean `signing.password`?",
            ),
            (json!({"signing": "hunter2"}), "`signing`: expected an object, got a text"),
        ] {
            let mut fields = fields(value);
            let error = keys(&mut fields).err().or_else(|| Signing::take(&mut fields).err()).unwrap();
            let text = error.to_string();
            assert!(text.contains(expected) && !text.contains("hunter2"), "{text}");
        }
        let signing = Signing::take(&mut fields(json!({"signing": {"key": "hunter2"}}))).unwrap().unwrap();
        let error = signing.key().unwrap_err().to_string();
        assert!(error.starts_with("cannot use source field `signing.key`: it has no line"), "{error}");
        assert!(!format!("{signing:?}").contains("hunter2"));
    }
}
