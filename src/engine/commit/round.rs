//! The staged changes of a commit, and the states after them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::engine::state::calls::WriteResult;
use crate::engine::state::commit_changes::CommitChanges;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::run_cell::RunCell;
use crate::engine::state::running::{RunningJob, SubmittedJob};
use crate::log::clock_gaps::Gaps;
use crate::log::clock_mark::ClockMark;
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::request::Request;
use crate::model::states::{State, States};

#[derive(Default)]
pub(super) struct Round {
    pub(super) now_ms: u64,
    /// The clocks at this commit. While imported jobs are staged, `now_ms` is set to the times of
    /// the imported events.
    pub(super) clock: ClockMark,
    /// The gaps confirmed before this commit.
    pub(super) gaps: Gaps,
    pub(super) results: Vec<Result<WriteResult>>,
    /// The jobs that writes refer to, each with the index of the write. Needed only if the commit
    /// fails.
    pub(super) ids: Vec<(usize, JobId)>,
    pub(super) changes: CommitChanges,
    /// Names of the graphs created in this round.
    pub(super) created_names: HashSet<(String, String)>,
    /// Numbers of the graphs dropped in this round.
    pub(super) dropped_numbers: HashSet<u32>,
    /// Jobs added to each graph in this round, in order.
    pub(super) added: HashMap<u32, Vec<SubmittedJob>>,
    /// Jobs started in this round.
    pub(super) started: HashMap<(u32, u64), RunningJob>,
    /// Commands that were assigned a number in this round.
    pub(super) commands: HashMap<u32, Vec<(Arc<str>, u8)>>,
    /// States that differ from the published ones.
    pub(super) states: HashMap<(u32, u64), State>,
    /// External ids added in this round.
    pub(super) brought: HashMap<(u32, JobId), Request>,
    /// Idempotency keys taken in this round.
    pub(super) keyed: HashMap<(u32, String), (JobId, Request)>,
    pub(super) cancelling: HashSet<(u32, u64)>,
    /// Jobs that became pending again in this round.
    pub(super) requeued: BTreeSet<(u32, u64)>,
    /// Jobs purged in this round.
    pub(super) purged: HashSet<(u32, u64)>,
}

impl Round {
    /// The age clock at `now_ms`, in the form in which an event stores it.
    pub(super) fn age_shift_ms(&self) -> i64 {
        self.clock.shift(self.now_ms, &self.gaps)
    }

    pub(super) fn is_dropped(&self, graph: &GraphCore) -> bool {
        self.dropped_numbers.contains(&graph.number)
    }

    pub(super) fn check_graph(&self, graph: &GraphCore) -> Result<()> {
        if graph.is_dropped() || self.is_dropped(graph) {
            return Err(Error::GraphDropped {
                graph: graph.name.to_string(),
            });
        }
        Ok(())
    }

    /// Records that the write being staged refers to this job.
    pub(super) fn note_id(&mut self, id: &JobId) {
        self.ids.push((self.results.len(), id.clone()));
    }

    pub(super) fn next_sequence(&self, graph: &GraphCore) -> u64 {
        let added = self.added.get(&graph.number).map_or(0, Vec::len) as u64;
        graph.state.read().status.len() + added
    }

    pub(super) fn state(&self, graph: &GraphCore, sequence: u64) -> Result<State> {
        match self.states.get(&(graph.number, sequence)) {
            Some(&state) => Ok(state),
            None => graph
                .state
                .read()
                .status
                .get(sequence)
                .ok_or_else(|| Error::UnknownJob {
                    id: format!("number {sequence}"),
                }),
        }
    }

    /// Whether a run still owns its job after the writes staged before this one.
    pub(super) fn holds(&self, graph: &GraphCore, sequence: u64, run: &RunCell) -> bool {
        !run.is_over() && !self.requeued.contains(&(graph.number, sequence))
    }

    pub(super) fn oldest_pending(&self, graph: &GraphCore) -> Option<u64> {
        let number = graph.number;
        let is_pending = |sequence: u64| match self.states.get(&(number, sequence)) {
            Some(&state) => state == State::Pending,
            None => true,
        };
        let published = {
            let state = graph.state.read();
            let pending = States::NONE.with(State::Pending);
            // In the published states, jobs that this round has already claimed are still pending.
            let taken = self.states.len() as u64 + 1;
            let selection = state.status.select(pending, 0, 0, taken);
            let (mut at, mut from, mut found) = (0, 0, None);
            while let Some((sequence, _)) = selection.next(from, &mut at) {
                if is_pending(sequence) {
                    found = Some(sequence);
                    break;
                }
                from = sequence + 1;
            }
            found
        };
        let mut requeued = self.requeued.range((number, 0)..=(number, u64::MAX));
        let requeued = requeued.find(|&&(_, sequence)| is_pending(sequence));
        let next = self.next_sequence(graph);
        let added = self.added.get(&number).map_or(0, Vec::len) as u64;
        let submitted = || (next - added..next).find(|&sequence| is_pending(sequence));
        let requeued = requeued.map(|&(_, sequence)| sequence);
        published
            .into_iter()
            .chain(requeued)
            .min()
            .or_else(submitted)
    }

    /// Ends all writes with this error.
    pub(super) fn end_with(&mut self, error: &Error) {
        self.results
            .iter_mut()
            .for_each(|result| *result = Err(error.clone()));
    }

    /// Completes every write with an "unknown" error, because the log may or may not contain the
    /// frame.
    pub(super) fn end_unknown(&mut self, why: &Arc<str>) {
        let mut ids = self.ids.drain(..).peekable();
        for (n, result) in self.results.iter_mut().enumerate() {
            let of_write = std::iter::from_fn(|| ids.next_if(|(of, _)| *of == n));
            *result = Err(Error::CommitUnknown {
                ids: of_write.map(|(_, id)| id).collect(),
                why: why.clone(),
            });
        }
    }
}
