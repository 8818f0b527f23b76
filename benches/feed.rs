//! The cost of reading a graph's change feed, from segments and from packs.
//!
//! `cargo bench --bench feed`; `JOBSTORE_BENCH_JOBS=1000000` for more jobs.

mod common;

use std::path::Path;
use std::time::Instant;

use common::directory::wait_until_packed;
use common::work::{PROJECT, requests};
use common::{settings, table};
use jobstore::{Graph, JobStore, Outcome};

/// The number of jobs submitted between the submission of a job and its completion.
const OPEN: usize = 8;

fn main() {
    let jobs = settings::jobs().min(200_000) as usize;
    table::head(&[
        "where",
        "commits",
        "changes",
        "us per change",
        "jobs per second",
    ]);
    for (commits, group) in [("single", 1), ("of 100 writes", 100)] {
        let jobs = if group == 1 { jobs / 10 } else { jobs };
        let root = tempfile::tempdir().expect("a temporary directory");
        let dir = root.path().join("store");
        // All of this stays in one segment until the store is reopened with small segments.
        let store = JobStore::options()
            .segment_bytes(settings::sized(16 << 20, 256 << 20))
            .open(&dir);
        let store = store.expect("open");
        let graph = store.create_graph(PROJECT, "movie").expect("create");
        fill(&graph, jobs, group);
        follow("segment", commits, &graph, jobs);
        store.close().expect("close");
        drop((graph, store));
        packed(&dir, commits, jobs);
    }
}

fn packed(dir: &Path, commits: &str, jobs: usize) {
    let store = JobStore::open(dir).expect("open");
    wait_until_packed(dir);
    let graph = store.graph(PROJECT, "movie").expect("the graph");
    follow("pack", commits, &graph, jobs);
    store.close().expect("close");
}

/// Submits, starts, and completes jobs, with this number of writes in each commit.
fn fill(graph: &Graph, jobs: usize, group: usize) {
    let some = requests(5, 1_000);
    let mut open = std::collections::VecDeque::new();
    let mut writes: Vec<Box<dyn FnOnce()>> = Vec::new();
    let done = |writes: &mut Vec<Box<dyn FnOnce()>>| {
        writes.drain(..).for_each(|wait| wait());
    };
    for n in 0..jobs {
        let write = graph.nonblocking().submit(some[n % 1_000].clone());
        if group == 1 {
            open.push_back(Ok(write.wait().expect("submit")));
        } else {
            open.push_back(Err(write));
        }
        if open.len() > OPEN * group {
            let id = match open.pop_front().expect("a job") {
                Ok(id) => id,
                Err(write) => write.wait().expect("submit"),
            };
            let started = graph.nonblocking().start(&id);
            let completed = graph.nonblocking().complete(&id, Outcome::succeeded());
            writes.push(Box::new(|| started.wait().expect("start")));
            writes.push(Box::new(|| drop(completed.wait().expect("complete"))));
        }
        if writes.len() >= 2 * group {
            done(&mut writes);
        }
    }
    done(&mut writes);
}

fn follow(place: &str, commits: &str, graph: &Graph, jobs: usize) {
    let begun = Instant::now();
    let changes = graph.changes(None).expect("a feed");
    let count = changes.inspect(|change| assert!(change.is_ok())).count();
    let seconds = begun.elapsed().as_secs_f64();
    table::row(&[
        place.to_owned(),
        commits.to_owned(),
        count.to_string(),
        format!("{:.2}", seconds * 1e6 / count as f64),
        format!("{:.0}", jobs as f64 / seconds),
    ]);
}
