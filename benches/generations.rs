//! Whether a store with a constant number of jobs keeps a constant size if jobs are purged as fast
//! as they are submitted.
//!
//! `cargo bench --bench generations`; `JOBSTORE_BENCH_JOBS=10000000` for more jobs. A
//! generation is as many new jobs as the graph keeps.

mod common;

use std::time::{Duration, Instant};

use common::directory::{disk_bytes, wait_until_packed};
use common::settings;
use common::stores::fill;
use common::table;
use common::work::PROJECT;
use jobstore::{JobStore, Retention, State};

fn main() {
    let jobs = settings::jobs();
    let generations = if settings::is_test() { 2 } else { 20 };
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("store");
    let store = JobStore::open(&dir).expect("open");
    let graph = store.create_graph(PROJECT, "movie").expect("create");
    let policy = Retention::new().max_jobs(jobs).max_tombstones(jobs / 10);
    graph.set_retention(Some(policy)).expect("a policy");
    table::head(&["generation", "bytes per kept job", "jobs per second"]);
    for generation in 1..=generations {
        let start = Instant::now();
        fill(&graph, jobs, |_| false);
        while graph.count(State::Complete).expect("a count") > jobs {
            std::thread::sleep(Duration::from_millis(10));
        }
        let seconds = start.elapsed().as_secs_f64();
        wait_until_packed(&dir);
        let bytes = at_rest(&dir);
        table::row(&[
            generation.to_string(),
            format!("{:.1}", bytes as f64 / jobs as f64),
            format!("{:.0}", jobs as f64 / seconds),
        ]);
    }
    store.close().expect("close");
}

/// Returns the disk space once it no longer changes.
fn at_rest(dir: &std::path::Path) -> u64 {
    let mut before = 0;
    loop {
        let bytes = disk_bytes(dir);
        if bytes == before {
            return bytes;
        }
        before = bytes;
        std::thread::sleep(Duration::from_secs(6));
    }
}
