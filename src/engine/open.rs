//! Opens a store: builds a running engine from its files.
//!
//! An open reads the log, opens or rebuilds its index, and starts the threads. Every acknowledged
//! write is restored, or the open fails with an error that names the file.

pub(crate) mod close;
pub(crate) mod directory;
mod followed;
pub(crate) mod index_fallback;
mod index_location;
mod load_index;
pub(crate) mod read_log;
mod read_only;
pub(crate) mod recover;
pub(crate) mod replicated;
mod restored;
mod resume;
pub(crate) mod store_files;
mod threads;

use std::sync::Arc;

pub(crate) use self::index_location::IndexLocation;
pub(crate) use self::load_index::load_index;
use self::read_log::ReadLog;
pub(crate) use self::read_log::{LogAccess, read_log};
pub(crate) use self::read_only::open_read_only;
use self::replicated::Attached;
pub(crate) use self::resume::{Remote, begin_log};
use self::threads::start_threads;
use crate::base::sync::time::Instant;
use crate::engine::core::{Engine, EngineParts};
use crate::engine::open::store_files::read_files;
use crate::engine::replay::{Replay, ReplayError};
use crate::engine::state::backlog::Backlog;
use crate::engine::state::committer::Committer;
use crate::engine::state::log_files::LogFiles;
use crate::engine::state::retention::ages::AgeClock;
use crate::engine::state::store_lock::StoreLock;
use crate::index::Index;
use crate::index::memory::MemoryIndex;
use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::{self, Disk, File as _};
use crate::log::identity;
use crate::log::preallocation::Preallocation;
use crate::log::random::random;
use crate::log::secret_keys as keys_file;
use crate::log::segment::Segment;
use crate::log::writer::LogWriter;
use crate::model::error::{Error, Result};
use crate::model::options::Options;
use crate::model::secrets::{Keys, SecretKeys};
use crate::model::store_id::StoreId;
use crate::model::token::OpenEvent;

/// Creates a store in memory.
pub(crate) fn open_memory(options: Options) -> Result<Arc<Engine>> {
    open_disk(options, Arc::new(MemoryDisk::default()))
}

/// Opens a store on this disk, without a lock, and with an index in memory that is always rebuilt.
pub(crate) fn open_disk(options: Options, disk: Arc<dyn Disk>) -> Result<Arc<Engine>> {
    let create_index = |_| -> Arc<dyn Index> { Arc::new(MemoryIndex::default()) };
    open(options, disk, None, IndexLocation::Memory(&create_index))
}

/// Opens a store on any disk, with any lock and index.
pub(crate) fn open(
    options: Options,
    disk: Arc<dyn Disk>,
    lock: Option<StoreLock>,
    location: IndexLocation<'_>,
) -> Result<Arc<Engine>> {
    let engine = assemble(options, disk, lock, location)?;
    start_threads(&engine).inspect_err(|_| {
        engine.close().ok();
    })?;
    Ok(engine)
}

/// Reads a store and builds an engine from it, without threads.
pub(crate) fn assemble(
    options: Options,
    disk: Arc<dyn Disk>,
    lock: Option<StoreLock>,
    location: IndexLocation<'_>,
) -> Result<Arc<Engine>> {
    if options.is_follower {
        return followed::assemble(options, disk, lock, location);
    }
    let attached = replicated::attach(&options, &*disk)?;
    let store = match identity::read(&*disk)? {
        Some(store) => store,
        None => {
            let store = StoreId(u128::from_le_bytes(random(&*disk)?));
            identity::create(&*disk, store)?;
            store
        }
    };
    let StoreAtRest {
        recorded_keys,
        secret_keys,
        preallocation,
        needs_reserve,
        read,
        index_in_memory,
    } = read_store(&options, &*disk, store, &location, attached.as_ref())?;
    let ReadLog {
        mut replay,
        mut log_files,
        mut end,
        found,
    } = read;
    let last = attached.as_ref().map_or((0, 0), |attached| attached.last);
    let remote = attached.as_ref().map(|attached| Remote {
        log: attached.replica.log(),
        continues: attached.continues,
    });
    let replica = attached.map(|attached| attached.replica);
    if secret_keys.keys == Keys::Every {
        tracing::warn!(
            "the record of the secret keys was corrupt, so every value is masked; set \
             the secret keys again"
        );
    }
    // Record the secret keys before anything to which they apply is recorded.
    if secret_keys != recorded_keys {
        keys_file::write_in((&*disk, &*preallocation), store, &secret_keys)?;
        if let Some(replica) = &replica {
            replicated::record_secret_keys(replica, store, &secret_keys)?;
        }
    }
    if let Err(error) = preallocation.make_reserves(&*disk, needs_reserve) {
        tracing::warn!(%error, "cannot preallocate the reserve for a full disk; retrying later");
    }
    if end.epoch == 0 {
        // The next segment records where the last one ended, which the replica may still have.
        (end.epoch, end.at) = last;
    }
    let mut log = begin_log(
        &disk,
        store,
        &preallocation,
        replay.next_lsn,
        (&log_files, &end),
        remote,
    )?;
    let time_ms = crate::base::clock::to_ms(options.clock.now());
    let clock = AgeClock::begin((replay.clock, replay.gaps.clone()), Instant::now(), time_ms);
    let opening_lsn = log.next_lsn();
    let settled = recover::settle(&mut replay, &mut log, &found, clock.mark());
    let sealed = settled.map_err(ReplayError::into_error)?;
    for segment in sealed.into_iter().chain([log.active().clone()]) {
        if !log_files
            .segments
            .iter()
            .any(|there| Arc::ptr_eq(there, &segment))
        {
            log_files.segments.push(segment);
        }
    }
    let engine = Arc::new(Engine::new(EngineParts {
        options,
        read_only: false,
        store,
        open_event: OpenEvent {
            lsn: opening_lsn,
            open_number: replay.open_number,
            time_ms,
        },
        secret_keys,
        clock,
        recovered: found,
        committer: Committer::new(log, backlog(&replay)),
        graphs: replay.graphs,
        log_files,
        ids: replay.ids,
        indexer: replay.indexer,
        index: replay.index,
        index_directory: location.into_directory(),
        index_in_memory,
        preallocation,
        replica,
        follower: None,
        lock,
        disk,
    }));
    engine.begin_retention();
    engine.note_fixed_files();
    Ok(engine)
}

/// What a directory contains.
struct StoreAtRest {
    /// The secret keys that the store has recorded.
    recorded_keys: SecretKeys,
    /// The effective keys.
    secret_keys: SecretKeys,
    preallocation: Arc<Preallocation>,
    /// Whether the last segment cannot be continued, so that the first write needs another one.
    needs_reserve: bool,
    read: ReadLog,
    /// Why the index is in memory, although it should be on disk.
    index_in_memory: Option<Arc<str>>,
}

/// Reads a store, and removes files that are not needed.
fn read_store(
    options: &Options,
    disk: &dyn Disk,
    store: StoreId,
    location: &IndexLocation<'_>,
    attached: Option<&Attached>,
) -> Result<StoreAtRest> {
    let recorded_keys = keys_file::read(disk, store)?.unwrap_or_default();
    let files = read_files(disk, store)?;
    let change = LogAccess::Repair;
    let seal = files.closed.as_ref().and_then(|c| c.index.as_ref());
    let read = |index| read_log(disk, store, &files, options, index, change);
    let (read, index_in_memory) = location.read(location.is_overgrown(&files), seal, &read)?;
    let read = read.map_err(ReplayError::into_error)?;
    attached.map_or(Ok(()), |attached| attached.check_end(read.replay.next_lsn))?;
    // From here on, the directory changes. First, the names of new files are made durable, because
    // only then may the files that they replace be removed. The replaced files are removed before
    // anything is written, to free their space.
    disk.sync_names()
        .map_err(|e| Error::io("sync", disk.path(""), &e))?;
    let last_epoch = attached.map_or(0, |attached| attached.last.0);
    let next_epoch = files.next_epoch.max(last_epoch + 1);
    let preallocation = Arc::new(Preallocation::new(next_epoch, options.segment_bytes));
    let segments = &read.log_files.segments;
    let can_resume = |last: &Arc<Segment>| LogWriter::can_resume(last, read.end.at);
    let needs_reserve = !segments.last().is_some_and(can_resume);
    for name in &files.useless {
        match preallocation.remove_leftover(disk, name, needs_reserve) {
            // A subdirectory does not belong to the store, whatever its name is.
            Err(e) if disk::is_directory(&e) => {}
            removed => removed.map_err(|e| Error::io("remove", disk.path(name), &e))?,
        }
    }
    note_to_pack(&preallocation, &read.log_files);
    Ok(StoreAtRest {
        secret_keys: options.named_secrets.over(&recorded_keys),
        recorded_keys,
        preallocation,
        needs_reserve,
        read,
        index_in_memory,
    })
}

/// Registers the segments that are to be packed.
fn note_to_pack(preallocation: &Preallocation, log_files: &LogFiles) {
    for segment in &log_files.segments {
        preallocation.note_to_pack(segment.header.epoch, segment.file.len().unwrap_or(0));
    }
}

/// The graphs with changes that the index lacks.
fn backlog(replay: &Replay) -> Backlog {
    let changed = replay.indexer.lacking(&replay.graphs);
    let dropped = replay.indexer.not_among(&replay.graphs);
    Backlog::of_open(changed, dropped)
}
