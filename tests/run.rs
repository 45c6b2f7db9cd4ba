//! Commands on real layers: what they see, what they leave, and how they fail. Needs root and Debian's `busybox-static`.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

#[path = "run/caches.rs"]
mod caches;
#[path = "run/failures.rs"]
mod failures;
#[path = "run/place.rs"]
mod place;
#[path = "run/route.rs"]
mod route;
#[path = "run/secrets.rs"]
mod secrets;
#[path = "run/sights.rs"]
mod sights;

use place::{Place, sh};

#[test]
fn what_a_command_changes_is_a_layer_and_nothing_else_is() {
    let place = Place::new();
    let base = place.base();
    let run = sh(
        "echo new > /etc/new; rm /etc/old; mkdir -p /opt/a/b; echo x > /tmp/x; rm /tmp/x; chmod 644 /etc/passwd",
    );
    let (delta, _) = place.run(&run, &base).unwrap();
    let expected = "\
dir  755 0:0 etc\n\
file 644 0:0 etc/.wh.old\n\
file 644 0:0 etc/new\n\
dir  755 0:0 opt\n\
dir  755 0:0 opt/a\n\
dir  755 0:0 opt/a/b\n";
    assert_eq!(place.shown(&delta), expected);
}

#[test]
fn a_command_that_changes_nothing_makes_no_layer() {
    let place = Place::new();
    let base = place.base();
    for script in ["true", "touch /etc/old", "echo x > /x; rm /x", "cp -p /etc/old /n; mv /n /etc/old"] {
        let (delta, _) = place.run(&sh(script), &base).unwrap();
        assert_eq!(delta.layer, None, "{script}");
    }
}

#[test]
fn the_next_command_goes_on_where_the_last_one_stopped() {
    let place = Place::new();
    let mut layers = place.base();
    for script in
        ["mkdir /d; echo 1 > /d/one", "echo 2 > /d/two; rm /d/one", "rm -r /d; mkdir /d; echo 3 > /d/three"]
    {
        let (delta, _) = place.run(&sh(script), &layers).unwrap();
        layers.push(delta.layer.unwrap());
    }
    let (delta, said) = place.run(&sh("ls /d; cat /d/*"), &layers).unwrap();
    assert_eq!((delta.layer, said), (None, vec!["three".to_owned(), "3".to_owned()]));
    // The same from the layers' bytes, in a store that knows nothing else.
    let other = place.with_the_same_blobs();
    assert_eq!(other.run(&sh("ls /d; cat /d/*"), &layers).unwrap().1, ["three", "3"]);
}

#[test]
fn it_is_who_and_where_and_has_what_it_is_told() {
    let place = Place::new();
    let base = place.base();
    let mut run = sh("id -u; id -g; id -G; pwd; echo $HOME $A; hostname; stat -c %u .");
    run.user = "app".into();
    run.workdir = "/yard/deep".into();
    run.env.push(("A".into(), "b c".into()));
    let (delta, said) = place.run(&run, &base).unwrap();
    assert_eq!(said, ["1000", "50", "50 10", "/yard/deep", "/home/app b c", "estaleiro", "0"]);
    assert_eq!(place.shown(&delta), "dir  755 0:0 yard\ndir  755 0:0 yard/deep\n");
    run.user = "0:5".into();
    run.env.push(("HOME".into(), "/somewhere".into()));
    assert_eq!(place.run(&run, &base).unwrap().1[..5], ["0", "5", "5", "/yard/deep", "/somewhere b c"]);
}

#[test]
fn the_network_is_there_where_it_is_asked_for_and_leaves_no_trace() {
    let place = Place::new();
    let base = place.base();
    let script = "grep -c : /proc/net/dev; grep -c localhost /etc/hosts; readlink /proc/self/ns/net";
    let own = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    for has_network in [true, false] {
        let (delta, said) =
            place.run(&estaleiro::build::graph::Run { has_network, ..sh(script) }, &base).unwrap();
        assert_eq!(delta.layer, None);
        assert_eq!(said[2] == own, has_network, "{said:?}");
    }
}
