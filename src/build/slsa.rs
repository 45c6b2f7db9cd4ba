//! How an image came to be: SLSA's provenance v1 (<https://slsa.dev/spec/v1.1/provenance>), as a document of its own.
//!
//! No clock is in it. What says which build it was differs from build to build, so it is attached when an image is built, or
//! when none is there: `docs/decisions/0019-provenance.md`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::lock::{Lock, PlatformLock};
use super::sign::{ATTESTER, LARGEST_ENVELOPE};
use super::stages::canonical_name;
use super::{Recipe, Request, attach};
use crate::bom::Dockerfile;
use crate::digest::Digest;
use crate::oci::{Descriptor, Reference};
use crate::redact;
use crate::registry::{Artifact, Registry};
use crate::signing::{Envelope, Resource, SigningKey, Statement};

/// What a statement about it says.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// The media type, and artifact type, of a statement that is signed; it is in an envelope.
pub const SIGNED: &str = "application/vnd.in-toto.provenance+dsse";
/// The media type, and artifact type, of a statement that isn't.
pub const PLAIN: &str = "application/vnd.in-toto.provenance+json";

/// Which parameters there are, and what is made of them: `docs/signing.md`.
const BUILD_TYPE: &str = "urn:estaleiro:build:v1";

/// What Concourse tells a step of the build that it is in.
pub const BUILD_VARIABLES: [&str; 6] = [
    "ATC_EXTERNAL_URL",
    "BUILD_ID",
    "BUILD_JOB_NAME",
    "BUILD_NAME",
    "BUILD_PIPELINE_NAME",
    "BUILD_TEAM_NAME",
];

/// How an image came to be, as the last build attached it.
pub struct Told {
    /// The document.
    pub document: Descriptor,
    /// Where it is signed, the envelope.
    pub envelope: Option<Envelope>,
}

/// Returns the predicate of what was built from a lock; `variables` are Concourse's.
pub fn predicate(
    request: &Request,
    lock: &Lock,
    locked: &PlatformLock,
    variables: &BTreeMap<String, String>,
) -> Value {
    let mut internal = Map::new();
    let mut external = parameters(request, lock);
    let pinned = json!(Resource::default().with_sha256(&lock.content_digest()));
    let side = if request.lock.is_some() { &mut external } else { &mut internal };
    side.insert("lock".into(), pinned);
    if !variables.is_empty() {
        internal.insert("concourse".into(), json!(variables));
    }
    let mut run = json!({"builder": {"id": ATTESTER, "version": {"estaleiro": env!("CARGO_PKG_VERSION")}}});
    if let (Some(atc), Some(id)) = (variables.get("ATC_EXTERNAL_URL"), variables.get("BUILD_ID")) {
        run["metadata"] = json!({"invocationId": format!("{}/builds/{id}", atc.trim_end_matches('/'))});
    }
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": external,
            "internalParameters": internal,
            "resolvedDependencies": dependencies(locked),
        },
        "runDetails": run,
    })
}

/// Returns what somebody who asks for a build decides; of what seems secret only the name.
fn parameters(request: &Request, lock: &Lock) -> Map<String, Value> {
    let mut parameters = Map::new();
    let (name, file_name, variables) = match &request.recipe {
        Recipe::Definition(written) => ("definition", &written.file_name, &written.variables),
        Recipe::Dockerfile(written) => ("dockerfile", &written.file_name, &written.build_args),
    };
    let file = Resource { name: shown(file_name), ..Resource::default() };
    parameters.insert(name.into(), json!(file.with_sha256(&request.recipe.digest())));
    parameters.insert("variables".into(), json!(Dockerfile::told(variables)));
    parameters.insert("platform".into(), json!(request.platform.to_string()));
    if let Some(account) = request.recipe.account(lock) {
        parameters.extend(account.target.map(|target| ("target".into(), json!(target))));
        parameters.insert("contexts".into(), json!(account.contexts));
    }
    parameters
}

/// Where something lies on a machine is nobody's business.
fn shown(file_name: &str) -> String {
    let path = Path::new(file_name);
    match path.file_name().filter(|_| path.is_absolute()) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => file_name.to_owned(),
    }
}

/// Returns what was fetched: images, packages, files and commits.
fn dependencies(locked: &PlatformLock) -> Vec<Resource> {
    let base = locked.base.iter().map(|base| image(&base.name, &base.digest));
    let images = locked.images.iter().map(|one| image(&one.name, &one.digest));
    let packages = locked.fetched().map(|package| {
        let name = format!("{}_{}_{}", package.name, package.version, package.architecture);
        fetched(&name, &package.uri, &package.sha256)
    });
    let files = locked.files.iter().map(|file| fetched("", &file.uri, &file.digest));
    let repositories = locked.repositories.iter().map(|repository| Resource {
        name: repository.name.clone(),
        uri: format!("git+{}@{}", redact::credentials(&repository.uri), repository.name),
        digest: BTreeMap::from([("gitCommit".into(), repository.commit.clone())]),
        ..Resource::default()
    });
    base.chain(images).chain(packages).chain(files).chain(repositories).collect()
}

/// One in a layout has no name that anybody else could use.
fn image(name: &str, digest: &Digest) -> Resource {
    let uri = match name.parse::<Reference>() {
        Ok(_) => format!("oci://{}", canonical_name(name, digest)),
        Err(_) => String::new(),
    };
    Resource { uri, ..Resource::default() }.with_sha256(digest)
}

fn fetched(name: &str, uri: &str, digest: &Digest) -> Resource {
    let uri = redact::credentials(uri);
    Resource { name: name.to_owned(), uri, ..Resource::default() }.with_sha256(digest)
}

/// Returns a statement as a document, signed where there is a key.
pub fn artifact(statement: &Statement, key: Option<&SigningKey>) -> Artifact {
    let bytes = statement.to_json();
    match key {
        Some(key) => Artifact::new(SIGNED, Envelope::seal(&bytes, key).to_json()),
        None => Artifact::new(PLAIN, bytes),
    }
}

/// Returns the envelope that a document is, if it is signed.
pub fn envelope(artifact: &Artifact) -> Option<Envelope> {
    Envelope::parse(artifact.blob()?.bytes())
}

/// Returns what the last build attached. With a key, only what that signed counts.
pub async fn last(registry: &Registry, image: &Digest, key: Option<&SigningKey>) -> Result<Option<Told>> {
    let media_type = if key.is_some() { SIGNED } else { PLAIN };
    let Some(document) = attach::newest(registry, image, media_type).await? else { return Ok(None) };
    let Some(key) = key else { return Ok(Some(Told { document, envelope: None })) };
    // One that can't be read has got lost, and is made anew.
    let bytes = registry.artifact(&document, LARGEST_ENVELOPE).await.unwrap_or_default();
    let Some(envelope) = Envelope::parse(&bytes) else { return Ok(None) };
    let statement = envelope.open(std::slice::from_ref(key.public()));
    let is_it = statement.is_some_and(|said| said.predicate_type == PREDICATE_TYPE && said.is_about(image));
    Ok(is_it.then_some(Told { document, envelope: Some(envelope) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::lock::{LockRequest, LockedBase, LockedFile, LockedRepository};
    use crate::oci::Platform;

    #[test]
    fn what_was_fetched_is_told_without_anybodys_password() {
        let locked = PlatformLock {
            platform: Platform::host(),
            request: LockRequest::default(),
            base: Some(LockedBase {
                name: "registry.example/base:1".into(),
                digest: Digest::of("b"),
                account: None,
                sources: vec![],
            }),
            suites: vec![],
            keys: vec![],
            packages: vec![],
            beside: vec![],
            taken: vec![],
            remove: vec![],
            images: vec![],
            files: vec![LockedFile {
                uri: "https://u:p@files.example/a.tar".into(),
                digest: Digest::of("f"),
            }],
            repositories: vec![LockedRepository {
                uri: "https://git.example/a.git".into(),
                reference: Some("main".into()),
                name: "refs/heads/main".into(),
                commit: "c0ffee".into(),
                tag: None,
            }],
        };
        let told = json!(dependencies(&locked));
        let expected = json!([
            {
                "uri": format!("oci://registry.example/base:1@{}", Digest::of("b")),
                "digest": {"sha256": Digest::of("b").hex()},
            },
            {"uri": "https://***@files.example/a.tar", "digest": {"sha256": Digest::of("f").hex()}},
            {
                "name": "refs/heads/main",
                "uri": "git+https://git.example/a.git@refs/heads/main",
                "digest": {"gitCommit": "c0ffee"},
            },
        ]);
        assert_eq!(told, expected);
    }

    #[test]
    fn where_a_file_lies_on_this_machine_is_not_told() {
        assert_eq!(shown("source/estaleiro.hcl"), "source/estaleiro.hcl");
        assert_eq!(shown("/home/alice/estaleiro.hcl"), "estaleiro.hcl");
    }
}
