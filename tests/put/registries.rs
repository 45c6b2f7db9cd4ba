//! Puts that need several registries: each of them sees its own credentials, and nobody else's.

use serde_json::{Value, json};

use crate::pier::{self, APP, Yard};
use crate::support::registry::{Auth, Options};
use crate::support::{TestImage, TestRegistry};

/// Starts a registry for one user, which has the image `base:1`.
fn registry(auth: fn(user: String, password: String) -> Auth, user: &str) -> TestRegistry {
    let auth = auth(user.into(), format!("password of {user}"));
    let registry = TestRegistry::with(Options { auth, ..Options::default() });
    image().put(&registry, "base", Some("1"));
    registry
}

fn image() -> TestImage {
    pier::base_image()
}

fn basic(user: String, password: String) -> Auth {
    Auth::Basic { user, password }
}

fn bearer(user: String, password: String) -> Auth {
    Auth::Bearer { user, password, anonymous_pull: false }
}

fn entry(registry: &TestRegistry, user: &str) -> Value {
    json!({"host": registry.host(), "username": user, "password": format!("password of {user}")})
}

/// Whoever was shown something let it pass: nothing was tried out here.
fn assert_only_its_own(registry: &TestRegistry) {
    let requests = registry.log().requests();
    let shown: Vec<_> = requests.iter().filter(|request| request.header("authorization").is_some()).collect();
    assert!(!shown.is_empty());
    assert!(shown.iter().all(|request| request.status != 401), "{:?}", registry.log().lines());
}

#[test]
fn each_registry_of_a_put_sees_its_own_credentials() {
    let (own, base, other) = (registry(basic, "owner"), registry(basic, "baser"), registry(bearer, "other"));
    let yard = Yard::new("");
    let dockerfile = format!(
        "FROM {}\nCOPY --from={} /etc/os-release /\n",
        base.name("base", "1"),
        other.name("base", "1")
    );
    yard.write("Dockerfile", dockerfile);
    let step = pier::with_params(&yard, json!({"dockerfile": "source/Dockerfile"}));
    let mut source = pier::source(&own.host(), "app");
    source["username"] = json!("owner");
    source["password"] = json!("password of owner");
    let failure = pier::run(&source, &step).unwrap_err();
    let refused = format!("{}/base:1: the registry refused access without credentials", base.host());
    assert!(failure.stderr.contains(&refused), "{}", failure.stderr);
    source["registries"] = json!([entry(&base, "baser"), entry(&other, "other")]);
    pier::run(&source, &step).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    for registry in [&own, &base, &other] {
        assert_only_its_own(registry);
    }
}

#[test]
fn credentials_for_the_images_own_registry_may_stand_among_the_others() {
    let own = registry(basic, "owner");
    let mut source = pier::source(&own.host(), "app");
    source["registries"] = json!([entry(&own, "owner")]);
    let outcome = pier::put(&source, &Yard::new(APP));
    let files = pier::small_files(&source, &outcome);
    assert_eq!(files.read("digest"), outcome.version["digest"]);
    assert_only_its_own(&own);
}
