//! Secrets and agents: for the command that asks for them, and nobody else.

use std::os::unix::net::UnixListener;

use estaleiro::build::graph::{Run, RunMountKind, SecretVariable};
use estaleiro::build::secrets::SecretSource;
use estaleiro::redact::Secret;

use super::place::{Place, mounting, sh};

const VALUE: &str = "correct horse battery staple";

fn place() -> Place {
    let mut place = Place::new();
    place.secrets.add("token", SecretSource::Value(Secret::new(VALUE)));
    place
}

fn secret(id: &str, is_required: bool) -> RunMountKind {
    RunMountKind::Secret { id: id.into(), is_required, mode: 0o400, uid: 1000, gid: 50 }
}

fn variable(secret: &str, is_required: bool) -> Vec<SecretVariable> {
    vec![SecretVariable { name: "TOKEN".into(), secret: secret.into(), is_required }]
}

/// Whether anything that the builder keeps holds the text.
fn is_kept(place: &Place, text: &str) -> bool {
    let output =
        std::process::Command::new("grep").args(["-rlF", text]).arg(place.store_path("")).output().unwrap();
    !output.stdout.is_empty()
}

#[test]
fn a_secret_is_a_file_or_a_variable_and_in_no_layer_nor_log() {
    let place = place();
    let base = place.base();
    let script = "stat -c '%a %u:%g' /run/secrets/token; cat /run/secrets/token; head -c 7 /run/secrets/token > /proof";
    let (delta, said) =
        place.run(&mounting("/run/secrets/token", secret("token", true), script), &base).unwrap();
    assert_eq!(said, ["400 1000:50", "***"]);
    assert_eq!(place.contents(delta.layer.as_ref().unwrap()), "correct");
    let (delta, said) = place
        .run(&Run { secret_env: variable("token", true), ..sh("echo \"it is $TOKEN\"") }, &base)
        .unwrap();
    assert_eq!((delta.layer, said), (None, vec!["it is ***".to_owned()]));
    let failing = Run { secret_env: variable("token", true), ..sh("echo $TOKEN; exit 1") };
    let error = place.error_of(&failing, &base, &[]);
    assert!(error.ends_with("it said last:\n***"), "{error}");
    assert!(!is_kept(&place, VALUE));
    assert!(is_kept(&place, "old"), "this finds what is kept");
}

#[test]
fn a_secret_that_is_not_there_is_an_error_only_where_it_is_required() {
    let place = place();
    let base = place.base();
    let error = place.error_of(&mounting("/run/x", secret("other", true), "true"), &base, &[]);
    assert!(error.contains("there is no secret other\nhint: on the command line"), "{error}");
    let error = place.error_of(&Run { secret_env: variable("other", true), ..sh("true") }, &base, &[]);
    assert!(error.contains("there is no secret other"), "{error}");
    let run = Run {
        secret_env: variable("other", false),
        ..mounting("/run/x", secret("other", false), "ls /run 2>/dev/null; echo ${TOKEN-none}")
    };
    let (delta, said) = place.run(&run, &base).unwrap();
    assert_eq!(said.last().unwrap(), "none");
    assert_eq!(delta.layer, None);
}

#[test]
fn an_agent_s_socket_is_there_for_who_may_use_it() {
    let mut place = place();
    let base = place.base();
    let agent = UnixListener::bind(place.path("agent")).unwrap();
    place.secrets.add_agent("default", &[place.path("agent")]).unwrap();
    let ssh = |is_required| RunMountKind::Ssh {
        id: "default".into(),
        is_required,
        mode: 0o600,
        uid: 1000,
        gid: 50,
    };
    let script = "stat -c '%a %u:%g %F' $SSH_AUTH_SOCK; echo $SSH_AUTH_SOCK";
    let mut run = mounting("/run/agent.0", ssh(true), script);
    run.user = "app".into();
    let (delta, said) = place.run(&run, &base).unwrap();
    assert_eq!(said, ["600 1000:50 socket", "/run/agent.0"]);
    assert_eq!(delta.layer, None);
    drop(agent);
    let other = RunMountKind::Ssh { id: "other".into(), is_required: true, mode: 0o600, uid: 0, gid: 0 };
    let error = place.error_of(&mounting("/run/agent.0", other, "true"), &base, &[]);
    assert!(error.contains("there is no ssh agent other\nhint: "), "{error}");
    let error = place.error_of(&mounting("/run/agent.0", ssh(true), "true"), &base, &[]);
    assert!(error.contains("cannot reach the ssh agent default at "), "{error}");
}
