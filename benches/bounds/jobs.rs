//! The jobs of all benchmarks of bounds: requests of about 300 bytes, and outcomes with details.

use std::path::Path;

use jobstore::{Graph, JobId, JobQuery, JobStore, Outcome, Request};

use crate::common::child;
use crate::common::requests::{Seeded, import_graph};
use crate::common::work::{PROJECT, made_of};

const GRAPH: &str = "movie";
const BATCH: u64 = 10_000;

/// Creates the graph of a store, or finds it.
pub fn graph(store: &JobStore) -> Graph {
    store.get_or_create_graph(PROJECT, GRAPH).expect("a graph")
}

/// Submits this many jobs.
pub fn submit(graph: &Graph, random: &mut Seeded, jobs: u64) {
    in_batches(jobs, |count| drop(submit_batch(graph, random, count)));
}

/// Submits this many jobs, and starts and completes each of them.
pub fn complete(graph: &Graph, random: &mut Seeded, jobs: u64) {
    in_batches(jobs, |count| {
        let ids = submit_batch(graph, random, count);
        let mut last = None;
        for id in &ids {
            drop(graph.nonblocking().start(id));
            last = Some(graph.nonblocking().complete(id, outcome(random)));
        }
        if let Some(last) = last {
            last.wait().expect("complete");
        }
    });
}

fn in_batches(jobs: u64, mut each: impl FnMut(u64)) {
    for first in (0..jobs).step_by(BATCH as usize) {
        each(BATCH.min(jobs - first));
    }
}

fn submit_batch(graph: &Graph, random: &mut Seeded, count: u64) -> Vec<JobId> {
    let requests: Vec<Request> = (0..count).map(|_| made_of(&import_graph(random))).collect();
    graph.submit_all(requests).expect("submit")
}

fn outcome(random: &mut Seeded) -> Outcome {
    let (lines, failed) = (random.below(1_000_000), random.below(100));
    let detail =
        format!(r#"{{"lines":{lines},"failedLines":{failed},"log":"bucket/logs/{lines}"}}"#);
    let outcome = match failed {
        0 => Outcome::failed("GES.8013", format!("line {lines} has no label")),
        _ => Outcome::succeeded(),
    };
    outcome.with_detail_json(detail).expect("JSON")
}

/// Writes pages of at most 100,000 jobs until all jobs have been listed. Returns the number of
/// jobs.
pub fn list_all(graph: &Graph) -> u64 {
    let (mut listed, mut cursor) = (0, None);
    loop {
        let list = JobQuery::new().limit(100_000);
        let list = match &cursor {
            Some(cursor) => list.cursor(cursor),
            None => list,
        };
        let page = graph.list(list).expect("a page");
        page.write_json(std::io::sink()).expect("JSON");
        listed += page.len() as u64;
        cursor = page.next();
        if cursor.is_none() {
            return listed;
        }
    }
}

/// Runs in a child process: submits and completes jobs until it is killed.
pub fn work(dir: &Path) {
    let store = JobStore::open(dir).expect("open");
    let graph = graph(&store);
    let mut random = Seeded(17);
    complete(&graph, &mut random, 1_000);
    child::until_killed(move || {
        let _open = &store;
        complete(&graph, &mut random, 100);
    })
}
