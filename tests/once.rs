//! Guarantee: a key creates one job, whoever tries, however often, and whatever happens to the
//! store in between; the key is free again only after the tombstone of its job.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Barrier;

use common::{lose_index, request, small_segments};
use jobstore::{Error, Graph, JobQuery, JobStore, Retention, Submitted};

fn open(dir: &Path) -> (JobStore, Graph) {
    let store = small_segments().open(dir).unwrap();
    let movie = store.get_or_create_graph("1", "movie").unwrap();
    (store, movie)
}

/// Tries again, in both ways; the result is the existing job.
fn check_taken(movie: &Graph, key: &str, body: &str, made: &Submitted, what: &str) {
    let exists = Submitted::AlreadyExists(made.id().clone());
    let again = movie.submit_once(key, request("c", body)).unwrap();
    assert_eq!(again, exists, "{what} {key}");
    let queued = movie.nonblocking().submit_once(key, request("c", body));
    assert_eq!(queued.wait().unwrap(), exists, "{what} {key}");
    let other = movie.submit_once(key, request("other", body));
    let is_named = matches!(&other, Err(Error::KeyTaken { id }) if id == made.id());
    assert!(is_named, "{what} {key}: {other:?}");
}

#[test]
fn many_threads_with_one_key_make_one_job() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    for round in 0..20 {
        let start = Barrier::new(64);
        let key = format!("key {round}");
        let answers: Vec<Submitted> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64)
                .map(|n| {
                    let (movie, start, key) = (&movie, &start, &key);
                    scope.spawn(move || {
                        start.wait();
                        let request = request("c", &format!("[{round}]"));
                        match n % 2 {
                            0 => movie.submit_once(key, request).unwrap(),
                            _ => movie
                                .nonblocking()
                                .submit_once(key, request)
                                .wait()
                                .unwrap(),
                        }
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let ids: BTreeSet<String> = answers.iter().map(|a| a.id().to_string()).collect();
        assert_eq!(ids.len(), 1);
        let created = answers
            .iter()
            .filter(|a| matches!(a, Submitted::Created(_)));
        assert_eq!(created.count(), 1);
    }
    assert_eq!(movie.list(JobQuery::new()).unwrap().total().unwrap(), 20);
}

#[test]
fn a_key_stays_taken_however_the_store_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let (store, movie) = open(&dir);
    let roads = store.create_graph("1", "roads").unwrap();
    let keys: Vec<String> = (0..60).map(|n| format!("Schlüssel \"{n}\"\n")).collect();
    let made: Vec<Submitted> = keys
        .iter()
        .map(|key| {
            movie
                .submit_once(key, request("c", r#"{"a":1,"b":2}"#))
                .unwrap()
        })
        .collect();
    let check = |movie: &Graph, what: &str| {
        for (key, made) in keys.iter().zip(&made) {
            check_taken(movie, key, r#"{"b": 2, "a": 1}"#, made, what);
        }
        assert_eq!(
            movie.list(JobQuery::new()).unwrap().total().unwrap(),
            60,
            "{what}"
        );
    };
    check(&movie, "at once");
    // Another graph has its own keys.
    let other = roads.submit_once(&keys[0], request("c", "1")).unwrap();
    assert!(matches!(other, Submitted::Created(_)));
    let killed = root.path().join("killed");
    common::copy_directory(&dir, &killed);
    std::fs::remove_dir_all(killed.join("index")).unwrap();
    common::pack(&store, &dir);
    check(&movie, "packed");
    drop((store, movie, roads));
    let (store, movie) = open(&dir);
    check(&movie, "reopened");
    drop((store, movie));
    lose_index(&dir);
    let (store, movie) = open(&dir);
    check(&movie, "without its index");
    drop((store, movie));
    let (_store, movie) = open(&killed);
    check(&movie, "killed");
}

#[test]
fn a_key_is_free_again_only_behind_the_tombstone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let (store, movie) = open(&dir);
    let mut random = common::Random(3);
    for n in 0..200 {
        let made = movie
            .submit_once(format!("{n}"), request("c", "1"))
            .unwrap();
        movie.cancel(made.id()).unwrap();
        // Incompressible text, so that purging it shrinks the files.
        let body: Vec<u64> = (0..20).map(|_| random.below(u64::MAX)).collect();
        let other = movie.submit(request("c", &format!("{body:?}"))).unwrap();
        movie.cancel(&other).unwrap();
    }
    common::pack(&store, &dir);
    let packed = || store.stats().unwrap().pack_bytes;
    let before = packed();
    assert_eq!(movie.purge(JobQuery::new()).unwrap().jobs, 400);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while packed() > before * 2 / 3 {
        assert!(std::time::Instant::now() < deadline, "room is not back");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let check = |movie: &Graph, what: &str| {
        for n in 0..200 {
            let again = movie.submit_once(format!("{n}"), request("c", "1"));
            assert!(
                matches!(again, Err(Error::KeyPurged)),
                "{what} {n}: {again:?}"
            );
        }
    };
    check(&movie, "without its files");
    drop((store, movie));
    lose_index(&dir);
    let (store, movie) = open(&dir);
    check(&movie, "without its index");
    movie
        .set_retention(Some(Retention::new().max_tombstones(0)))
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let free = loop {
        match movie.submit_once("7", request("c", "2")) {
            Ok(made) => break made,
            Err(Error::KeyPurged) => assert!(std::time::Instant::now() < deadline),
            Err(other) => panic!("{other}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    assert!(matches!(free, Submitted::Created(_)));
    check_taken(&movie, "7", "2", &free, "given again");
    drop((store, movie));
    lose_index(&dir);
    let (_store, movie) = open(&dir);
    check_taken(&movie, "7", "2", &free, "given again, without its index");
}

#[test]
fn what_cannot_be_a_key_is_refused_and_changes_nothing() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    for key in [String::new(), "x".repeat(257)] {
        let refused = movie.submit_once(&key, request("c", "1"));
        let bytes = key.len();
        assert!(
            matches!(refused, Err(Error::InvalidKey { given_bytes, max_bytes: 256 }) if given_bytes == bytes)
        );
        let refused = movie
            .nonblocking()
            .submit_once(&key, request("c", "1"))
            .wait();
        assert!(matches!(refused, Err(Error::InvalidKey { .. })));
    }
    assert_eq!(movie.list(JobQuery::new()).unwrap().total().unwrap(), 0);
    movie
        .submit_once("x".repeat(256), request("c", "1"))
        .unwrap();
}
