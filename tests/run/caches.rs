//! Caches: what they keep, who may use them at the same time, and what they begin with.

use std::sync::Barrier;

use estaleiro::build::graph::{Run, RunMountKind, Sharing};
use estaleiro::build::solve::Yield;

use super::place::{Place, mounting};
use super::sights::other_image;

fn cache(id: &str, sharing: Sharing, seed: Option<(usize, &str)>) -> RunMountKind {
    let seed = seed.map(|(mount, path)| (mount, path.to_owned()));
    RunMountKind::Cache { id: id.into(), sharing, seed, is_read_only: false, mode: 0o750, uid: 1000, gid: 50 }
}

fn using(id: &str, sharing: Sharing, script: &str) -> Run {
    mounting("/var/cache/x", cache(id, sharing, None), script)
}

fn said(place: &Place, run: &Run, inputs: &[&Yield]) -> Vec<String> {
    let (delta, said) = place.run_with(run, &place.base(), inputs).unwrap();
    assert_eq!(delta.layer, None, "a cache is no part of the image");
    said
}

#[test]
fn a_cache_keeps_what_is_written_to_it_under_its_name() {
    let place = Place::new();
    let script = "stat -c '%a %u:%g' /var/cache/x; ls /var/cache/x; echo x > /var/cache/x/kept";
    assert_eq!(said(&place, &using("one", Sharing::Shared, script), &[]), ["750 1000:50"]);
    assert_eq!(said(&place, &using("one", Sharing::Locked, script), &[]), ["750 1000:50", "kept"]);
    assert_eq!(said(&place, &using("two", Sharing::Shared, script), &[]), ["750 1000:50"]);
    let mut run = using("one", Sharing::Shared, "(echo x > /var/cache/x/more) 2>/dev/null || echo refused");
    if let RunMountKind::Cache { is_read_only, .. } = &mut run.mounts[0].what {
        *is_read_only = true;
    }
    assert_eq!(said(&place, &run, &[]), ["refused"]);
}

#[test]
fn a_cache_may_begin_with_what_another_image_has() {
    let place = Place::new();
    let other = other_image(&place);
    let with_seed = |path: &str| {
        let script = "stat -c %a /var/cache/x; ls -A /var/cache/x; rm /var/cache/x/a";
        mounting("/var/cache/x", cache("one", Sharing::Shared, Some((0, path))), script)
    };
    assert_eq!(said(&place, &with_seed("/opt"), &[&other]), ["755", ".c", "a", "b"]);
    let (_, second) =
        place.run_with(&with_seed("/opt"), &place.base(), &[&other]).map_or((None, 1), |_| (Some(()), 0));
    assert_eq!(second, 1, "the file that was removed stays removed");
    let error = place.error_of(&with_seed("/opt/a"), &place.base(), &[&other]);
    assert!(
        error.contains("cannot prepare what is to be mounted at /var/cache/x: what it is to begin with"),
        "{error}"
    );
}

/// Two commands that each wait for the other one to have begun, for a second.
fn side_by_side(sharing: Sharing) -> Vec<Vec<String>> {
    let place = Place::new();
    let base = place.base();
    place.run(&using("one", sharing, "true"), &base).unwrap();
    let script = "echo x > /var/cache/x/$NAME; sleep 1; ls /var/cache/x";
    let barrier = Barrier::new(2);
    let run = |name: &str| {
        let mut run = using("one", sharing, script);
        run.env.push(("NAME".into(), name.into()));
        barrier.wait();
        place.run_together(&run, &base)
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(|| run("a")), scope.spawn(|| run("b"))];
        let mut said: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        said.sort();
        said
    })
}

#[test]
fn commands_share_a_cache_or_have_their_own_or_come_one_after_the_other() {
    assert_eq!(side_by_side(Sharing::Shared), [["a", "b"], ["a", "b"]]);
    assert_eq!(side_by_side(Sharing::Private), [["a"], ["b"]]);
    let one_after_the_other = side_by_side(Sharing::Locked);
    assert_eq!(one_after_the_other.iter().map(Vec::len).collect::<Vec<_>>().iter().sum::<usize>(), 3);
}
