//! Jobs that only reading them tells: by outcome, times and command.
//!
//! Owns: [`Filter`], and the scan that goes through the jobs in the order of a list.
//! Must not know: pages, cursors.
//! Promise: what is shown matches and nothing that matches is passed over, whatever
//! clocks did; a scan holds no lock, and a block and a row in memory.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::graph_state::GraphCore;
use crate::engine::read::{Reader, Snapshot, Unit, missing};
use crate::engine::status::Selection;
use crate::error::Result;
use crate::index::rows::{DETAIL_JOBS, Detail};
use crate::job::State;
use crate::outcome::OutcomeKind;
use crate::request::Request;

/// What jobs are to match, beside their states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// A bit for each kind of outcome, as stored; any where none is set.
    pub(crate) outcomes: u8,
    /// Any where there is none.
    pub(crate) commands: Vec<String>,
    pub(crate) submitted: Span,
    pub(crate) started: Span,
    pub(crate) finished: Span,
}

/// Milliseconds since 1970, from the first on, before the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
}

impl Span {
    fn is_any(&self) -> bool {
        *self == Span::default()
    }

    fn has(&self, ms: u64) -> bool {
        self.from.is_none_or(|from| from <= ms) && self.to.is_none_or(|to| ms < to)
    }

    /// Whether any time from the first to the last is in it.
    fn meets(&self, first: u64, last: u64) -> bool {
        self.from.is_none_or(|from| from <= last) && self.to.is_none_or(|to| first < to)
    }

    /// Whether all times from the first to the last are in it.
    fn holds(&self, first: u64, last: u64) -> bool {
        self.has(first) && self.has(last)
    }
}

impl Filter {
    /// Whether it asks for nothing.
    pub(crate) fn is_any(&self) -> bool {
        *self == Filter::default()
    }

    pub(crate) fn add_outcome(&mut self, kind: OutcomeKind) {
        self.outcomes |= 1 << kind.to_stored();
    }

    /// Its bytes, for a checksum: equal filters have equal ones.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.outcomes];
        for span in [self.submitted, self.started, self.finished] {
            for end in [span.from, span.to] {
                bytes.push(u8::from(end.is_some()));
                bytes.extend_from_slice(&end.unwrap_or_default().to_le_bytes());
            }
        }
        let mut commands = self.commands.clone();
        commands.sort_unstable();
        commands.dedup();
        for command in commands {
            bytes.extend_from_slice(&(command.len() as u64).to_le_bytes());
            bytes.extend_from_slice(command.as_bytes());
        }
        bytes
    }

    fn asks_details(&self) -> bool {
        self.outcomes != 0 || !self.started.is_any() || !self.finished.is_any()
    }

    fn asks_texts(&self) -> bool {
        !self.commands.is_empty()
    }

    /// What is known of a job's life, as it was in this state.
    fn matches_life(&self, state: State, detail: &Detail) -> bool {
        let started = detail.started_ms.filter(|_| state != State::Pending);
        let finished = detail.finished.filter(|_| state == State::Complete);
        let is_in = |span: &Span, ms: Option<u64>| match span.is_any() {
            true => true,
            false => ms.is_some_and(|ms| span.has(ms)),
        };
        let outcome = match self.outcomes {
            0 => true,
            kinds => finished.is_some_and(|end| end.kind < 8 && kinds & (1 << end.kind) != 0),
        };
        outcome
            && is_in(&self.started, started)
            && is_in(&self.finished, finished.map(|end| end.at_ms))
    }

    fn matches_command(&self, request: &[u8]) -> Option<bool> {
        let request = Request::from_stored(std::str::from_utf8(request).ok()?)?;
        let mut commands = self.commands.iter();
        Some(commands.any(|command| command == request.command()))
    }
}

/// Jobs whose details are in one row, in the order of the list.
type Group = Vec<(u64, State)>;

/// A scan through the jobs of a snapshot.
pub(crate) struct Scan<'s> {
    pub(crate) engine: &'s Engine,
    pub(crate) graph: &'s Arc<GraphCore>,
    pub(crate) filter: &'s Filter,
    /// Of the states asked for.
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) newest_first: bool,
}

impl Scan<'_> {
    /// The sequence numbers of the first jobs that match, in the order of the list: so
    /// many, or all.
    pub(crate) fn find(&self, mut wanted: u64) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        let mut reader = Reader::default();
        let selection = &self.snapshot.selection;
        let mut place = match self.newest_first {
            true => selection.last().map_or(0, |last| last + 1),
            false => 0,
        };
        while wanted > 0 {
            let group = self.group(selection, place);
            let Some(&(last, _)) = group.last() else {
                break;
            };
            place = match self.newest_first {
                true => last,
                false => last + 1,
            };
            for sequence in self.matching(group, &mut reader)? {
                if wanted > 0 {
                    found.push(sequence);
                    wanted -= 1;
                }
            }
        }
        Ok(found)
    }

    /// The next selected jobs whose details share a row.
    fn group(&self, selection: &Selection, place: u64) -> Group {
        let mut group = Group::new();
        let (mut place, mut at) = (place, selection.place(place));
        loop {
            let next = match self.newest_first {
                true => selection.before(place),
                false => selection.next(place, &mut at),
            };
            let Some((sequence, state)) = next else {
                return group;
            };
            if let Some(&(first, _)) = group.first() {
                if first / DETAIL_JOBS != sequence / DETAIL_JOBS {
                    return group;
                }
            }
            group.push((sequence, state));
            place = match self.newest_first {
                true => sequence,
                false => sequence + 1,
            };
        }
    }

    fn matching(&self, mut group: Group, reader: &mut Reader) -> Result<Vec<u64>> {
        let submitted = &self.filter.submitted;
        let mut unsure = Vec::new();
        if !submitted.is_any() {
            group.retain(
                |&(sequence, _)| match self.snapshot.submitted_in(sequence) {
                    Some((first, last)) if submitted.holds(first, last) => true,
                    Some((first, last)) if submitted.meets(first, last) => {
                        unsure.push(sequence);
                        true
                    }
                    Some(_) => false,
                    None => true,
                },
            );
        }
        if self.filter.asks_details() && !group.is_empty() {
            let row = self.engine.details(self.graph, group[0].0 / DETAIL_JOBS)?;
            group.retain(|&(sequence, state)| {
                let detail = &row.0[(sequence % DETAIL_JOBS) as usize];
                self.filter.matches_life(state, detail)
            });
        }
        if self.filter.asks_texts() || !unsure.is_empty() {
            unsure.sort_unstable();
            self.read(&mut group, &unsure, reader)?;
        }
        Ok(group.into_iter().map(|(sequence, _)| sequence).collect())
    }

    /// Keeps those whose texts match, and of the unsure ones those whose time does.
    fn read(&self, group: &mut Group, unsure: &[u64], reader: &mut Reader) -> Result<()> {
        let is_read =
            |sequence: u64| self.filter.asks_texts() || unsure.binary_search(&sequence).is_ok();
        let mut sequences: Vec<u64> = group
            .iter()
            .map(|(s, _)| *s)
            .filter(|s| is_read(*s))
            .collect();
        sequences.sort_unstable();
        let (Some(&first), Some(&last)) = (sequences.first(), sequences.last()) else {
            return Ok(());
        };
        let is_wanted = |sequence: u64| sequences.binary_search(&sequence).is_ok();
        let mut kept = Vec::new();
        reader.turn_to(first..last + 1, self.snapshot);
        let not_valid = |sequence| missing(&self.graph.path(), sequence);
        loop {
            match reader.read(self.graph, self.snapshot)? {
                None => break,
                Some(Unit::Block) => {
                    let block = &reader.block;
                    for (sequence, row) in (block.first_sequence..).zip(&block.rows) {
                        if is_wanted(sequence) {
                            let is_match = self.matches(block.request(row), row.submitted_ms);
                            if is_match.ok_or_else(|| not_valid(sequence))? {
                                kept.push(sequence);
                            }
                        }
                    }
                }
                Some(Unit::Large(large)) => {
                    let (sequence, row) = (large.sequence, large.row);
                    if is_wanted(sequence) {
                        let text = large.text()?;
                        let request = text.get(row.request_range());
                        let is_match = request.and_then(|r| self.matches(r, row.submitted_ms));
                        if is_match.ok_or_else(|| not_valid(sequence))? {
                            kept.push(sequence);
                        }
                    }
                }
            }
        }
        group.retain(|&(s, _)| !is_read(s) || kept.binary_search(&s).is_ok());
        Ok(())
    }

    fn matches(&self, request: &[u8], submitted_ms: u64) -> Option<bool> {
        let is_command = match self.filter.asks_texts() {
            true => self.filter.matches_command(request)?,
            false => true,
        };
        Some(is_command && self.filter.submitted.has(submitted_ms))
    }
}

impl Snapshot {
    /// When a job was submitted: not before the first time and not after the last, as
    /// far as memory tells; none where it does not.
    fn submitted_in(&self, sequence: u64) -> Option<(u64, u64)> {
        let part = self.part_of(sequence);
        if let Some(part) = part {
            let place = part.blocks[part.block_of(sequence)?];
            return Some((place.first_ms, place.first_ms.saturating_add(place.span_ms)));
        }
        let run = self.run_of(sequence)?;
        let ms = run.jobs.get((sequence - run.first_sequence) as usize)?;
        Some((ms.submitted_ms, ms.submitted_ms))
    }

    /// What is read at once that ends with this job.
    pub(crate) fn unit_back(&self, sequence: u64) -> Range<u64> {
        if let Some(part) = self.part_of(sequence) {
            let block = part.block_of(sequence).map(|n| part.blocks[n]);
            return block.map_or(sequence, |block| block.first_sequence)..sequence + 1;
        }
        let bound = self.run_of(sequence).map(|run| run.back_from(sequence));
        // Of what is not packed, only jobs without a gap are read at once.
        let mut first = sequence;
        while bound.is_some_and(|bound| bound < first) {
            match self.selection.before(first) {
                Some((before, _)) if before + 1 == first => first = before,
                _ => break,
            }
        }
        first..sequence + 1
    }
}
