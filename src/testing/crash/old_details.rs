//! Guarantee: if the index returns an outdated row, this is detected before anything of that row is
//! shown, and the index is rebuilt from the log.
//!
//! Detail rows contain the times at which a job started and completed. Here they are reset to an
//! earlier state, in an open store and in a closed one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::api::graph::Graph;
use crate::base::clock::Clock;
use crate::base::host_clock::HostClock;
use crate::base::sync::Mutex;
use crate::engine::open::{self, IndexLocation};
use crate::index::memory::MemoryIndex;
use crate::index::{Batch, Index, rows};
use crate::log::disk::memory::MemoryDisk;
use crate::model::error::Error;
use crate::model::id::JobId;
use crate::model::options::{Durability, Options, Recovery};
use crate::model::request::{Body, Request};
use crate::testing::crash::client::{Store, options};

/// A clock that a test sets.
#[derive(Default)]
struct Hand(Arc<AtomicU64>);

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        at(self.0.load(Ordering::SeqCst))
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A store whose index persists between opens, and can be reset.
#[derive(Default)]
struct IndexedStore {
    disk: Arc<MemoryDisk>,
    index: Mutex<Arc<MemoryIndex>>,
    rebuilds: AtomicU64,
    seconds: Arc<AtomicU64>,
}

impl IndexedStore {
    fn open(&self, recovery: Recovery) -> Store {
        let location = |rebuild| -> Arc<dyn Index> {
            if rebuild {
                self.rebuilds.fetch_add(1, Ordering::SeqCst);
                *self.index.lock() = Arc::default();
            }
            self.index.lock().clone()
        };
        let options = Options {
            recovery,
            clock: Arc::new(HostClock::new(Hand(self.seconds.clone()))),
            ..options(Durability::Synced)
        };
        let opened = open::open(
            options,
            self.disk.clone(),
            None,
            IndexLocation::Memory(&location),
        );
        Store::of(opened.expect("it opens"))
    }

    fn details(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        let index = self.index.lock().clone();
        index
            .scan(&rows::detail_prefix(0), &mut |key, value| {
                found.push((key.to_vec(), value.to_vec()));
                Ok(())
            })
            .expect("a scan");
        found
    }

    fn put_back(&self, details: &[(Vec<u8>, Vec<u8>)]) {
        let mut batch = Batch::default();
        for (key, _) in self.details() {
            batch.remove(key);
        }
        for (key, value) in details {
            batch.put(key.clone(), value.clone());
        }
        self.index.lock().write(&batch).expect("a write");
    }

    fn set_clock(&self, seconds: u64) {
        self.seconds.store(seconds, Ordering::SeqCst);
    }
}

/// Returns a store with a job that was started at 100 s and is recorded in the index.
fn started(directory: &IndexedStore) -> (Store, JobId) {
    let store = directory.open(Recovery::Requeue);
    store.create_graph("g");
    let request = Request::new("c", "/ges", Body::empty()).expect("a request");
    let id = store.graph("g").submit(request).expect("it submits");
    directory.set_clock(100);
    store.graph("g").start(&id).expect("it starts");
    store.engine.apply_to_index();
    (store, id)
}

/// Returns when the job started, or `None` if the index cannot provide the time.
fn start_shown(graph: &Graph, id: &JobId) -> Option<SystemTime> {
    let by_page = || {
        let page = graph.list(crate::model::job_query::JobQuery::new())?;
        page.jobs()
            .next()
            .expect("a job")
            .map(|job| job.started_at())
    };
    let by_id = graph.job(id).map(|job| job.expect("the job").started_at());
    match (by_id, by_page()) {
        (Ok(by_id), Ok(by_page)) => {
            assert_eq!(by_id, by_page);
            by_id
        }
        (Err(Error::IndexUnavailable { .. }), Err(Error::IndexUnavailable { .. })) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_old_row_of_details_is_never_shown_and_the_next_open_knows_again() {
    for gone in [false, true] {
        for closed in [false, true] {
            let directory = IndexedStore::default();
            let (store, id) = started(&directory);
            let old = match gone {
                true => Vec::new(),
                false => directory.details(),
            };
            drop(store);
            // The job was requeued, and started again later.
            directory.set_clock(200);
            let store = directory.open(Recovery::Requeue);
            directory.set_clock(300);
            store.graph("g").start(&id).expect("it starts again");
            store.engine.apply_to_index();
            assert_eq!(start_shown(&store.graph("g"), &id), Some(at(300)));
            let store = if closed {
                drop(store);
                directory.put_back(&old);
                directory.open(Recovery::Leave)
            } else {
                directory.put_back(&old);
                store
            };
            // If the open had to read the row, it rebuilt the index.
            let shown = start_shown(&store.graph("g"), &id);
            match directory.rebuilds.load(Ordering::SeqCst) {
                0 => assert_eq!(shown, None, "gone {gone}, closed {closed}"),
                _ => assert_eq!(shown, Some(at(300)), "gone {gone}, closed {closed}"),
            }
            drop(store);
            let store = directory.open(Recovery::Leave);
            assert_eq!(start_shown(&store.graph("g"), &id), Some(at(300)));
            assert_eq!(directory.rebuilds.load(Ordering::SeqCst), 1);
        }
    }
}

#[test]
fn a_cancel_request_alone_is_vouched_for() {
    let directory = IndexedStore::default();
    let (store, id) = started(&directory);
    let before = directory.details();
    store.graph("g").cancel(&id).expect("it is asked to stop");
    store.engine.apply_to_index();
    let after = directory.details();
    assert_ne!(before, after);
    drop(store);
    let store = directory.open(Recovery::Leave);
    let job = store
        .graph("g")
        .job(&id)
        .expect("it reads")
        .expect("the job");
    assert!(job.cancel_requested());
    assert_eq!(job.started_at(), Some(at(100)));
    assert_eq!(directory.rebuilds.load(Ordering::SeqCst), 0);
    drop(store);
    // Without the cancellation request, the next open would not know that the job is to be
    // canceled.
    directory.put_back(&before);
    let store = directory.open(Recovery::Leave);
    let job = store
        .graph("g")
        .job(&id)
        .expect("it reads")
        .expect("the job");
    assert!(job.cancel_requested());
    assert_eq!(directory.rebuilds.load(Ordering::SeqCst), 1);
}

/// The indexer keeps its lock while it waits for the committer. A commit may read rows, so it must
/// not need that lock.
#[test]
fn a_row_is_read_without_waiting_for_the_indexer() {
    let directory = IndexedStore::default();
    let (store, id) = started(&directory);
    let indexer = store.engine.indexer.lock();
    let graph = store.graph("g");
    assert_eq!(start_shown(&graph, &id), Some(at(100)));
    directory.put_back(&[]);
    let (done, shown) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(start_shown(&graph, &id)));
    let shown = shown.recv_timeout(Duration::from_secs(30));
    drop(indexer);
    assert_eq!(shown, Ok(None));
}
