//! Blobs that go in chunks: where they have to, and where a connection broke.

use super::support::fault::{ALWAYS, Fault};
use super::support::registry::{Options, TestRegistry};
use super::*;

const MIB: usize = 1 << 20;

/// Ten megabytes and a bit, in which no part is like another.
fn large(desk: &Desk) -> Descriptor {
    desk.blob_of((0..(10 * MIB + 5000) / 8).map(|n| (n as u64).to_le_bytes()))
}

async fn push(registry: &TestRegistry, desk: &Desk, blob: &Descriptor) -> Result<Pushed, String> {
    let target = open(&registry.host(), "app", &access());
    target.push_blob(blob, &desk.store, None, &desk.task).await.map_err(|error| error.to_string())
}

/// Returns method and length of each request with a body to an upload, and its answer.
fn bodies(registry: &TestRegistry) -> Vec<(String, u64, u16)> {
    let requests = registry.log().requests();
    let bodies = requests.iter().filter(|r| matches!(r.method.as_str(), "PUT" | "PATCH"));
    let length = |r: &support::http::Logged| r.header("content-length").map_or(0, |n| n.parse().unwrap());
    bodies.map(|r| (r.method.clone(), length(r), r.status)).collect()
}

fn line(method: &str, length: usize, status: u16) -> (String, u64, u16) {
    (method.to_owned(), length as u64, status)
}

#[tokio::test]
async fn what_is_too_much_at_once_goes_in_chunks_and_the_next_blob_too() {
    let registry = TestRegistry::with(Options { largest_body: 5 << 20, ..Options::default() });
    let desk = Desk::new();
    let blob = large(&desk);
    assert_eq!(push(&registry, &desk, &blob).await.unwrap(), Pushed::Uploaded);
    let chunks =
        [line("PATCH", 4 * MIB, 202), line("PATCH", 4 * MIB, 202), line("PATCH", 2 * MIB + 5000, 202)];
    let all = bodies(&registry);
    assert_eq!(all[0], line("PUT", 10 * MIB + 5000, 413));
    assert_eq!(all[1..4], chunks);
    assert_eq!(all[4..], [line("PUT", 0, 201)]);
    assert!(registry.has_blob("app", &blob.digest));

    registry.log().clear();
    let target = open(&registry.host(), "app", &access());
    for n in 0..2 {
        let blob = desk.blob_of((0..5 * MIB / 8).map(|i| (i as u64 + n).to_le_bytes()));
        target.push_blob(&blob, &desk.store, None, &desk.task).await.unwrap();
    }
    let n_refused = bodies(&registry).iter().filter(|(_, _, status)| *status == 413).count();
    assert_eq!(n_refused, 0, "{:?}", bodies(&registry));
}

#[tokio::test]
async fn an_upload_that_broke_goes_on_where_the_registry_has_got_to() {
    let registry = TestRegistry::start();
    let desk = Desk::new();
    let blob = large(&desk);
    registry.faults().fail("PUT", "/blobs/uploads/", 1, Fault::ResetAfter(7 << 20));
    registry.faults().fail("PATCH", "/blobs/uploads/", 1, Fault::Reset);
    registry.faults().fail("PATCH", "/blobs/uploads/", 1, Fault::LoseAnswer);
    registry.faults().fail("PATCH", "/blobs/uploads/", 1, Fault::Status(503));
    assert_eq!(push(&registry, &desk, &blob).await.unwrap(), Pushed::Uploaded);
    let sent: u64 = registry.log().requests().iter().map(|r| r.received).sum();
    assert!(sent < 22 << 20, "what was there was not sent again: {sent} of {}", blob.size);
    assert!(registry.has_blob("app", &blob.digest));
}

#[tokio::test]
async fn who_hangs_up_on_what_is_too_much_gets_chunks() {
    let registry = TestRegistry::start();
    let desk = Desk::new();
    let blob = large(&desk);
    let is_too_much = |r: &support::http::Logged| {
        r.method == "PUT" && r.header("content-length").is_some_and(|n| n.len() > 7)
    };
    registry.faults().fail_if(is_too_much, ALWAYS, Fault::ResetAfter(100_000));
    assert_eq!(push(&registry, &desk, &blob).await.unwrap(), Pushed::Uploaded);
    let (n_puts, n_chunks) = (registry.log().count("PUT", ""), registry.log().count("PATCH", ""));
    assert_eq!((n_puts, n_chunks), (2, 3), "{:#?}", registry.log().lines());
}

#[tokio::test]
async fn a_registry_that_takes_no_chunks_gets_the_whole_again() {
    let registry = TestRegistry::with(Options { takes_chunks: false, ..Options::default() });
    let desk = Desk::new();
    let blob = large(&desk);
    registry.faults().fail("PUT", "/blobs/uploads/", 1, Fault::ResetAfter(7 << 20));
    assert_eq!(push(&registry, &desk, &blob).await.unwrap(), Pushed::Uploaded);
    let statuses: Vec<_> =
        bodies(&registry).into_iter().map(|(method, _, status)| (method, status)).collect();
    let expected = [("PUT", 500), ("PATCH", 405), ("PUT", 201)].map(|(m, s)| (m.to_owned(), s));
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn an_upload_whose_last_answer_was_lost_is_found_done() {
    for largest_body in [u64::MAX, 5 << 20] {
        let registry = TestRegistry::with(Options { largest_body, ..Options::default() });
        let desk = Desk::new();
        let blob = large(&desk);
        let is_last = move |r: &support::http::Logged| {
            let length: u64 = r.header("content-length").map_or(0, |n| n.parse().unwrap());
            r.method == "PUT" && length <= largest_body
        };
        registry.faults().fail_if(is_last, 1, Fault::LoseAnswer);
        assert_eq!(push(&registry, &desk, &blob).await.unwrap(), Pushed::Uploaded);
        let uploads: u64 = registry.log().requests().iter().map(|r| r.received).sum();
        assert!(uploads < 2 * blob.size, "{:#?}", registry.log().lines());
    }
}

#[tokio::test]
async fn a_registry_that_forgets_an_upload_gets_it_from_the_beginning() {
    let registry = TestRegistry::with(Options { largest_body: 5 << 20, ..Options::default() });
    let desk = Desk::new();
    let blob = large(&desk);
    registry.faults().fail("PATCH", "/blobs/uploads/", 1, Fault::Reset);
    registry.faults().fail("GET", "/blobs/uploads/", 1, Fault::Status(404));
    assert_eq!(push(&registry, &desk, &blob).await.unwrap(), Pushed::Uploaded);
    assert_eq!(registry.log().count("POST", "/blobs/uploads/"), 3);
}

#[tokio::test]
async fn a_registry_that_takes_neither_is_told_so_with_what_it_said() {
    // One that hangs up instead might not be heard.
    let registry = TestRegistry::with(Options {
        largest_body: 1 << 20,
        takes_chunks: false,
        hears_refused_out: true,
        ..Options::default()
    });
    let desk = Desk::new();
    let error = push(&registry, &desk, &large(&desk)).await.unwrap_err();
    assert!(
        error.contains("PATCH http://") && error.contains("405") && error.contains("no chunks"),
        "{error}"
    );
    assert_eq!(bodies(&registry).len(), 2);
}

#[tokio::test]
async fn chunks_that_never_arrive_are_given_up() {
    let registry = TestRegistry::with(Options { largest_body: 5 << 20, ..Options::default() });
    let desk = Desk::new();
    registry.faults().fail("PATCH", "/blobs/uploads/", ALWAYS, Fault::Status(503));
    let error = push(&registry, &desk, &large(&desk)).await.unwrap_err();
    assert!(error.contains("PATCH http://") && error.contains("503"), "{error}");
    assert_eq!(registry.log().count("PATCH", ""), 4);
}
