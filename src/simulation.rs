//! A store whose disk, clock, randomness and background work a simulator controls.
//!
//! Built under the feature `simulation`, which no other feature turns on, for the
//! program `life` in `tests/trials`. It is not part of the public API and may change in
//! any release.
//!
//! Owns: a [`Disk`] and an [`Index`] in memory that outlive the stores opened over them,
//! and the [`Step`]s that replace the background threads. Must not know: what the
//! simulator expects.
//! Promise: a store opened here starts no threads and waits for nobody. Everything it
//! does happens in the calling thread, so that a seed determines it.

#![allow(missing_docs)]

mod disk;
mod index;
mod random;
#[cfg_attr(test, allow(dead_code, reason = "tests keep the system's clock"))]
pub(crate) mod time;

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

pub use self::disk::{Class, Counters, Disk, Fault};
pub use self::index::Index;
pub(crate) use self::random::fill;
pub use self::random::seed as seed_random;

use crate::engine::open::{self as opening, IndexHome, assemble};
use crate::engine::{Engine, Handle, check, packing};
use crate::error::{Error, Result};
use crate::index::Index as IndexSeam;
use crate::options::Options;
use crate::report::{Repaired, Report};
use crate::storage::names;
use crate::store::JobStore;
use crate::sync::time::Instant;

/// What the path of every simulated store begins with.
pub(crate) const PATH: &str = "/simulated";

thread_local! {
    /// The store whose queued writes this thread commits when it has to wait.
    static CURRENT: RefCell<Vec<Weak<Engine>>> = const { RefCell::new(Vec::new()) };
}

/// A step that a thread of the store would take by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Commits what is queued.
    Commit,
    /// The sync that interval mode owes.
    Sync,
    /// Preallocates, packs, merges, compacts, purges and forgets until nothing is left.
    Pack,
    /// Writes to the index what it does not have.
    Index,
    /// Closes replaced files that no page needs any more.
    Expire,
}

/// Lets this much time pass on the monotonic clock of this thread.
pub fn advance(time: Duration) {
    time::advance(time);
}

/// Opens the store on a disk. `segment_bytes` may be below what the public option allows.
///
/// # Errors
/// Those of [`Options::open`].
pub fn open(
    mut options: Options,
    disk: &Disk,
    index: &Index,
    segment_bytes: u64,
) -> Result<JobStore> {
    options.check()?;
    options.segment_bytes = segment_bytes;
    // A page that helpers read would depend on their scheduling.
    options.page_threads = 1;
    let tolerant = options.tolerant;
    let opened = open_once(options.clone(), disk, index);
    let engine = match opened {
        Err(Error::Damaged { .. }) if tolerant => {
            let repaired = repair(disk, index)?;
            let engine = open_once(options, disk, index)?;
            engine.repaired.set(repaired).ok();
            engine
        }
        opened => opened?,
    };
    CURRENT.with_borrow_mut(|current| {
        current.retain(|engine| engine.strong_count() > 0);
        current.push(Arc::downgrade(&engine));
    });
    Ok(JobStore {
        handle: Arc::new(Handle { engine }),
    })
}

fn open_once(options: Options, disk: &Disk, index: &Index) -> Result<Arc<Engine>> {
    let home = |anew: bool| -> Arc<dyn IndexSeam> {
        // The mark of an index that failed, as the index's directory heeds it.
        if disk.delete(names::INDEX_OPENING) || anew {
            index.lose();
        }
        index.mount()
    };
    assemble(options, disk.mount(), None, IndexHome::Memory(&home))
}

/// Opens the store on a disk to be read only, in the place of no other process.
///
/// # Errors
/// Those of [`Options::open`].
pub fn open_read_only(options: Options, disk: &Disk) -> Result<JobStore> {
    options.check()?;
    let options = options.read_only(true).page_threads(1);
    let engine = opening::open_read_only(options, disk.mount_beside())?;
    Ok(JobStore {
        handle: Arc::new(Handle { engine }),
    })
}

/// Takes a step of the store's background work.
pub fn step(store: &JobStore, step: Step) {
    let engine = store.engine();
    match step {
        Step::Commit => commit_queued(engine),
        Step::Sync => {
            let mut committer = engine.hold_committer();
            // What fails is noted in the store's health.
            committer.sync(engine).ok();
        }
        Step::Pack => packing::work_noted(engine),
        Step::Index => engine.apply_to_index(),
        Step::Expire => engine.expire_retired(Instant::now()),
    }
}

fn commit_queued(engine: &Engine) {
    loop {
        let now = engine.options.clock.read();
        let mut committer = engine.hold_committer();
        let answers = committer.round(engine, now);
        drop(committer);
        match answers {
            Some(answers) => answers.give(engine),
            None => return,
        }
    }
}

/// Commits what is queued in the stores of this thread: called before a wait, which
/// would not end otherwise.
pub(crate) fn before_waiting() {
    let engines = CURRENT.with_borrow(Vec::clone);
    for engine in engines.iter().filter_map(Weak::upgrade) {
        let now = engine.options.clock.read();
        if let Some(mut committer) = engine.try_hold_committer() {
            while let Some(answers) = committer.round(&engine, now) {
                answers.give(&engine);
            }
        }
    }
}

/// Whether a path belongs to a simulated store.
pub(crate) fn is_simulated(path: &Path) -> bool {
    path.starts_with(PATH)
}

/// Verifies a store that is not open.
///
/// # Errors
/// Those of [`JobStore::verify`].
pub fn verify(disk: &Disk) -> Result<Report> {
    check::verify(&*disk.mount())
}

/// Repairs a store that is not open.
///
/// # Errors
/// Those of [`JobStore::repair`].
pub fn repair(disk: &Disk, index: &Index) -> Result<Repaired> {
    check::repair(&*disk.mount(), &|wanted| match wanted {
        crate::index::folder::Wanted::Nothing => {
            index.lose();
            Ok(None)
        }
        crate::index::folder::Wanted::Index(_) => Ok(Some(index.mount())),
    })
}
