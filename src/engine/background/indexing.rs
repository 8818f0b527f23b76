//! Writes changes from memory to the index, in the background. The index is never ahead of the
//! log.

use std::time::Duration;

use crate::base::sync::atomic::Ordering;
use crate::base::sync::channel::{Receiver, RecvTimeoutError};
use crate::engine::core::Engine;
use crate::engine::state::indexer::{Applied, FlushBatch, Indexer};
use crate::engine::state::watchdog::WatchedIndex;

/// About the longest time that the index lags behind when there are few writes.
const LAG: Duration = Duration::from_secs(1);

/// Runs the indexer thread: writes to the index whenever it is woken or enough time has passed,
/// until the store closes.
pub(crate) fn run(engine: &Engine, calls: &Receiver<()>) {
    loop {
        match calls.recv_timeout(LAG) {
            Err(RecvTimeoutError::Disconnected) => return engine.end_index(),
            woken => {
                engine.apply_to_index();
                engine.index_to_disk();
                if woken.is_err() {
                    // The thread has not been woken for a while.
                    engine.rewrite_index_if_due();
                }
            }
        }
    }
}

impl Engine {
    /// Writes to the index all changes that are not in it yet.
    pub(crate) fn apply_to_index(&self) {
        let mut indexer = self.indexer.lock();
        if let Some(why) = self.lacks_room_for_index() {
            let moved = self.index_to_memory(&mut indexer, why);
            drop(indexer);
            self.release_index(moved);
            return;
        }
        if !self.index_is_sound() || indexer.is_interrupted || self.check_files().is_err() {
            return;
        }
        let Some((batch, lag)) = self.take_flush_batch(&indexer) else {
            return;
        };
        let Ok(index) = self.index() else {
            return;
        };
        let watched = WatchedIndex {
            index: &*index,
            watchdog: &self.index_watchdog,
        };
        self.metrics.visits.add(batch.graphs.len() as u64);
        let is_closing = || self.check_open().is_err();
        match indexer.apply(&watched, &self.ids, &batch, &is_closing) {
            Ok(Applied::Interrupted) => indexer.is_interrupted = true,
            Ok(Applied::All) => {
                batch.end_flush(&self.ids);
                if let Some(directory) = &self.index_directory {
                    directory.restrict();
                }
                self.index_lag.fetch_sub(lag, Ordering::Relaxed);
            }
            // The changes stay in memory, so all reads continue.
            Err(fault) => {
                self.index_failed(fault);
                let why = self.lacks_room_for_index();
                let moved = why.map(|why| self.index_to_memory(&mut indexer, why));
                drop((index, indexer));
                if let Some(moved) = moved {
                    self.release_index(moved);
                }
            }
        }
    }

    /// Takes everything that has changed up to a durable LSN, so that the index is never ahead of
    /// the log.
    fn take_flush_batch(&self, indexer: &Indexer) -> Option<(FlushBatch, u64)> {
        let mut committer = self.lock_committer();
        // If the sync fails, the failure is recorded in the store's health, and nothing is written
        // to the index.
        let synced = committer.sync(self).is_ok() && !self.has_failed();
        let lsn = committer.log.synced_lsn();
        let is_wanted = lsn > indexer.applied_lsn || indexer.can_forget_dropped();
        (synced && is_wanted).then(|| {
            let lag = self.index_lag.load(Ordering::Relaxed);
            let (graphs, dropped) = committer.backlog.begin_round();
            let batch = FlushBatch {
                gaps: self.gaps(),
                lsn,
                open_number: self.open_event().open_number,
                graphs_created: self.graphs.read().created,
                graphs,
                dropped,
            };
            (batch, lag)
        })
    }
}
