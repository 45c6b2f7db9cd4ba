//! Every fault at every endpoint, at the first, a middle and the last request to it.
//!
//! An image with its account is pushed and got again. A fault that may pass never fails it; one that
//! doesn't pass may, and then says where and why. Whatever happens, no tag stands for what isn't there.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::fault::Fault;
use super::support::http::Logged;
use super::support::registry::{Auth, Options, TestRegistry};
use super::*;

/// An endpoint: its name, and whether a request is to it.
type Endpoint = (&'static str, fn(&Logged) -> bool);

const ENDPOINTS: [Endpoint; 12] = [
    ("ping", |r| r.path == "/v2/"),
    ("token", |r| r.is("GET", "/token")),
    ("HEAD manifest", |r| r.is("HEAD", "/manifests/")),
    ("GET manifest", |r| r.is("GET", "/manifests/")),
    ("HEAD blob", |r| r.is("HEAD", "/blobs/sha256:")),
    ("GET blob", |r| r.is("GET", "/blobs/sha256:")),
    ("POST upload", |r| r.is("POST", "/blobs/uploads/")),
    ("PATCH upload", |r| r.is("PATCH", "/blobs/uploads/")),
    ("PUT upload", |r| r.is("PUT", "/blobs/uploads/")),
    ("PUT manifest", |r| r.is("PUT", "/manifests/")),
    ("tags", |r| r.is("GET", "/tags/list")),
    ("referrers", |r| r.is("GET", "/referrers/")),
];

/// What goes wrong.
#[derive(Clone, Debug)]
enum Trouble {
    Wire(Fault),
    /// The tokens given out until then are no longer good.
    ExpiredToken,
}

/// The faults; those that are only in what is answered may end in an error.
fn troubles() -> Vec<(&'static str, Trouble, bool)> {
    let wait = || vec![("retry-after", "1".to_owned())];
    let wire = |name, fault| (name, Trouble::Wire(fault), true);
    vec![
        wire("429 once", Fault::Status(429)),
        wire("429 with Retry-After", Fault::StatusWith(429, wait())),
        wire("500", Fault::Status(500)),
        wire("503", Fault::Status(503)),
        wire("reset before", Fault::Reset),
        wire("reset in the middle of the request", Fault::ResetAfter(100)),
        wire("reset at the end", Fault::LoseAnswer),
        wire("truncated body", Fault::Truncate(10)),
        wire("stalled", Fault::Stall),
        wire("stalled body", Fault::StallAfter(10)),
        ("expired token", Trouble::ExpiredToken, true),
        ("wrong digest", Trouble::Wire(Fault::WrongBytes), false),
        ("wrong length", Trouble::Wire(Fault::Shorter), false),
    ]
}

/// What is pushed and got again.
struct Cargo {
    desk: Desk,
    layers: Vec<Descriptor>,
}

impl Cargo {
    fn new() -> Cargo {
        let desk = Desk::new();
        // The registry takes 4 MiB at once: one layer goes in chunks.
        let large = desk.blob_of((0..(9 << 20) / 8).map(|n: u64| n.to_le_bytes()));
        let layers = vec![desk.blob(b"a layer"), large, desk.blob(b"another layer")];
        Cargo { desk, layers }
    }

    async fn push(&self, registry: &Registry) -> Result<Descriptor, estaleiro::registry::Error> {
        for layer in &self.layers {
            registry.push_blob(layer, &self.desk.store, None, &self.desk.task).await?;
        }
        let config = registry.push_bytes(media_type::CONFIG, b"{}").await?;
        let manifest = Manifest {
            media_type: media_type::MANIFEST.into(),
            artifact_type: None,
            config,
            layers: self.layers.clone(),
            subject: None,
            annotations: Annotations::new(),
        };
        let bytes = manifest.to_json();
        let image = Descriptor::of(media_type::MANIFEST, &bytes);
        registry.push_manifest(&image.digest.to_string(), media_type::MANIFEST, &bytes).await?;
        let artifacts = [artifact(BOM, "the bom"), artifact("application/lock", "the lock")];
        registry.attach_all(&image, &artifacts).await?;
        registry.push_manifest("1", media_type::MANIFEST, &bytes).await
    }

    /// Gets all of it into another store, and compares.
    async fn pull(&self, registry: &Registry, image: &Descriptor) -> Result<(), estaleiro::registry::Error> {
        let there = Desk::new();
        let tags = registry.tags().await?;
        assert!(tags.contains(&"1".to_owned()), "{tags:?}");
        assert_eq!(registry.resolve("1").await?.as_ref(), Some(image));
        assert_eq!(registry.resolve("2").await?, None);
        let (found, bytes) = registry.manifest(&image.digest.to_string()).await?.unwrap();
        assert_eq!(&found, image);
        let manifest = Manifest::parse(&bytes).unwrap();
        assert_eq!(manifest.layers, self.layers);
        for layer in &manifest.layers {
            registry.pull_blob(layer, &there.store, &there.task).await?;
            assert!(there.store.contains(&layer.digest));
        }
        let boms = registry.referrers(&image.digest, Some(BOM)).await?;
        assert_eq!(registry.artifact(&boms[0], 100).await?, b"the bom");
        let locks = registry.referrers(&image.digest, Some("application/lock")).await?;
        assert_eq!(registry.artifact(&locks[0], 100).await?, b"the lock");
        Ok(())
    }

    async fn push_and_pull(
        &self,
        registry: &TestRegistry,
        access: &Access,
    ) -> Result<(), estaleiro::registry::Error> {
        let host = registry.host();
        let image = self.push(&open(&host, "team/app", access)).await?;
        self.pull(&open(&host, "team/app", access), &image).await
    }
}

/// Someone who waits however long a busy machine takes, and so asks nothing twice.
fn patient() -> Access {
    with_password("hunter2")
}

fn hasty() -> Access {
    let pause = Duration::from_millis(2);
    let retry = Retry { n_tries: 4, first_pause: pause, longest_pause: pause };
    Access { retry, silence: Duration::from_millis(400), ..with_password("hunter2") }
}

fn registry(referrers: bool) -> TestRegistry {
    let auth = Auth::Bearer { user: "alice".into(), password: "hunter2".into(), anonymous_pull: false };
    TestRegistry::with(Options { referrers, auth, largest_body: 4 << 20, ..Options::default() })
}

/// Plans what goes wrong; returns how often it did.
fn plan(registry: &TestRegistry, case: &Case) -> Arc<AtomicUsize> {
    let (is_asked, position) = (case.endpoint.1, case.position);
    let (fired, n_seen) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let counter = fired.clone();
    let is_due = move |request: &Logged| {
        let is_due = is_asked(request) && n_seen.fetch_add(1, Ordering::SeqCst) == position;
        counter.fetch_add(usize::from(is_due), Ordering::SeqCst);
        is_due
    };
    match &case.trouble {
        Trouble::Wire(fault) => registry.faults().fail_if(is_due, 1, fault.clone()),
        Trouble::ExpiredToken => {
            let expire = registry.token_expiry();
            let is_struck = move |request: &Logged| {
                if is_due(request) {
                    expire();
                }
                false
            };
            registry.faults().fail_if(is_struck, 1, Fault::Reset);
        }
    }
    fired
}

/// Fails where a tag stands for what isn't there.
fn check_tags(registry: &TestRegistry, case: &str) {
    for tag in registry.tags("team/app") {
        let (_, bytes) = registry.manifest("team/app", &tag).unwrap_or_else(|| panic!("{case}: {tag}"));
        let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let parts = ["layers", "manifests"].iter().filter_map(|name| manifest[*name].as_array()).flatten();
        for part in parts {
            let digest: Digest = part["digest"].as_str().unwrap().parse().unwrap();
            let is_there = registry.has_blob("team/app", &digest)
                || registry.manifest("team/app", &digest.to_string()).is_some();
            assert!(is_there, "{case}: {tag} needs {digest}");
        }
    }
}

/// One case: what goes wrong, where, and at which of the requests.
struct Case {
    endpoint: Endpoint,
    trouble: Trouble,
    passes: bool,
    position: usize,
    name: String,
}

/// Returns all cases, after runs in which nothing goes wrong. The least of them counts: a registry that refuses a body
/// may hang up before its answer is read, and then more is asked.
async fn cases(cargo: &Cargo, referrers: bool) -> Vec<Case> {
    let mut runs = Vec::new();
    for _ in 0..3 {
        let clean = registry(referrers);
        cargo.push_and_pull(&clean, &patient()).await.unwrap();
        runs.push(clean.log().requests());
    }
    let mut cases = Vec::new();
    for endpoint in ENDPOINTS {
        let asked = runs.iter().map(|run| run.iter().filter(|request| endpoint.1(request)).count());
        let n_requests = asked.min().unwrap();
        assert!(n_requests > 0, "nothing is asked of {}", endpoint.0);
        for (name, trouble, passes) in troubles() {
            for position in BTreeSet::from([0, n_requests / 2, n_requests - 1]) {
                let name = format!("{name} at {} {position} of {n_requests}", endpoint.0);
                cases.push(Case { endpoint, trouble: trouble.clone(), passes, position, name });
            }
        }
    }
    cases
}

async fn run(cargo: &Cargo, case: Case, referrers: bool) {
    let registry = registry(referrers);
    let fired = plan(&registry, &case);
    let result = cargo.push_and_pull(&registry, &hasty()).await;
    let name = &case.name;
    assert_eq!(fired.load(Ordering::SeqCst), 1, "{name}");
    if let Err(error) = result {
        let error = error.to_string();
        assert!(!case.passes, "{name}: {error}\n{:#?}", registry.log().lines());
        assert!(error.contains(&registry.host()), "{name}: {error}");
        let causes = ["expected", "cannot be read", "without a token"];
        assert!(causes.iter().any(|cause| error.contains(cause)), "{name}: {error}");
    }
    check_tags(&registry, name);
}

async fn run_matrix(referrers: bool) {
    let cargo = Cargo::new();
    let cases = cases(&cargo, referrers).await;
    assert!(cases.len() > 300, "{}", cases.len());
    let runs = cases.into_iter().map(|case| run(&cargo, case, referrers));
    stream::iter(runs).buffer_unordered(4).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_for_a_while_an_image_arrives_whole() {
    run_matrix(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_so_it_does_where_referrers_are_listed_at_a_tag() {
    run_matrix(false).await;
}
