//! Filled stores. They are created once per program, or found in `JOBSTORE_BENCH_DIR`, where they
//! are kept for later programs. Stores with the same shape and size always contain the same
//! requests.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use jobstore::{Graph, JobId, JobQuery, JobStore, Outcome, State};
use tempfile::TempDir;

use super::directory::wait_until_packed;
use super::requests::Seeded;
use super::work::{PROJECT, foreign_id, request};

const GRAPH: &str = "movie";
const BATCH: u64 = 10_000;
/// In [`Shape::States`], one in this many jobs is pending, and the others are complete.
pub const SCATTERED_ONE_IN: u64 = 100;

/// The content of a store.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Complete jobs.
    Finished,
    /// Jobs of which one in a hundred is pending, followed by a tenth as many that are all pending,
    /// but at most 100,000 of these.
    States,
    /// Complete jobs with external ids.
    Brought,
}

/// The directory of a filled store, which is closed and completely packed.
pub struct Filled {
    pub dir: PathBuf,
    _temporary: Option<TempDir>,
}

/// Returns the number of pending jobs at the end of [`Shape::States`].
pub fn open_jobs(jobs: u64) -> u64 {
    (jobs / 10).min(100_000)
}

impl Filled {
    pub fn new(shape: Shape, jobs: u64) -> Filled {
        let (root, temporary) = match std::env::var_os("JOBSTORE_BENCH_DIR") {
            Some(root) => (PathBuf::from(root), None),
            None => {
                let temporary = tempfile::tempdir().expect("a temporary directory");
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let name = format!("{shape:?}-{jobs}").to_lowercase();
        let filled = Filled {
            dir: root.join(&name),
            _temporary: temporary,
        };
        if !filled.dir.exists() {
            let start = Instant::now();
            // If a directory has its final name, it is complete.
            let unfinished = root.join(format!("{name}.unfinished"));
            if unfinished.exists() {
                std::fs::remove_dir_all(&unfinished).expect("remove");
            }
            std::fs::create_dir_all(&root).expect("a directory");
            let store = JobStore::open(&unfinished).expect("open");
            let graph = store.create_graph(PROJECT, GRAPH).expect("create");
            shape.fill(&graph, jobs);
            wait_until_packed(&unfinished);
            store.close().expect("close");
            std::fs::rename(&unfinished, &filled.dir).expect("rename");
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{name}: filled in {seconds:.1} s");
        }
        filled
    }

    /// Opens the store and waits until it is idle.
    pub fn open(&self) -> (JobStore, Graph) {
        let store = JobStore::open(&self.dir).expect("open");
        let graph = graph(&store);
        wait_until_packed(&self.dir);
        (store, graph)
    }
}

/// The graph of a filled store.
pub fn graph(store: &JobStore) -> Graph {
    store.graph(PROJECT, GRAPH).expect("a graph")
}

impl Shape {
    fn fill(self, graph: &Graph, jobs: u64) {
        match self {
            Shape::Finished => fill(graph, jobs, |_| false),
            Shape::States => fill(graph, jobs + open_jobs(jobs), |n| {
                n >= jobs || n % SCATTERED_ONE_IN == SCATTERED_ONE_IN / 2
            }),
            Shape::Brought => fill_brought(graph, jobs),
        }
    }
}

/// Fills a graph with jobs. Completes those for which `stays_open` returns `false`.
pub fn fill(graph: &Graph, jobs: u64, stays_open: impl Fn(u64) -> bool + Sync) {
    submit_and_end(graph, jobs, &stays_open, |random, batch| {
        let requests: Vec<_> = batch.map(|_| request(random)).collect();
        graph.submit_all(requests).expect("submit")
    });
}

/// Fills a graph with jobs that have external ids. Completes all of them.
pub fn fill_brought(graph: &Graph, jobs: u64) {
    submit_and_end(graph, jobs, &|_| false, |random, batch| {
        let submit = |n| {
            graph
                .nonblocking()
                .submit_as(foreign_id(n), request(random))
        };
        let writes: Vec<_> = batch.map(submit).collect();
        let submitted = writes.into_iter().map(|write| write.wait());
        submitted.map(|s| s.expect("submit").id().clone()).collect()
    });
}

/// Submits jobs in batches on one thread, and starts and completes them on another.
fn submit_and_end(
    graph: &Graph,
    jobs: u64,
    stays_open: &(impl Fn(u64) -> bool + Sync),
    mut submit: impl FnMut(&mut Seeded, std::ops::Range<u64>) -> Vec<JobId>,
) {
    let before = graph.count(State::Complete).expect("count");
    let ended = std::thread::scope(|scope| {
        let (give, submitted) = sync_channel::<(u64, Vec<JobId>)>(2);
        let ending = scope.spawn(move || {
            let mut ended = 0;
            for (first, ids) in submitted {
                let numbered = (first..).zip(&ids);
                let these = numbered.filter(|&(n, _)| !stays_open(n));
                ended += end(graph, these.map(|(_, id)| id));
            }
            ended
        });
        let mut random = Seeded(7);
        for first in (0..jobs).step_by(BATCH as usize) {
            let ids = submit(&mut random, first..(first + BATCH).min(jobs));
            give.send((first, ids)).expect("the other thread");
        }
        drop(give);
        ending.join().expect("the other thread")
    });
    // If a policy purges jobs at the same time, the count is meaningless.
    if graph.retention().is_none() {
        let complete = graph.count(State::Complete).expect("count");
        assert_eq!(complete, before + ended);
    }
}

/// Starts and completes these jobs, and returns their number.
fn end<'i>(graph: &Graph, ids: impl Iterator<Item = &'i JobId>) -> u64 {
    let (mut ended, mut last) = (0, None);
    for id in ids {
        // The writes are executed in this order. The caller's count verifies that they succeeded.
        drop(graph.nonblocking().start(id));
        last = Some(graph.nonblocking().complete(id, Outcome::succeeded()));
        ended += 1;
    }
    if let Some(write) = last {
        write.wait().expect("complete");
    }
    ended
}

/// Starts and completes all pending jobs.
pub fn end_all(graph: &Graph) {
    while graph.count(State::Pending).expect("count") > 0 {
        let pending = graph.list(JobQuery::new().state(State::Pending).limit(BATCH));
        let pending = pending.expect("a page");
        let ids = pending.jobs().map(|job| job.expect("a job").id().clone());
        end(graph, ids.collect::<Vec<_>>().iter());
    }
}
