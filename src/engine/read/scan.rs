//! Finds jobs that can be selected only by reading them: by outcome, times, and text.
//!
//! The scan visits jobs in the order of the list. Every job shown matches, and no match is skipped,
//! even if clocks were changed. A scan holds no lock while it reads, and each thread keeps one
//! block and one row, or one large request, in memory.
//!
//! The scan proceeds window by window. It first excludes jobs by what is in memory, then by rows of
//! the index. Several threads read the texts of the remaining jobs. These threads hold no lock and
//! do not query the index: they run at low priority, and anything that waited for them would be
//! delayed, too.

mod details_filter;
mod matches;
mod progress;
mod times;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use self::details_filter::{asks_details, matches_details};
pub(crate) use self::matches::ScanMatches;
pub(crate) use self::progress::ProgressReporter;
use crate::base::parallel::in_order;
use crate::engine::core::Engine;
use crate::engine::read::missing_job::missing;
use crate::engine::read::reader::{Reader, Snapshot, Unit};
use crate::engine::state::graph::GraphCore;
use crate::engine::state::status::Selection;
use crate::index::rows::DETAIL_JOBS;
use crate::model::error::{Error, Result};
use crate::model::filter::JobFilter;
use crate::model::request_filter::Matcher;
use crate::model::states::State;

/// The first window of texts is this many rows of details long: if matches are frequent, a page is
/// full after a few rows.
const WINDOW_ROWS_MIN: usize = 8;

/// The maximum number of rows in a window: enough work for several threads.
const WINDOW_ROWS_MAX: usize = 128;

/// If no texts are read, progress is reported after this many jobs.
const TOLD_JOBS: u64 = 1024;

/// The minimum number of stretches of text per thread.
const RANGES_PER_THREAD: usize = 2;

/// How a scan ended. If it ended early, contains the position at which the next scan continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanEnd {
    AtEnd,
    Full(u64),
    Stopped(u64),
}

/// Some jobs, in the order of the list, whose details are in neighboring rows of the index.
type Window = Vec<(u64, State)>;

/// A scan of the jobs of a snapshot.
pub(crate) struct Scan<'s> {
    pub(crate) engine: &'s Engine,
    pub(crate) graph: &'s Arc<GraphCore>,
    pub(crate) filter: &'s JobFilter,
    pub(crate) matcher: &'s Matcher,
    /// Jobs in the requested states.
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) newest_first: bool,
}

/// Why reading texts ended early.
enum Stop {
    ScanEnd(ScanEnd),
    Failed(Error),
}

/// The matches in a stretch of texts.
#[derive(Default)]
struct Piece {
    found: Vec<u64>,
    failed: Option<Error>,
}

impl Scan<'_> {
    /// The jobs to scan: those that cannot be excluded by what is in memory.
    pub(crate) fn jobs(&self) -> Cow<'_, Selection> {
        let selection = &self.snapshot.selection;
        match self.filter.submitted.is_any() {
            true => Cow::Borrowed(selection),
            false => {
                Cow::Owned(selection.within(&self.snapshot.not_ruled_out(&self.filter.submitted)))
            }
        }
    }

    /// Scans these jobs in the order of the list until enough are found.
    pub(crate) fn run(
        &self,
        selection: &Selection,
        matches: &mut ScanMatches,
        progress: &mut ProgressReporter<'_>,
    ) -> Result<ScanEnd> {
        let asks_texts = !self.filter.texts.is_any();
        let mut rows = if asks_texts { WINDOW_ROWS_MIN } else { 1 };
        let mut place = match self.newest_first {
            true => selection.last().map_or(0, |last| last + 1),
            false => 0,
        };
        loop {
            let window = self.window(selection, place, rows);
            let Some(&(last, _)) = window.last() else {
                return Ok(ScanEnd::AtEnd);
            };
            place = self.after(last);
            let kept = self.narrow(&window)?;
            let ended = match asks_texts && !kept.is_empty() {
                true => self.read(&window, &kept, matches, progress)?,
                false => {
                    kept.iter().for_each(|&s| matches.take(s));
                    progress.looked_at += window.len() as u64;
                    let after = if asks_texts { 0 } else { TOLD_JOBS };
                    self.ended(place, matches, progress, after)
                }
            };
            match ended {
                // No further matches are possible.
                Some(ScanEnd::Full(at) | ScanEnd::Stopped(at))
                    if self.next(selection, at).is_none() =>
                {
                    return Ok(ScanEnd::AtEnd);
                }
                Some(ended) => return Ok(ended),
                None if asks_texts => rows = (2 * rows).min(WINDOW_ROWS_MAX),
                None => {}
            }
        }
    }

    fn after(&self, sequence: u64) -> u64 {
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

    /// Whether the scan ends at this position.
    fn ended(
        &self,
        place: u64,
        matches: &ScanMatches,
        progress: &mut ProgressReporter<'_>,
        after: u64,
    ) -> Option<ScanEnd> {
        if matches.are_enough() {
            return Some(ScanEnd::Full(place));
        }
        let is_stopped = progress.report(matches, after);
        is_stopped.then_some(ScanEnd::Stopped(place))
    }

    /// The next selected jobs whose details are in at most `rows` rows.
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
            place = self.after(sequence);
        }
    }

    /// The jobs that are not excluded by what is in memory or in the index.
    fn narrow(&self, window: &[(u64, State)]) -> Result<Vec<u64>> {
        let mut kept = Vec::new();
        for group in window.chunk_by(|a, b| a.0 / DETAIL_JOBS == b.0 / DETAIL_JOBS) {
            match asks_details(self.filter) {
                false => kept.extend(group.iter().map(|(sequence, _)| *sequence)),
                true => {
                    let row = self.engine.details(self.graph, group[0].0 / DETAIL_JOBS)?;
                    let matching = group.iter().filter(|&&(sequence, state)| {
                        let detail = &row.0[(sequence % DETAIL_JOBS) as usize];
                        matches_details(self.filter, state, detail)
                    });
                    kept.extend(matching.map(|(sequence, _)| *sequence));
                }
            }
        }
        let unsure = match self.filter.submitted.is_any() || !self.filter.texts.is_any() {
            // Reading the texts also reads the times.
            true => Vec::new(),
            false => self.snapshot.unsure(&self.filter.submitted, &kept),
        };
        if !unsure.is_empty() {
            let within = self.selected(&unsure);
            let found = self.matching(&mut Reader::without_unlisted(), &within, 0..u64::MAX)?;
            kept.retain(|s| unsure.binary_search(s).is_err() || found.binary_search(s).is_ok());
        }
        Ok(kept)
    }

    /// A snapshot of only these jobs. `sequences` is in ascending or descending order.
    fn selected(&self, sequences: &[u64]) -> Snapshot {
        let mut sequences = sequences.to_vec();
        sequences.sort_unstable();
        let (first, last) = (sequences.first(), sequences.last());
        let range = first.copied().unwrap_or(0)..last.map_or(0, |last| last + 1);
        let all = self.snapshot.selection.within(&[range]);
        self.snapshot
            .of(all.only(|sequence| sequences.binary_search(&sequence).is_ok()))
    }

    /// Reads the texts of the remaining jobs of a window, and adds the matches.
    fn read(
        &self,
        window: &[(u64, State)],
        kept: &[u64],
        matches: &mut ScanMatches,
        progress: &mut ProgressReporter<'_>,
    ) -> Result<Option<ScanEnd>> {
        let snapshot = self.selected(kept);
        let cuts = snapshot.cut_points();
        let count = cuts.len() - 1;
        let threads = self
            .engine
            .options
            .page_threads
            .min(count / RANGES_PER_THREAD);
        let range = |n: usize| match self.newest_first {
            true => count - 1 - n,
            false => n,
        };
        let make = |reader: &mut Reader, n: usize, piece: &mut Piece| {
            let n = range(n);
            let found = self.matching(reader, &snapshot, cuts[n]..cuts[n + 1]);
            match found {
                Ok(found) => piece.found = found,
                Err(error) => piece.failed = Some(error),
            }
        };
        let before = progress.looked_at;
        let first = window.first().map_or(0, |&(first, _)| first + 1);
        let last = window.last().map_or(0, |&(last, _)| self.after(last));
        let mut taken = 0;
        let read = in_order(count, threads, make, |piece: &mut Piece| {
            let n = range(taken);
            taken += 1;
            if let Some(error) = piece.failed.take() {
                return Err(Stop::Failed(error));
            }
            let found = std::mem::take(&mut piece.found);
            let looked_at;
            let place = match self.newest_first {
                true => {
                    found.iter().rev().for_each(|&s| matches.take(s));
                    // In newest-first order, the first stretch may be empty: the one past the last
                    // job.
                    let place = cuts[n].clamp(last, first);
                    looked_at = window.partition_point(|&(s, _)| s >= place);
                    place
                }
                false => {
                    found.iter().for_each(|&s| matches.take(s));
                    let place = cuts[n + 1].min(last);
                    looked_at = window.partition_point(|&(s, _)| s < place);
                    place
                }
            };
            progress.looked_at = before + looked_at as u64;
            match self.ended(place, matches, progress, 0) {
                Some(ended) => Err(Stop::ScanEnd(ended)),
                None => Ok(()),
            }
        });
        match read {
            Ok(()) => {
                progress.looked_at = before + window.len() as u64;
                Ok(None)
            }
            Err(Stop::ScanEnd(ended)) => Ok(Some(ended)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// The sequence numbers of the selected jobs in a range whose texts and submission times match.
    fn matching(
        &self,
        reader: &mut Reader,
        snapshot: &Snapshot,
        range: Range<u64>,
    ) -> Result<Vec<u64>> {
        let mut at = snapshot.selection.place(range.start);
        let mut found = Vec::new();
        reader.set_reads_unlisted(self.matcher.needs_unlisted());
        reader.seek_range(range.clone(), snapshot);
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
                        let n = (sequence - block.first_sequence) as usize;
                        let row = &block.rows[n];
                        let parts = (block.request(row), block.unlisted(n));
                        let is_match = self.matches(parts, row.submitted_ms);
                        if is_match.ok_or_else(|| not_valid(sequence))? {
                            found.push(sequence);
                        }
                        from = sequence + 1;
                    }
                }
                Unit::Large(large) => {
                    let (sequence, row) = (large.sequence, large.row);
                    let (text, unlisted) = match self.matcher.needs_unlisted() {
                        true => large.whole()?,
                        false => (large.text()?, Vec::new()),
                    };
                    let request = text.get(row.request_range());
                    let is_match =
                        request.and_then(|r| self.matches((r, &unlisted), row.submitted_ms));
                    if is_match.ok_or_else(|| not_valid(sequence))? {
                        found.push(sequence);
                    }
                }
            }
        }
        Ok(found)
    }

    fn matches(&self, (request, unlisted): (&[u8], &[u8]), submitted_ms: u64) -> Option<bool> {
        if !self.filter.submitted.has(submitted_ms) {
            return Some(false);
        }
        match self.filter.texts.is_any() {
            true => Some(true),
            false => {
                let request = std::str::from_utf8(request).ok()?;
                self.matcher.matches(request, unlisted)
            }
        }
    }
}
