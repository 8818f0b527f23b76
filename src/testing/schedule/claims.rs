//! Guarantee: under any interleaving, a job never waits while a worker waits for one, and dropping
//! a future loses no job.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shuttle::rand::Rng;
use shuttle::thread;

use crate::api::graph::Graph;
use crate::api::run::Run;
use crate::model::error::{Error, Result};
use crate::model::outcome::Outcome;
use crate::model::states::State;
use crate::testing::schedule::explore::explore;
use crate::testing::schedule::store::{AMPLE, Store, options, request};

/// Without a deadline, the scheduler cannot end a wait.
const FOREVER: Duration = Duration::MAX;

fn draw(n: u32) -> u32 {
    shuttle::rand::thread_rng().gen_range(0..n)
}

/// Completes jobs until the store is closed. Requeues some of them first.
fn work(graph: &Graph) -> thread::JoinHandle<()> {
    let graph = graph.clone();
    thread::spawn(move || {
        loop {
            let run = match draw(2) {
                0 => graph.claim_next_timeout(FOREVER).map(Option::unwrap),
                _ => shuttle::future::block_on(graph.claim_next_async()),
            };
            let ended = run.and_then(|run| match draw(4) {
                0 => run.requeue().map(drop),
                _ => run.complete(Outcome::succeeded()).map(drop),
            });
            match ended {
                Ok(()) => {}
                Err(Error::Closed) => return,
                Err(other) => panic!("{other}"),
            }
        }
    })
}

/// Polls a claim a few times, without waiting to be woken, and drops it.
fn poll_and_drop(graph: &Graph) -> Option<Result<Run>> {
    let mut claim = graph.claim_next_async();
    for _ in 0..draw(5) {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(run) = Pin::new(&mut claim).poll(&mut context) {
            return Some(run);
        }
        thread::yield_now();
    }
    None
}

#[test]
fn no_job_waits_while_workers_wait() {
    explore(3000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let workers = [work(&graph), work(&graph)];
        let dropping = {
            let graph = graph.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    if let Some(run) = poll_and_drop(&graph) {
                        run.expect("it claims").requeue().expect("it is held");
                    }
                }
            })
        };
        let jobs = ["a", "b"].map(|name| {
            let graph = graph.clone();
            thread::spawn(move || {
                let id = graph.submit(request(name)).expect("a job");
                // This never returns if no worker takes the job.
                graph.wait(&id, FOREVER).expect("a wait")
            })
        });
        for job in jobs {
            let job = job.join().expect("no panic").expect("it is complete");
            assert_eq!(job.outcome(), Some(&Outcome::succeeded()));
        }
        dropping.join().expect("no panic");
        store.end();
        for worker in workers {
            worker.join().expect("no panic");
        }
        assert!(graph.core.state.read().waiters.is_empty());
    });
}

/// A dropped claim loses no job, even if the store is closed right after.
#[test]
fn a_dropped_claim_takes_no_job_with_it() {
    explore(3000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let dropping = {
            let graph = graph.clone();
            thread::spawn(move || match poll_and_drop(&graph) {
                Some(run) => {
                    let run = run.expect("it claims");
                    run.complete(Outcome::succeeded()).expect("it is held");
                    1
                }
                None => 0,
            })
        };
        graph.submit(request("a")).expect("a job");
        let completed: u64 = dropping.join().expect("no panic");
        store.end();
        let of = |state| {
            let states = crate::model::states::States::NONE.with(state);
            graph.core.state.read().status.total(states)
        };
        assert_eq!((of(State::Complete), of(State::Running)), (completed, 0));
        assert_eq!(of(State::Pending), 1 - completed);
        assert!(graph.core.state.read().waiters.is_empty());
    });
}

#[test]
fn a_run_that_waits_for_a_cancellation_sees_it() {
    explore(3000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let id = graph.submit(request("a")).expect("a job");
        let run = graph.claim(&id).expect("it is claimed");
        let ways = draw(4);
        let working = thread::spawn(move || {
            match draw(2) {
                0 => assert!(run.wait_cancelled(FOREVER)),
                _ => shuttle::future::block_on(run.cancelled()),
            }
            let may_be_complete = run.complete(Outcome::cancelled());
            assert!(ways < 2 || may_be_complete.is_err());
        });
        match ways {
            0 => drop(graph.cancel(&id).expect("it is asked")),
            1 => drop(graph.complete(&id, Outcome::succeeded()).expect("a look")),
            2 => store.drop_graph(&graph).expect("it is dropped"),
            _ => store.engine.close().expect("it closes"),
        }
        working.join().expect("no panic");
        store.engine.close().expect("it closes");
        assert!(graph.core.state.read().waiters.is_empty());
    });
}
