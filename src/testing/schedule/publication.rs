//! Guarantee: readers see whole commits, only after they are durable, and in one order. What a
//! reader has seen is never undone.

use std::sync::Arc;

use shuttle::thread;

use crate::api::graph::Graph;
use crate::model::error::Error;
use crate::model::job::Job;
use crate::model::job_query::JobQuery;
use crate::model::outcome::Outcome;
use crate::model::states::State;
use crate::testing::schedule::explore::explore;
use crate::testing::schedule::store::{
    AMPLE, Store, TINY, ids, is_durable, list, name_of, options, request,
};

/// The number of jobs per batch.
const BATCH: usize = 3;

fn batch(name: &str) -> Vec<crate::model::request::Request> {
    let names = (0..BATCH).map(|n| format!("{name}{n}"));
    names.map(|name| request(&name)).collect()
}

/// Checks that each batch is complete and in order.
fn check_batches(jobs: &[Job]) {
    assert_eq!(jobs.len() % BATCH, 0, "part of a commit is shown");
    for batch in jobs.chunks(BATCH) {
        let names: Vec<String> = batch.iter().map(name_of).collect();
        let (first, _) = names[0].split_at(names[0].len() - 1);
        let expected: Vec<String> = (0..BATCH).map(|n| format!("{first}{n}")).collect();
        assert_eq!(names, expected, "batches are mixed");
    }
}

/// Reads repeatedly, and checks that everything seen before is still true.
fn watch(store: &Store, graph: &Graph, looks: usize, check_whole: bool) -> Vec<Job> {
    let mut before: Vec<Job> = Vec::new();
    for _ in 0..looks {
        let jobs = list(graph);
        if check_whole {
            check_batches(&jobs);
        }
        for job in &jobs {
            assert!(
                is_durable(&store.disk, job.id().as_str()),
                "{} is seen before it is durable",
                job.id()
            );
            if let Some(code) = job.outcome().and_then(Outcome::code) {
                assert!(is_durable(&store.disk, code), "an end is seen too early");
            }
        }
        assert!(jobs.len() >= before.len(), "jobs are gone");
        for (now, before) in jobs.iter().zip(&before) {
            assert_eq!(now.id(), before.id(), "the order has changed");
            assert!(now.state() >= before.state(), "a state went backward");
            assert!(
                now.cancel_requested()
                    || !before.cancel_requested()
                    || now.state() == State::Complete
            );
        }
        before = jobs;
    }
    before
}

#[test]
fn a_reader_sees_all_of_a_commit_or_nothing_and_only_what_is_durable() {
    explore(4000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let writers = [0, 1].map(|n| {
            let graph = graph.clone();
            thread::spawn(move || {
                graph
                    .submit_all(batch(&format!("{n}a")))
                    .expect("acknowledged");
                let write = graph.nonblocking().submit_all(batch(&format!("{n}b")));
                write.wait().expect("acknowledged");
            })
        });
        let reader = {
            let (store, graph) = (store.clone(), graph.clone());
            thread::spawn(move || watch(&store, &graph, 4, true))
        };
        reader.join().expect("no panic");
        for writer in writers {
            writer.join().expect("no panic");
        }
        assert_eq!(list(&graph).len(), 4 * BATCH);
        store.end();
    });
}

/// The two jobs of a pair change in one commit if their writes meet in the queue. Counts, pages of
/// one state, and pages of all jobs must agree at any instant.
#[test]
fn states_go_forward_for_every_reader_and_each_page_agrees_with_itself() {
    explore(3000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        let all = graph.submit_all(batch("a")).expect("acknowledged");
        let workers = [0, 1].map(|n: usize| {
            let (graph, all) = (graph.clone(), all.clone());
            thread::spawn(move || {
                let id = &all[n];
                graph.start(id).expect("it starts");
                graph.nonblocking().cancel(id).wait().expect("an answer");
                let outcome = Outcome::failed(format!("code-{n}"), "m");
                graph.complete(id, outcome).expect("it ends");
            })
        });
        let readers = [0, 1].map(|n| {
            let (store, graph) = (store.clone(), graph.clone());
            thread::spawn(move || match n {
                0 => drop(watch(&store, &graph, 3, true)),
                _ => {
                    for _ in 0..4 {
                        for state in State::ALL {
                            let page = graph.list(JobQuery::new().state(state)).expect("a page");
                            let jobs = page.jobs().map(|job| job.expect("a job"));
                            assert!(
                                jobs.inspect(|j| assert_eq!(j.state(), state)).count() as u64
                                    == page.total().unwrap()
                            );
                        }
                        let begun = JobQuery::new().state(State::Running).state(State::Complete);
                        let shown = graph.list(begun).expect("a page").len();
                        assert!(shown <= 2, "the third was never begun");
                    }
                }
            })
        });
        for thread in workers.into_iter().chain(readers) {
            thread.join().expect("no panic");
        }
        let jobs = list(&graph);
        assert!(jobs[..2].iter().all(|job| job.state() == State::Complete));
        store.end();
    });
}

/// While the list is read, files are sealed and packed.
#[test]
fn a_walk_by_cursor_over_a_growing_list_neither_skips_nor_repeats() {
    explore(3000, || {
        let (store, graph) = Store::with_graph(options(TINY));
        let writer = {
            let graph = graph.clone();
            thread::spawn(move || {
                for n in 0..3 {
                    graph
                        .submit_all(batch(&format!("{n}")))
                        .expect("acknowledged");
                }
            })
        };
        let walker = {
            let graph = graph.clone();
            thread::spawn(move || {
                let (mut seen, mut cursor) = (Vec::new(), None);
                loop {
                    let list = JobQuery::new().limit(2);
                    let page = match &cursor {
                        None => graph.list(list),
                        Some(cursor) => graph.list(list.cursor(cursor)),
                    };
                    let page = page.expect("a page");
                    seen.extend(page.jobs().map(|job| job.expect("a job")));
                    cursor = page.next();
                    if cursor.is_none() {
                        return seen;
                    }
                }
            })
        };
        let seen = walker.join().expect("no panic");
        writer.join().expect("no panic");
        let all = list(&graph);
        assert_eq!(all.len(), 3 * BATCH);
        assert_eq!(ids(&seen), ids(&all)[..seen.len()]);
        store.end();
    });
}

#[test]
fn a_graph_is_dropped_and_made_anew_for_everybody_at_once() {
    explore(3000, || {
        let (store, graph) = Store::with_graph(options(TINY));
        let old = graph.submit(request("old")).expect("acknowledged");
        let maker = {
            let (store, graph) = (store.clone(), graph.clone());
            thread::spawn(move || {
                store.drop_graph(&graph).expect("it is dropped");
                assert!(matches!(
                    graph.list(JobQuery::new()),
                    Err(Error::GraphDropped { .. })
                ));
                let anew = store.create_graph("g", 2).expect("it is made");
                anew.submit(request("new")).expect("acknowledged");
            })
        };
        let writer = {
            let graph = graph.clone();
            thread::spawn(move || match graph.submit(request("late")) {
                Ok(_) => true,
                Err(error) => {
                    assert!(matches!(error, Error::GraphDropped { .. }), "{error}");
                    false
                }
            })
        };
        let reader = {
            let store = store.clone();
            thread::spawn(move || {
                let mut is_new = false;
                for _ in 0..4 {
                    let there = store.engine.graphs.read().by_number.len();
                    assert!(there <= 1);
                    if there == 0 {
                        continue;
                    }
                    // The graph may be added after the check above, so it is looked up again.
                    let found = {
                        let graphs = store.engine.graphs.read();
                        graphs.by_number.values().next().cloned()
                    };
                    let Some(core) = found else { continue };
                    let number = core.number;
                    assert!(!is_new || number == 1, "the dropped graph is back");
                    is_new = number == 1;
                }
            })
        };
        maker.join().expect("no panic");
        writer.join().expect("no panic");
        reader.join().expect("no panic");
        assert!(matches!(graph.job(&old), Err(Error::GraphDropped { .. })));
        let names = |store: &Store| {
            list(&store.graph("g"))
                .iter()
                .map(name_of)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&store), ["new"]);
        let store = store.reopen(options(TINY));
        assert_eq!(names(&store), ["new"]);
        store.end();
    });
}

/// Opens a store, works on three threads, closes the store, cuts the power, and reopens the store:
/// nothing has changed.
#[test]
fn what_was_shown_before_a_close_is_shown_after_the_next_open() {
    explore(1500, || {
        let (store, graph) = Store::with_graph(options(TINY));
        let threads: [thread::JoinHandle<()>; 3] = std::array::from_fn(|n| {
            let graph = graph.clone();
            thread::spawn(move || {
                let id = graph
                    .submit(request(&format!("{n}")))
                    .expect("acknowledged");
                if n > 0 {
                    let run = graph.claim(&id).expect("it starts");
                    let outcome = Outcome::failed(format!("code-{n}"), "m");
                    run.complete(outcome).expect("it ends");
                }
            })
        });
        for thread in threads {
            thread.join().expect("no panic");
        }
        let shown = |graph: &Graph| {
            let page = graph.list(JobQuery::new()).expect("a page");
            let codes: Vec<_> = page
                .jobs()
                .map(|job| {
                    job.expect("a job")
                        .outcome()
                        .and_then(|o| o.code().map(str::to_owned))
                })
                .collect();
            (page.to_json().expect("JSON"), codes)
        };
        let before = shown(&graph);
        drop(graph);
        let store = store.reopen(options(TINY));
        assert!(shown(&store.graph("g")) == before);
        let made = store.graph("g").submit(request("more"));
        made.expect("acknowledged");
        assert_eq!(list(&store.graph("g")).len(), 4);
        store.end();
        let again = Store::open(options(TINY), Arc::clone(&store.disk));
        assert_eq!(list(&again.graph("g")).len(), 4);
        again.end();
    });
}
