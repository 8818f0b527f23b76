//! Restores a follower from the newest checkpoint while it is open, because chunks that it needs
//! were removed, or because the log was replaced.
//!
//! Until everything has been downloaded and read, the store shows its earlier state: the files that
//! are replaced stay readable until they expire, like those that packing replaces.

use std::collections::HashMap;
use std::sync::Arc;

use super::followed::open_event;
use super::index_fallback::replay_in_memory;
use super::read_log::ReadLog;
use super::replicated::Keep;
use super::store_files::{StoreFiles, read_files};
use super::{LogAccess, note_to_pack, replicated};
use crate::base::sync::atomic::Ordering;
use crate::engine::core::Engine;
use crate::engine::replay::{Replay, ReplayError};
use crate::engine::state::catalog::Graphs;
use crate::engine::state::follower::FollowerState;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::indexer::Indexer;
use crate::engine::state::log_files::LogFiles;
use crate::engine::state::retired::Retired;
use crate::engine::state::waiters::Waiter;
use crate::log::secret_keys;
use crate::log::writer::LogWriter;
use crate::model::error::Result;

impl Engine {
    /// Makes the directory a mirror of the replica again, and replaces the state of the store. If
    /// this fails, the store still shows its earlier state, and the call can be repeated.
    pub(crate) fn restore_follower(&self) -> Result<()> {
        let Some(follower) = &self.follower else {
            return Ok(());
        };
        // Files are neither packed nor backed up meanwhile.
        let files_lock = self.files_lock.lock();
        // A close waits for this lock. After that, another process may own the directory.
        self.check_open()?;
        follower.begin_restore();
        // The space of the preallocated files may be needed for the download.
        self.preallocation.forget_reserves();
        let (_, next) =
            replicated::mirror(&self.options, &*self.disk, follower.calls(), Keep::Packs)?;
        let files = read_files(&*self.disk, self.store)?;
        let read = replay_in_memory(self, &files, LogAccess::Repair);
        let read = read.map_err(ReplayError::into_error)?;
        let waiters = self.replace_state(follower, &files, read, next)?;
        // A waker may back up or close the store.
        drop(files_lock);
        waiters.iter().for_each(|waiter| waiter.wake());
        self.wake_packer();
        Ok(())
    }

    /// Replaces everything that is in memory.
    fn replace_state(
        &self,
        follower: &FollowerState,
        files: &StoreFiles,
        read: ReadLog,
        next: u64,
    ) -> Result<Vec<Arc<Waiter>>> {
        let ReadLog {
            replay,
            log_files,
            end,
            ..
        } = read;
        let Replay {
            graphs: replayed,
            ids,
            indexer: fresh,
            index,
            ..
        } = replay;
        let last = log_files.segments.last().map(|last| (last.clone(), end.at));
        let (disk, preallocation) = (self.disk.clone(), self.preallocation.clone());
        let log = LogWriter::copying(disk, self.store, preallocation, last, replay.next_lsn)?;
        let opened = open_event(replay.open_event, &log_files.packs, replay.open_number)?;
        let recorded = secret_keys::read(&*self.disk, self.store)?.unwrap_or_default();
        let mut indexer = self.indexer.lock();
        let mut committer = self.lock_committer();
        // The close has recorded the end of the log.
        self.check_open()?;
        self.set_secret_keys(self.options.named_secrets.over(&recorded));
        let why = "the store was restored from a checkpoint of its replica";
        // As when the index moves to memory, a reader that sees a mixture of both indexes does not
        // report damage.
        *self.index_in_memory.lock() = Some(why.into());
        let mut waiters = Vec::new();
        let mut graphs = self.graphs.write();
        // Callers that need the index wait until everything is replaced.
        let mut current_index = self.index.write();
        let old_index = current_index.replace(index);
        let (kept, dropped) = merge(&graphs, replayed, &mut waiters);
        *indexer = of_graphs(fresh, &kept);
        *graphs = kept;
        self.ids.replace(ids);
        drop((graphs, current_index));
        // What was waiting to be written to the index is in the new one.
        committer.backlog.begin_round();
        self.index_lag.store(0, Ordering::Relaxed);
        self.forget_index_fault();
        self.replace_files(log_files);
        committer.log = log;
        self.ends.lock().clear();
        if let Some(clock) = replay.clock {
            self.clock.lock().restore(clock, replay.gaps);
        }
        self.set_open_event(opened);
        let lsn = replay.next_lsn - 1;
        self.visible_lsn.store(lsn, Ordering::Release);
        self.durable_lsn.store(lsn, Ordering::Release);
        follower.restored(next, replay.clock.map(|clock| clock.wall_ms));
        tracing::info!(lsn, packs = files.packs.len(), "restored from a checkpoint");
        drop((committer, indexer));
        for graph in dropped {
            let counters = graph.state.read().activity.counters.clone();
            self.metrics.dropped_jobs.lock().add(&counters);
            self.note_changed(&graph, true);
        }
        self.release_index(Ok(old_index));
        Ok(waiters)
    }

    /// Replaces the files of the log. The earlier ones are kept for pages, until they expire.
    fn replace_files(&self, log_files: LogFiles) {
        let mut current = self.log_files.write();
        for segment in &current.segments {
            self.preallocation.note_packed(segment.header.epoch);
        }
        note_to_pack(&self.preallocation, &log_files);
        let replaced = std::mem::replace(&mut *current, Arc::new(log_files));
        drop(current);
        let packs = replaced.packs.iter().map(|pack| Retired::now(&pack.file));
        let segments = replaced.segments.iter();
        let segments = segments.map(|segment| Retired::now(&segment.file));
        self.retired.lock().extend(packs.chain(segments));
    }
}

/// Moves the restored states to the graphs that callers have handles of. Returns the graphs that
/// exist now, and those that do not anymore.
fn merge(
    current: &Graphs,
    replayed: Graphs,
    waiters: &mut Vec<Arc<Waiter>>,
) -> (Graphs, Vec<Arc<GraphCore>>) {
    let mut kept = Graphs::after(replayed.created);
    let mut known: HashMap<u32, Arc<GraphCore>> = HashMap::new();
    known.extend(
        current
            .by_number
            .iter()
            .map(|(&n, graph)| (n, graph.clone())),
    );
    for (number, restored) in replayed.by_number {
        // In a log that was replaced, this number may belong to another graph.
        let is_same = |graph: &Arc<GraphCore>| graph.ids.key() == restored.ids.key();
        let Some(graph) = known.get(&number).filter(|graph| is_same(graph)).cloned() else {
            kept.insert(restored);
            continue;
        };
        known.remove(&number);
        let mut fresh = std::mem::take(&mut *restored.state.write());
        let mut state = graph.state.write();
        waiters.extend(state.waiters.take_all());
        // New waiters are numbered after the earlier ones.
        std::mem::swap(&mut state.waiters, &mut fresh.waiters);
        std::mem::swap(&mut state.activity.counters, &mut fresh.activity.counters);
        *state = fresh;
        drop(state);
        kept.insert(graph);
    }
    let dropped: Vec<_> = known.into_values().collect();
    for graph in &dropped {
        graph.set_dropped();
        waiters.extend(graph.state.write().waiters.take_all());
    }
    (kept, dropped)
}

/// The indexer of a restored index, for these graphs.
fn of_graphs(mut fresh: Indexer, graphs: &Graphs) -> Indexer {
    for (number, indexed) in &mut fresh.graphs {
        if let Some(graph) = graphs.by_number.get(number) {
            indexed.graph = Arc::downgrade(graph);
        }
    }
    fresh
}
