//! The cost of a replica: acknowledgements compared with the local sync and with the backend alone,
//! full pages with a replica and on a follower compared with a plain store, the lag of a follower,
//! the time of a takeover, and memory.
//!
//! `cargo bench --bench replica`. The backends are in memory, and each `create` takes as long as the
//! one measured on a real backend. With the features `replica-s3` and `replica-etcd`,
//! `JOBSTORE_BENCH_REPLICAS` names real ones: URLs, separated by spaces, below which replicas are
//! created and left. `JOBSTORE_BENCH_PARTS=acknowledgements,pages,lag,memory` runs only these parts.

#[path = "../common/mod.rs"]
mod common;

mod acknowledgements;
mod lag;
mod memory;
mod pages;
mod real;
mod slow;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::child;
use common::work::PROJECT;
use jobstore::replica::{MemoryReplica, Replica};
use jobstore::{Graph, JobStore};

use crate::slow::Slow;

/// A backend for replicas.
pub struct Backend {
    name: String,
    /// Returns a new replica.
    connect: Box<dyn Fn() -> Arc<dyn Replica>>,
}

fn in_memory() -> Vec<Backend> {
    let backend = |(name, micros): (&str, u64)| Backend {
        name: format!("memory, {name}"),
        connect: Box::new(move || {
            Arc::new(Slow {
                contents: MemoryReplica::default(),
                time: Duration::from_micros(micros),
            })
        }),
    };
    let delays = [
        ("0", 0),
        ("1.4 ms", 1_400),
        ("2.8 ms", 2_800),
        ("20 ms", 20_000),
    ];
    delays.map(backend).into()
}

fn open(dir: &Path, replica: Option<Arc<dyn Replica>>) -> (JobStore, Graph) {
    let options = JobStore::options();
    let options = match replica {
        Some(replica) => options.replica(replica),
        None => options,
    };
    let store = options.open(dir).expect("open");
    let graph = store.get_or_create_graph(PROJECT, "movie");
    let graph = graph.expect("a graph");
    (store, graph)
}

fn main() {
    if let Some(role) = child::role() {
        return memory::work(Path::new(&role[1]), role.get(2).map(String::as_str));
    }
    let parts = std::env::var("JOBSTORE_BENCH_PARTS");
    let parts = parts.unwrap_or_else(|_| "acknowledgements,pages,lag,memory".to_owned());
    for part in parts.split(',') {
        match part {
            "acknowledgements" => {
                let mut backends = in_memory();
                backends.extend(real::backends());
                acknowledgements::measure(&backends);
            }
            "pages" | "lag" => {
                let mut backends = in_memory();
                backends.truncate(1);
                backends.extend(real::backends());
                match part {
                    "pages" => pages::measure(&backends),
                    _ => lag::measure(&backends),
                }
            }
            "memory" => memory::measure(&real::urls()),
            other => panic!("JOBSTORE_BENCH_PARTS: {other}"),
        }
    }
}
