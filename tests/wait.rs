//! Guarantee: every waiter for a job sees its completion, however soon it happens and whatever else
//! happens; closing the store or dropping the graph ends the wait.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::request;
use jobstore::{Error, JobQuery, JobStore, Outcome, State};

const LONG: Duration = Duration::from_secs(120);

#[test]
fn a_wait_ends_with_the_job_in_every_way_it_can_end() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    for way in 0..4 {
        let id = movie.submit(request("c", "{}")).unwrap();
        assert!(movie.wait(&id, Duration::ZERO).unwrap().is_none());
        let waiting = {
            let (movie, id) = (movie.clone(), id.clone());
            std::thread::spawn(move || movie.wait(&id, LONG))
        };
        let awaited = movie.wait_async(&id).unwrap();
        match way {
            0 => drop(movie.claim(&id).unwrap()),
            1 => {
                movie.cancel(&id).unwrap();
            }
            2 => {
                let run = movie.claim_next().unwrap().unwrap();
                run.complete(Outcome::failed("c", "m")).unwrap();
            }
            _ => {
                movie.start(&id).unwrap();
                movie.complete(&id, Outcome::succeeded()).unwrap();
            }
        }
        let job = waiting.join().unwrap().unwrap().unwrap();
        assert_eq!((job.id(), job.state()), (&id, State::Complete));
        let again = futures::executor::block_on(awaited).unwrap();
        assert_eq!(again.outcome(), job.outcome());
        let at_once = movie.wait(&id, Duration::ZERO).unwrap().unwrap();
        assert_eq!(at_once.outcome(), job.outcome());
    }
}

#[test]
fn what_ends_the_graph_or_the_store_ends_the_wait() {
    let wait = |graph: &jobstore::Graph, id: &jobstore::JobId| {
        let (graph, id) = (graph.clone(), id.clone());
        let mut awaited = graph.wait_async(&id).unwrap();
        assert!(
            awaited
                .wait_timeout(Duration::from_millis(5))
                .unwrap()
                .is_none()
        );
        let other = std::thread::spawn(move || futures::executor::block_on(awaited));
        std::thread::spawn(move || {
            let first = graph.wait(&id, LONG).unwrap_err();
            let second = other.join().unwrap().unwrap_err();
            [first, second]
        })
    };
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let id = movie.submit(request("c", "{}")).unwrap();
    let waiting = wait(&movie, &id);
    // So that most of them are waiting by then.
    std::thread::sleep(Duration::from_millis(50));
    store.drop_graph("1", "movie").unwrap();
    for error in waiting.join().unwrap() {
        assert!(matches!(error, Error::GraphDropped { .. }), "{error:?}");
    }
    let roads = store.create_graph("1", "roads").unwrap();
    let id = roads.submit(request("c", "{}")).unwrap();
    let waiting = wait(&roads, &id);
    std::thread::sleep(Duration::from_millis(50));
    store.close().unwrap();
    for error in waiting.join().unwrap() {
        assert!(matches!(error, Error::Closed), "{error:?}");
    }
    assert!(matches!(roads.wait(&id, LONG), Err(Error::Closed)));
}

#[test]
fn a_job_that_is_not_there_is_not_waited_for() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    assert!(matches!(
        movie.wait("job-1", LONG),
        Err(Error::UnknownJob { .. })
    ));
    assert!(matches!(
        movie.wait("", LONG),
        Err(Error::InvalidJobId { .. })
    ));
    movie.submit_as("job-1", request("c", "{}")).unwrap();
    let late = movie.wait_async("job-1").unwrap();
    movie.cancel("job-1").unwrap();
    movie.purge(JobQuery::new()).unwrap();
    assert!(matches!(
        movie.wait("job-1", LONG),
        Err(Error::JobPurged { .. })
    ));
    let late = futures::executor::block_on(late);
    assert!(matches!(late, Err(Error::JobPurged { .. })));
}

/// Jobs complete while others begin to wait for them.
#[test]
fn no_wait_is_forgotten_however_soon_its_end_comes() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let (ended, rounds) = (Arc::new(AtomicUsize::new(0)), 300);
    for _ in 0..rounds {
        let id = movie.submit(request("c", "{}")).unwrap();
        let start = Arc::new(Barrier::new(4));
        std::thread::scope(|scope| {
            for n in 0..3 {
                let (movie, id, start, ended) = (&movie, &id, &start, &ended);
                scope.spawn(move || {
                    start.wait();
                    let job = match n {
                        0 => futures::executor::block_on(movie.wait_async(id).unwrap()).unwrap(),
                        _ => movie.wait(id, LONG).unwrap().unwrap(),
                    };
                    assert_eq!(job.state(), State::Complete);
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
            start.wait();
            movie.cancel(&id).unwrap();
        });
    }
    assert_eq!(ended.load(Ordering::Relaxed), 3 * rounds);
}
