//! The writes. They are made such that what the readers check is true at any instant.
//!
//! A pair is submitted in one commit. In every state, its first job is one step ahead of its
//! second. The pairs of a writer are in the order of their numbers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jobstore::{
    Body, Completion, Error, Graph, JobId, JobQuery, JobStore, Outcome, OutcomeKind, Request,
    Submitted,
};

use crate::tally::{Graphs, Random, Tally};

/// The maximum number of pairs of a writer that have not been started.
const BEHIND: usize = 50;
/// How long a writer pauses, to leave some time for the readers.
const PAUSE: Duration = Duration::from_micros(200);

fn request(body: &str) -> Request {
    let body = Body::from_json(body).expect("JSON");
    Request::new("c", "/ges", body).expect("a request")
}

fn padding(random: &mut Random) -> String {
    let length = match random.below(20) {
        0 => random.below(4000),
        _ => random.below(300),
    };
    "p".repeat(length as usize)
}

/// Moves pairs of jobs through their states.
pub(crate) fn pairs(_: &JobStore, graphs: &Graphs, tally: &Tally, mut random: Random, n: u64) {
    let graph = &graphs.pairs;
    let mut waiting: Vec<[JobId; 2]> = Vec::new();
    let mut number = 0_u64;
    while tally.goes_on() {
        let [first, second] = [0, 1].map(|side| {
            let padding = padding(&mut random);
            request(&format!("[{n},{number},{side},\"{padding}\"]"))
        });
        number += 1;
        tally.submits.attempt(2);
        let ids = match random.below(2) {
            0 => graph.submit_all([first, second]),
            _ => graph.nonblocking().submit_all([first, second]).wait(),
        };
        let ids = ids.expect("it is acknowledged");
        tally.submits.acknowledge(2);
        tally.wrote();
        waiting.push(ids.try_into().expect("two ids"));
        while waiting.len() > random.below(BEHIND as u64) as usize {
            let at = random.below(waiting.len() as u64) as usize;
            live(graph, tally, &waiting.swap_remove(at), &mut random);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Moves a pair through its states. The first job is always one step ahead.
fn live(graph: &Graph, tally: &Tally, pair: &[JobId; 2], random: &mut Random) {
    for id in pair {
        tally.starts.attempt(1);
        graph.start(id).expect("it starts");
        tally.starts.acknowledge(1);
        tally.wrote();
    }
    let kind = random.below(3);
    for id in pair {
        let outcome = match kind {
            0 => Outcome::succeeded(),
            1 => Outcome::failed("code", id.as_str()),
            _ => Outcome::succeeded()
                .with_detail_json("[1.0]")
                .expect("JSON"),
        };
        tally.ends.attempt(1);
        let done = graph.complete(id, outcome).expect("it ends");
        assert_eq!(done, Completion::Done);
        tally.ends.acknowledge(1);
        tally.wrote();
    }
}

/// Submits jobs with ids that the other threads use as well, at about the same time.
pub(crate) fn bring(_: &JobStore, graphs: &Graphs, tally: &Tally, mut random: Random, _: u64) {
    let graph = &graphs.brought;
    while tally.goes_on() {
        // All threads use the same ids in about the same order.
        let number = tally.brought.fetch_add(1, Ordering::SeqCst) / 4 + random.below(2);
        let id = format!("brought-{number}");
        let same = || request(&format!("[\"{id}\"]"));
        let submitted = match random.below(2) {
            0 => graph.submit_as(&id, same()),
            _ => graph.nonblocking().submit_as(&id, same()).wait(),
        };
        if let Submitted::Created(_) = submitted.expect("an answer") {
            tally.created.fetch_add(1, Ordering::SeqCst);
        }
        tally.wrote();
        let job = graph.job(&id).expect("a read").expect("it is found");
        assert_eq!(job.request().body(), format!("[\"{id}\"]"));
        let other = graph.submit_as(&id, request("[]"));
        assert!(matches!(other, Err(Error::JobIdTaken { .. })), "{other:?}");
        std::thread::sleep(PAUSE);
    }
}

/// Submits jobs for the workers.
pub(crate) fn give_work(_: &JobStore, graphs: &Graphs, tally: &Tally, mut random: Random, _: u64) {
    while tally.goes_on() {
        let requests = (0..1 + random.below(5)).map(|n| request(&format!("[{n}]")));
        let made = graphs.work.submit_all(requests);
        made.expect("it is acknowledged");
        tally.wrote();
        std::thread::sleep(PAUSE);
    }
}

/// Claims jobs. Each job must belong to this worker alone.
pub(crate) fn work(_: &JobStore, graphs: &Graphs, tally: &Tally, mut random: Random, _: u64) {
    let graph = &graphs.work;
    while tally.goes_on() {
        let run = match random.below(2) {
            0 => graph.claim_next(),
            _ => graph.nonblocking().claim_next().wait(),
        };
        let Some(run) = run.expect("a claim") else {
            std::thread::sleep(PAUSE);
            continue;
        };
        tally.wrote();
        let id = run.id().clone();
        let mut claimed = tally.claimed.lock().expect("no panic");
        assert!(claimed.insert(id.to_string()), "{id} was claimed twice");
        drop(claimed);
        let kind = match random.below(10) {
            0 => {
                drop(run);
                OutcomeKind::Interrupted
            }
            _ => {
                run.complete(Outcome::succeeded()).expect("it ends");
                OutcomeKind::Succeeded
            }
        };
        tally.wrote();
        let job = graph.job(&id).expect("a read").expect("it is there");
        assert_eq!(job.outcome().map(Outcome::kind), Some(kind));
    }
}

/// Drops a graph while a page of it exists, and recreates it.
pub(crate) fn drop_and_create(
    store: &JobStore,
    _: &Graphs,
    tally: &Tally,
    mut random: Random,
    _: u64,
) {
    while tally.goes_on() {
        let graph = store.create_graph("p", "moody").expect("it is created");
        assert_eq!(
            graph
                .list(JobQuery::new())
                .expect("a page")
                .total()
                .unwrap(),
            0
        );
        let mut last = None;
        for n in 0..1 + random.below(30) {
            let body = format!("[{n},\"{}\"]", padding(&mut random));
            last = Some(graph.submit(request(&body)).expect("it is acknowledged"));
            tally.wrote();
        }
        let page = graph.list(JobQuery::new()).expect("a page");
        let before = page.to_json().expect("JSON");
        store.drop_graph("p", "moody").expect("it is dropped");
        tally.wrote();
        let gone = graph.job(last.expect("at least one"));
        assert!(matches!(gone, Err(Error::GraphDropped { .. })), "{gone:?}");
        assert!(
            page.to_json().expect("JSON") == before,
            "a page has changed"
        );
        std::thread::sleep(PAUSE);
        assert!(
            page.to_json().expect("JSON") == before,
            "a page has changed"
        );
        tally.dropped.fetch_add(1, Ordering::Relaxed);
    }
}
