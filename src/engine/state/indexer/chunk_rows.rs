//! The rows of a chunk: the states and details of its jobs.

use std::collections::HashMap;

use crate::engine::state::detail_changes::DetailChanges;
use crate::engine::state::detail_rows;
use crate::engine::state::details::{self, ChunkHashes};
use crate::engine::state::graph::GraphCore;
use crate::engine::state::outcome_counts::OutcomeCounts;
use crate::engine::state::removed_runs::RemovedRuns;
use crate::engine::state::status::{self, CHUNK_ROWS, SavedChunk};
use crate::index::rows::{self, DETAIL_JOBS, Detail, TombstoneRow};
use crate::index::{Fault, Index};

/// The rows of a chunk that are written to the index together.
pub(super) struct ChunkRows {
    pub(super) number: u64,
    /// The status row, then rows of details.
    pub(super) rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Group and hash of each row of details.
    pub(super) hashes: Vec<(u64, u64)>,
    /// How many of the chunk's jobs have each outcome.
    pub(super) outcomes: OutcomeCounts,
    /// Whether all jobs of the chunk are gone, and no other facts about them are kept.
    is_removed: bool,
}

/// How many jobs of a chunk have each outcome in the existing rows of the index.
fn outcomes_in(index: &dyn Index, graph: &GraphCore, chunk: u64) -> Result<OutcomeCounts, Fault> {
    {
        let details = &graph.state.read().details;
        if !details.is_being_written(chunk) {
            return Ok(details.outcomes(chunk));
        }
    }
    // A write failed: its rows may or may not be in the index.
    let mut outcomes = OutcomeCounts::default();
    for group in chunk * CHUNK_ROWS..(chunk + 1) * CHUNK_ROWS {
        outcomes.add(&detail_rows::read(index, graph, group)?);
    }
    Ok(outcomes)
}

impl ChunkRows {
    /// Merges changes to the details of this chunk's jobs into the existing rows of the index, and
    /// computes the hashes of the results.
    pub(super) fn make(
        index: &dyn Index,
        graph: &GraphCore,
        chunk: &SavedChunk,
        (sequences, changes, forgotten_lsn): (&[u64], &DetailChanges, u64),
    ) -> Result<ChunkRows, Fault> {
        let mut made = ChunkRows {
            number: chunk.number,
            rows: vec![Default::default()],
            hashes: Vec::new(),
            outcomes: OutcomeCounts::default(),
            is_removed: false,
        };
        let mut hashes = graph.state.read().details.chunk(chunk.number);
        let mut outcomes = outcomes_in(index, graph, chunk.number)?;
        for sequences in sequences.chunk_by(|a, b| a / DETAIL_JOBS == b / DETAIL_JOBS) {
            let group = sequences[0] / DETAIL_JOBS;
            let mut row = detail_rows::read(index, graph, group)?;
            outcomes.subtract(&row);
            for sequence in sequences {
                let detail = &mut row.0[(sequence % DETAIL_JOBS) as usize];
                if let Some(change) = changes.get(*sequence) {
                    detail.merge(change);
                }
                detail.reset = false;
                let is_forgotten = |t: &TombstoneRow| t.lsn <= forgotten_lsn;
                if detail.tombstone.as_ref().is_some_and(is_forgotten) {
                    *detail = Detail::default();
                }
            }
            outcomes.add(&row);
            let key = rows::detail_key(graph.number, group);
            // No facts are kept about jobs whose tombstones are forgotten.
            let is_empty = row.0.iter().all(|detail| *detail == Detail::default());
            let value = (!is_empty).then(|| rows::seal(&key, row.encode()));
            let hash = value.as_ref().map_or(0, |value| details::hash(&key, value));
            hashes[(group % CHUNK_ROWS) as usize] = hash;
            made.hashes.push((group, hash));
            made.rows.push((key, value));
        }
        let key = rows::status_key(graph.number, chunk.number);
        let mut content = chunk.bytes.clone();
        details::put((&hashes, &outcomes), chunk.jobs, &mut content);
        let value = rows::seal(&key, rows::pack_words(&content));
        made.rows[0] = (key, Some(value));
        made.outcomes = outcomes;
        made.is_removed = chunk.is_removed && hashes == ChunkHashes::default();
        Ok(made)
    }

    /// Makes the chunk share a row with its neighbors, if there are no facts about its jobs.
    pub(super) fn share(&mut self, graph: u32, chunk: u64, runs: &mut HashMap<u32, RemovedRuns>) {
        let changes = match (self.is_removed, runs.get_mut(&graph)) {
            (true, _) => {
                self.rows.remove(0);
                runs.entry(graph).or_default().insert(chunk)
            }
            (false, Some(runs)) => runs.remove(chunk),
            (false, None) => return,
        };
        for (first, chunks) in changes {
            let key = rows::status_key(graph, first);
            let row = chunks.map(|chunks| rows::seal(&key, status::saved_run(chunks)));
            self.rows.push((key, row));
        }
    }
}
