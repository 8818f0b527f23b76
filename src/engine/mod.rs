//! An open store at work: states in memory, commits, pages, background work.
//!
//! Owns: everything between the public calls and the files; here, all its parts in
//! one place, their health, their threads and their end. Must not know: the bytes of
//! the log, which index engine is used.
//! Promise: durable before acknowledged, never listed before durable, one order, a
//! page is one instant; after a failed write nothing more is written until the store
//! is reopened, while reads go on.
//!
//! In reading order: [`queue`] and [`commit`] take a write to the log,
//! [`graph_state`] publishes it, [`answers`] tells the caller; [`status`] finds what a
//! page shows, [`read`] brings its blocks, [`jobs`] makes values of them; [`packing`],
//! [`compaction`], [`retention`] and [`indexing`] work behind; [`ending`] ends all of it, and [`open`] puts it
//! together again.

pub(crate) mod answers;
#[cfg(feature = "archive")]
pub(crate) mod archiving;
pub(crate) mod backlog;
pub(crate) mod check;
pub(crate) mod commit;
pub(crate) mod compaction;
pub(crate) mod details;
pub(crate) mod ending;
pub(crate) mod exposure;
pub(crate) mod feed;
pub(crate) mod files;
pub(crate) mod folder;
pub(crate) mod garbage;
pub(crate) mod gone_runs;
pub(crate) mod graph_state;
pub(crate) mod held;
pub(crate) mod history;
pub(crate) mod holder;
pub(crate) mod index_home;
pub(crate) mod indexing;
pub(crate) mod jobs;
pub(crate) mod kept;
pub(crate) mod keys;
pub(crate) mod large;
pub(crate) mod listing;
pub(crate) mod lookup;
pub(crate) mod meters;
pub(crate) mod open;
pub(crate) mod packing;
pub(crate) mod presence;
pub(crate) mod queue;
pub(crate) mod read;
pub(crate) mod recover;
pub(crate) mod repair;
pub(crate) mod replay;
pub(crate) mod retention;
pub(crate) mod scan;
pub(crate) mod status;
pub(crate) mod survey;
pub(crate) mod texts;
pub(crate) mod tombstones;
pub(crate) mod waiting;
pub(crate) mod wakers;
pub(crate) mod watch;

#[cfg(all(test, not(jobstore_shuttle)))]
mod crash_tests;
#[cfg(all(test, not(jobstore_shuttle)))]
mod many_graphs_tests;
#[cfg(all(test, jobstore_shuttle))]
mod schedule_tests;

use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::time::Instant;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::sync::channel::Sender;
use crate::sync::thread::JoinHandle;
use crate::sync::{Mutex, OnceLock, RwLock};

use crate::clock;
use crate::engine::answers::{Answer, Call, Queued};
use crate::engine::commit::Committer;
use crate::engine::compaction::Retired;
use crate::engine::ending::{Ending, Worker};
use crate::engine::folder::StoreLock;
use crate::engine::graph_state::GraphCore;
use crate::engine::history::Opening;
use crate::engine::indexing::Indexer;
use crate::engine::lookup::ForeignIds;
use crate::engine::meters::Meters;
use crate::engine::presence::Fixed;
use crate::engine::queue::{Operation, Queue};
use crate::engine::recover::Found;
use crate::engine::retention::{AgeClock, Noted, Work};
use crate::engine::watch::{PATIENCE, Watch};
use crate::error::{Error, Result};
use crate::health::Health;
use crate::index::folder::IndexFolder;
use crate::index::{Fault, Index};
use crate::options::Options;
use crate::report::Repaired;
use crate::storage::disk::Disk;
use crate::storage::identity::{Closed, StoreId};
use crate::storage::names;
use crate::storage::pack::Pack;
use crate::storage::segment::Segment;
use crate::storage::spare::Spare;

/// Changes that wait for the index in memory, about, before new jobs are refused.
const INDEX_LAG_MAX: u64 = 8 << 20;
/// The same once the index has failed and will not catch up.
const FAULTY_INDEX_LAG_MAX: u64 = 1 << 20;

/// How long a write that nobody waits for waits for room before its thread commits.
const DETACHED_WAIT: Duration = Duration::from_millis(5);

pub(crate) struct Engine {
    pub(crate) options: Options,
    pub(crate) disk: Arc<dyn Disk>,
    /// Nothing is written, and no thread works.
    pub(crate) read_only: bool,
    pub(crate) store: StoreId,
    pub(crate) opening: Opening,
    /// By the LSN of an earlier opening that was asked for: that of the next one.
    pub(crate) ends: Mutex<HashMap<u64, u64>>,
    /// What this open found running.
    pub(crate) recovered: Vec<Found>,
    /// What a tolerant open had to repair.
    pub(crate) repaired: OnceLock<Repaired>,
    pub(crate) graphs: RwLock<Graphs>,
    pub(crate) queue: Queue,
    /// See [`held`].
    committer: held::Home,
    /// Whoever has a graph's state may ask for it, and not the other way round.
    pub(crate) truth: RwLock<Arc<Truth>>,
    pub(crate) ids: ForeignIds,
    pub(crate) indexer: Mutex<Indexer>,
    pub(crate) spare: Arc<Spare>,
    /// Gone once the store is closed.
    pub(crate) index: RwLock<Option<Arc<dyn Index>>>,
    /// Where it is on disk.
    pub(crate) index_folder: Option<IndexFolder>,
    index_fault: Mutex<Option<Arc<str>>>,
    /// Why the index is in memory, though it has a place on disk.
    pub(crate) index_in_memory: Mutex<Option<Arc<str>>>,
    /// Why no more writes are taken, and since when.
    failure: OnceLock<(Arc<str>, SystemTime)>,
    /// The process that has it open.
    pub(crate) opener: u32,
    /// The files that stay as they are.
    pub(crate) fixed: OnceLock<Vec<Fixed>>,
    closed: AtomicBool,
    pub(crate) ending: Arc<Ending>,
    /// What the index's thread waits for.
    pub(crate) index_watch: Watch,
    /// Changes that the index does not have, about.
    pub(crate) index_lag: AtomicU64,
    /// Why packing does not succeed at present.
    pub(crate) packing_problem: Mutex<Option<Arc<str>>>,
    /// Held by who replaces packs or segments, and while they must keep their names.
    pub(crate) files: Mutex<()>,
    /// Packs that were replaced and may still be read.
    pub(crate) retired: Mutex<Vec<Retired>>,
    /// Taken last, and for a moment only.
    pub(crate) clock: Mutex<AgeClock>,
    /// The age clock in the last frame of this open.
    pub(crate) recorded_age_ms: AtomicU64,
    /// Held while the garbage in packs is counted.
    pub(crate) counting_garbage: Mutex<()>,
    pub(crate) retention: Mutex<Work>,
    /// What commits leave for retention and compaction; asked for with the committer held.
    pub(crate) noted: Mutex<Noted>,
    /// Graphs whose archive has or had a problem.
    #[cfg(feature = "archive")]
    pub(crate) archive_trouble: Mutex<std::collections::BTreeSet<u32>>,
    pub(crate) meters: Meters,
    /// The last LSN that is durable and visible.
    pub(crate) durable_lsn: AtomicU64,
    /// The last LSN that anybody may have read of.
    pub(crate) visible_lsn: AtomicU64,
    /// What the last scrub found wrong with the log.
    pub(crate) damage: Mutex<Option<Arc<str>>>,
    /// Who else may read the folder, as far as is known.
    pub(crate) exposure: Mutex<Option<String>>,
    background: Mutex<Background>,
    #[cfg(feature = "http")]
    pub(crate) control: crate::http::control::Slot,
    /// Holds the store's lock; let go of at the end.
    pub(crate) lock: Mutex<Option<StoreLock>>,
}

/// The graphs of the store.
#[derive(Default)]
pub(crate) struct Graphs {
    /// By project and name.
    pub(crate) by_name: HashMap<(String, String), Arc<GraphCore>>,
    /// By number, without those dropped.
    pub(crate) by_number: std::collections::BTreeMap<u32, Arc<GraphCore>>,
    /// Graphs ever created.
    pub(crate) created: u32,
}

impl Graphs {
    pub(crate) fn insert(&mut self, graph: Arc<GraphCore>) {
        let name = (graph.project.clone(), graph.name.clone());
        self.created = self.created.max(graph.number + 1);
        self.by_number.insert(graph.number, graph.clone());
        self.by_name.insert(name, graph);
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if let Some(graph) = self.by_number.remove(&number) {
            graph.set_dropped();
            let name = (graph.project.clone(), graph.name.clone());
            // After a repair another graph may have its name already.
            if self.by_name.get(&name).is_some_and(|g| g.number == number) {
                self.by_name.remove(&name);
            }
        }
    }
}

/// The files that hold the log, in its order: packs, then segments.
#[derive(Clone, Default)]
pub(crate) struct Truth {
    pub(crate) packs: Vec<Arc<Pack>>,
    pub(crate) segments: Vec<Arc<Segment>>,
}

/// Packs, segments, and how they would be marked as closed.
type Files = (Vec<Arc<Pack>>, Vec<Arc<Segment>>, Closed);

/// The threads, and how to call them.
#[derive(Default)]
pub(crate) struct Background {
    pub(crate) packer: Option<Sender<()>>,
    pub(crate) indexer: Option<Sender<()>>,
    /// With the feature `archive`.
    pub(crate) archiver: Option<Sender<()>>,
    pub(crate) threads: Vec<(Worker, JoinHandle<()>)>,
}

/// The parts that [`Engine::new`] puts together.
pub(crate) struct Parts {
    pub(crate) options: Options,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) read_only: bool,
    pub(crate) store: StoreId,
    pub(crate) opening: Opening,
    pub(crate) clock: AgeClock,
    pub(crate) recovered: Vec<Found>,
    pub(crate) graphs: Graphs,
    pub(crate) committer: Committer,
    pub(crate) truth: Truth,
    pub(crate) ids: ForeignIds,
    pub(crate) indexer: Indexer,
    pub(crate) spare: Arc<Spare>,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) index_folder: Option<IndexFolder>,
    pub(crate) index_in_memory: Option<Arc<str>>,
    pub(crate) lock: Option<StoreLock>,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Engine {
        let durable_lsn = AtomicU64::new(parts.committer.log.synced_lsn());
        let visible_lsn = AtomicU64::new(parts.committer.log.synced_lsn());
        let queue = Queue::new(parts.options.queue_bytes_max);
        if parts.read_only {
            queue.refuse(Error::OpenedReadOnly);
        }
        Engine {
            queue,
            options: parts.options,
            disk: parts.disk,
            read_only: parts.read_only,
            store: parts.store,
            opening: parts.opening,
            ends: Mutex::default(),
            recovered: parts.recovered,
            repaired: OnceLock::new(),
            graphs: RwLock::new(parts.graphs),
            committer: held::Home::new(parts.committer),
            truth: RwLock::new(Arc::new(parts.truth)),
            ids: parts.ids,
            indexer: Mutex::new(parts.indexer),
            spare: parts.spare,
            index: RwLock::new(Some(parts.index)),
            index_folder: parts.index_folder,
            index_fault: Mutex::default(),
            index_in_memory: Mutex::new(parts.index_in_memory),
            failure: OnceLock::new(),
            opener: std::process::id(),
            fixed: OnceLock::new(),
            closed: AtomicBool::new(false),
            ending: Arc::default(),
            index_watch: Watch::default(),
            index_lag: AtomicU64::new(0),
            packing_problem: Mutex::default(),
            files: Mutex::default(),
            retired: Mutex::default(),
            recorded_age_ms: AtomicU64::new(parts.clock.mark().age_ms),
            clock: Mutex::new(parts.clock),
            counting_garbage: Mutex::default(),
            retention: Mutex::default(),
            noted: Mutex::default(),
            #[cfg(feature = "archive")]
            archive_trouble: Mutex::default(),
            meters: Meters::default(),
            durable_lsn,
            visible_lsn,
            damage: Mutex::default(),
            exposure: Mutex::default(),
            background: Mutex::default(),
            #[cfg(feature = "http")]
            control: Default::default(),
            lock: Mutex::new(parts.lock),
        }
    }

    pub(crate) fn set_background(&self, background: Background) {
        *self.background.lock() = background;
    }

    pub(crate) fn now_ms(&self) -> u64 {
        clock::to_ms(self.options.clock.now())
    }

    /// Refuses calls to a closed store, and those in a fork.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check_process()?;
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Refuses writes to a store that cannot take them.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        self.check_not_read_only()?;
        self.check_sound()
    }

    /// Refuses what changes something in a store that was opened to be read.
    pub(crate) fn check_not_read_only(&self) -> Result<()> {
        match self.read_only {
            true => Err(Error::OpenedReadOnly),
            false => Ok(()),
        }
    }

    /// Refuses writes after one has failed, whether the store is closed or not.
    pub(crate) fn check_sound(&self) -> Result<()> {
        match self.failure.get() {
            Some((why, _)) => Err(Error::ReadOnly { why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Stops all writes: a write or sync failed, and nobody knows what the disk
    /// holds of it.
    pub(crate) fn fail(&self, why: &Error) -> Arc<str> {
        tracing::error!(error = %why, "the store takes no more writes until it is reopened");
        let failure = (why.to_string().into(), self.options.clock.now());
        self.failure.get_or_init(|| failure).0.clone()
    }

    /// Refuses new jobs while the index is so far behind that memory would grow
    /// without bound.
    pub(crate) fn check_index_lag(&self) -> Result<()> {
        let known = self.index_fault.lock().clone();
        let max = if known.is_some() {
            FAULTY_INDEX_LAG_MAX
        } else {
            INDEX_LAG_MAX
        };
        if self.index_lag.load(Ordering::Relaxed) < max {
            return Ok(());
        }
        Err(Error::IndexUnavailable {
            what: known.unwrap_or_else(|| "it is too far behind".into()),
        })
    }

    pub(crate) fn health(&self) -> Health {
        self.health_at(Instant::now())
    }

    fn health_at(&self, now: Instant) -> Health {
        if self.check_open().is_err() {
            return Health::Closed;
        }
        // What it finds ends the writes.
        self.check_files().ok();
        if let Some((why, since)) = self.failure.get() {
            let (why, since) = (why.clone(), *since);
            return Health::ReadOnly { why, since };
        }
        let index = self
            .index_fault
            .lock()
            .as_ref()
            .map(|why| format!("the index cannot answer: {why}"));
        let in_memory = self.index_in_memory.lock().as_ref().map(|why| {
            format!("the index is kept in memory until there is room for it on disk: {why}")
        });
        let busy = self.index_watch.busy(now);
        let stuck = busy
            .filter(|(_, time)| *time > PATIENCE)
            .map(|(call, time)| {
                format!(
                    "the index is stuck in a {call} since {} s; close the store and end the \
                 process, the next open makes the index anew",
                    time.as_secs()
                )
            });
        let packing = self.packing_problem.lock().clone();
        let packing = packing.map(|why| format!("packing does not succeed: {why}"));
        let archive = self.archive_problem(now);
        let damage = self.damage.lock().clone();
        let damage = damage.map(|what| format!("{what}; close the store and repair it"));
        let clock = self.waits_for_clock().then(|| {
            "the store was closed for more than a day, or its clock jumped, so that time does not \
             count for purging by age; call confirm_clock once the clock is right"
                .to_owned()
        });
        let clock = clock.or_else(|| {
            self.options.clock.panics().then(|| {
                "the host's clock panics; times continue from what it last said".to_owned()
            })
        });
        match damage
            .or(index)
            .or(stuck)
            .or_else(|| self.purge_problem())
            .or(archive)
            .or(packing)
            .or(in_memory)
            .or(clock)
            .or_else(|| self.exposure())
        {
            Some(why) => Health::Degraded { why: why.into() },
            None => Health::Ok,
        }
    }

    /// Who else may read the folder; looked up again, it may have been mended.
    fn exposure(&self) -> Option<String> {
        let mut known = self.exposure.lock();
        if known.is_some() {
            let folder = self.index_folder.as_ref();
            *known = folder.and_then(|folder| exposure::find(folder.place()));
        }
        known.clone()
    }

    /// Why jobs are not purged that are to be archived first.
    fn archive_problem(&self, _now: Instant) -> Option<String> {
        #[cfg(feature = "archive")]
        return archiving::problem(self, _now);
        #[cfg(not(feature = "archive"))]
        None
    }

    /// Whether it has files of its own.
    pub(crate) fn is_on_disk(&self) -> bool {
        #[cfg(feature = "simulation")]
        if crate::simulation::is_simulated(&self.disk.path("")) {
            return true;
        }
        self.index_folder.is_some() || self.read_only
    }

    /// Bytes of the index's files; the engine that keeps them is not asked.
    pub(crate) fn index_bytes(&self) -> Result<u64> {
        let Some(folder) = &self.index_folder else {
            return Ok(0);
        };
        let bytes = folder.bytes();
        bytes.map_err(|e| Error::io("look at", folder.path(), &e))
    }

    /// The files of the log, and how they would be marked as closed, at a moment when all
    /// of it is durable.
    pub(crate) fn at_rest(&self) -> Result<Files> {
        let mut committer = self.hold_committer();
        committer.sync(self)?;
        self.check_sound()?;
        let mut end = committer.log_end();
        // Of a store that is only read, the last segment is at its end.
        let truth = self.truth.read();
        if let (true, Some(last)) = (self.read_only, truth.segments.last()) {
            end.epoch = last.header.epoch;
            end.offset = last.end().unwrap_or(end.offset);
        }
        let closed = Closed {
            end,
            clock: self.clock_mark(),
            index: None,
        };
        let files = (truth.packs.clone(), truth.segments.clone(), closed);
        Ok(files)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Notes that the index cannot be believed: the next open makes it anew.
    pub(crate) fn index_failed(&self, fault: Fault) -> Error {
        let what: Arc<str> = fault.0.into();
        // While the index moves to memory, readers may find its parts out of step.
        if self.index_in_memory.lock().is_some() {
            return Error::IndexUnavailable { what };
        }
        let is_new = self.index_fault.lock().replace(what.clone()).is_none();
        if is_new {
            tracing::error!(fault = %what, "the index cannot answer; the next open rebuilds it");
            // After a close the folder may be another's.
            if !self.ending.is_over() {
                self.mark_index();
            }
        }
        Error::IndexUnavailable { what }
    }

    pub(crate) fn forget_index_fault(&self) {
        *self.index_fault.lock() = None;
    }

    /// Leaves the mark of an open that died; if it cannot be made, the next open
    /// finds the fault by itself.
    fn mark_index(&self) {
        self.disk.create(names::INDEX_OPENING).ok();
    }

    pub(crate) fn index_is_sound(&self) -> bool {
        self.index_fault.lock().is_none()
    }

    pub(crate) fn index(&self) -> Result<Arc<dyn Index>> {
        self.check_process()?;
        self.index.read().clone().ok_or(Error::Closed)
    }

    /// Asks the index. If it moved to memory meanwhile, together with what vouches for its
    /// rows, the answer may be of neither, and it is asked again.
    pub(crate) fn ask_index<T>(&self, ask: impl Fn(&dyn Index) -> Result<T, Fault>) -> Result<T> {
        let mut index = self.index()?;
        loop {
            let answer = ask(&*index);
            let now = self.index()?;
            if Arc::ptr_eq(&index, &now) {
                return answer.map_err(|fault| self.index_failed(fault));
            }
            index = now;
        }
    }

    /// Carries out a write and waits for its answer.
    pub(crate) fn commit(&self, operation: Operation) -> Result<Answer> {
        let (call, queued) = Call::new(operation, &self.options.clock);
        self.queue.push(queued);
        // Nobody commits: do it here and save two changes of thread.
        while !call.is_answered() {
            // The clock is the host's: it is read before anything is held.
            let now = self.options.clock.read();
            let Some(mut committer) = self.try_hold_committer() else {
                break;
            };
            let answers = committer.round(self, now);
            drop(committer);
            match answers {
                Some(answers) => answers.give(self),
                None => break,
            }
        }
        call.wait()
    }

    /// Queues a write that nobody waits for, once there is room. This may be the
    /// committer's own thread, in a waker, so it commits if nobody else does.
    pub(crate) fn queue_detached(&self, queued: Queued) {
        let mut outside = Some(queued);
        while let Some(queued) = outside.take() {
            let deadline = Instant::now() + DETACHED_WAIT;
            outside = self.queue.push_until(queued, Some(deadline));
            if outside.is_none() {
                break;
            }
            // The clock is the host's: it is read before anything is held.
            let now = self.options.clock.read();
            if let Some(mut committer) = self.try_hold_committer() {
                let answers = committer.round(self, now);
                drop(committer);
                if let Some(answers) = answers {
                    answers.give(self);
                }
            }
        }
        self.queue.wake_committer();
    }

    /// Wakes the threads that pack and purge.
    pub(crate) fn wake_packer(&self) {
        let background = self.background.lock();
        for called in background.packer.iter().chain(&background.archiver) {
            // A full channel means that it is called already.
            called.try_send(()).ok();
        }
    }

    pub(crate) fn wake_indexer(&self) {
        if let Some(indexer) = &self.background.lock().indexer {
            indexer.try_send(()).ok();
        }
    }

    pub(crate) fn graph(&self, number: u32) -> Option<Arc<GraphCore>> {
        self.graphs.read().by_number.get(&number).cloned()
    }

    fn set_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Calls the threads to their end.
    fn dismiss(&self) -> Vec<(Worker, JoinHandle<()>)> {
        let mut background = self.background.lock();
        background.packer = None;
        background.indexer = None;
        background.archiver = None;
        std::mem::take(&mut background.threads)
    }

    /// Keeps a thread that a close could not wait for, for the next one.
    fn keep_thread(&self, worker: Worker, thread: JoinHandle<()>) {
        self.background.lock().threads.push((worker, thread));
    }

    /// Lets another process have the folder.
    fn let_go(&self) {
        self.lock.lock().take();
    }
}

/// What all handles of a store share; the last one closes it.
pub(crate) struct Handle {
    pub(crate) engine: Arc<Engine>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.engine.check_process().is_err() {
            // In a fork nothing of it may be ended: it is all the parent's.
            std::mem::forget(self.engine.clone());
            return;
        }
        if let Err(error) = self.engine.close() {
            tracing::error!(%error, "the store did not close well");
        }
    }
}
