//! Commands of a Dockerfile that are after the put's credentials, its root, its processes or its network.

use std::fs;

use serde_json::{Value, json};

use crate::pier::{self, Yard};
use crate::support::concourse::Concourse;
use crate::support::container::Kind;
use crate::support::image::busybox;
use crate::support::registry::{Auth, Options};
use crate::support::{Tarball, TestRegistry, run};

const PASSWORD: &str = "s3cret-of-the-put";

/// A registry that asks for a password, with a base that has a thief in it.
fn registry() -> TestRegistry {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("thief.c"), include_str!("thief.c")).unwrap();
    run("cc", &["-static", "-O1", "-o", &path("thief"), &path("thief.c")]);
    let auth = Auth::Basic { user: "ann".to_owned(), password: PASSWORD.to_owned() };
    let registry = TestRegistry::with(Options { auth, ..Options::default() });
    let thief = Tarball::new().file("bin/thief", 0o755, fs::read(path("thief")).unwrap());
    busybox().layer(&thief).put(&registry, "base", Some("latest"));
    registry
}

/// Puts what these commands make of the base, in a container; returns a file of it.
fn made(kind: Kind, commands: &str, file: &str) -> String {
    let registry = registry();
    let port = registry.host().rsplit_once(':').unwrap().1.to_owned();
    let yard = Yard::new("");
    let text = format!("FROM {}/base\n{commands}\n", registry.host());
    yard.write("Dockerfile", text.replace("PORT", &port));
    let mut source = pier::source(&registry.host(), "app");
    source["username"] = json!("ann");
    source["password"] = json!(PASSWORD);
    let step = pier::with_params(&yard, json!({"dockerfile": "source/Dockerfile"}));
    let concourse = Concourse::in_container(kind).environment("NO_COLOR", "1");
    let put = concourse.resource(source.clone()).put(&step);
    let (outcome, _) = put.unwrap_or_else(|failure| panic!("{kind:?}: {}", failure.stderr));
    assert!(!outcome.stderr.contains(PASSWORD));
    pier::get(&source, &outcome.version, &Value::Null).read(&format!("rootfs/{file}"))
}

#[test]
fn a_thief_gets_nothing_but_what_is_its_own() {
    for kind in Kind::ALL {
        let loot = made(kind, "RUN --network=none exec /bin/thief PORT > /loot", "loot");
        assert!(!loot.contains("GOT"), "{kind:?}: {loot}");
        assert!(!loot.contains(PASSWORD), "{kind:?}: {loot}");
        assert!(loot.ends_with("tried 1998\nchild 1\n"), "{kind:?}: {loot}");
        let loot = made(kind, "RUN exec /bin/thief PORT > /loot", "loot");
        assert_eq!(loot.matches("GOT").count(), 1, "{kind:?}: {loot}");
        assert!(loot.contains("GOT the network"), "{kind:?}: {loot}");
    }
}

#[test]
fn who_kills_everybody_kills_nobody_else() {
    let commands = "RUN kill -9 -1; p=0; while [ $p -lt 300 ]; do p=$((p+1)); [ $p = $$ ] || kill -9 $p; done \
         2> /dev/null; echo alive > /alive";
    for kind in Kind::ALL {
        assert_eq!(made(kind, commands, "alive"), "alive\n", "{kind:?}");
    }
}

/// That nothing is left of a put is what the Concourse insists on.
#[test]
fn what_stays_behind_ends_with_its_command() {
    let commands = "RUN (sleep 1000 &) ; busybox setsid sleep 1000 & busybox nohup sleep 1000 > /dev/null 2>&1 & \
         echo done > /done\nRUN busybox ps > /left";
    for kind in Kind::ALL {
        assert!(!made(kind, commands, "left").contains("sleep"), "{kind:?}");
    }
}
