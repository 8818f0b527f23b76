//! Moves the index to memory when the disk is full, and back to disk once there is space.
//!
//! Whatever happens to the index's files, reads and purges continue. On a full disk, the
//! index's space is given to the log.

use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::engine::core::Engine;
use crate::engine::open::read_log::ReadLog;
use crate::engine::open::store_files::StoreFiles;
use crate::engine::open::{LogAccess, read_log};
use crate::engine::replay::{Replay, ReplayError};
use crate::engine::state::graph::GraphCore;
use crate::engine::state::history::GraphHistory;
use crate::engine::state::indexer::{FlushBatch, IndexedGraph, Indexer};
use crate::index::directory::ROOM_BYTES;
use crate::index::memory::MemoryIndex;
use crate::index::{Fault, Index, all_rows};
use crate::model::error::{Error, Result};
use crate::model::options::{Options, Recovery};

impl Engine {
    /// The reason why the index has to move to memory, or `None` if it does not have to.
    pub(crate) fn lacks_room_for_index(&self) -> Option<Arc<str>> {
        let directory = self.index_directory.as_ref()?;
        if self.index_in_memory.lock().is_some() || directory.has_room() || self.has_failed() {
            return None;
        }
        Some("the disk is nearly full".into())
    }

    /// Replaces the index with one in memory, rebuilt from the log. Commits wait until this is
    /// done. Returns the old index, which the caller has to release without holding a lock.
    pub(crate) fn index_to_memory(
        &self,
        indexer: &mut Indexer,
        why: Arc<str>,
    ) -> Result<Option<Arc<dyn Index>>> {
        tracing::warn!(%why, "not enough disk space for the index; rebuilding it in memory");
        let mut committer = self.lock_committer();
        committer.sync(self)?;
        self.check_sound()?;
        let rebuilt = self.rebuild_index().map_err(ReplayError::into_error)?;
        let Replay {
            graphs: replayed,
            ids,
            indexer: mut fresh,
            index,
            ..
        } = rebuilt;
        // This is set first, so that a reader that sees a mixture of both indexes does not report
        // damage. Callers that need the index wait until the change is complete.
        *self.index_in_memory.lock() = Some(why);
        let mut current = self.index.write();
        let old = current.replace(index);
        let graphs = self.graphs.read();
        for (number, graph) in &graphs.by_number {
            let Some(replayed) = replayed.by_number.get(number) else {
                continue;
            };
            let (details, history) = {
                let mut replayed = replayed.state.write();
                let details = std::mem::take(&mut replayed.details);
                (
                    details,
                    std::mem::replace(&mut replayed.activity.history, GraphHistory::new()),
                )
            };
            let mut state = graph.state.write();
            state.details = details;
            state.activity.history.replace(history);
            state.changed.clear();
            state.flushing = None;
            state.taken_changes = None;
            state.index_round = 0;
        }
        self.ids.replace(ids);
        let live = graphs.by_number.iter();
        let written = std::mem::take(&mut fresh.graphs);
        let known = |(number, graph): (&u32, &Arc<GraphCore>)| {
            let written = written.get(number)?;
            let (forgotten_lsn, last_command) = (written.forgotten_lsn, written.last_command);
            let graph = Arc::downgrade(graph);
            Some((
                *number,
                IndexedGraph {
                    graph,
                    forgotten_lsn,
                    last_command,
                },
            ))
        };
        fresh.graphs = live.filter_map(known).collect();
        // The new index contains everything that was waiting to be written.
        committer.backlog.begin_round();
        *indexer = fresh;
        self.index_lag.store(0, Ordering::Relaxed);
        self.forget_index_fault();
        Ok(old)
    }

    /// Builds an index in memory from the whole log. Must not be called while a commit runs.
    fn rebuild_index(&self) -> Result<Replay, ReplayError> {
        let log_files = self.log_files.read().clone();
        let files = StoreFiles {
            packs: log_files.packs.clone(),
            segments: log_files.segments.clone(),
            closed: None,
            useless: Vec::new(),
            next_epoch: 0,
        };
        replay_in_memory(self, &files, LogAccess::Read).map(|read| read.replay)
    }

    /// Releases the index that was replaced with one in memory, and frees its space.
    pub(crate) fn release_index(&self, moved: Result<Option<Arc<dyn Index>>>) {
        let old = match moved {
            Ok(old) => old,
            Err(error) => {
                tracing::error!(%error, "cannot rebuild the index in memory");
                self.index_failed(Fault(error.to_string()));
                return;
            }
        };
        self.index_watchdog.during("release", || drop(old));
        if let Some(directory) = &self.index_directory {
            if let Err(error) = self.index_watchdog.during("remove", || directory.discard()) {
                tracing::warn!(%error, "cannot remove the index");
            }
        }
        self.wake_packer();
    }

    /// Moves the index back to disk once there is enough space.
    pub(crate) fn index_to_disk(&self) {
        let Some(directory) = &self.index_directory else {
            return;
        };
        let is_wanted = self.index_in_memory.lock().is_some() && !self.has_failed();
        if !is_wanted || !directory.has_room_for(4 * ROOM_BYTES) || self.check_open().is_err() {
            return;
        }
        let indexer = self.indexer.lock();
        let Ok(memory) = self.index() else {
            return;
        };
        let moved = self.index_watchdog.during("move", || {
            let size = all_rows::size_while(&*memory, &|_| true);
            let bytes = size.map_err(Fault::into_error)?.unwrap_or_default();
            if !directory.has_room_for(4 * (ROOM_BYTES + bytes)) {
                return Ok(None);
            }
            let failed = |e| Error::io("open", directory.path(), &e);
            let index = directory.open(true, None).map_err(failed)?;
            all_rows::copy(&*memory, &*index).map_err(Fault::into_error)?;
            directory.opened().map_err(failed)?;
            Ok::<_, Error>(Some(index))
        });
        match moved {
            Ok(None) => {}
            Ok(Some(index)) => {
                *self.index.write() = Some(index);
                *self.index_in_memory.lock() = None;
                tracing::info!("enough disk space again; the index is back on disk");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot move the index back to disk; it stays in memory");
                directory.discard().ok();
            }
        }
        drop(indexer);
    }
}

/// Reads a whole log on top of an empty index in memory, and writes everything to that index.
pub(super) fn replay_in_memory(
    engine: &Engine,
    files: &StoreFiles,
    access: LogAccess,
) -> Result<ReadLog, ReplayError> {
    let options = Options {
        recovery: Recovery::Leave,
        on_replay: None,
        ..engine.options.clone()
    };
    let index = Arc::new(MemoryIndex::default());
    let mut read = read_log(&*engine.disk, engine.store, files, &options, index, access)?;
    let replay = &mut read.replay;
    let batch = FlushBatch::of_replay(
        &replay.indexer,
        &replay.graphs,
        replay.next_lsn - 1,
        (replay.open_number, &replay.gaps),
    );
    replay
        .indexer
        .apply(&*replay.index, &replay.ids, &batch, &|| false)?;
    batch.end_flush(&replay.ids);
    Ok(read)
}
