//! Guarantee: under any interleaving, every waiter sees the job's completion, and closing the store
//! ends the wait.

use std::time::Duration;

use shuttle::rand::Rng;
use shuttle::thread;

use crate::api::graph::Graph;
use crate::model::error::Error;
use crate::model::job_query::JobQuery;
use crate::model::outcome::Outcome;
use crate::model::states::State;
use crate::testing::schedule::explore::explore;
use crate::testing::schedule::store::{AMPLE, Store, TINY, is_durable, options, request};

/// A timeout that is longer than any test.
const LONG: Duration = Duration::from_secs(3600);

fn wait(store: &Store, graph: &Graph, id: &crate::JobId) -> thread::JoinHandle<()> {
    let (store, graph, id) = (store.clone(), graph.clone(), id.clone());
    thread::spawn(move || {
        let ended = match shuttle::rand::thread_rng().gen_range(0..2) {
            // The scheduler may end the wait at any time, so it is repeated.
            0 => loop {
                if let Some(ended) = graph.wait(&id, LONG).transpose() {
                    break ended;
                }
            },
            _ => graph.wait_async(&id).and_then(shuttle::future::block_on),
        };
        match ended {
            Ok(job) => {
                assert_eq!(job.state(), State::Complete);
                let code = job.outcome().and_then(Outcome::code).expect("a code");
                assert!(is_durable(&store.disk, code), "an end is seen too early");
            }
            Err(Error::Closed | Error::JobPurged { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        assert!(graph.core.state.read().waiters.is_empty());
    })
}

fn end(graph: &Graph, id: &crate::JobId) {
    graph.start(id).expect("it starts");
    let outcome = Outcome::failed("the-end-of-it", "");
    graph.complete(id, outcome).expect("it is complete");
}

#[test]
fn no_end_is_missed_by_who_waits_for_it() {
    explore(5000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let id = graph.submit(request("a")).expect("a job");
        let waiting = wait(&store, &graph, &id);
        end(&graph, &id);
        waiting.join().expect("no panic");
        store.end();
    });
}

#[test]
fn a_close_ends_all_waits() {
    explore(3000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let id = graph.submit(request("a")).expect("a job");
        let waiting = wait(&store, &graph, &id);
        let other = graph.submit(request("b")).expect("a job");
        end(&graph, &other);
        store.engine.close().expect("it closes");
        waiting.join().expect("no panic");
    });
}

/// Jobs are purged and read while the packer packs, compacts, and retires files.
#[test]
fn a_purge_takes_nothing_from_under_a_page() {
    explore(2000, || {
        let (store, graph) = Store::with_graph(options(TINY));
        let ids: Vec<_> = ["a", "b", "c"]
            .map(|name| graph.submit(request(name)).expect("a job"))
            .into();
        end(&graph, &ids[0]);
        end(&graph, &ids[1]);
        let page = graph.list(JobQuery::new()).expect("a page");
        let text = page.to_json().expect("it is read");
        let purging = {
            let graph = graph.clone();
            thread::spawn(move || graph.purge(JobQuery::new()).expect("a purge").jobs)
        };
        assert!(
            page.to_json().expect("it is read") == text,
            "it has changed"
        );
        let there = graph.list(JobQuery::new()).expect("a page").len();
        assert!([1, 3].contains(&there), "{there} jobs are there");
        assert_eq!(purging.join().expect("no panic"), 2);
        assert!(
            page.to_json().expect("it is read") == text,
            "it has changed"
        );
        assert_eq!(graph.list(JobQuery::new()).expect("a page").len(), 1);
        assert!(graph.tombstone(&ids[0]).expect("a look").is_some());
        drop(page);
        store.end();
    });
}
