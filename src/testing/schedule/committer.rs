//! Guarantee: every write gets exactly one result, and the result is correct, whichever thread
//! commits the write and whatever else happens: other writes, a full queue, a failing disk, or a
//! close of the store.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use shuttle::rand::Rng;
use shuttle::thread;

use crate::api::graph::Graph;
use crate::log::disk::memory::trial::{Call, Fault};
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::options::{Durability, Options};
use crate::model::outcome::{Outcome, OutcomeKind};
use crate::model::states::State;
use crate::testing::schedule::explore::{explore, replay_each};
use crate::testing::schedule::store::{AMPLE, Store, TINY, ids, list, name_of, options, request};

/// The number of ways to submit a request and wait for the result.
const WAYS: usize = 5;

fn submit(graph: &Graph, name: &str, way: usize) -> Result<JobId> {
    let request = request(name);
    match way % WAYS {
        0 => graph.submit(request),
        1 => graph.nonblocking().submit(request).wait(),
        2 => shuttle::future::block_on(graph.nonblocking().submit(request)),
        3 => {
            let mut write = graph.nonblocking().submit(request);
            loop {
                if let Some(answer) = write.wait_timeout(Duration::from_millis(1)) {
                    return answer;
                }
            }
        }
        _ => match graph.try_submit(request) {
            Ok(write) => write.wait(),
            Err(Error::Busy { .. }) => graph.submit(self::request(name)),
            Err(error) => Err(error),
        },
    }
}

/// Returns options for a queue that has space for one request but not for two.
fn narrow(segment_bytes: u64) -> Options {
    Options {
        max_queue_bytes: 400,
        ..options(segment_bytes)
    }
}

/// Each thread submits twice. Returns, for each thread, the results of its requests in order.
fn submit_from_threads(
    graph: &Graph,
    threads: usize,
) -> Vec<thread::JoinHandle<Vec<Result<JobId>>>> {
    let submit_two = |n: usize| {
        let graph = graph.clone();
        thread::spawn(move || {
            let way = shuttle::rand::thread_rng().gen_range(0..WAYS);
            let one = |k: usize| submit(&graph, &format!("{n}.{k}"), way + k);
            vec![one(0), one(1)]
        })
    };
    (0..threads).map(submit_two).collect()
}

fn many_callers(options: Options) {
    let (store, graph) = Store::with_graph(options);
    let threads = submit_from_threads(&graph, 3);
    for (n, thread) in threads.into_iter().enumerate() {
        let made: Vec<JobId> = thread
            .join()
            .expect("no panic")
            .into_iter()
            .map(|id| id.expect("it is acknowledged"))
            .collect();
        let jobs = made.iter().enumerate().map(|(k, id)| {
            let job = graph.job(id).expect("a read").expect("it is there");
            assert_eq!(name_of(&job), format!("{n}.{k}"));
            job.sequence()
        });
        assert!(jobs.collect::<Vec<_>>().is_sorted(), "not in their order");
    }
    assert_eq!(list(&graph).len(), 6);
    store.end();
}

#[test]
fn every_write_of_many_callers_is_answered_once_and_none_is_lost() {
    explore(5000, || many_callers(options(AMPLE)));
}

#[test]
fn a_caller_that_finds_the_queue_full_is_admitted_when_there_is_room() {
    explore(5000, || many_callers(narrow(AMPLE)));
}

#[test]
fn in_interval_mode_too_every_write_is_answered_once() {
    explore(2000, || {
        many_callers(Options {
            durability: Durability::Interval(Duration::from_millis(50)),
            ..narrow(TINY)
        });
    });
}

#[test]
fn a_schedule_can_be_replayed() {
    replay_each(100, || many_callers(narrow(TINY)));
}

/// Pending writes are dropped, polled or not, before or after they are queued.
#[test]
fn a_dropped_ticket_withdraws_nothing() {
    explore(3000, || {
        let (store, graph) = Store::with_graph(narrow(AMPLE));
        let droppers = [0, 1].map(|n| {
            let graph = graph.clone();
            thread::spawn(move || {
                for k in 0..2 {
                    let mut write = pin!(graph.nonblocking().submit(request(&format!("{n}.{k}"))));
                    if k == 1 {
                        let mut context = Context::from_waker(Waker::noop());
                        // The result does not matter.
                        let _ = write.as_mut().poll(&mut context);
                    }
                }
            })
        });
        let waiter = {
            let graph = graph.clone();
            thread::spawn(move || {
                shuttle::future::block_on(graph.nonblocking().submit(request("w")))
            })
        };
        let waited = waiter.join().expect("no panic").expect("acknowledged");
        for dropper in droppers {
            dropper.join().expect("no panic");
        }
        assert!(graph.job(&waited).expect("a read").is_some());
        let store = store.reopen(options(AMPLE));
        let mut names: Vec<_> = list(&store.graph("g")).iter().map(name_of).collect();
        names.sort_unstable();
        assert_eq!(names, ["0.0", "0.1", "1.0", "1.1", "w"]);
        store.end();
    });
}

/// After the next open, everything acknowledged is present, and nothing that was refused.
#[test]
fn a_close_at_any_moment_answers_everybody() {
    explore(4000, || {
        let (store, graph) = Store::with_graph(narrow(AMPLE));
        let threads = submit_from_threads(&graph, 3);
        let second = {
            let store = store.clone();
            thread::spawn(move || store.engine.close().expect("it closes"))
        };
        store.engine.close().expect("it closes");
        second.join().expect("no panic");
        let mut acknowledged = Vec::new();
        for thread in threads {
            for answer in thread.join().expect("no panic") {
                match answer {
                    Ok(id) => acknowledged.push(id),
                    Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
                }
            }
        }
        let left = store.disk.image().after_power_cut();
        let store = Store::open(options(AMPLE), Arc::new(left));
        let mut there = ids(&list(&store.graph("g")));
        acknowledged.sort_unstable();
        there.sort_unstable();
        assert_eq!(there, acknowledged);
        store.end();
    });
}

fn failing_syncs(lasting: bool) -> Fault {
    Fault {
        errno: 5,
        lasting,
        hits: |call| call == Call::Sync,
    }
}

/// The commit whose sync failed has an unknown outcome, and so do all its writes. All other writes
/// are refused. After the next open, each write is entirely present or entirely absent.
#[test]
fn a_sync_that_fails_leaves_its_commit_in_doubt_and_the_others_refused() {
    explore(2000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let calls = shuttle::rand::thread_rng().gen_range(0..4);
        store.disk.fail_after(calls, failing_syncs(false));
        let threads = submit_from_threads(&graph, 3);
        let (mut acknowledged, mut in_doubt) = (Vec::new(), Vec::new());
        for thread in threads {
            for answer in thread.join().expect("no panic") {
                match answer {
                    Ok(id) => acknowledged.push(id),
                    Err(Error::CommitUnknown { ids, .. }) => in_doubt.extend_from_slice(&ids),
                    Err(error) => assert!(matches!(error, Error::ReadOnly { .. }), "{error}"),
                }
            }
        }
        // Reads continue, and return only what was acknowledged.
        acknowledged.sort_unstable();
        let mut shown = ids(&list(&graph));
        shown.sort_unstable();
        assert_eq!(shown, acknowledged);
        let failed = store.disk.has_failed();
        assert_eq!(store.engine.has_failed(), failed && !in_doubt.is_empty());
        store.engine.close().err();
        let image = store.disk.image();
        for left in [image.after_power_cut(), image.after_kill()] {
            let store = Store::open(options(AMPLE), Arc::new(left));
            let there = ids(&list(&store.graph("g")));
            assert!(acknowledged.iter().all(|id| there.contains(id)));
            let mut others = there.iter().filter(|id| !acknowledged.contains(id));
            assert!(others.all(|id| in_doubt.contains(id)));
            let kept = in_doubt.iter().filter(|id| there.contains(id)).count();
            assert!(kept == 0 || kept == in_doubt.len(), "half a commit");
            store.end();
        }
    });
}

#[test]
fn no_two_workers_get_one_job_and_a_dropped_one_ends_interrupted() {
    explore(4000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let all = graph.submit_all([request("a"), request("b"), request("c")]);
        let mut all = all.expect("acknowledged");
        let workers = [0, 1].map(|n| {
            let graph = graph.clone();
            thread::spawn(move || {
                let mut done = Vec::new();
                loop {
                    let run = match n {
                        0 => graph.claim_next(),
                        _ => graph.nonblocking().claim_next().wait(),
                    };
                    let Some(run) = run.expect("a claim") else {
                        return done;
                    };
                    done.push(run.id().clone());
                    if n == 0 {
                        run.complete(Outcome::succeeded()).expect("it ends");
                    }
                }
            })
        });
        let [completed, dropped] = workers.map(|worker| worker.join().expect("no panic"));
        store.end();
        let store = Store::open(options(AMPLE), store.disk.clone());
        let graph = store.graph("g");
        let kind = |id: &JobId| {
            let job = graph.job(id).expect("a read").expect("it is there");
            job.outcome().map(Outcome::kind)
        };
        assert!(
            completed
                .iter()
                .all(|id| kind(id) == Some(OutcomeKind::Succeeded))
        );
        assert!(
            dropped
                .iter()
                .all(|id| kind(id) == Some(OutcomeKind::Interrupted))
        );
        let mut done = [completed, dropped].concat();
        done.sort_unstable();
        all.sort_unstable();
        assert_eq!(done, all);
        store.end();
    });
}

/// A pending job is started and canceled concurrently. Both callers, readers, and the next open
/// agree on which of the two came first.
#[test]
fn of_a_start_and_a_cancel_both_callers_see_the_same_one_first() {
    use crate::api::lifecycle::Cancellation;
    explore(4000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let id = graph.submit(request("a")).expect("acknowledged");
        let starter = {
            let (graph, id) = (graph.clone(), id.clone());
            thread::spawn(move || graph.start(&id))
        };
        let canceller = {
            let (graph, id) = (graph.clone(), id.clone());
            thread::spawn(move || graph.nonblocking().cancel(&id).wait().expect("an answer"))
        };
        let started = starter.join().expect("no panic");
        let cancelled = canceller.join().expect("no panic");
        let job = graph.job(&id).expect("a read").expect("it is there");
        match cancelled {
            Cancellation::CancelledBeforeStart => {
                assert!(matches!(started, Err(Error::IllegalTransition { .. })));
                assert_eq!(job.state(), State::Complete);
            }
            _ => {
                started.expect("it was started");
                assert!(job.cancel_requested());
            }
        }
        store.end();
    });
}
