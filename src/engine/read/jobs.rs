//! Jobs as values: the text of a page, joined with times and outcomes from memory, the index, and
//! the log.
//!
//! A job shows nothing that happened after the instant of the snapshot. A stale index is detected,
//! because the state determines which facts must exist.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::core::Engine;
use crate::engine::read::large::large_id_in;
use crate::engine::read::missing_job::missing;
use crate::engine::read::reader::{Reader, Snapshot, Unit};
use crate::engine::state::detail_rows;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::log_files::LogFiles;
use crate::engine::state::nearby_jobs::NearbyJobs;
use crate::index::rows::{DETAIL_JOBS, Detail, DetailRow};
use crate::index::{Fault, Index};
use crate::log::block::{BLOCK_JOBS_MAX, BLOCK_STATUS, Block, Row};
use crate::log::event::Event;
use crate::log::pack::Pack;
use crate::log::segment::Segment;
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::job::Job;
use crate::model::job_json::{AFTER_REQUEST, BEFORE_ID, BEFORE_REQUEST};
use crate::model::outcome::{Extra, Outcome, OutcomeKind};
use crate::model::request::Request;
use crate::model::secrets::MaskedRequest;
use crate::model::states::{State, States};

/// Ids and submission times of neighboring jobs, starting at a sequence number.
pub(crate) type NearIds = (u64, Vec<(JobId, u64)>);

/// Jobs of a snapshot as values.
pub(crate) struct JobReader {
    reader: Reader,
    /// The remaining rows of the reader's block.
    rows: std::ops::Range<usize>,
    at: usize,
    details: Option<(u64, DetailRow)>,
    outcomes: ExtraCache,
    /// In a newest-first list: all jobs with this or a higher sequence number have been returned or
    /// are in `ahead`. The last job in `ahead` is returned next.
    upto: u64,
    ahead: Vec<Job>,
}

impl JobReader {
    pub(crate) fn new() -> JobReader {
        JobReader {
            reader: Reader::default(),
            rows: 0..0,
            at: 0,
            details: None,
            outcomes: ExtraCache::default(),
            upto: u64::MAX,
            ahead: Vec::new(),
        }
    }

    /// The next job in the order of the list.
    pub(crate) fn next(
        &mut self,
        engine: &Engine,
        graph: &Arc<GraphCore>,
        snapshot: &Snapshot,
    ) -> Result<Option<Job>> {
        if !snapshot.newest_first {
            return self.next_up(engine, graph, snapshot);
        }
        if self.ahead.is_empty() {
            let Some((sequence, _)) = snapshot.selection.before(self.upto) else {
                return Ok(None);
            };
            let unit = snapshot.unit_back(sequence);
            self.upto = unit.start;
            self.at = snapshot.selection.place(unit.start);
            self.reader.seek_range(unit, snapshot);
            while let Some(job) = self.next_up(engine, graph, snapshot)? {
                self.ahead.push(job);
            }
        }
        Ok(self.ahead.pop())
    }

    fn next_up(
        &mut self,
        engine: &Engine,
        graph: &Arc<GraphCore>,
        snapshot: &Snapshot,
    ) -> Result<Option<Job>> {
        loop {
            for n in self.rows.by_ref() {
                let sequence = self.reader.block.first_sequence + n as u64;
                let selected = snapshot.selection.next(sequence, &mut self.at);
                if let Some((_, state)) = selected.filter(|&(next, _)| next == sequence) {
                    let submitted_ms = self.reader.block.rows[n].submitted_ms;
                    let texts = parse_row(&self.reader.block, n);
                    let (id, masked_request) =
                        texts.ok_or_else(|| missing(&graph.path(), sequence))?;
                    let known = (id, masked_request, submitted_ms);
                    return self
                        .job(engine, graph, snapshot, (sequence, state), known)
                        .map(Some);
                }
            }
            match self.reader.read(graph, snapshot)? {
                None => return Ok(None),
                Some(Unit::Block) => self.rows = 0..self.reader.block.rows.len(),
                Some(Unit::Large(large)) => {
                    let (sequence, row) = (large.sequence, large.row);
                    let selected = snapshot.selection.next(sequence, &mut self.at);
                    let Some((_, state)) = selected else {
                        return Ok(None);
                    };
                    let texts = parse_text(&large.whole()?, &row);
                    let (id, masked_request) =
                        texts.ok_or_else(|| missing(&graph.path(), sequence))?;
                    let known = (id, masked_request, row.submitted_ms);
                    return self
                        .job(engine, graph, snapshot, (sequence, state), known)
                        .map(Some);
                }
            }
        }
    }

    fn job(
        &mut self,
        engine: &Engine,
        graph: &Arc<GraphCore>,
        snapshot: &Snapshot,
        (sequence, state): (u64, State),
        (id, masked_request, submitted_ms): (JobId, MaskedRequest, u64),
    ) -> Result<Job> {
        let request = masked_request.revealed();
        let mut job = Job {
            id,
            sequence,
            state,
            request: request.ok_or_else(|| missing(&graph.path(), sequence))?,
            secrets_lost: masked_request.secrets_lost(),
            masked: masked_request.request,
            secret_keys: engine.secret_keys(),
            outcome: None,
            progress: None,
            cancel_requested: state == State::Running && snapshot.is_cancelling(sequence),
            submitted_at: crate::base::clock::from_ms(submitted_ms),
            started_at: None,
            completed_at: None,
        };
        if state == State::Pending {
            return Ok(job);
        }
        let detail = self.detail(engine, graph, snapshot, sequence)?;
        job.started_at = detail.started_ms.map(crate::base::clock::from_ms);
        if state == State::Running {
            let cell = graph.state.read().activity.watched.get(&sequence).cloned();
            job.progress = cell.and_then(|cell| cell.progress.lock().clone());
            return Ok(job);
        }
        let known = (snapshot.log(), &mut self.outcomes);
        let outcome = engine.outcome(graph, sequence, &detail, known)?;
        job.completed_at = detail
            .finished
            .map(|end| crate::base::clock::from_ms(end.at_ms));
        job.outcome = Some(outcome);
        Ok(job)
    }

    fn detail(
        &mut self,
        engine: &Engine,
        graph: &GraphCore,
        snapshot: &Snapshot,
        sequence: u64,
    ) -> Result<Detail> {
        if snapshot.selection.len == 1 {
            return engine.detail(graph, sequence);
        }
        let group = sequence / DETAIL_JOBS;
        let row = match self.details.take() {
            Some((known, row)) if known == group => row,
            _ => engine.details(graph, group)?,
        };
        let detail = row.0[(sequence % DETAIL_JOBS) as usize];
        self.details = Some((group, row));
        Ok(detail)
    }
}

fn parse_row(block: &Block, n: usize) -> Option<(JobId, MaskedRequest)> {
    let row = block.rows.get(n)?;
    parse(block.id(row), block.request(row), block.unlisted(n))
}

fn parse_text((text, unlisted): &(Vec<u8>, Vec<u8>), row: &Row) -> Option<(JobId, MaskedRequest)> {
    let id = text
        .get(BEFORE_ID.len()..)?
        .get(..usize::from(row.id_len))?;
    let before = row.status_at() + BLOCK_STATUS.len() + BEFORE_REQUEST.len();
    parse(
        id,
        text.get(before..text.len().checked_sub(AFTER_REQUEST.len())?)?,
        unlisted,
    )
}

fn parse(id: &[u8], request: &[u8], unlisted: &[u8]) -> Option<(JobId, MaskedRequest)> {
    let id = JobId::new(std::str::from_utf8(id).ok()?).ok()?;
    let request = std::str::from_utf8(request).ok()?;
    Some((id, MaskedRequest::from_stored(request, unlisted)?))
}

/// Caches the most recently read extra parts of outcomes. A single read often returns the extra
/// parts of several jobs that completed one after another.
#[derive(Default)]
pub(crate) struct ExtraCache {
    extras: HashMap<u64, Box<Extra>>,
}

impl ExtraCache {
    fn take_event(&mut self, lsn: u64, event: &Event<'_>) {
        if let Event::Completed {
            extra: Some(extra), ..
        } = event
        {
            self.extras.insert(lsn, extra.clone());
        }
    }
}

impl Engine {
    /// Reads one job in its current state.
    pub(crate) fn job(&self, graph: &Arc<GraphCore>, sequence: u64) -> Result<Option<Job>> {
        match Snapshot::one(graph, sequence) {
            None => Ok(None),
            Some(snapshot) => JobReader::new().next(self, graph, &snapshot),
        }
    }

    /// The id and request of one job, with secrets masked. Does not read its times and outcome.
    pub(crate) fn id_and_request(
        &self,
        graph: &Arc<GraphCore>,
        sequence: u64,
    ) -> Result<Option<(JobId, Request)>> {
        let found = self.id_and_kept(graph, sequence)?;
        Ok(found.map(|(id, masked_request)| (id, masked_request.request)))
    }

    /// Like [`Engine::id_and_request`], but also returns the unlisted part.
    pub(crate) fn id_and_kept(
        &self,
        graph: &Arc<GraphCore>,
        sequence: u64,
    ) -> Result<Option<(JobId, MaskedRequest)>> {
        let Some(snapshot) = Snapshot::one(graph, sequence) else {
            return Ok(None);
        };
        let mut reader = Reader::default();
        let texts = match reader.read(graph, &snapshot)? {
            None => return Ok(None),
            Some(Unit::Block) => {
                let n = (sequence - reader.block.first_sequence) as usize;
                parse_row(&reader.block, n)
            }
            Some(Unit::Large(large)) => {
                let row = large.row;
                parse_text(&large.whole()?, &row)
            }
        };
        texts
            .map(Some)
            .ok_or_else(|| missing(&graph.path(), sequence))
    }

    /// Reads a job together with its neighbors. `None` if the job is large or does not exist.
    pub(crate) fn nearby_jobs(
        &self,
        graph: &Arc<GraphCore>,
        sequence: u64,
    ) -> Result<Option<NearbyJobs>> {
        let Some(snapshot) = Snapshot::one(graph, sequence) else {
            return Ok(None);
        };
        let mut reader = Reader::without_unlisted();
        match reader.read(graph, &snapshot)? {
            Some(Unit::Block) => Ok(Some(NearbyJobs::new(
                graph.number,
                std::mem::take(&mut reader.block),
            ))),
            Some(Unit::Large(_)) | None => Ok(None),
        }
    }

    /// Ids and submission times of the jobs that are read together with an existing job, beginning
    /// with the first of these jobs.
    pub(crate) fn ids_near(
        &self,
        graph: &Arc<GraphCore>,
        sequence: u64,
    ) -> Result<Option<NearIds>> {
        let snapshot = {
            let state = graph.state.read();
            // A pack returns a whole block. In a segment, the jobs that follow this one are read
            // together with it.
            let jobs = match sequence < state.packed_end() {
                true => 1,
                false => BLOCK_JOBS_MAX as u64,
            };
            let selection = state.status.select(States::ALL, sequence, 0, jobs);
            if selection.first() != Some(sequence) {
                return Ok(None);
            }
            Snapshot::take(&state, selection)
        };
        let mut reader = Reader::default();
        let not_valid = || missing(&graph.path(), sequence);
        match reader.read(graph, &snapshot)? {
            None => Ok(None),
            Some(Unit::Large(large)) => {
                let submitted_ms = large.row.submitted_ms;
                let id = JobId::new(large_id_in(large)?)?;
                Ok(Some((sequence, vec![(id, submitted_ms)])))
            }
            Some(Unit::Block) => {
                let block = &reader.block;
                let ids = block.rows.iter().map(|row| {
                    let id = std::str::from_utf8(block.id(row)).ok();
                    let id = id.and_then(|id| JobId::new(id).ok());
                    Ok((id.ok_or_else(not_valid)?, row.submitted_ms))
                });
                let ids: Result<Vec<_>> = ids.collect();
                Ok(Some((block.first_sequence, ids?)))
            }
        }
    }

    /// The times and outcome of one job.
    pub(crate) fn detail(&self, graph: &GraphCore, sequence: u64) -> Result<Detail> {
        let changes = graph.state.read().detail_changes(sequence);
        let mut detail = Detail::default();
        // Both the start and the completion of a finished job may still be in memory.
        if !matches!(
            changes,
            [
                _,
                Some(Detail {
                    started_ms: Some(_),
                    finished: Some(_),
                    ..
                })
            ]
        ) {
            detail =
                self.ask_details(graph, |index| detail_rows::read_one(index, graph, sequence))?;
        }
        changes
            .iter()
            .flatten()
            .for_each(|change| detail.merge(change));
        Ok(detail)
    }

    /// The times and outcomes of 128 neighboring jobs.
    pub(crate) fn details(&self, graph: &GraphCore, group: u64) -> Result<DetailRow> {
        let changes = graph.state.read().detail_changes_of(group);
        let mut row = self.ask_details(graph, |index| detail_rows::read(index, graph, group))?;
        for (n, change) in &changes {
            row.0[*n].merge(change);
        }
        Ok(row)
    }

    /// Reads rows of a graph's details.
    fn ask_details<T>(
        &self,
        graph: &GraphCore,
        ask: impl Fn(&dyn Index) -> Result<T, Fault>,
    ) -> Result<T> {
        self.query_index(ask)?.map_err(|fault| {
            // If a follower is restored, its index loses the rows of dropped graphs.
            graph
                .check_not_dropped()
                .map_or_else(|dropped| dropped, |()| self.index_failed(fault))
        })
    }

    /// The outcome of a complete job. If the job was purged after the page was taken, its outcome
    /// is read from the log as it was when the page was taken. The state shows that the job is
    /// complete, so if the index lacks its completion, the index is stale.
    pub(crate) fn outcome(
        &self,
        graph: &GraphCore,
        sequence: u64,
        detail: &Detail,
        (log, outcomes): (Option<&LogFiles>, &mut ExtraCache),
    ) -> Result<Outcome> {
        let stale = || {
            // The rows of a dropped graph are removed from the index.
            if let Err(dropped) = graph.check_not_dropped() {
                return dropped;
            }
            // The details of a job that was purged after the page was taken are removed, too. After
            // a follower was restored from another log, the job may be in an earlier state.
            let complete = States::NONE.with(State::Complete);
            let now = graph.state.read().status.select(complete, sequence, 0, 1);
            if now.first() != Some(sequence) {
                return Error::PageExpired;
            }
            let number = graph.number;
            let what =
                format!("it does not contain the outcome of job {sequence} of graph {number}");
            self.index_failed(Fault(what))
        };
        let finished = detail.finished.ok_or_else(stale)?;
        let kind = OutcomeKind::from_stored(finished.kind).ok_or_else(stale)?;
        let extra = match finished.extra_lsn {
            0 => None,
            lsn => {
                let mut extra = self.outcome_extra(lsn, outcomes)?;
                if let (None, Some(log)) = (&extra, log) {
                    log.events_near(lsn, |lsn, event| outcomes.take_event(lsn, event))?;
                    extra = outcomes.extras.get(&lsn).cloned();
                }
                Some(extra.ok_or_else(stale)?)
            }
        };
        Ok(Outcome {
            kind,
            recovered_at_open: (finished.open_number > 0).then_some(finished.open_number),
            extra,
        })
    }

    /// The rest of an outcome, read from the event that recorded it.
    pub(crate) fn outcome_extra(
        &self,
        lsn: u64,
        cache: &mut ExtraCache,
    ) -> Result<Option<Box<Extra>>> {
        if let Some(extra) = cache.extras.get(&lsn) {
            return Ok(Some(extra.clone()));
        }
        cache.extras.clear();
        self.events_near(lsn, |lsn, event| cache.take_event(lsn, event))?;
        Ok(cache.extras.get(&lsn).cloned())
    }

    /// Calls `each` with the event of this LSN, if the log contains it.
    pub(crate) fn event_at(&self, lsn: u64, mut each: impl FnMut(&Event<'_>)) -> Result<()> {
        self.events_near(lsn, |at, event| {
            if at == lsn {
                each(event);
            }
        })
    }

    /// Calls `each` with the event of this LSN and those that are read together with it.
    pub(crate) fn events_near(&self, lsn: u64, each: impl FnMut(u64, &Event<'_>)) -> Result<()> {
        let log_files = self.log_files.read().clone();
        log_files.events_near(lsn, each)
    }

    /// Like [`Engine::events_near`], but also reads some later events, for readers that continue.
    pub(crate) fn events_from(&self, lsn: u64, each: impl FnMut(u64, &Event<'_>)) -> Result<()> {
        let log_files = self.log_files.read().clone();
        match log_files.file_of(lsn) {
            Some(LogFile::Pack(pack)) => pack.events_near(lsn, each),
            Some(LogFile::Segment(segment)) => segment.events_from(lsn, each),
            None => Ok(()),
        }
    }
}

/// A file of the log.
enum LogFile<'t> {
    Pack(&'t Pack),
    Segment(&'t Segment),
}

impl LogFiles {
    fn events_near(&self, lsn: u64, each: impl FnMut(u64, &Event<'_>)) -> Result<()> {
        match self.file_of(lsn) {
            Some(LogFile::Pack(pack)) => pack.events_near(lsn, each),
            Some(LogFile::Segment(segment)) => segment.events_near(lsn, each),
            None => Ok(()),
        }
    }

    /// The file that contains this LSN, if any.
    fn file_of(&self, lsn: u64) -> Option<LogFile<'_>> {
        let pack = self.packs.partition_point(|pack| pack.last_lsn < lsn);
        let after = self.segments.partition_point(|s| s.header.first_lsn <= lsn);
        let segment = after.checked_sub(1).map(|n| &self.segments[n]);
        let pack = self.packs.get(pack).map(|pack| LogFile::Pack(pack));
        pack.or(segment.map(|segment| LogFile::Segment(segment)))
    }
}
