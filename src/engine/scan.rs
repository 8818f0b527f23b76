//! Jobs that only reading them tells: by outcome, times and texts.
//!
//! Owns: [`Filter`], and the scan that goes through the jobs in the order of a list.
//! Must not know: pages, cursors.
//! Promise: what is shown matches and nothing that matches is passed over, whatever
//! clocks did; a scan holds no lock while it reads, and in memory a block and a row, or one
//! large request, for each thread.
//!
//! It goes on window by window. What memory knows rules out jobs first, then rows of the
//! index do; the texts of those that are left are read by several threads. These hold no
//! lock and ask no index: they give way to everything else, and whoever waits for them
//! would, too.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::base::parallel::in_order;
use crate::engine::core::Engine;
use crate::engine::missing_job::missing;
use crate::engine::read::{Reader, Snapshot, Unit};
use crate::engine::state::graph::GraphCore;
use crate::engine::state::status::Selection;
use crate::index::rows::{DETAIL_JOBS, Detail};
use crate::model::error::{Error, Result};
use crate::model::filter::{Filter, Span, outcome_bit};
use crate::model::job_query::{OnProgress, ScanProgress};
use crate::model::request_filter::Matcher;
use crate::model::states::State;

/// Rows of details, of so many jobs each, that a window of texts begins with: a page of
/// what is common is full after a few.
const WINDOW_ROWS_MIN: usize = 8;
/// The most rows of a window: enough for some threads to be worth having.
const WINDOW_ROWS_MAX: usize = 128;
/// Jobs that are looked at between two words to who waits, where no text is read.
const TOLD_JOBS: u64 = 1024;
/// Stretches of text that a thread is to have, at least.
const STRETCHES_A_THREAD: usize = 2;

/// Whether a filter asks for what the index keeps of a job.
fn asks_details(filter: &Filter) -> bool {
    filter.outcomes != 0 || !filter.started.is_any() || !filter.completed.is_any()
}

/// What is known of a job's life, as it was in this state.
fn matches_life(filter: &Filter, state: State, detail: &Detail) -> bool {
    let started = detail.started_ms.filter(|_| state != State::Pending);
    let finished = detail.finished.filter(|_| state == State::Complete);
    let is_in = |span: &Span, ms: Option<u64>| match span.is_any() {
        true => true,
        false => ms.is_some_and(|ms| span.has(ms)),
    };
    let outcome = match filter.outcomes {
        0 => true,
        kinds => finished.is_some_and(|end| kinds & outcome_bit(end.kind) != 0),
    };
    outcome
        && is_in(&filter.started, started)
        && is_in(&filter.completed, finished.map(|end| end.at_ms))
}

/// What a scan is to find, and what it has found.
#[derive(Default)]
pub(crate) struct Finds {
    /// Matches that are still to be passed over.
    pub(crate) pass: u64,
    /// Matches to be shown, at most.
    pub(crate) show: u64,
    /// Whether it goes on to the end, so that all of them are counted.
    pub(crate) count_all: bool,
    pub(crate) shown: Shown,
    /// The next one behind those, if it was come across.
    pub(crate) next: Option<u64>,
    /// All matches that were come across.
    pub(crate) matched: u64,
}

/// Some jobs. They are kept by the word, so that any number of them takes at most half a
/// byte for each job of the graph.
#[derive(Default)]
pub(crate) struct Shown {
    /// In the order of the list: 32 neighbours, and a bit for each that is shown.
    words: Vec<(u64, u32)>,
    pub(crate) len: u64,
}

impl Shown {
    fn push(&mut self, sequence: u64) {
        let (place, bit) = (sequence / 32, 1 << (sequence % 32));
        self.len += 1;
        match self.words.last_mut() {
            Some((last, bits)) if *last == place => *bits |= bit,
            _ => self.words.push((place, bit)),
        }
    }

    /// Those of a snapshot that are among them.
    pub(crate) fn of(mut self, all: Snapshot) -> Snapshot {
        self.words.sort_unstable();
        all.only(|sequence| {
            let found = self.words.binary_search_by_key(&(sequence / 32), |w| w.0);
            found.is_ok_and(|n| self.words[n].1 >> (sequence % 32) & 1 == 1)
        })
    }
}

impl Finds {
    fn take(&mut self, sequence: u64) {
        self.matched += 1;
        if self.pass > 0 {
            self.pass -= 1;
        } else if self.shown.len < self.show {
            self.shown.push(sequence);
        } else {
            self.next.get_or_insert(sequence);
        }
    }

    fn are_enough(&self) -> bool {
        !self.count_all && self.shown.len >= self.show
    }
}

/// How a scan ended; not at the end of the list: where another goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    AtEnd,
    Full(u64),
    Stopped(u64),
}

/// Some jobs, in the order of the list, whose details are in neighbouring rows.
type Window = Vec<(u64, State)>;

/// A scan through the jobs of a snapshot.
pub(crate) struct Scan<'s> {
    pub(crate) engine: &'s Engine,
    pub(crate) graph: &'s Arc<GraphCore>,
    pub(crate) filter: &'s Filter,
    pub(crate) matcher: &'s Matcher,
    /// Of the states asked for.
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) newest_first: bool,
}

/// What who waits is told, and when.
pub(crate) struct Progress<'s> {
    call: Option<&'s OnProgress>,
    of: u64,
    looked_at: u64,
    told: u64,
}

impl<'s> Progress<'s> {
    /// Of so many jobs.
    pub(crate) fn new(call: Option<&'s OnProgress>, of: u64) -> Progress<'s> {
        Progress {
            call,
            of,
            looked_at: 0,
            told: 0,
        }
    }

    /// Says how far the scan is; whether it is to end there. Each word is of jobs that were
    /// looked at since the last, so that who ends it at any word comes on.
    fn tell(&mut self, finds: &Finds, after: u64) -> bool {
        let Some(call) = self.call.filter(|_| self.looked_at > self.told) else {
            return false;
        };
        if self.looked_at - self.told < after && self.looked_at < self.of {
            return false;
        }
        self.told = self.looked_at;
        let searched = ScanProgress {
            looked_at: self.looked_at,
            matched: finds.matched,
            of: self.of,
        };
        (call.0)(&searched) == ControlFlow::Break(())
    }
}

/// Why the reading of texts ends early.
enum Stop {
    Ended(Ended),
    Failed(Error),
}

/// What a stretch of texts has.
#[derive(Default)]
struct Piece {
    found: Vec<u64>,
    failed: Option<Error>,
}

impl Scan<'_> {
    /// The jobs that it goes through: those that memory does not rule out.
    pub(crate) fn jobs(&self) -> Cow<'_, Selection> {
        let selection = &self.snapshot.selection;
        match self.filter.submitted.is_any() {
            true => Cow::Borrowed(selection),
            false => {
                Cow::Owned(selection.within(&self.snapshot.not_ruled_out(&self.filter.submitted)))
            }
        }
    }

    /// Goes through these jobs in the order of the list until enough is found.
    pub(crate) fn run(
        &self,
        selection: &Selection,
        finds: &mut Finds,
        progress: &mut Progress<'_>,
    ) -> Result<Ended> {
        let asks_texts = !self.filter.texts.is_any();
        let mut rows = if asks_texts { WINDOW_ROWS_MIN } else { 1 };
        let mut place = match self.newest_first {
            true => selection.last().map_or(0, |last| last + 1),
            false => 0,
        };
        loop {
            let window = self.window(selection, place, rows);
            let Some(&(last, _)) = window.last() else {
                return Ok(Ended::AtEnd);
            };
            place = self.behind(last);
            let kept = self.narrow(&window)?;
            let ended = match asks_texts && !kept.is_empty() {
                true => self.read(&window, &kept, finds, progress)?,
                false => {
                    kept.iter().for_each(|&s| finds.take(s));
                    progress.looked_at += window.len() as u64;
                    let after = if asks_texts { 0 } else { TOLD_JOBS };
                    self.ended(place, finds, progress, after)
                }
            };
            match ended {
                // Nothing is left that could be found.
                Some(Ended::Full(at) | Ended::Stopped(at))
                    if self.next(selection, at).is_none() =>
                {
                    return Ok(Ended::AtEnd);
                }
                Some(ended) => return Ok(ended),
                None if asks_texts => rows = (2 * rows).min(WINDOW_ROWS_MAX),
                None => {}
            }
        }
    }

    fn behind(&self, sequence: u64) -> u64 {
        match self.newest_first {
            true => sequence,
            false => sequence + 1,
        }
    }

    fn next(&self, selection: &Selection, place: u64) -> Option<(u64, State)> {
        match self.newest_first {
            true => selection.before(place),
            false => selection.next(place, &mut selection.place(place)),
        }
    }

    /// Whether the scan ends at this place.
    fn ended(
        &self,
        place: u64,
        finds: &Finds,
        progress: &mut Progress<'_>,
        after: u64,
    ) -> Option<Ended> {
        if finds.are_enough() {
            return Some(Ended::Full(place));
        }
        let is_stopped = progress.tell(finds, after);
        is_stopped.then_some(Ended::Stopped(place))
    }

    /// The next selected jobs, as many as have their details in so many rows.
    fn window(&self, selection: &Selection, place: u64, rows: usize) -> Window {
        let mut window = Window::new();
        let (mut place, mut at) = (place, selection.place(place));
        let (mut row, mut left) = (u64::MAX, rows);
        loop {
            let next = match self.newest_first {
                true => selection.before(place),
                false => selection.next(place, &mut at),
            };
            let Some((sequence, state)) = next else {
                return window;
            };
            if sequence / DETAIL_JOBS != row {
                if left == 0 {
                    return window;
                }
                (row, left) = (sequence / DETAIL_JOBS, left - 1);
            }
            window.push((sequence, state));
            place = self.behind(sequence);
        }
    }

    /// Those that memory and the index do not rule out.
    fn narrow(&self, window: &[(u64, State)]) -> Result<Vec<u64>> {
        let mut kept = Vec::new();
        for group in window.chunk_by(|a, b| a.0 / DETAIL_JOBS == b.0 / DETAIL_JOBS) {
            match asks_details(self.filter) {
                false => kept.extend(group.iter().map(|(sequence, _)| *sequence)),
                true => {
                    let row = self.engine.details(self.graph, group[0].0 / DETAIL_JOBS)?;
                    let matching = group.iter().filter(|&&(sequence, state)| {
                        let detail = &row.0[(sequence % DETAIL_JOBS) as usize];
                        matches_life(self.filter, state, detail)
                    });
                    kept.extend(matching.map(|(sequence, _)| *sequence));
                }
            }
        }
        let unsure = match self.filter.submitted.is_any() || !self.filter.texts.is_any() {
            // Who reads texts reads times, too.
            true => Vec::new(),
            false => self.snapshot.unsure(&self.filter.submitted, &kept),
        };
        if !unsure.is_empty() {
            let within = self.selected(&unsure);
            let found = self.matching(&mut Reader::default(), &within, 0..u64::MAX)?;
            kept.retain(|s| unsure.binary_search(s).is_err() || found.binary_search(s).is_ok());
        }
        Ok(kept)
    }

    /// The snapshot of these jobs, which are in order, one way or the other.
    fn selected(&self, sequences: &[u64]) -> Snapshot {
        let mut sequences = sequences.to_vec();
        sequences.sort_unstable();
        let (first, last) = (sequences.first(), sequences.last());
        let range = first.copied().unwrap_or(0)..last.map_or(0, |last| last + 1);
        let all = self.snapshot.selection.within(&[range]);
        self.snapshot
            .of(all.only(|sequence| sequences.binary_search(&sequence).is_ok()))
    }

    /// Reads the texts of those kept of a window, and takes what matches.
    fn read(
        &self,
        window: &[(u64, State)],
        kept: &[u64],
        finds: &mut Finds,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Ended>> {
        let snapshot = self.selected(kept);
        let cuts = snapshot.stretches();
        let count = cuts.len() - 1;
        let threads = self
            .engine
            .options
            .page_threads
            .min(count / STRETCHES_A_THREAD);
        let stretch = |n: usize| match self.newest_first {
            true => count - 1 - n,
            false => n,
        };
        let make = |reader: &mut Reader, n: usize, piece: &mut Piece| {
            let n = stretch(n);
            let found = self.matching(reader, &snapshot, cuts[n]..cuts[n + 1]);
            match found {
                Ok(found) => piece.found = found,
                Err(error) => piece.failed = Some(error),
            }
        };
        let before = progress.looked_at;
        let first = window.first().map_or(0, |&(first, _)| first + 1);
        let last = window.last().map_or(0, |&(last, _)| self.behind(last));
        let mut taken = 0;
        let read = in_order(count, threads, make, |piece: &mut Piece| {
            let n = stretch(taken);
            taken += 1;
            if let Some(error) = piece.failed.take() {
                return Err(Stop::Failed(error));
            }
            let found = std::mem::take(&mut piece.found);
            let looked_at;
            let place = match self.newest_first {
                true => {
                    found.iter().rev().for_each(|&s| finds.take(s));
                    // The stretch that comes first may be an empty one behind all jobs.
                    let place = cuts[n].clamp(last, first);
                    looked_at = window.partition_point(|&(s, _)| s >= place);
                    place
                }
                false => {
                    found.iter().for_each(|&s| finds.take(s));
                    let place = cuts[n + 1].min(last);
                    looked_at = window.partition_point(|&(s, _)| s < place);
                    place
                }
            };
            progress.looked_at = before + looked_at as u64;
            match self.ended(place, finds, progress, 0) {
                Some(ended) => Err(Stop::Ended(ended)),
                None => Ok(()),
            }
        });
        match read {
            Ok(()) => {
                progress.looked_at = before + window.len() as u64;
                Ok(None)
            }
            Err(Stop::Ended(ended)) => Ok(Some(ended)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// The selected jobs of a range whose texts and times of submission match, by number.
    fn matching(
        &self,
        reader: &mut Reader,
        snapshot: &Snapshot,
        range: Range<u64>,
    ) -> Result<Vec<u64>> {
        let mut at = snapshot.selection.place(range.start);
        let mut found = Vec::new();
        reader.turn_to(range.clone(), snapshot);
        let not_valid = |sequence| missing(&self.graph.path(), sequence);
        while let Some(unit) = reader.read(self.graph, snapshot)? {
            match unit {
                Unit::Block => {
                    let block = &reader.block;
                    if !self.matcher.may_be_in(block.text()) {
                        continue;
                    }
                    let end = block.first_sequence + block.rows.len() as u64;
                    let mut from = block.first_sequence.max(range.start);
                    while let Some((sequence, _)) = snapshot.selection.next(from, &mut at) {
                        if sequence >= end.min(range.end) {
                            break;
                        }
                        let row = &block.rows[(sequence - block.first_sequence) as usize];
                        let is_match = self.matches(block.request(row), row.submitted_ms);
                        if is_match.ok_or_else(|| not_valid(sequence))? {
                            found.push(sequence);
                        }
                        from = sequence + 1;
                    }
                }
                Unit::Large(large) => {
                    let (sequence, row) = (large.sequence, large.row);
                    let text = large.text()?;
                    let request = text.get(row.request_range());
                    let is_match = request.and_then(|r| self.matches(r, row.submitted_ms));
                    if is_match.ok_or_else(|| not_valid(sequence))? {
                        found.push(sequence);
                    }
                }
            }
        }
        Ok(found)
    }

    fn matches(&self, request: &[u8], submitted_ms: u64) -> Option<bool> {
        if !self.filter.submitted.has(submitted_ms) {
            return Some(false);
        }
        match self.filter.texts.is_any() {
            true => Some(true),
            false => self.matcher.matches(std::str::from_utf8(request).ok()?),
        }
    }
}

impl Snapshot {
    /// All but the jobs of which memory knows that they were submitted at other times. A
    /// block has two times: some milliseconds for 10 million jobs.
    fn not_ruled_out(&self, span: &Span) -> Vec<Range<u64>> {
        let (mut ranges, mut from) = (Vec::new(), 0);
        let mut rule_out = |range: Range<u64>| {
            if from < range.start {
                ranges.push(from..range.start);
            }
            from = range.end;
        };
        for part in self.parts() {
            for place in &part.blocks {
                let last_ms = place.first_ms.saturating_add(place.span_ms);
                if !span.meets(place.first_ms, last_ms) {
                    rule_out(place.first_sequence..place.end_sequence());
                }
            }
        }
        for run in self.runs() {
            for (sequence, job) in (run.first_sequence..).zip(&run.jobs) {
                if !span.has(job.submitted_ms) {
                    rule_out(sequence..sequence + 1);
                }
            }
        }
        ranges.push(from..u64::MAX);
        ranges
    }

    /// Those of these jobs, in number's order, of which memory does not know that they
    /// were submitted within this span.
    fn unsure(&self, span: &Span, sequences: &[u64]) -> Vec<u64> {
        let mut known = 0..0;
        let mut unsure: Vec<u64> = sequences
            .iter()
            .copied()
            .filter(|&sequence| {
                if known.contains(&sequence) {
                    return false;
                }
                let Some(part) = self.part_of(sequence) else {
                    // What is not packed has its own time, by which it was not ruled out.
                    return self.run_of(sequence).is_none();
                };
                let Some(place) = part.block_of(sequence).map(|n| part.blocks[n]) else {
                    return true;
                };
                let last_ms = place.first_ms.saturating_add(place.span_ms);
                let is_sure = span.holds(place.first_ms, last_ms);
                if is_sure {
                    known = place.first_sequence..place.end_sequence();
                }
                !is_sure
            })
            .collect();
        unsure.sort_unstable();
        unsure
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
