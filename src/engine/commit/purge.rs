//! Validates and encodes the writes of retention: purging jobs and forgetting tombstones.
//!
//! A job that is not complete at this commit is not purged.

use std::sync::Arc;

use super::staging::Staging;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::graph::GraphCore;
use crate::log::event::{Event, pack_sequences};
use crate::log::purged_jobs::{self, PurgedJob};
use crate::model::error::Result;
use crate::model::states::State;

impl Staging<'_> {
    pub(super) fn purge(
        &mut self,
        graph: &Arc<GraphCore>,
        jobs: &[PurgedJob],
        why: u8,
    ) -> Result<WriteResult> {
        let lsn = self.next_lsn();
        let is_complete =
            |job: &&PurgedJob| matches!(self.round.state(graph, job.sequence), Ok(State::Complete));
        let complete: Vec<PurgedJob> = jobs.iter().filter(is_complete).cloned().collect();
        let fresh = |job: &PurgedJob| !self.round.purged.contains(&(graph.number, job.sequence));
        let jobs: Vec<PurgedJob> = complete.into_iter().filter(fresh).collect();
        if !jobs.is_empty() {
            let purged = Event::Purged {
                graph: graph.number,
                time_ms: self.round.now_ms,
                age_shift_ms: self.round.age_shift_ms(),
                why,
                jobs: &purged_jobs::pack(&jobs),
            };
            self.push(graph, &purged);
        }
        let purged = jobs.iter().map(|job| (graph.number, job.sequence));
        self.round.purged.extend(purged);
        let jobs = jobs.len() as u64;
        Ok(WriteResult::Purged { lsn, jobs })
    }

    pub(super) fn forget(
        &mut self,
        graph: &Arc<GraphCore>,
        through_lsn: u64,
        sequences: &[u64],
    ) -> WriteResult {
        let forgotten = Event::Forgotten {
            graph: graph.number,
            through_lsn,
            sequences: &pack_sequences(sequences),
        };
        self.push(graph, &forgotten);
        WriteResult::Done
    }
}
