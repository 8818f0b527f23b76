//! Promise: a backup holds everything acknowledged before it, opens as a store, and goes
//! its own way; the store it is of goes on, and its files are not touched.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{listed, names_in, request, small_segments};
use jobstore::{Error, JobStore, List, Outcome, Recovery, State};

fn open(dir: &Path) -> JobStore {
    small_segments()
        .recovery(Recovery::Leave)
        .open(dir)
        .unwrap()
}

fn body(n: u64) -> String {
    format!("\"{}\"", format!("{n:016x}").repeat(20))
}

#[test]
fn a_backup_is_what_the_store_was_and_both_go_on_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    let movie = store.create_graph("1", "movie").unwrap();
    for n in 0..500 {
        let id = format!("job-{n}");
        movie.submit_as(&id, request("c", &body(n))).unwrap();
        match n % 3 {
            0 => drop(movie.cancel(&id).unwrap()),
            1 => movie.start(&id).unwrap(),
            _ => {}
        }
    }
    movie.purge(List::new().offset(0)).unwrap();
    movie.submit_once("key", request("once", "1")).unwrap();
    common::pack(&store, &dir);
    let (list, copy) = (listed(&movie), root.path().join("copy"));
    let position = movie.position().unwrap();
    let mut told = Vec::new();
    let done = store.backup_with(&copy, |done| told.push(done)).unwrap();
    assert_eq!(told.last(), Some(&done));
    assert!(done.bytes == done.of && done.linked_bytes > 0, "{done:?}");
    assert!(told.is_sorted_by_key(|done| done.bytes));
    let names = names_in(&copy);
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("index") || name == "CLOSED")
    );
    // The store goes on; all it had goes from it.
    for n in 0..500 {
        movie.cancel(format!("job-{n}")).ok();
    }
    store.drop_graph("1", "movie").unwrap();
    common::pack(&store, &dir);
    drop((movie, store));
    std::fs::remove_dir_all(&dir).unwrap();

    let report = JobStore::verify(&copy).unwrap();
    assert!(report.is_sound(), "{report}");
    let store = open(&copy);
    let movie = store.graph("1", "movie").unwrap();
    assert_eq!(listed(&movie), list);
    assert!(movie.tombstone("job-3").unwrap().is_some());
    assert!(matches!(
        movie.submit_once("key", request("other", "1")),
        Err(Error::KeyTaken { .. })
    ));
    assert_eq!(movie.changes(Some(&position)).unwrap().count(), 0);
    movie.complete("job-1", Outcome::succeeded()).unwrap();
    movie.submit(request("after", "1")).unwrap();
    store.close().unwrap();
}

#[test]
fn what_was_acknowledged_before_is_in_it_while_others_write() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    let movie = store.create_graph("1", "movie").unwrap();
    let (done, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                let id = format!("job-{n}");
                movie.submit_as(&id, request("c", &body(n))).unwrap();
                movie.cancel(&id).unwrap();
                acknowledged.store(n + 1, Ordering::SeqCst);
                if n % 200 == 199 {
                    movie.purge(List::new().command("none")).unwrap();
                }
            }
        });
        for round in 0..12 {
            let copy = root.path().join(format!("copy-{round}"));
            let before = acknowledged.load(Ordering::SeqCst);
            store.backup(&copy).unwrap();
            let after = acknowledged.load(Ordering::SeqCst);
            let report = JobStore::verify(&copy).unwrap();
            assert!(report.is_sound(), "{report}");
            let copied = open(&copy);
            let movie = copied.graph("1", "movie").unwrap();
            let ids = common::ids(&movie.list(List::new()).unwrap());
            let expected: Vec<String> = (0..ids.len()).map(|n| format!("job-{n}")).collect();
            assert_eq!(ids, expected);
            let complete = movie.count(State::Complete).unwrap();
            assert!(
                complete >= before && ids.len() as u64 <= after + 1,
                "{before} {after}"
            );
            drop((movie, copied));
            std::fs::remove_dir_all(&copy).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_backup_into_the_store_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    store.create_graph("1", "movie").unwrap();
    std::os::unix::fs::symlink(&dir, root.path().join("link")).unwrap();
    let before = names_in(&dir);
    for into in ["store", "store/copy", "link/copy", "link/none/copy"] {
        let refused = store.backup(root.path().join(into));
        assert!(
            matches!(refused, Err(Error::InvalidUse { .. })),
            "{into}: {refused:?}"
        );
    }
    assert_eq!(names_in(&dir), before);
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("store"));
    store.create_graph("1", "movie").unwrap();
    let (full, empty) = (root.path().join("full"), root.path().join("empty"));
    std::fs::create_dir(&full).unwrap();
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(full.join("notes"), "mine").unwrap();
    let refused = store.backup(&full);
    assert!(
        matches!(refused, Err(Error::NotAStore { .. })),
        "{refused:?}"
    );
    assert_eq!(names_in(&full), ["notes"]);
    let refused = store.backup(root.path().join("none/below"));
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    store.backup(&empty).unwrap();
    assert!(JobStore::verify(&empty).unwrap().is_sound());
    let memory = JobStore::in_memory().unwrap();
    assert!(matches!(
        memory.backup(root.path().join("m")),
        Err(Error::InvalidUse { .. })
    ));
    assert!(!root.path().join("m").exists());
}
