//! An open store.
//!
//! [`Engine`] contains all parts of a store, decides which calls are refused, records the index's
//! faults, and wakes the threads.

mod checks;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::base::clock;
use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::sync::channel::Sender;
use crate::base::sync::thread::JoinHandle;
use crate::base::sync::{Mutex, OnceLock, RwLock};
use crate::engine::state::attached_service::ServiceSlot;
use crate::engine::state::catalog::Graphs;
use crate::engine::state::claim::Claim;
use crate::engine::state::committer::Committer;
use crate::engine::state::committer_guard::{CommitterGuard, CommitterLock};
use crate::engine::state::external_ids::ExternalIds;
use crate::engine::state::follower::FollowerState;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::indexer::Indexer;
use crate::engine::state::log_files::{LogFiles, PinnedFile};
use crate::engine::state::metrics::Metrics;
use crate::engine::state::queue::Queue;
use crate::engine::state::recovered::RecoveredJobs;
use crate::engine::state::replica::ReplicaState;
use crate::engine::state::retention::ages::AgeClock;
use crate::engine::state::retention::{ChangedGraphs, RetentionState};
use crate::engine::state::retired::Retired;
use crate::engine::state::store_lock::StoreLock;
use crate::engine::state::waiters::Waiter;
use crate::engine::state::watchdog::Watchdog;
use crate::engine::state::workers::{Shutdown, Worker};
use crate::index::directory::IndexDirectory;
use crate::index::{Fault, Index};
use crate::log::disk::Disk;
use crate::log::file_names;
use crate::log::preallocation::Preallocation;
use crate::model::error::{Error, Result};
use crate::model::options::Options;
use crate::model::secrets::SecretKeys;
use crate::model::store_id::StoreId;
use crate::model::token::OpenEvent;

/// About how many changes may wait for the index in memory before new jobs are refused.
pub(crate) const INDEX_LAG_MAX: u64 = 8 << 20;

pub(crate) struct Engine {
    pub(crate) options: Options,
    pub(crate) disk: Arc<dyn Disk>,
    /// Whether the store is read-only: nothing is written, and no threads run.
    pub(crate) read_only: bool,
    pub(crate) store: StoreId,
    /// The last open of the store for writing. A follower learns of further ones. It is set before
    /// the LSNs of its events become visible, and must be read after them.
    open_event: RwLock<OpenEvent>,
    /// The keys whose values are secret. A follower learns of changes.
    secret_keys: RwLock<Arc<SecretKeys>>,
    /// The earlier opens that were looked up: maps the LSN of each to the LSN of the next open.
    pub(crate) ends: Mutex<HashMap<u64, u64>>,
    /// The jobs that this open found running.
    pub(crate) recovered: Vec<RecoveredJobs>,
    pub(crate) graphs: RwLock<Graphs>,
    pub(crate) queue: Queue,
    committer: CommitterLock,
    /// May be locked while a graph's state is locked, but a graph's state must not be locked while
    /// this is locked.
    pub(crate) log_files: RwLock<Arc<LogFiles>>,
    pub(crate) ids: ExternalIds,
    pub(crate) indexer: Mutex<Indexer>,
    pub(crate) preallocation: Arc<Preallocation>,
    /// `None` once the store is closed.
    pub(crate) index: RwLock<Option<Arc<dyn Index>>>,
    /// Where the index is stored on disk.
    pub(crate) index_directory: Option<IndexDirectory>,
    /// The absolute path of the store's directory, if it has one.
    pub(crate) place: OnceLock<PathBuf>,
    pub(crate) index_fault: Mutex<Option<Arc<str>>>,
    /// Why the index is in memory, although it should be on disk.
    pub(crate) index_in_memory: Mutex<Option<Arc<str>>>,
    pub(crate) replica: Option<ReplicaState>,
    /// Set if the store follows its replica: events come from there, and no others are written.
    pub(crate) follower: Option<FollowerState>,
    /// Why writes are refused.
    pub(crate) failure: OnceLock<Failure>,
    /// The process that opened the store.
    pub(crate) opener: u32,
    /// The files that never change while the store is open.
    pub(crate) pinned_files: OnceLock<Vec<PinnedFile>>,
    closed: AtomicBool,
    pub(crate) shutdown: Arc<Shutdown>,
    /// Monitors the operation that the index's thread waits for.
    pub(crate) index_watchdog: Watchdog,
    /// About how many changes are not in the index yet.
    pub(crate) index_lag: AtomicU64,
    /// Why packing currently fails.
    pub(crate) packing_problem: Mutex<Option<Arc<str>>>,
    /// Jobs of dropped claims that could not be handed back yet.
    pub(crate) owed_hand_backs: Mutex<Vec<(Arc<GraphCore>, Arc<Claim>)>>,
    /// Locked while packs or segments are replaced, and while they must keep their names.
    pub(crate) files_lock: Mutex<()>,
    /// Replaced packs that may still be read.
    pub(crate) retired: Mutex<Vec<Retired>>,
    /// How many readers need replaced packs for longer than a page may keep them.
    pub(crate) unexpiring: AtomicU64,
    /// Locked last, and only briefly.
    pub(crate) clock: Mutex<AgeClock>,
    /// The value of the age clock in the last frame of this open.
    pub(crate) recorded_age_ms: AtomicU64,
    /// Locked while the garbage in packs is counted.
    pub(crate) counting_garbage: Mutex<()>,
    pub(crate) retention: Mutex<RetentionState>,
    /// What commits record for retention and compaction; read while the committer is locked.
    pub(crate) changed_graphs: Mutex<ChangedGraphs>,
    /// Graphs whose archive has or had a problem.
    #[cfg(feature = "archive")]
    pub(crate) archive_trouble: Mutex<std::collections::BTreeSet<u32>>,
    pub(crate) metrics: Metrics,
    /// The last LSN that is durable and visible.
    pub(crate) durable_lsn: AtomicU64,
    /// The last LSN that a reader may have seen.
    pub(crate) visible_lsn: AtomicU64,
    /// The damage to the log that the last scrub found.
    pub(crate) damage: Mutex<Option<Arc<str>>>,
    /// Which other users may read the directory, as far as is known.
    pub(crate) permission_warning: Mutex<Option<String>>,
    background: Mutex<Background>,
    pub(crate) attached_service: ServiceSlot,
    /// Holds the store's lock; released at the end of a close.
    pub(crate) lock: Mutex<Option<StoreLock>>,
}

/// Why a store refuses writes.
pub(crate) struct Failure {
    /// The error of further writes.
    pub(crate) error: Error,
    pub(crate) why: Arc<str>,
    pub(crate) since: SystemTime,
}

/// The threads, and the channels that wake them.
#[derive(Default)]
pub(crate) struct Background {
    pub(crate) packer: Option<Sender<()>>,
    pub(crate) indexer: Option<Sender<()>>,
    /// Exists only if the feature `archive` is enabled.
    pub(crate) archiver: Option<Sender<()>>,
    /// Exists only if the store has a replica.
    pub(crate) uploader: Option<Sender<()>>,
    /// Exists only if the store follows its replica. Dropping it ends the thread.
    pub(crate) follower: Option<Sender<()>>,
    pub(crate) threads: Vec<(Worker, JoinHandle<()>)>,
}

/// The parts from which [`Engine::new`] builds an engine.
pub(crate) struct EngineParts {
    pub(crate) options: Options,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) read_only: bool,
    pub(crate) store: StoreId,
    pub(crate) open_event: OpenEvent,
    /// The effective keys: those that were set or, if none were set, those that the store has
    /// recorded.
    pub(crate) secret_keys: SecretKeys,
    pub(crate) clock: AgeClock,
    pub(crate) recovered: Vec<RecoveredJobs>,
    pub(crate) graphs: Graphs,
    pub(crate) committer: Committer,
    pub(crate) log_files: LogFiles,
    pub(crate) ids: ExternalIds,
    pub(crate) indexer: Indexer,
    pub(crate) preallocation: Arc<Preallocation>,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) index_directory: Option<IndexDirectory>,
    pub(crate) index_in_memory: Option<Arc<str>>,
    pub(crate) replica: Option<ReplicaState>,
    pub(crate) follower: Option<FollowerState>,
    pub(crate) lock: Option<StoreLock>,
}

impl Engine {
    pub(crate) fn new(parts: EngineParts) -> Engine {
        let durable_lsn = AtomicU64::new(parts.committer.log.synced_lsn());
        let visible_lsn = AtomicU64::new(parts.committer.log.synced_lsn());
        let queue = Queue::new(parts.options.max_queue_bytes);
        if parts.read_only {
            queue.refuse(Error::OpenedReadOnly);
        }
        if parts.follower.is_some() {
            queue.refuse(Error::Follower);
        }
        Engine {
            queue,
            options: parts.options,
            disk: parts.disk,
            read_only: parts.read_only,
            store: parts.store,
            open_event: RwLock::new(parts.open_event),
            secret_keys: RwLock::new(Arc::new(parts.secret_keys)),
            ends: Mutex::default(),
            recovered: parts.recovered,
            graphs: RwLock::new(parts.graphs),
            committer: CommitterLock::new(parts.committer),
            log_files: RwLock::new(Arc::new(parts.log_files)),
            ids: parts.ids,
            indexer: Mutex::new(parts.indexer),
            preallocation: parts.preallocation,
            index: RwLock::new(Some(parts.index)),
            index_directory: parts.index_directory,
            place: OnceLock::new(),
            index_fault: Mutex::default(),
            index_in_memory: Mutex::new(parts.index_in_memory),
            replica: parts.replica,
            follower: parts.follower,
            failure: OnceLock::new(),
            opener: std::process::id(),
            pinned_files: OnceLock::new(),
            closed: AtomicBool::new(false),
            shutdown: Arc::default(),
            index_watchdog: Watchdog::default(),
            index_lag: AtomicU64::new(0),
            packing_problem: Mutex::default(),
            files_lock: Mutex::default(),
            retired: Mutex::default(),
            owed_hand_backs: Mutex::default(),
            unexpiring: AtomicU64::new(0),
            recorded_age_ms: AtomicU64::new(parts.clock.mark().age_ms),
            clock: Mutex::new(parts.clock),
            counting_garbage: Mutex::default(),
            retention: Mutex::default(),
            changed_graphs: Mutex::default(),
            #[cfg(feature = "archive")]
            archive_trouble: Mutex::default(),
            metrics: Metrics::default(),
            durable_lsn,
            visible_lsn,
            damage: Mutex::default(),
            permission_warning: Mutex::default(),
            background: Mutex::default(),
            attached_service: ServiceSlot::default(),
            lock: Mutex::new(parts.lock),
        }
    }

    pub(crate) fn set_background(&self, background: Background) {
        *self.background.lock() = background;
    }

    pub(crate) fn open_event(&self) -> OpenEvent {
        *self.open_event.read()
    }

    pub(crate) fn set_open_event(&self, open_event: OpenEvent) {
        *self.open_event.write() = open_event;
    }

    pub(crate) fn secret_keys(&self) -> Arc<SecretKeys> {
        self.secret_keys.read().clone()
    }

    pub(crate) fn set_secret_keys(&self, keys: SecretKeys) {
        *self.secret_keys.write() = Arc::new(keys);
    }

    /// The host's clock. Must not be called while a lock is held.
    pub(crate) fn now_ms(&self) -> u64 {
        clock::to_ms(self.options.clock.now())
    }

    /// How far a follower may be behind.
    pub(crate) fn lag(&self) -> Option<Duration> {
        let follower = self.follower.as_ref()?;
        Some(follower.lag(self.options.clock.now()))
    }

    /// Whether the store has files on a disk.
    pub(crate) fn is_on_disk(&self) -> bool {
        #[cfg(feature = "simulation")]
        if crate::log::disk::simulated::is_simulated(&self.disk.path("")) {
            return true;
        }
        self.index_directory.is_some() || self.read_only
    }

    /// The size of the index's files, in bytes. Does not call the index engine.
    pub(crate) fn index_bytes(&self) -> Result<u64> {
        let Some(directory) = &self.index_directory else {
            return Ok(0);
        };
        let bytes = directory.bytes();
        bytes.map_err(|e| Error::io("inspect", directory.path(), &e))
    }

    /// Records that the index cannot be trusted, so that the next open rebuilds it.
    pub(crate) fn index_failed(&self, fault: Fault) -> Error {
        let what: Arc<str> = fault.0.into();
        // While the index moves to memory, readers may find its parts inconsistent.
        if self.index_in_memory.lock().is_some() {
            return Error::IndexUnavailable { what };
        }
        let is_new = self.index_fault.lock().replace(what.clone()).is_none();
        if is_new {
            tracing::error!(fault = %what, "index unavailable; the next open rebuilds it");
            // After a close, another process may be using the directory.
            if !self.shutdown.is_over() {
                self.mark_index();
            }
        }
        Error::IndexUnavailable { what }
    }

    pub(crate) fn forget_index_fault(&self) {
        *self.index_fault.lock() = None;
    }

    /// Marks the index as if an open had been interrupted, so that the next open rebuilds it. If
    /// the mark cannot be created, the next open detects the fault itself.
    pub(crate) fn mark_index(&self) {
        let made = self.disk.create(file_names::INDEX_OPENING);
        if made.is_err_and(|e| e.kind() != io::ErrorKind::AlreadyExists) {
            // On a full disk, rename the file that was prepared for a clean close instead. That
            // file can be created again later.
            let marked = self
                .disk
                .rename(file_names::CLOSING, file_names::INDEX_OPENING);
            marked.ok();
        }
    }

    pub(crate) fn index_is_sound(&self) -> bool {
        self.index_fault.lock().is_none()
    }

    pub(crate) fn index(&self) -> Result<Arc<dyn Index>> {
        self.index.read().clone().ok_or(Error::Closed)
    }

    /// Queries the index. If the index moves to memory during the query, its rows and their hashes
    /// are replaced, and the result may mix old and new data. In that case, the query is repeated.
    pub(crate) fn ask_index<T>(&self, ask: impl Fn(&dyn Index) -> Result<T, Fault>) -> Result<T> {
        self.query_index(ask)?
            .map_err(|fault| self.index_failed(fault))
    }

    /// Like [`Engine::ask_index`], but the caller decides what a fault means.
    pub(crate) fn query_index<T>(
        &self,
        ask: impl Fn(&dyn Index) -> Result<T, Fault>,
    ) -> Result<Result<T, Fault>> {
        let mut index = self.index()?;
        loop {
            let result = ask(&*index);
            let now = self.index()?;
            if Arc::ptr_eq(&index, &now) {
                return Ok(result);
            }
            index = now;
        }
    }

    /// Reads the clock for the queued writes before the committer is locked, because the host's
    /// clock may block.
    pub(crate) fn read_clock_for_queue(&self) -> u64 {
        let begun = self.queue.begin_clock_reading();
        let now_ms = self.now_ms();
        self.queue.end_clock_reading(&begun, now_ms);
        now_ms
    }

    /// Wakes the threads that pack and purge.
    pub(crate) fn wake_packer(&self) {
        let background = self.background.lock();
        for channel in background.packer.iter().chain(&background.archiver) {
            // A full channel means that the thread has been woken already.
            channel.try_send(()).ok();
        }
    }

    /// Wakes the thread that copies files to the replica.
    pub(crate) fn wake_uploader(&self) {
        if let Some(uploader) = &self.background.lock().uploader {
            uploader.try_send(()).ok();
        }
    }

    pub(crate) fn wake_indexer(&self) {
        if let Some(indexer) = &self.background.lock().indexer {
            indexer.try_send(()).ok();
        }
    }

    /// All graphs, in order of creation. Locks the list repeatedly, for a limited number of graphs
    /// at a time, so that no commit has to wait until thousands of graphs have been read.
    pub(crate) fn all_graphs(&self) -> Vec<Arc<GraphCore>> {
        const STEP: usize = 1024;
        let (mut all, mut from) = (Vec::<Arc<GraphCore>>::new(), 0);
        loop {
            let before = all.len();
            let graphs = self.graphs.read();
            let next = graphs.by_number.range(from..).take(STEP);
            all.extend(next.map(|(_, graph)| graph.clone()));
            drop(graphs);
            match all.last() {
                Some(last) if all.len() == before + STEP => from = last.number + 1,
                _ => break,
            }
        }
        // A graph may have been dropped after it was read, and a newer graph may have the same
        // name.
        all.retain(|graph| !graph.is_dropped());
        all
    }

    pub(crate) fn graph(&self, number: u32) -> Option<Arc<GraphCore>> {
        self.graphs.read().by_number.get(&number).cloned()
    }

    /// Removes all waiters so that they can be woken: no job will complete in this open store
    /// anymore.
    pub(crate) fn take_all_waiters(&self) -> Vec<Arc<Waiter>> {
        let graphs = self.all_graphs();
        let of = |graph: Arc<GraphCore>| graph.state.write().waiters.take_all();
        graphs.into_iter().flat_map(of).collect()
    }

    pub(crate) fn wake_all_waiters(&self) {
        let waiters = self.take_all_waiters();
        waiters.iter().for_each(|waiter| waiter.wake());
    }

    pub(crate) fn lock_committer(&self) -> CommitterGuard<'_> {
        self.committer.lock(&self.queue)
    }

    pub(crate) fn try_lock_committer(&self) -> Option<CommitterGuard<'_>> {
        self.committer.try_lock(&self.queue)
    }

    pub(crate) fn set_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Tells the threads to exit.
    pub(crate) fn stop_threads(&self) -> Vec<(Worker, JoinHandle<()>)> {
        let mut background = self.background.lock();
        background.packer = None;
        background.indexer = None;
        background.archiver = None;
        background.uploader = None;
        background.follower = None;
        std::mem::take(&mut background.threads)
    }

    /// Keeps a thread that a close stopped waiting for, so that another close can wait for it.
    pub(crate) fn keep_thread(&self, worker: Worker, thread: JoinHandle<()>) {
        self.background.lock().threads.push((worker, thread));
    }

    /// Releases the directory to other processes.
    pub(crate) fn unlock(&self) {
        self.lock.lock().take();
    }
}
