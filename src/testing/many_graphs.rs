//! The cost of background work depends on what changed, not on the number of graphs.

use std::time::Duration;

use crate::engine::background::compaction;
use crate::engine::background::retention;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::{Body, Graph, JobQuery, JobStore, Request, Retention};

/// The number of idle graphs.
const GRAPHS: usize = 400;

fn request() -> Request {
    Request::new("c", "/g", Body::empty()).unwrap()
}

/// Returns a store with many graphs whose changes are all in the index.
fn store() -> (JobStore, Vec<Graph>) {
    let store = JobStore::options().segment_bytes(1 << 20);
    let store = store.in_memory().unwrap();
    let graph = |n: usize| store.create_graph("1", &format!("graph-{n}")).unwrap();
    let graphs: Vec<Graph> = (0..GRAPHS).map(graph).collect();
    for graph in &graphs {
        graph.submit(request()).unwrap();
        let id = graph.submit(request()).unwrap();
        graph.cancel(&id).unwrap();
    }
    store.engine().apply_to_index();
    (store, graphs)
}

/// Returns the number of graphs that were visited during an operation.
fn visits(engine: &Engine, doing: impl FnOnce()) -> u64 {
    let before = engine.metrics.visits.read();
    doing();
    engine.metrics.visits.read() - before
}

#[test]
fn the_index_takes_the_graphs_that_changed() {
    let (store, graphs) = store();
    let engine = store.engine();
    let visited = visits(engine, || {
        graphs[7].submit(request()).unwrap();
        graphs[9].submit(request()).unwrap();
        engine.apply_to_index();
    });
    // The sum is the same if the index's own thread has run in between.
    assert_eq!(visited, 2);
    assert_eq!(visits(engine, || engine.apply_to_index()), 0);
    store.drop_graph("1", "graph-7").unwrap();
    assert!(visits(engine, || engine.apply_to_index()) <= 1);
}

#[test]
fn packing_looks_at_the_graphs_that_the_segment_has_jobs_of() {
    let (store, graphs) = store();
    let engine = store.engine();
    let segments = || engine.log_files.read().segments.len();
    let fill = || {
        let epoch = || {
            engine
                .log_files
                .read()
                .segments
                .last()
                .unwrap()
                .header
                .epoch
        };
        let before = epoch();
        while epoch() == before {
            let body = Body::from_value(&"x".repeat(8 << 10)).unwrap();
            graphs[3]
                .submit(Request::new("c", "/g", body).unwrap())
                .unwrap();
        }
        while segments() > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    // The first pack contains jobs of all graphs; its parts are checked together.
    fill();
    engine.apply_to_index();
    let rounds = 6;
    let visited = visits(engine, || (0..rounds).for_each(|_| fill()));
    assert!(visited < rounds * GRAPHS as u64 / 2, "{visited}");
}

#[test]
fn retention_looks_at_graphs_that_changed_or_are_due() {
    let (store, graphs) = store();
    let engine = store.engine();
    let policy = Retention::new()
        .max_age(Duration::from_secs(3600))
        .max_jobs(5);
    for graph in &graphs {
        graph.set_retention(Some(policy.clone())).unwrap();
    }
    while retention::step(engine) {}
    // The packer may check the marked graphs concurrently.
    assert_eq!(visits(engine, || while retention::step(engine) {}), 0);
    graphs[5].submit(request()).unwrap();
    assert!(visits(engine, || while retention::step(engine) {}) <= 1);
    for _ in 0..6 {
        let id = graphs[5].submit(request()).unwrap();
        graphs[5].cancel(&id).unwrap();
    }
    let visited = visits(engine, || while retention::step(engine) {});
    assert!(visited < 50, "{visited}");
    let gone = || graphs[5].count(crate::State::Complete).unwrap() == 5;
    while !gone() {
        retention::step(engine);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn forgetting_many_tombstones_looks_at_their_graph_alone() {
    let (store, graphs) = store();
    let engine = store.engine();
    let purges = 300;
    for _ in 0..purges {
        let id = graphs[1].submit(request()).unwrap();
        graphs[1].cancel(&id).unwrap();
        graphs[1].purge(JobQuery::new()).unwrap();
    }
    let before = engine.metrics.events.read();
    let visited = visits(engine, || {
        let policy = Retention::new().max_tombstones(0);
        graphs[1].set_retention(Some(policy)).unwrap();
        while engine
            .retention
            .lock()
            .has_tombstones(graphs[1].core.number)
        {
            retention::step(engine);
        }
    });
    assert!(visited < 50, "{visited}");
    // All graphs were handled in a few commits.
    assert!(engine.metrics.events.read() - before < 10);
}

#[test]
fn compaction_looks_at_the_parts_of_graphs_that_shrank() {
    let (store, graphs) = store();
    let engine = store.engine();
    let body = || Body::from_value(&"x".repeat(8 << 10)).unwrap();
    while engine.log_files.read().packs.is_empty() {
        graphs[3]
            .submit(Request::new("c", "/g", body()).unwrap())
            .unwrap();
    }
    engine.apply_to_index();
    compaction::to_compact(engine, &[], false);
    // The store's own threads may visit graphs during one of the attempts.
    let mut tries =
        (0..20).map(|_| visits(engine, || drop(compaction::to_compact(engine, &[], false))));
    assert!(tries.any(|visited| visited == 0));
    graphs[11].purge(JobQuery::new()).unwrap();
    let visited = visits(engine, || drop(compaction::to_compact(engine, &[], false)));
    // The index and retention may also visit the graphs.
    assert!(visited < 20, "{visited}");
}

#[test]
fn a_close_leaves_many_changed_graphs_to_the_next_open() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    let store = JobStore::open(&dir).unwrap();
    let graphs = 4500;
    let made: Vec<_> = (0..graphs)
        .map(|n| store.nonblocking().create_graph("1", &format!("graph-{n}")))
        .collect();
    let last = made.into_iter().map(|t| t.wait().unwrap()).last().unwrap();
    let id = last.submit(request()).unwrap();
    last.cancel(&id).unwrap();
    store.close().unwrap();
    drop((last, store));
    for _ in 0..2 {
        let store = JobStore::open(&dir).unwrap();
        assert_eq!(store.graphs().unwrap().len(), graphs);
        let last = store.graph("1", &format!("graph-{}", graphs - 1)).unwrap();
        let job = last.job(&id).unwrap().unwrap();
        assert!(job.completed_at().is_some());
        store.close().unwrap();
    }
}

#[test]
fn graphs_are_listed_whole_though_a_few_at_a_time() {
    let store = JobStore::in_memory().unwrap();
    let writes: Vec<_> = (0..2_500)
        .map(|n| store.nonblocking().create_graph("1", &format!("graph-{n}")))
        .collect();
    writes.into_iter().for_each(|write| drop(write.wait()));
    for n in [0, 1023, 1024, 2_499] {
        store.drop_graph("1", &format!("graph-{n}")).unwrap();
    }
    let left = (0..2_500).filter(|n| ![0, 1023, 1024, 2_499].contains(n));
    let names: Vec<String> = left.map(|n| format!("graph-{n}")).collect();
    let listed = store.graphs().unwrap();
    let listed: Vec<&str> = listed.iter().map(Graph::name).collect();
    assert_eq!(listed, names);
    assert!(store.graph("1", "graph-1024").is_err());
    assert_eq!(store.graph("1", "graph-1025").unwrap().core.number, 1025);
}

/// Data that is rarely needed is not kept in each graph.
#[cfg(target_pointer_width = "64")]
#[test]
fn a_graph_by_itself_takes_less_than_half_a_kilobyte() {
    let bytes = std::mem::size_of::<GraphCore>();
    assert!(bytes <= 480, "{bytes}");
}
