//! Requests and answers of `check`, `in` and `out`, as the resource contract has them.

use std::io::Read;

use serde::Serialize;
use serde_json::{Map, Value};

use super::fields::{Fields, InvalidRequest};
use super::params::{GetParams, PutParams};
use super::source::Source;
use crate::digest::Digest;
use crate::oci::canonical_json;

/// A request is written by people; nobody writes more than this.
const LIMIT: u64 = 16 << 20;

/// A version: a tag, and the digest of the manifest that it stood for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The tag.
    pub tag: String,
    /// The digest.
    pub digest: Digest,
}

/// What `check` is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRequest {
    /// The source.
    pub source: Source,
    /// The newest version known; none at first.
    pub version: Option<Version>,
}

/// What `in` is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetRequest {
    /// The source.
    pub source: Source,
    /// The version wanted.
    pub version: Version,
    /// How it is wanted.
    pub params: GetParams,
}

/// What `out` is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutRequest {
    /// The source.
    pub source: Source,
    /// What is to be put.
    pub params: PutParams,
}

/// A line of what people see beside a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Metadata {
    /// Returns a line.
    pub fn new(name: impl Into<String>, value: &impl ToString) -> Metadata {
        Metadata { name: name.into(), value: value.to_string() }
    }
}

/// What `in` and `out` answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The version got or put.
    pub version: Version,
    /// What people see beside it.
    pub metadata: Vec<Metadata>,
}

impl Response {
    /// Returns the one JSON value for stdout.
    pub fn to_json(&self) -> String {
        json_line(self)
    }
}

/// Returns what `check` answers, oldest version first: the one JSON value for stdout.
pub fn check_response(versions: &[Version]) -> String {
    json_line(&versions)
}

fn json_line(value: &impl Serialize) -> String {
    String::from_utf8_lossy(&canonical_json(value)).into_owned()
}

/// Reads a request to its end.
pub fn read_request(reader: impl Read) -> Result<String, InvalidRequest> {
    let mut text = String::new();
    let read = reader.take(LIMIT + 1).read_to_string(&mut text);
    read.map_err(|error| InvalidRequest::new(format!("cannot read the request on stdin: {error}")))?;
    match text.len() as u64 > LIMIT {
        true => Err(InvalidRequest::new("cannot read the request on stdin: it is longer than 16 MiB")),
        false => Ok(text),
    }
}

impl CheckRequest {
    /// Reads a request of `check`.
    pub fn parse(text: &str) -> Result<CheckRequest, InvalidRequest> {
        let mut parts = Parts::parse(text)?;
        let source = Source::from_value(parts.take("source"))?;
        Fields::new("check param", parts.take("params"))?.finish(|_| false)?;
        let version = version(parts.take("version"), &source)?;
        Ok(CheckRequest { source, version })
    }
}

impl GetRequest {
    /// Reads a request of `in`.
    pub fn parse(text: &str) -> Result<GetRequest, InvalidRequest> {
        let mut parts = Parts::parse(text)?;
        parts.move_credentials();
        let source = Source::from_value(parts.take("source"))?;
        let params = GetParams::from_value(parts.take("params"))?;
        let version = version(parts.take("version"), &source)?;
        let version = version.ok_or_else(|| InvalidRequest::new("cannot get: the request has no version"))?;
        Ok(GetRequest { source, version, params })
    }
}

impl PutRequest {
    /// Reads a request of `out`.
    pub fn parse(text: &str) -> Result<PutRequest, InvalidRequest> {
        let mut parts = Parts::parse(text)?;
        parts.move_credentials();
        let source = Source::from_value(parts.take("source"))?;
        let params = PutParams::from_value(parts.take("params"))?;
        Ok(PutRequest { source, params })
    }
}

/// The parts of a request; what is empty may be absent or null. Fields that Concourse adds one day are no mistake.
struct Parts(Map<String, Value>);

impl Parts {
    /// An error tells line and column; what stands there may be a credential.
    fn parse(text: &str) -> Result<Parts, InvalidRequest> {
        let value = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let place = format!("line {line}, column {column}");
            InvalidRequest::new(format!("cannot read the request on stdin: it is no JSON at {place}"))
        })?;
        match value {
            Value::Object(parts) => Ok(Parts(parts)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(InvalidRequest::new("cannot read the request on stdin: expected a JSON object"))
            }
        }
    }

    /// Credentials among the params win over the source's: they may be made for this one step, as with registry-image.
    fn move_credentials(&mut self) {
        let Some(Value::Object(params)) = self.0.get_mut("params") else { return };
        let is_credential = |name: &str| matches!(name, "username" | "password") || name.starts_with("aws_");
        let (moved, left) = std::mem::take(params).into_iter().partition(|(name, _)| is_credential(name));
        *params = left;
        let moved: Map<String, Value> = moved;
        if let Some(Value::Object(source)) = self.0.get_mut("source") {
            source.extend(moved);
        }
    }

    fn take(&mut self, name: &str) -> Value {
        self.0.remove(name).unwrap_or(Value::Null)
    }
}

/// A version without a tag comes from a resource of another type; the source's tag is meant.
fn version(value: Value, source: &Source) -> Result<Option<Version>, InvalidRequest> {
    let mut fields = Fields::new("version field", value)?;
    let (tag, digest) = (fields.text("tag")?, fields.text("digest")?);
    match (tag, digest) {
        (None, None) => Ok(None),
        (tag, Some(digest)) => {
            let digest =
                digest.parse().map_err(|_| fields.refusal("digest", "expected sha256: and 64 digits"))?;
            Ok(Some(Version { tag: tag.unwrap_or_else(|| source.default_tag().to_owned()), digest }))
        }
        (Some(_), None) => Err(fields.refusal("tag", "the version field `digest` is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::params::Written;
    use super::*;
    use serde_json::json;

    fn source() -> Value {
        json!({"repository": "registry.example/app", "tag": "1"})
    }

    fn a_version() -> Version {
        Version { tag: "1".into(), digest: Digest::of(b"a") }
    }

    #[test]
    fn what_is_empty_may_be_absent_or_null() {
        for request in [
            json!({"source": source()}),
            json!({"source": source(), "version": null, "params": null}),
            json!({"source": source(), "version": {}, "params": {}}),
        ] {
            let request = CheckRequest::parse(&request.to_string()).unwrap();
            assert_eq!((request.source.tag.as_deref(), request.version), (Some("1"), None));
        }
    }

    #[test]
    fn a_version_is_a_tag_and_a_digest() {
        let digest = Digest::of(b"a").to_string();
        for version in [json!({"tag": "1", "digest": digest}), json!({"digest": digest})] {
            let request = json!({"source": source(), "version": version}).to_string();
            assert_eq!(CheckRequest::parse(&request).unwrap().version, Some(a_version()));
            assert_eq!(GetRequest::parse(&request).unwrap().version, a_version());
        }
        for version in [json!({"tag": "1"}), json!({"digest": "sha256:12"}), json!({"digest": 5}), json!([])]
        {
            let request = json!({"source": source(), "version": version}).to_string();
            assert!(
                CheckRequest::parse(&request).unwrap_err().to_string().contains("version field"),
                "{request}"
            );
        }
    }

    #[test]
    fn a_get_needs_a_version_and_a_put_a_definition() {
        let request = json!({"source": source()}).to_string();
        assert!(GetRequest::parse(&request).unwrap_err().to_string().contains("no version"));
        assert!(PutRequest::parse(&request).unwrap_err().to_string().contains("`definition`"));
        let request = json!({"source": source(), "params": {"definition": "src"}}).to_string();
        let Written::Definition(written) = PutRequest::parse(&request).unwrap().params.written else {
            panic!("a definition is put");
        };
        assert_eq!(written.definition.to_str(), Some("src"));
    }

    #[test]
    fn credentials_of_a_step_win_over_those_of_the_source() {
        let text = json!({
            "source": {"repository": "registry.example/app", "username": "all", "password": "hunter2"},
            "version": a_version(),
            "params": {"password": "hunter3", "skip_download": true},
        });
        let request = GetRequest::parse(&text.to_string()).unwrap();
        let credentials = request.source.access.credentials.unwrap();
        assert_eq!((credentials.username.as_str(), credentials.password.expose()), ("all", "hunter3"));
        assert!(request.params.skip_download);
    }

    #[test]
    fn what_is_no_request_is_refused_without_showing_it() {
        for text in
            ["", "hunter2", r#"{"source": {"password": "hunter2", }}"#, r#"["hunter2"]"#, "\"hunter2\""]
        {
            let error = CheckRequest::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("cannot read the request on stdin"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_endless_request_is_refused() {
        let error = read_request(std::io::repeat(b' ')).unwrap_err();
        assert!(error.to_string().contains("longer than 16 MiB"));
        assert_eq!(read_request(&b"{}"[..]).unwrap(), "{}");
    }

    #[test]
    fn answers_are_one_line_of_json() {
        let response = Response { version: a_version(), metadata: vec![Metadata::new("packages", &12)] };
        let digest = Digest::of(b"a");
        assert_eq!(
            response.to_json(),
            format!(
                r#"{{"metadata":[{{"name":"packages","value":"12"}}],"version":{{"digest":"{digest}","tag":"1"}}}}"#
            )
        );
        assert_eq!(check_response(&[a_version()]), format!(r#"[{{"digest":"{digest}","tag":"1"}}]"#));
        assert_eq!(check_response(&[]), "[]");
    }
}
