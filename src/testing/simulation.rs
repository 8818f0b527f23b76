//! A store whose disk, clock, randomness, and background work are controlled by a simulator.
//!
//! Built under the feature `simulation`, which no other feature turns on, for the
//! program `life` in `tests/trials`. It is not part of the public API and may change in
//! any release.
//!
//! Contains a [`Disk`] and an [`Index`] in memory that outlive the stores opened on them, and the
//! [`Step`]s that replace the background threads. A store opened here starts no threads and never
//! blocks. Everything happens in the calling thread, so a seed determines everything that happens.

#![allow(missing_docs)]

#[cfg(feature = "archive")]
mod archive;
mod disk;
mod follower;
mod index;
mod interrupt;
mod random;

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::Duration;

#[cfg(feature = "archive")]
pub use self::archive::place_archive;
pub use self::disk::{Class, Counters, Disk, Fault};
pub use self::follower::Follower;
pub use self::index::Index;
pub use self::interrupt::{end_interrupt, interrupt};

use crate::api::store::JobStore;
use crate::base::simulated::{self, Simulator};
use crate::base::sync::atomic::Ordering;
use crate::base::sync::simulated as time;
use crate::base::sync::time::Instant;
use crate::engine::background::packing;
#[cfg(feature = "archive")]
use crate::engine::background::retention;
use crate::engine::background::uploading;
use crate::engine::core::Engine;
use crate::engine::maintenance::check;
use crate::engine::open::{self as opening, IndexLocation, assemble};
use crate::engine::store_handle::StoreHandle;
use crate::index::Index as IndexSeam;
use crate::log::file_names;
use crate::log::identity;
use crate::model::error::Result;
use crate::model::options::Options;
use crate::model::report::{RepairReport, VerifyReport};

thread_local! {
    /// The stores of this thread. If the thread would have to wait, it commits their queued writes.
    static CURRENT: RefCell<Vec<Weak<Engine>>> = const { RefCell::new(Vec::new()) };
}

/// A step that a background thread of the store would otherwise take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Commits queued writes.
    Commit,
    /// Performs the pending sync of interval mode.
    Sync,
    /// Preallocates, packs, merges, compacts, purges, and forgets until nothing is left to do.
    Pack,
    /// Writes outstanding changes to the index.
    Index,
    /// Purges the graphs that have an archive, and writes the purged jobs to the archive.
    #[cfg(feature = "archive")]
    Archive,
    /// Closes replaced files that no page needs anymore.
    Expire,
    /// Makes a checkpoint in the replica, if there is one.
    Upload,
}

/// The hooks that lower layers call in a simulated thread.
const SIMULATOR: Simulator = Simulator {
    fill: random::fill,
    before_waiting,
    #[cfg(feature = "http")]
    has_store,
};

/// Sets a seed that determines all random bytes that stores of this thread draw.
pub fn seed_random(seed: u64) {
    simulated::set(SIMULATOR);
    random::seed(seed);
}

/// Advances the monotonic clock of this thread.
pub fn advance(time: Duration) {
    time::advance(time);
}

/// Opens the store on a disk. `segment_bytes` may be below what the public option allows.
///
/// # Errors
/// The errors of [`Options::open`].
pub fn open(
    mut options: Options,
    disk: &Disk,
    index: &Index,
    segment_bytes: u64,
) -> Result<JobStore> {
    options.check()?;
    options.segment_bytes = segment_bytes;
    // If helper threads read pages, the result would depend on their scheduling.
    options.page_threads = 1;
    let location = |rebuild: bool| -> Arc<dyn IndexSeam> {
        // This file is the mark of a failed index. A real index directory checks for it as well.
        if disk.delete(file_names::INDEX_OPENING) || rebuild {
            index.lose();
        }
        index.mount()
    };
    let engine = assemble(
        options,
        disk.mount(),
        None,
        IndexLocation::Memory(&location),
    )?;
    simulated::set(SIMULATOR);
    CURRENT.with_borrow_mut(|current| {
        current.retain(|engine| engine.strong_count() > 0);
        current.push(Arc::downgrade(&engine));
    });
    Ok(JobStore {
        handle: Arc::new(StoreHandle { engine }),
    })
}

/// Opens the store on a disk read-only. A process that has the store open is not ended.
///
/// # Errors
/// The errors of [`Options::open`].
pub fn open_read_only(options: Options, disk: &Disk) -> Result<JobStore> {
    options.check()?;
    let options = options.read_only(true).page_threads(1);
    let engine = opening::open_read_only(options, disk.mount_beside(), |_| None)?;
    Ok(JobStore {
        handle: Arc::new(StoreHandle { engine }),
    })
}

/// Executes a step of the store's background work.
pub fn step(store: &JobStore, step: Step) {
    let engine = store.engine();
    match step {
        Step::Commit => commit_queued(engine),
        Step::Sync => {
            let mut committer = engine.lock_committer();
            // Failures are recorded in the store's health.
            committer.sync(engine).ok();
        }
        Step::Pack => packing::work_noted(engine),
        #[cfg(feature = "archive")]
        Step::Archive => {
            while engine.check_writable().is_ok() && retention::step_archived(engine) {}
        }
        Step::Index => engine.apply_to_index(),
        Step::Expire => engine.expire_retired(Instant::now()),
        Step::Upload => {
            // Failures are recorded in the store's health.
            uploading::checkpoint_now(engine).ok();
        }
    }
}

/// Returns the LSN of the last event that the store shows.
#[must_use]
pub fn visible_lsn(store: &JobStore) -> u64 {
    store.engine().visible_lsn.load(Ordering::Acquire)
}

/// Returns the LSN of the event that recorded the last open for writing.
#[must_use]
pub fn open_lsn(store: &JobStore) -> u64 {
    store.engine().open_event().lsn
}

/// Rewrites the index of a store in a real directory, even if little of it is garbage. Returns
/// whether it was rewritten. It is not rewritten if it is in memory, or if a reader does not
/// finish.
pub fn rewrite_index(store: &JobStore) -> bool {
    store.engine().rewrite_index_now()
}

fn commit_queued(engine: &Engine) {
    loop {
        engine.read_clock_for_queue();
        let mut committer = engine.lock_committer();
        let results = committer.round(engine);
        drop(committer);
        match results {
            Some(results) => results.deliver(&engine.metrics),
            None => return,
        }
    }
}

/// Commits queued writes in the stores of this thread. Called before a wait that would otherwise
/// never end.
fn before_waiting() {
    let engines = CURRENT.with_borrow(Vec::clone);
    for engine in engines.iter().filter_map(Weak::upgrade) {
        engine.read_clock_for_queue();
        if let Some(mut committer) = engine.try_lock_committer() {
            while let Some(results) = committer.round(&engine) {
                results.deliver(&engine.metrics);
            }
        }
    }
}

/// Returns whether this thread has a simulated store.
#[cfg(feature = "http")]
fn has_store() -> bool {
    CURRENT.with_borrow(|current| current.iter().any(|engine| engine.strong_count() > 0))
}

/// Returns the routes of the store's control socket, without the socket.
#[cfg(feature = "http")]
pub fn control_routes(store: &JobStore) -> axum::Router {
    crate::http::control_routes(store)
}

/// Lets a store that is not open be used without its replica.
///
/// # Errors
/// The errors of [`Options::open`].
pub fn detach_replica(disk: &Disk) -> Result<()> {
    let disk = disk.mount();
    match identity::read_any(&*disk)? {
        Some(found) => identity::set_replica(&*disk, found.store, false),
        None => Ok(()),
    }
}

/// Verifies a store that is not open.
///
/// # Errors
/// The errors of [`JobStore::verify`].
pub fn verify(disk: &Disk) -> Result<VerifyReport> {
    check::verify(&*disk.mount())
}

/// Repairs a store that is not open.
///
/// # Errors
/// The errors of [`JobStore::repair`].
pub fn repair(disk: &Disk, index: &Index) -> Result<RepairReport> {
    check::repair(&*disk.mount(), &|wanted| match wanted {
        crate::index::directory::IndexAtRest::Nothing => {
            index.lose();
            Ok(None)
        }
        crate::index::directory::IndexAtRest::Index(_) => Ok(Some(index.mount())),
    })
}
