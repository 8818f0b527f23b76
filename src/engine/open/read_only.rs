//! Opens a store read-only: no byte of it changes.

use std::sync::Arc;

use super::followed::open_event;
use super::read_log::{LogAccess, ReadLog, read_log};
use crate::base::sync::time::Instant;
use crate::engine::core::{Engine, EngineParts};
use crate::engine::open::store_files::read_files;
use crate::engine::replay::ReplayError;
use crate::engine::state::backlog::Backlog;
use crate::engine::state::committer::Committer;
use crate::engine::state::retention::ages::AgeClock;
use crate::index::Index;
use crate::index::memory::MemoryIndex;
use crate::log::disk::Disk;
use crate::log::identity::{self, IndexSeal};
use crate::log::preallocation::Preallocation;
use crate::log::secret_keys as keys_file;
use crate::log::writer::LogWriter;
use crate::model::error::{Error, Result};
use crate::model::options::{Options, Recovery};

/// Opens a store read-only: nothing is written, not even recovered states. The index is kept in
/// memory. If the index of a clean close can be used, `sealed` returns its contents; otherwise, the
/// index is rebuilt from the log.
pub(crate) fn open_read_only(
    mut options: Options,
    disk: Arc<dyn Disk>,
    sealed: impl FnOnce(&IndexSeal) -> Option<Arc<dyn Index>>,
) -> Result<Arc<Engine>> {
    options.recovery = Recovery::Leave;
    let store = identity::read(&*disk)?.ok_or_else(|| Error::StoreMissing {
        path: disk.path(""),
    })?;
    let recorded = keys_file::read(&*disk, store)?.unwrap_or_default();
    let secret_keys = options.named_secrets.over(&recorded);
    let files = read_files(&*disk, store)?;
    let seal = files.closed.as_ref().and_then(|c| c.index.as_ref());
    let read = |index| read_log(&*disk, store, &files, &options, index, LogAccess::Read);
    let rebuilt = || read(Arc::new(MemoryIndex::default()));
    let read = match seal.and_then(sealed) {
        Some(index) => match read(index) {
            Err(ReplayError::Index(_)) => rebuilt(),
            read => read,
        },
        None => rebuilt(),
    };
    let ReadLog {
        replay,
        log_files,
        end,
        ..
    } = read.map_err(ReplayError::into_error)?;
    if let Some(last) = log_files.segments.last() {
        last.seal(end.at);
    }
    let log = LogWriter::detached(store, replay.next_lsn)?;
    let now_ms = crate::base::clock::to_ms(options.clock.now());
    let clock = AgeClock::begin((replay.clock, replay.gaps.clone()), Instant::now(), now_ms);
    let open_event = open_event(replay.open_event, &log_files.packs, replay.open_number)?;
    Ok(Arc::new(Engine::new(EngineParts {
        read_only: true,
        store,
        open_event,
        secret_keys,
        clock,
        recovered: Vec::new(),
        graphs: replay.graphs,
        committer: Committer::new(log, Backlog::default()),
        log_files,
        ids: replay.ids,
        indexer: replay.indexer,
        index: replay.index,
        index_directory: None,
        index_in_memory: None,
        replica: None,
        follower: None,
        preallocation: Arc::new(Preallocation::new(files.next_epoch, options.segment_bytes)),
        lock: None,
        options,
        disk,
    })))
}
