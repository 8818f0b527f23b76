//! Handles and their store: closing while handles exist, reopening, guards, health, and nonblocking
//! writes.
//!
//! Guarantee: a closed store releases its directory, even if handles still exist.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use common::request;
use jobstore::{
    Body, Completion, Error, Health, JobQuery, JobStore, Outcome, Recovery, Request, State,
};

#[test]
fn a_closed_store_reopens_under_old_handles_with_the_index_it_had() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let old_store = JobStore::open(&dir).unwrap();
    let old_graph = old_store.create_graph("p", "g").unwrap();
    let id = old_graph.submit(request("c", "1")).unwrap();
    old_graph.submit_as("mine", request("c", "2")).unwrap();
    old_graph.start(&id).unwrap();
    old_graph
        .complete(&id, Outcome::failed("E", "why"))
        .unwrap();
    let old_page = old_graph.list(JobQuery::new()).unwrap();
    let before = old_page.to_json().unwrap();
    old_store.close().unwrap();
    let index_file = fs::metadata(dir.join("index").join("conf")).unwrap().ino();

    let store = JobStore::open(&dir).unwrap();
    let graph = store.graph("p", "g").unwrap();
    assert_eq!(
        fs::metadata(dir.join("index").join("conf")).unwrap().ino(),
        index_file
    );
    assert_eq!(graph.job("mine").unwrap().unwrap().sequence(), 1);
    assert_eq!(
        graph.job(&id).unwrap().unwrap().outcome().unwrap().code(),
        Some("E")
    );
    // The old handles report it, but existing pages remain readable.
    assert!(matches!(
        old_graph.submit(request("c", "3")),
        Err(Error::Closed)
    ));
    assert!(matches!(old_graph.job(&id), Err(Error::Closed)));
    assert_eq!(old_store.health(), Health::Closed);
    assert_eq!(old_page.to_json().unwrap(), before);
    assert!(old_store.close().is_ok());
    drop((old_page, old_graph, old_store));
    assert_eq!(store.health(), Health::Ok);
    assert_eq!(store.path(), dir);
    graph.submit(request("c", "4")).unwrap();
}

#[test]
fn reading_a_page_of_a_dropped_graph_harms_nobody() {
    let root = tempfile::tempdir().unwrap();
    let store = JobStore::open(root.path().join("store")).unwrap();
    let other = store.create_graph("p", "other").unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = graph.submit(request("c", "1")).unwrap();
    graph.start(&id).unwrap();
    graph.complete(&id, Outcome::succeeded()).unwrap();
    // Until the index has it, and then has removed it.
    std::thread::sleep(Duration::from_millis(1500));
    let page = graph.list(JobQuery::new()).unwrap();
    store.drop_graph("p", "g").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let read = page.jobs().next().unwrap();
    assert!(
        matches!(read, Ok(_) | Err(Error::GraphDropped { .. })),
        "{read:?}"
    );
    assert!(
        String::from_utf8(page.to_json().unwrap())
            .unwrap()
            .contains(id.as_str())
    );
    assert_eq!(store.health(), Health::Ok);
    other.submit(request("c", "2")).unwrap();
}

#[test]
fn a_job_that_was_left_running_can_be_taken_up_again() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let open = || {
        JobStore::options()
            .recovery(Recovery::Leave)
            .open(&dir)
            .unwrap()
    };
    let store = open();
    let graph = store.create_graph("p", "g").unwrap();
    let ids = graph.submit_all(vec![request("c", "1"); 2]).unwrap();
    graph.claim(&ids[0]).unwrap().detach();
    store.close().unwrap();
    drop((graph, store));

    let store = open();
    let graph = store.graph("p", "g").unwrap();
    assert!(matches!(
        graph.attach(&ids[1]),
        Err(Error::IllegalTransition {
            from: State::Pending,
            to: State::Running,
            ..
        })
    ));
    let run = graph.attach(&ids[0]).unwrap();
    let second = graph.attach(&ids[0]).unwrap();
    assert!(!run.cancel_requested());
    graph.cancel(&ids[0]).unwrap();
    assert!(run.cancel_requested() && second.cancel_requested());
    second.detach();
    assert_eq!(
        run.complete(Outcome::cancelled()).unwrap(),
        Completion::Done
    );
    assert!(matches!(
        graph.attach(&ids[0]),
        Err(Error::IllegalTransition { .. })
    ));
    assert!(matches!(
        graph.attach("nobody"),
        Err(Error::UnknownJob { .. })
    ));
}

#[test]
fn graphs_are_made_and_dropped_and_jobs_run_without_blocking() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.nonblocking().create_graph("p", "g").wait().unwrap();
    assert!(matches!(
        store.nonblocking().create_graph("p", "g").wait(),
        Err(Error::GraphExists { .. })
    ));
    assert!(matches!(
        store.nonblocking().create_graph("", "g").wait(),
        Err(Error::InvalidName { .. })
    ));
    let id = graph
        .submit(Request::new("c", "", Body::empty()).unwrap())
        .unwrap();
    let run = graph.nonblocking().claim(&id).wait().unwrap();
    assert_eq!(run.id(), &id);
    drop(run);
    assert_eq!(graph.count(State::Complete).unwrap(), 1);
    store.nonblocking().drop_graph("p", "g").wait().unwrap();
    assert!(matches!(
        store.nonblocking().drop_graph("p", "g").wait(),
        Err(Error::UnknownGraph { .. })
    ));
}

#[test]
fn two_closes_at_once_both_wait_for_the_end() {
    for _ in 0..5 {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("store");
        let store = JobStore::open(&dir).unwrap();
        let graph = store.create_graph("p", "g").unwrap();
        graph.submit_all(vec![request("c", "1"); 100]).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    store.close().unwrap();
                    // After the close has returned, the caller may open the directory.
                    assert!(dir.join("CLOSED").exists());
                });
            }
        });
        JobStore::open(&dir).unwrap();
    }
}
