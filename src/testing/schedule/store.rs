//! The store under test.
//!
//! Opens the store, creates its graphs and distinguishable requests, and checks what would remain
//! after a power failure. Apart from the scheduler's choices, nothing here depends on the time of
//! day or on chance.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::api::graph::Graph;
use crate::base::clock::Clock;
use crate::engine::core::Engine;
use crate::engine::open::open_disk;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::operation::{Action, Operation};
use crate::engine::store_handle::StoreHandle;
use crate::log::disk::memory::MemoryDisk;
use crate::model::error::Result;
use crate::model::health::Health;
use crate::model::id::JobId;
use crate::model::job::Job;
use crate::model::job_query::JobQuery;
use crate::model::options::Options;
use crate::model::request::{Body, Request};
use crate::model::states::State;

/// A segment size that nearly every commit fills.
pub(super) const TINY: u64 = 300;
/// A segment size that no test fills.
pub(super) const AMPLE: u64 = 16 << 10;

/// A stopped clock: times are not tested here.
struct Standing;

impl Clock for Standing {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }
}

pub(super) fn options(segment_bytes: u64) -> Options {
    Options {
        segment_bytes,
        clock: Arc::new(crate::base::host_clock::HostClock::new(Standing)),
        // The timeout is counted in scheduler steps, one per millisecond.
        close_timeout: Duration::from_secs(3600),
        ..Options::default()
    }
}

#[derive(Clone)]
pub(super) struct Store {
    pub(super) engine: Arc<Engine>,
    pub(super) disk: Arc<MemoryDisk>,
    handle: Arc<StoreHandle>,
}

impl Store {
    pub(super) fn open(options: Options, disk: Arc<MemoryDisk>) -> Store {
        let engine = open_disk(options, disk.clone()).expect("it opens");
        let handle = Arc::new(StoreHandle {
            engine: engine.clone(),
        });
        Store {
            engine,
            disk,
            handle,
        }
    }

    /// Opens a new store with one graph.
    pub(super) fn with_graph(options: Options) -> (Store, Graph) {
        let store = Store::open(options, Arc::default());
        let graph = store.create_graph("g", 1).expect("it is created");
        (store, graph)
    }

    pub(super) fn create_graph(&self, name: &str, number: u64) -> Result<Graph> {
        let action = Action::CreateGraph {
            project: "p".to_owned(),
            name: name.to_owned(),
            id_number: 1_000_000_000_000_000_000 + number,
            key: [number, 7],
        };
        match self.engine.commit(Operation::small(action))? {
            WriteResult::Graph(core) => Ok(Graph::new(&self.handle, &core)),
            _ => panic!("another answer"),
        }
    }

    pub(super) fn drop_graph(&self, graph: &Graph) -> Result<()> {
        let action = Action::DropGraph {
            graph: graph.core.clone(),
        };
        self.engine.commit(Operation::small(action)).map(|_| ())
    }

    pub(super) fn graph(&self, name: &str) -> Graph {
        let graphs = self.engine.graphs.read();
        let core = graphs.by_number.values().find(|core| *core.name == *name);
        Graph::new(&self.handle, core.expect("the graph is there"))
    }

    /// Returns whether segments were packed, and whether packs were merged.
    pub(super) fn has_packed_and_merged(&self) -> [bool; 2] {
        let segments_ever = self.engine.lock_committer().log.active().header.epoch;
        let log_files = self.engine.log_files.read();
        let files = (log_files.packs.len() + log_files.segments.len()) as u64;
        [!log_files.packs.is_empty(), files < segments_ever]
    }

    /// Closes the store, after checking that none of its threads failed.
    pub(super) fn end(&self) {
        assert_eq!(self.engine.health(), Health::Ok);
        self.engine.close().expect("it closes");
    }

    /// Closes the store, and reopens it from what remains after a power failure.
    pub(super) fn reopen(self, options: Options) -> Store {
        self.end();
        let left = self.disk.image().after_power_cut();
        Store::open(options, Arc::new(left))
    }
}

pub(super) fn request(name: &str) -> Request {
    let body = Body::from_json(format!(r#"{{"n":"{name}"}}"#)).expect("JSON");
    Request::new("c", "/", body).expect("a request")
}

/// Returns the part of the body that identifies a request.
pub(super) fn name_of(job: &Job) -> String {
    let body = job.request().body();
    body[r#"{"n":""#.len()..body.len() - 2].to_owned()
}

/// Returns all jobs at one instant. Checks that their numbers have no gaps.
pub(super) fn list(graph: &Graph) -> Vec<Job> {
    let page = graph.list(JobQuery::new()).expect("a page");
    let jobs: Vec<Job> = page.jobs().map(|job| job.expect("a job")).collect();
    assert_eq!(jobs.len() as u64, page.total().unwrap());
    for (n, job) in jobs.iter().enumerate() {
        assert_eq!(job.sequence(), n as u64, "a gap in the one order");
        assert_eq!(job.outcome().is_some(), job.state() == State::Complete);
    }
    jobs
}

pub(super) fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id().clone()).collect()
}

/// Returns whether the data that survives a power failure at this instant contains this text.
pub(super) fn is_durable(disk: &MemoryDisk, text: &str) -> bool {
    let files = disk.image().after_power_cut().files();
    let mut contents = files.iter().map(|(_, content)| content);
    contents.any(|content| {
        let mut windows = content.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    })
}
