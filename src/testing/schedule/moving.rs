//! Guarantee: external ids and the details of a job can be found at every moment, even while they
//! are moved from memory to the index and from run to run.

use shuttle::thread;

use crate::api::graph::Graph;
use crate::api::submit::Submitted;
use crate::model::error::Error;
use crate::model::outcome::Outcome;
use crate::model::states::State;
use crate::testing::schedule::explore::explore;
use crate::testing::schedule::store::{AMPLE, Store, TINY, list, name_of, options, request};

/// Moves what is in memory to the index, a few times.
fn move_to_index(store: &Store, times: usize) -> thread::JoinHandle<()> {
    let store = store.clone();
    thread::spawn(move || (0..times).for_each(|_| store.engine.apply_to_index()))
}

fn find(graph: &Graph, name: &str) {
    let job = graph.job(name).expect("a read");
    let job = job.unwrap_or_else(|| panic!("{name} is not found"));
    assert_eq!(name_of(&job), name);
}

/// The runs of the index are merged as often as new ones are added.
#[test]
fn an_id_is_found_at_every_moment_of_its_way_to_the_index() {
    explore(3000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let submit = |graph: &Graph, name: &str| {
            let made = graph.submit_as(name, request(name)).expect("acknowledged");
            assert!(matches!(made, Submitted::Created(_)));
        };
        submit(&graph, "first");
        let writer = {
            let graph = graph.clone();
            thread::spawn(move || {
                for name in ["a", "b", "c"] {
                    submit(&graph, name);
                    find(&graph, name);
                }
            })
        };
        let mover = move_to_index(&store, 3);
        let reader = {
            let graph = graph.clone();
            thread::spawn(move || {
                for _ in 0..4 {
                    find(&graph, "first");
                    assert!(graph.job("never").expect("a read").is_none());
                    for job in list(&graph) {
                        find(&graph, job.id().as_str());
                    }
                }
            })
        };
        for thread in [writer, mover, reader] {
            thread.join().expect("no panic");
        }
        store.end();
        let store = Store::open(options(AMPLE), store.disk.clone());
        let graph = store.graph("g");
        ["first", "a", "b", "c"]
            .iter()
            .for_each(|name| find(&graph, name));
        store.end();
    });
}

/// The id moves to the index at the same time, so a thread that did not find it must look again.
#[test]
fn one_id_from_several_threads_makes_one_job() {
    explore(15000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let callers: [_; 3] = std::array::from_fn(|n| {
            let graph = graph.clone();
            thread::spawn(move || {
                let made = match n {
                    0 => graph.submit_as("same", request("same")),
                    _ => graph
                        .nonblocking()
                        .submit_as("same", request("same"))
                        .wait(),
                };
                match made.expect("an answer") {
                    Submitted::Created(_) => 1,
                    Submitted::AlreadyExists(_) => 0,
                }
            })
        });
        let mover = move_to_index(&store, 2);
        let made: usize = callers
            .map(|caller| caller.join().expect("no panic"))
            .iter()
            .sum();
        mover.join().expect("no panic");
        assert_eq!(list(&graph).len(), 1, "one id, several jobs");
        assert_eq!(made, 1);
        let other = graph.submit_as("same", request("other"));
        assert!(matches!(other, Err(Error::JobIdTaken { .. })));
        store.end();
    });
}

#[test]
fn what_is_known_of_a_life_is_known_at_every_moment() {
    explore(3000, || {
        let (store, graph) = Store::with_graph(options(TINY));
        let worker = {
            let graph = graph.clone();
            thread::spawn(move || {
                for n in 0..2 {
                    let id = graph.submit(request("a")).expect("acknowledged");
                    graph.start(&id).expect("it starts");
                    let outcome = Outcome::failed(format!("code-{n}"), "m");
                    graph.complete(&id, outcome).expect("it ends");
                }
            })
        };
        let mover = move_to_index(&store, 3);
        let reader = {
            let graph = graph.clone();
            thread::spawn(move || {
                for _ in 0..5 {
                    // Look up the jobs together, and each one individually.
                    for job in list(&graph) {
                        let alone = graph.job(job.id()).expect("a read").expect("it is there");
                        for job in [job, alone] {
                            let begun = job.state() != State::Pending;
                            assert_eq!(job.started_at().is_some(), begun);
                            let ended = job.state() == State::Complete;
                            assert_eq!(job.completed_at().is_some(), ended);
                            let code = job.outcome().and_then(Outcome::code);
                            let expected = format!("code-{}", job.sequence());
                            assert_eq!(code, ended.then_some(expected.as_str()));
                        }
                    }
                }
            })
        };
        for thread in [worker, mover, reader] {
            thread.join().expect("no panic");
        }
        store.end();
    });
}
