//! Reading jobs at one instant, block by block.
//!
//! Owns: [`Snapshot`], which fixes what a page shows, and [`Reader`], which brings
//! its blocks. Must not know: JSON documents, who reads.
//! Promise: a reader holds a block in memory, not a page; it blocks no writer; a
//! job that cannot be read is an error that names the place.

use std::path::PathBuf;
use std::sync::Arc;

use crate::core::engine::Engine;
use crate::core::graph::{GraphCore, GraphState, TailPlace, TailRun};
use crate::core::status::Selection;
use crate::error::{Error, Result};
use crate::id::{self, JobId};
use crate::index::Fault;
use crate::index::rows::{self, DETAIL_JOBS, Detail, DetailRow};
use crate::job::{Job, State};
use crate::outcome::{Outcome, OutcomeKind};
use crate::request::Request;
use crate::storage::block::{
    AFTER_REQUEST, BEFORE_ID, BEFORE_REQUEST, BEFORE_STATUS, BLOCK_JOBS_MAX, BLOCK_STATUS, Block,
    PIECE_BYTES, PIECE_HEADER_BYTES, Row, Seed, open_large, open_piece, piece_len, text_len,
};
use crate::storage::disk::File;
use crate::storage::pack::{BlockPlace, Part};

/// Neighbouring blocks are read together up to this size.
const READ_BYTES: u64 = 256 << 10;

/// What a page shows: which jobs, their states, and where they lie. It keeps the
/// files it needs open, so merging and packing take nothing from under it.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) selection: Selection,
    parts: Arc<Vec<Arc<Part>>>,
    tail: Vec<TailRun>,
    cancelling: Vec<u64>,
}

impl Snapshot {
    /// Copies what these jobs need out of the graph's state, under its lock.
    pub(crate) fn take(state: &GraphState, selection: Selection) -> Snapshot {
        let (Some(first), Some(last)) = (selection.first(), selection.last()) else {
            return Snapshot::default();
        };
        let tail = state
            .tail
            .iter()
            .filter_map(|run| slice(run, first, last))
            .collect();
        Snapshot {
            selection,
            parts: state.parts.clone(),
            tail,
            cancelling: state.cancelling.range(first..=last).copied().collect(),
        }
    }

    fn is_cancelling(&self, sequence: u64) -> bool {
        self.cancelling.binary_search(&sequence).is_ok()
    }
}

/// The part of a run between two jobs, both inclusive.
fn slice(run: &TailRun, first: u64, last: u64) -> Option<TailRun> {
    let end = run.first_sequence + run.jobs.len() as u64;
    let (from, to) = (first.max(run.first_sequence), (last + 1).min(end));
    (from < to).then(|| TailRun {
        segment: run.segment.clone(),
        first_sequence: from,
        jobs: run.jobs[(from - run.first_sequence) as usize..(to - run.first_sequence) as usize]
            .to_vec(),
    })
}

/// What a reader has brought.
pub(crate) enum Unit {
    /// Neighbouring jobs, in [`Reader::block`].
    Block,
    /// One job that is too large for a block.
    Large(Large),
}

/// Brings the jobs of a snapshot, in order.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) block: Block,
    /// Where the selection is looked at.
    at: usize,
    /// The next job to bring.
    next: u64,
    ahead: Ahead,
    /// Text read from a segment.
    text: Vec<u8>,
}

/// Bytes read ahead from a pack.
#[derive(Default)]
struct Ahead {
    bytes: Vec<u8>,
    offset: u64,
    part: Option<Arc<Part>>,
}

impl Reader {
    /// Brings the next jobs; `None` when there are no more.
    pub(crate) fn read(&mut self, graph: &GraphCore, snapshot: &Snapshot) -> Result<Option<Unit>> {
        let Some((sequence, _)) = snapshot.selection.next(self.next, &mut self.at) else {
            return Ok(None);
        };
        let part = snapshot
            .parts
            .partition_point(|part| part.end_sequence <= sequence);
        if let Some(part) = snapshot.parts.get(part) {
            let place = part.block_of(sequence).map(|n| (n, part.blocks[n]));
            let (n, place) = place.ok_or_else(|| missing(&part.path, sequence))?;
            if place.large {
                self.next = sequence + 1;
                return Large::in_pack(graph, part, place).map(|l| Some(Unit::Large(l)));
            }
            self.read_block(part, n, snapshot)?;
            self.next = place.first_sequence + u64::from(place.jobs);
            return Ok(Some(Unit::Block));
        }
        let run = snapshot
            .tail
            .iter()
            .find(|run| run.first_sequence + run.jobs.len() as u64 > sequence)
            .filter(|run| run.first_sequence <= sequence);
        let run = run.ok_or_else(|| missing(&PathBuf::from(&graph.name), sequence))?;
        let first = (sequence - run.first_sequence) as usize;
        if is_large(&run.jobs[first]) {
            self.next = sequence + 1;
            return Large::in_tail(run, run.jobs[first]).map(|l| Some(Unit::Large(l)));
        }
        let jobs = self.tail_span(snapshot, run, first);
        self.read_tail(run, first, jobs)?;
        self.next = sequence + jobs as u64;
        Ok(Some(Unit::Block))
    }

    fn read_block(&mut self, part: &Arc<Part>, n: usize, snapshot: &Snapshot) -> Result<()> {
        let place = &part.blocks[n];
        let same = self
            .ahead
            .part
            .as_ref()
            .is_some_and(|p| Arc::ptr_eq(p, part));
        let end = place.offset + u64::from(place.len);
        let there = self.ahead.offset + self.ahead.bytes.len() as u64;
        if !same || place.offset < self.ahead.offset || end > there {
            // Not further than the last block this page needs, nor past neighbours.
            let last = snapshot.selection.last().unwrap_or_default();
            let mut upto = end;
            for next in &part.blocks[n + 1..] {
                let next_end = next.offset + u64::from(next.len);
                let wanted = next.first_sequence <= last
                    && !next.large
                    && next.offset == upto
                    && next_end - place.offset <= READ_BYTES;
                if !wanted {
                    break;
                }
                upto = next_end;
            }
            self.ahead.part = None;
            self.ahead.bytes.resize((upto - place.offset) as usize, 0);
            part.file
                .read_exact_at(&mut self.ahead.bytes, place.offset)
                .map_err(|e| Error::io("read", &part.path, &e))?;
            self.ahead.offset = place.offset;
            self.ahead.part = Some(part.clone());
        }
        let at = (place.offset - self.ahead.offset) as usize;
        let piece = &self.ahead.bytes[at..at + place.len as usize];
        let opened = self.block.open(part.graph, place.first_sequence, piece);
        let whole = opened.filter(|()| self.block.rows.len() == usize::from(place.jobs));
        whole
            .ok_or_else(|| Error::damaged(&part.path, place.offset, "a block of jobs is not valid"))
    }

    /// How many jobs from `first` on are read together.
    fn tail_span(&self, snapshot: &Snapshot, run: &TailRun, first: usize) -> usize {
        let start = u64::from(run.jobs[first].id_at);
        let (mut jobs, mut at) = (0, self.at);
        for job in run.jobs[first..].iter().take(BLOCK_JOBS_MAX) {
            let sequence = run.first_sequence + (first + jobs) as u64;
            let selected = snapshot.selection.next(sequence, &mut at);
            let end = u64::from(job.request_at) + u64::from(job.request_len);
            let fits = jobs == 0 || end.saturating_sub(start) <= READ_BYTES;
            if selected.is_none_or(|(next, _)| next != sequence) || is_large(job) || !fits {
                break;
            }
            jobs += 1;
        }
        jobs.max(1)
    }

    fn read_tail(&mut self, run: &TailRun, first: usize, jobs: usize) -> Result<()> {
        let places = &run.jobs[first..first + jobs];
        let start = places.first().map_or(0, |p| p.id_at);
        let end = places.last().map_or(0, |p| p.request_at + p.request_len);
        let damaged = |at: u32| {
            Error::damaged(
                &run.segment.path,
                u64::from(at),
                "a request is not valid any more",
            )
        };
        self.text.resize(end.saturating_sub(start) as usize, 0);
        run.segment
            .file
            .read_exact_at(&mut self.text, u64::from(start))
            .map_err(|e| Error::io("read", &run.segment.path, &e))?;
        self.block.clear(run.first_sequence + first as u64);
        for place in places {
            let id_at = (place.id_at - start) as usize;
            let request_at = (place.request_at - start) as usize;
            let id = &self.text[id_at..][..usize::from(place.id_len)];
            let request = &self.text[request_at..][..place.request_len as usize];
            let mut crc = crc32fast::Hasher::new();
            crc.update(id);
            crc.update(request);
            let texts = (std::str::from_utf8(id), std::str::from_utf8(request));
            let (true, (Ok(id), Ok(request))) = (crc.finalize() == place.crc, texts) else {
                return Err(damaged(place.id_at));
            };
            self.block.push(id, request, place.submitted_ms);
        }
        Ok(())
    }
}

fn is_large(place: &TailPlace) -> bool {
    text_len(usize::from(place.id_len), place.request_len as usize) > PIECE_BYTES
}

fn missing(path: &std::path::Path, sequence: u64) -> Error {
    Error::damaged(
        path,
        0,
        format!("no file holds the job with sequence number {sequence}"),
    )
}

/// A job whose text comes in pieces.
pub(crate) struct Large {
    pub(crate) sequence: u64,
    /// Its columns; its text begins at 0.
    pub(crate) row: Row,
    path: PathBuf,
    file: Arc<dyn File>,
    source: Source,
}

enum Source {
    Pack {
        seed: (u32, u64, u32),
        offset: u64,
        left: u64,
    },
    Tail {
        place: TailPlace,
        done: u32,
        crc: crc32fast::Hasher,
    },
}

impl Large {
    fn in_pack(graph: &GraphCore, part: &Part, place: BlockPlace) -> Result<Large> {
        let damaged = || Error::damaged(&part.path, place.offset, "a large job is not valid");
        let failed = |e| Error::io("read", &part.path, &e);
        let first = read_piece(&*part.file, place.offset, u64::from(place.len))
            .map_err(failed)?
            .ok_or_else(damaged)?;
        let sequence = place.first_sequence;
        let (row, taken) =
            open_large(graph.number, sequence, &first, &mut Vec::new()).ok_or_else(damaged)?;
        Ok(Large {
            sequence,
            row,
            path: part.path.clone(),
            file: part.file.clone(),
            source: Source::Pack {
                seed: (graph.number, sequence, 1),
                offset: place.offset + taken as u64,
                left: u64::from(place.len) - taken as u64,
            },
        })
    }

    fn in_tail(run: &TailRun, place: TailPlace) -> Result<Large> {
        let at = run.jobs.iter().position(|job| job.id_at == place.id_at);
        Ok(Large {
            sequence: run.first_sequence + at.unwrap_or_default() as u64,
            row: Row {
                start: 0,
                end: text_len(usize::from(place.id_len), place.request_len as usize) as u32,
                id_len: place.id_len,
                submitted_ms: place.submitted_ms,
            },
            path: run.segment.path.clone(),
            file: run.segment.file.clone(),
            source: Source::Tail {
                place,
                done: 0,
                crc: crc32fast::Hasher::new(),
            },
        })
    }

    /// Puts the next piece of the job's text into `piece`; `false` when there is
    /// none. The first holds everything up to the request.
    pub(crate) fn next_piece(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        piece.clear();
        match &mut self.source {
            Source::Pack { seed, offset, left } => {
                if *left == 0 {
                    return Ok(false);
                }
                let damaged = || Error::damaged(&self.path, *offset, "a large job is not valid");
                let sealed = read_piece(&*self.file, *offset, *left)
                    .map_err(|e| Error::io("read", &self.path, &e))?
                    .ok_or_else(damaged)?;
                let (graph, sequence, number) = *seed;
                let (len, taken) = open_piece(Seed::block(graph, sequence, number), &sealed, piece)
                    .ok_or_else(damaged)?;
                piece.truncate(len);
                seed.2 += 1;
                *offset += taken as u64;
                *left -= taken as u64;
            }
            Source::Tail { place, done, crc } => {
                if *done == place.request_len {
                    return Ok(false);
                }
                let damaged = || {
                    Error::damaged(
                        &self.path,
                        u64::from(place.id_at),
                        "a large job is not valid",
                    )
                };
                let failed = |e| Error::io("read", &self.path, &e);
                if *done == 0 {
                    let mut id = vec![0; usize::from(place.id_len)];
                    self.file
                        .read_exact_at(&mut id, u64::from(place.id_at))
                        .map_err(failed)?;
                    crc.update(&id);
                    let id = std::str::from_utf8(&id).map_err(|_| damaged())?;
                    for text in [BEFORE_ID, id, BEFORE_STATUS, BLOCK_STATUS, BEFORE_REQUEST] {
                        piece.extend_from_slice(text.as_bytes());
                    }
                }
                let step = (place.request_len - *done).min(PIECE_BYTES as u32);
                let start = piece.len();
                piece.resize(start + step as usize, 0);
                self.file
                    .read_exact_at(&mut piece[start..], u64::from(place.request_at + *done))
                    .map_err(failed)?;
                crc.update(&piece[start..]);
                *done += step;
                if *done == place.request_len {
                    if crc.clone().finalize() != place.crc {
                        return Err(damaged());
                    }
                    piece.extend_from_slice(AFTER_REQUEST.as_bytes());
                }
            }
        }
        Ok(true)
    }

    /// The whole text.
    fn text(mut self) -> Result<Vec<u8>> {
        // Grown piece by piece: the length is believed as far as it was read.
        let (mut text, mut piece) = (Vec::new(), Vec::new());
        while self.next_piece(&mut piece)? {
            text.extend_from_slice(&piece);
        }
        if text.len() != self.row.end as usize {
            return Err(Error::damaged(&self.path, 0, "a large job is not whole"));
        }
        Ok(text)
    }
}

/// The id of a job that is packed in pieces.
pub(crate) fn large_id(graph: &GraphCore, part: &Part, place: BlockPlace) -> Result<String> {
    let mut large = Large::in_pack(graph, part, place)?;
    let mut piece = Vec::new();
    large.next_piece(&mut piece)?;
    let id = piece.get(BEFORE_ID.len()..BEFORE_ID.len() + usize::from(large.row.id_len));
    id.and_then(|id| String::from_utf8(id.to_vec()).ok())
        .ok_or_else(|| Error::damaged(&part.path, place.offset, "a large job is not valid"))
}

/// The sealed piece at `offset`, if it ends within `left` bytes.
fn read_piece(file: &dyn File, offset: u64, left: u64) -> std::io::Result<Option<Vec<u8>>> {
    if left < PIECE_HEADER_BYTES as u64 {
        return Ok(None);
    }
    let mut piece = vec![0; PIECE_HEADER_BYTES];
    file.read_exact_at(&mut piece, offset)?;
    match piece_len(&piece) {
        Some(len) if len as u64 <= left => {
            piece.resize(len, 0);
            file.read_exact_at(&mut piece, offset)?;
            Ok(Some(piece))
        }
        _ => Ok(None),
    }
}

/// Jobs of a snapshot as values.
pub(crate) struct JobReader {
    reader: Reader,
    /// Rows of the reader's block that are still to come.
    rows: std::ops::Range<usize>,
    at: usize,
    details: Option<(u64, Box<DetailRow>)>,
}

impl JobReader {
    pub(crate) fn new() -> JobReader {
        JobReader {
            reader: Reader::default(),
            rows: 0..0,
            at: 0,
            details: None,
        }
    }

    pub(crate) fn next(
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
                    let row = self.reader.block.rows[n];
                    let texts = parse_row(&self.reader.block, &row);
                    let (id, request) =
                        texts.ok_or_else(|| missing(&graph.name_path(), sequence))?;
                    let known = (id, request, row.submitted_ms);
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
                    let mut block = Block::default();
                    block.clear(sequence);
                    let text = large.text()?;
                    let texts = parse_text(&text, &row);
                    let (id, request) =
                        texts.ok_or_else(|| missing(&graph.name_path(), sequence))?;
                    let known = (id, request, row.submitted_ms);
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
        (id, request, submitted_ms): (JobId, Request, u64),
    ) -> Result<Job> {
        let mut job = Job {
            id,
            sequence,
            state,
            request,
            outcome: None,
            progress: None,
            cancel_requested: state == State::Running && snapshot.is_cancelling(sequence),
            submitted_at: crate::clock::from_ms(submitted_ms),
            started_at: None,
            finished_at: None,
        };
        if state == State::Pending {
            return Ok(job);
        }
        let detail = self.detail(engine, graph, snapshot, sequence)?;
        job.started_at = detail.started_ms.map(crate::clock::from_ms);
        if state == State::Running {
            let cell = graph.state.read().watched.get(&sequence).cloned();
            job.progress = cell.and_then(|cell| cell.progress.lock().clone());
            return Ok(job);
        }
        let outcome = engine.outcome(graph, sequence, &detail)?;
        job.finished_at = detail.finished.map(|end| crate::clock::from_ms(end.at_ms));
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
            _ => Box::new(engine.details(graph, group)?),
        };
        let detail = row.0[(sequence % DETAIL_JOBS) as usize];
        self.details = Some((group, row));
        Ok(detail)
    }
}

fn parse_row(block: &Block, row: &Row) -> Option<(JobId, Request)> {
    parse(block.id(row), block.request(row))
}

fn parse_text(text: &[u8], row: &Row) -> Option<(JobId, Request)> {
    let id = text
        .get(BEFORE_ID.len()..)?
        .get(..usize::from(row.id_len))?;
    let before = row.status_at() + BLOCK_STATUS.len() + BEFORE_REQUEST.len();
    parse(
        id,
        text.get(before..text.len().checked_sub(AFTER_REQUEST.len())?)?,
    )
}

fn parse(id: &[u8], request: &[u8]) -> Option<(JobId, Request)> {
    let id = JobId::new(std::str::from_utf8(id).ok()?).ok()?;
    Some((
        id,
        Request::from_stored(std::str::from_utf8(request).ok()?)?,
    ))
}

impl GraphCore {
    /// What stands for a file in an error that no one file is the cause of.
    fn name_path(&self) -> PathBuf {
        PathBuf::from(format!("graph {:?}", self.name))
    }
}

impl Engine {
    /// Reads one job as it is now.
    pub(crate) fn job(&self, graph: &Arc<GraphCore>, sequence: u64) -> Result<Option<Job>> {
        let snapshot = {
            let state = graph.state.read();
            let selection = state
                .status
                .select(crate::core::status::States::ALL, sequence, 0, 1);
            if selection.first() != Some(sequence) {
                return Ok(None);
            }
            Snapshot::take(&state, selection)
        };
        JobReader::new().next(self, graph, &snapshot)
    }

    /// The request of the job with this id, if there is one.
    pub(crate) fn request_of(&self, graph: &Arc<GraphCore>, id: &str) -> Result<Option<Request>> {
        match self.resolve(graph, id)? {
            Some(sequence) => Ok(self.job(graph, sequence)?.map(|job| job.request)),
            None => Ok(None),
        }
    }

    /// The sequence number of the job with this id.
    pub(crate) fn resolve(&self, graph: &Arc<GraphCore>, id: &str) -> Result<Option<u64>> {
        id::check(id)?;
        if let Some(sequence) = graph.ids.sequence(id) {
            if self.has_id(graph, sequence, id)? {
                return Ok(Some(sequence));
            }
        }
        let hash = graph.id_hash(id);
        if !self.ids.may_contain(hash) {
            return Ok(None);
        }
        let found = self
            .ids
            .lookup(hash)
            .map_err(|fault| self.index_failed(fault))?;
        for sequence in found {
            if self.has_id(graph, sequence, id)? {
                return Ok(Some(sequence));
            }
        }
        Ok(None)
    }

    /// Whether the job with this sequence number is there and has this id.
    fn has_id(&self, graph: &Arc<GraphCore>, sequence: u64, id: &str) -> Result<bool> {
        let snapshot = {
            let state = graph.state.read();
            if state.status.get(sequence).is_none() {
                return Ok(false);
            }
            let all = crate::core::status::States::ALL;
            Snapshot::take(&state, state.status.select(all, sequence, 0, 1))
        };
        let mut reader = Reader::default();
        match reader.read(graph, &snapshot)? {
            Some(Unit::Block) => {
                let n = sequence.checked_sub(reader.block.first_sequence);
                let row = n.and_then(|n| reader.block.rows.get(n as usize));
                Ok(row.is_some_and(|row| reader.block.id(row) == id.as_bytes()))
            }
            Some(Unit::Large(mut large)) => {
                let mut piece = Vec::new();
                large.next_piece(&mut piece)?;
                let found = piece.get(BEFORE_ID.len()..).unwrap_or_default();
                let len = usize::from(large.row.id_len);
                Ok(len == id.len() && found.starts_with(id.as_bytes()))
            }
            None => Ok(false),
        }
    }

    /// What is known of one job's life.
    fn detail(&self, graph: &GraphCore, sequence: u64) -> Result<Detail> {
        let changes = graph.state.read().detail_changes(sequence);
        let mut detail = Detail::default();
        // Both facts of a finished job may be in memory still.
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
            let row = self.detail_row(graph, sequence / DETAIL_JOBS)?;
            detail = row.0[(sequence % DETAIL_JOBS) as usize];
        }
        changes
            .iter()
            .flatten()
            .for_each(|change| detail.merge(change));
        Ok(detail)
    }

    /// What is known of the lives of 128 neighbouring jobs.
    fn details(&self, graph: &GraphCore, group: u64) -> Result<DetailRow> {
        let first = group * DETAIL_JOBS;
        let changes: Vec<_> = {
            let state = graph.state.read();
            (first..first + DETAIL_JOBS)
                .map(|s| state.detail_changes(s))
                .collect()
        };
        let mut row = self.detail_row(graph, group)?;
        for (detail, changes) in row.0.iter_mut().zip(changes) {
            changes
                .iter()
                .flatten()
                .for_each(|change| detail.merge(change));
        }
        Ok(row)
    }

    fn detail_row(&self, graph: &GraphCore, group: u64) -> Result<DetailRow> {
        let key = rows::detail_key(graph.number, group);
        let index = self.index()?;
        let value = index.get(&key).map_err(|fault| self.index_failed(fault))?;
        match value {
            None => Ok(DetailRow::default()),
            Some(value) => rows::open(&key, &value)
                .and_then(DetailRow::decode)
                .ok_or_else(|| self.index_failed(Fault("a row of details is not valid".into()))),
        }
    }

    /// The outcome of a complete job. The state says it is complete, so an index
    /// that knows of no end is stale.
    fn outcome(&self, graph: &GraphCore, sequence: u64, detail: &Detail) -> Result<Outcome> {
        let stale = || {
            let number = graph.number;
            let what = format!("it knows no end of job {sequence} of graph {number}");
            self.index_failed(Fault(what))
        };
        let finished = detail.finished.ok_or_else(stale)?;
        let kind = OutcomeKind::from_stored(finished.kind).ok_or_else(stale)?;
        let extra = match finished.extra_lsn {
            0 => None,
            lsn => Some(self.outcome_extra(lsn)?.ok_or_else(stale)?),
        };
        Ok(Outcome {
            kind,
            boot: (finished.boot > 0).then_some(finished.boot),
            extra,
        })
    }
}
