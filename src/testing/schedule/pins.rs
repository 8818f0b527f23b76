//! Guarantee: a page shows the list at one instant. It does not change while the segments and packs
//! that it reads are packed, merged, and removed, its jobs change state, and its graph is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::thread;

use crate::api::graph::Graph;
use crate::api::page::Page;
use crate::model::error::Error;
use crate::model::job_query::JobQuery;
use crate::model::outcome::Outcome;
use crate::model::states::State;
use crate::testing::schedule::explore::explore;
use crate::testing::schedule::store::{Store, TINY, options, request};

type Shown = (Vec<u8>, Vec<(String, State)>);

/// The number of schedules in which segments were packed, and the number in which packs were
/// merged.
#[derive(Default)]
struct Moved([AtomicUsize; 2]);

impl Moved {
    fn note(&self, store: &Store) {
        for (count, has) in self.0.iter().zip(store.has_packed_and_merged()) {
            count.fetch_add(usize::from(has), Ordering::SeqCst);
        }
    }

    /// Asserts that files moved in enough schedules, because the other schedules prove nothing.
    fn assert_often(&self, schedules: usize) {
        let [packed, merged] = self.0.each_ref().map(|n| n.load(Ordering::SeqCst));
        println!("packed in {packed} schedules, merged in {merged}, of {schedules}");
        // If there are few schedules, for example when one is replayed, files may not have moved.
        let few = schedules < 100;
        assert!(few || (packed > schedules / 4 && merged > schedules / 10));
    }
}

/// Reads a page in both its forms. Values include the current state of each job.
fn read(page: &Page) -> Shown {
    let jobs = page.jobs().map(|job| {
        let job = job.expect("a job");
        (job.id().to_string(), job.state())
    });
    let jobs: Vec<_> = jobs.collect();
    let json = page.to_json().expect("JSON");
    assert_eq!(jobs.len(), page.len());
    for (id, _) in &jobs {
        let mut windows = json.windows(id.len());
        assert!(
            windows.any(|window| window == id.as_bytes()),
            "{id} is not shown"
        );
    }
    (json, jobs)
}

fn submit(graph: &Graph, names: std::ops::Range<usize>) {
    for n in names {
        let id = graph
            .submit(request(&format!("{n}")))
            .expect("acknowledged");
        if n % 2 == 0 {
            graph.start(&id).expect("it starts");
        }
        if n % 4 == 0 {
            let outcome = Outcome::failed("c", "m");
            graph.complete(&id, outcome).expect("it ends");
        }
    }
}

/// Every commit seals a segment, so packing and merging happen all the time.
#[test]
fn a_page_gives_the_same_bytes_while_its_files_are_packed_and_merged() {
    let moved = Arc::new(Moved::default());
    let noted = moved.clone();
    let schedules = explore(3000, move || {
        let (store, graph) = Store::with_graph(options(TINY));
        submit(&graph, 0..2);
        let page = Arc::new(graph.list(JobQuery::new()).expect("a page"));
        let before = read(&page);
        let writer = {
            let graph = graph.clone();
            thread::spawn(move || submit(&graph, 2..6))
        };
        let reader = {
            let (page, before, graph) = (Arc::clone(&page), before.clone(), graph.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    assert!(read(&page) == before, "the page has changed");
                    let young = graph.list(JobQuery::new()).expect("a page");
                    let (json, jobs) = read(&young);
                    assert!(jobs.len() >= before.1.len());
                    assert!(read(&young) == (json, jobs), "a page is not itself");
                }
            })
        };
        reader.join().expect("no panic");
        writer.join().expect("no panic");
        assert!(read(&page) == before, "the page has changed");
        noted.note(&store);
        store.end();
        assert!(
            page.to_json().expect("JSON") == before.0,
            "changed by the close"
        );
    });
    moved.assert_often(schedules);
}

/// While data moves from one file to another, each job can be found by its id at every moment.
#[test]
fn every_job_is_found_while_its_file_is_packed_and_merged() {
    let moved = Arc::new(Moved::default());
    let noted = moved.clone();
    let schedules = explore(3000, move || {
        let (store, graph) = Store::with_graph(options(TINY));
        let writer = {
            let graph = graph.clone();
            thread::spawn(move || submit(&graph, 0..6))
        };
        let reader = {
            let graph = graph.clone();
            thread::spawn(move || {
                for _ in 0..4 {
                    let page = graph.list(JobQuery::new()).expect("a page");
                    for shown in page.jobs() {
                        let shown = shown.expect("a job");
                        let found = graph.job(shown.id()).expect("a read");
                        let found = found.expect("it is there");
                        assert_eq!(found.request().as_json(), shown.request().as_json());
                        assert!(found.state() >= shown.state());
                    }
                }
            })
        };
        reader.join().expect("no panic");
        writer.join().expect("no panic");
        noted.note(&store);
        store.end();
    });
    moved.assert_often(schedules);
}

#[test]
fn a_page_of_a_dropped_graph_is_read_to_its_end() {
    let moved = Arc::new(Moved::default());
    let noted = moved.clone();
    let schedules = explore(3000, move || {
        let (store, graph) = Store::with_graph(options(TINY));
        submit(&graph, 0..3);
        let other = store.create_graph("other", 2).expect("it is created");
        let page = Arc::new(graph.list(JobQuery::new()).expect("a page"));
        let before = page.to_json().expect("JSON");
        let dropper = {
            let (store, graph) = (store.clone(), graph.clone());
            thread::spawn(move || {
                store.drop_graph(&graph).expect("it is dropped");
                store.engine.apply_to_index();
            })
        };
        let writer = thread::spawn(move || submit(&other, 0..3));
        let reader = {
            let (page, before) = (Arc::clone(&page), before.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    assert!(page.to_json().expect("JSON") == before);
                    for job in page.jobs() {
                        match job {
                            Ok(_) | Err(Error::GraphDropped { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        };
        for thread in [dropper, writer, reader] {
            thread.join().expect("no panic");
        }
        assert!(page.to_json().expect("JSON") == before);
        noted.note(&store);
        store.end();
    });
    moved.assert_often(schedules);
}
