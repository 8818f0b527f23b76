//! Removes rows from the index: dropped graphs, and ids of jobs that are gone.

use super::Indexer;
use super::writer::Writer;
use crate::engine::state::backlog::Dropped;
use crate::engine::state::detail_rows;
use crate::engine::state::external_ids::ExternalIds;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::status::CHUNK_JOBS;
use crate::index::rows::{self, DETAIL_JOBS, Detail};
use crate::index::sorted_runs::Owner;
use crate::index::{Fault, Index};

/// Dead ids are removed from the runs only if there are at least this many.
pub(crate) const LOST_IDS_MIN: u64 = 1024;

impl Indexer {
    /// Removes the main rows of a dropped graph. Removes the graph's details once no reader can
    /// hold a page of the graph; until then, a row marks the graph as dropped.
    pub(super) fn remove_dropped(
        &mut self,
        writer: &mut Writer<'_>,
        dropped: &[Dropped],
    ) -> Result<(), Fault> {
        for &(number, jobs) in dropped {
            let Some(known) = self.graphs.remove(&number) else {
                continue;
            };
            let key = rows::dropped_key(number);
            let value = rows::seal(&key, Vec::new());
            writer.put(key, value)?;
            let key = rows::graph_key(number);
            self.record_row(&key, None);
            writer.remove(key)?;
            let chunks = self.remove_rows(writer, &rows::status_prefix(number))?;
            for prefix in rows::history_prefixes(number) {
                self.remove_rows(writer, &prefix)?;
            }
            let jobs = jobs.unwrap_or(chunks * CHUNK_JOBS);
            self.lost_ids = self.lost_ids.saturating_add(jobs);
            self.removed_runs.remove(&number);
            self.dropped.push((number, known.graph));
        }
        let (kept, removed) = std::mem::take(&mut self.dropped)
            .into_iter()
            .partition(|(_, graph)| graph.strong_count() > 0);
        self.dropped = kept;
        for (number, _) in removed {
            // An earlier process may have ended before it removed all of these rows.
            self.remove_rows(writer, &rows::status_prefix(number))?;
            self.remove_rows(writer, &rows::detail_prefix(number))?;
            for prefix in rows::history_prefixes(number) {
                self.remove_rows(writer, &prefix)?;
            }
            writer.remove(rows::dropped_key(number))?;
        }
        Ok(())
    }

    /// Removes dead ids and keys from the runs once about half of all ids and keys may be dead. An
    /// id or key is dead if its job was purged and has no tombstone, or if its graph was dropped.
    pub(super) fn remove_dead_ids(
        &mut self,
        writer: &mut Writer<'_>,
        ids: &ExternalIds,
    ) -> Result<(), Fault> {
        let all = ids.runs.count();
        if all == 0 {
            self.lost_ids = 0;
        }
        if self.lost_ids < LOST_IDS_MIN.max(all / 2) {
            return Ok(());
        }
        // Write the batch first, because the details that are read below must be in the index.
        writer.write_out()?;
        let index = writer.index;
        let graphs = std::mem::take(&mut self.graphs);
        let mut is_live = |owner: &Owner| {
            let graph = graphs.get(&owner.graph);
            match graph.and_then(|known| known.graph.upgrade()) {
                Some(graph) => is_known(index, &graph, owner.sequence),
                None => Ok(false),
            }
        };
        let removed = ids.runs.retain(index, &mut is_live, &mut |key, value| {
            self.record_row(key, value)
        });
        self.graphs = graphs;
        removed?;
        self.lost_ids = 0;
        Ok(())
    }

    /// Whether the last handle or page of any dropped graph is gone. If so, the graph's details can
    /// be removed, even if nothing else has changed.
    pub(crate) fn can_forget_dropped(&self) -> bool {
        let mut dropped = self.dropped.iter();
        dropped.any(|(_, graph)| graph.strong_count() == 0)
    }

    fn remove_rows(&mut self, writer: &mut Writer<'_>, prefix: &[u8]) -> Result<u64, Fault> {
        let mut keys = Vec::new();
        writer.index.scan(prefix, &mut |key, _| {
            keys.push(key.to_vec());
            Ok(())
        })?;
        let removed = keys.len() as u64;
        for key in keys {
            if rows::is_in_digest(&key) {
                self.record_row(&key, None);
            }
            writer.remove(key)?;
        }
        Ok(removed)
    }
}

/// Whether a job exists or its tombstone is kept.
fn is_known(index: &dyn Index, graph: &GraphCore, sequence: u64) -> Result<bool, Fault> {
    let (group, n) = (sequence / DETAIL_JOBS, (sequence % DETAIL_JOBS) as usize);
    let (changes, forgotten_lsn, has_row) = {
        let state = graph.state.read();
        if !state.status.is_removed(sequence) {
            return Ok(true);
        }
        let has_row = state.details.has_row(group);
        (state.detail_changes(sequence), state.forgotten_lsn, has_row)
    };
    let mut detail = match has_row {
        true => detail_rows::read(index, graph, group)?.0[n],
        false => Detail::default(),
    };
    for change in changes.iter().flatten() {
        detail.merge(change);
    }
    let tombstone = detail.tombstone;
    Ok(tombstone.is_some_and(|tombstone| tombstone.lsn > forgotten_lsn))
}
