//! Reads the jobs of one instant, block by block.
//!
//! [`Snapshot`] fixes what a page shows, and [`Reader`] reads its blocks. A reader keeps only one
//! block in memory, not a whole page, and never makes a writer wait. A job that cannot be read is
//! an error that names its file.

mod buffers;
mod tail_copy;

use std::ops::Range;
use std::sync::Arc;

use self::buffers::Buffers;
use self::tail_copy::TailCopy;
use crate::engine::core::Engine;
use crate::engine::read::large::{Large, is_large};
use crate::engine::read::missing_job::missing;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::graph_state::GraphState;
use crate::engine::state::log_files::LogFiles;
use crate::engine::state::state_identity::StateIdentity;
use crate::engine::state::status::Selection;
use crate::engine::state::unpacked::{TailPlace, TailRun};
use crate::log::block::{BLOCK_JOBS_MAX, Block, Extent};
use crate::log::disk::File as _;
use crate::log::event::SubmissionTexts;
use crate::log::pack::Part;
use crate::model::error::{Error, Result};
use crate::model::states::{State, States};

/// Neighboring blocks are read together up to this total size.
const READ_BYTES: u64 = 256 << 10;
/// The maximum number of words of selected jobs in a stretch. This many words represent 512 jobs.
const STRETCH_WORDS: usize = 16;
/// The maximum number of blocks in a stretch. This many blocks contain 256 KiB of text. The text
/// stays in a core's cache until it is written. Half and twice this number were slower in
/// benchmarks.
const STRETCH_BLOCKS: usize = 8;

/// What a page shows: its jobs, their states, and where they are stored. It keeps the files
/// that it needs open, so merging and packing do not affect it.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) selection: Selection,
    /// The state that the jobs were selected from.
    #[cfg_attr(
        not(feature = "http"),
        allow(dead_code, reason = "identifies encoded texts")
    )]
    pub(crate) identity: StateIdentity,
    parts: Arc<[Arc<Part>]>,
    tail: Arc<TailCopy>,
    cancelling: Vec<u64>,
    /// The whole log, if jobs must still be readable in full even if they are purged later.
    log: Option<Arc<LogFiles>>,
    /// Whether the jobs are listed from the last to the first.
    pub(crate) newest_first: bool,
}

impl Snapshot {
    /// Copies what these jobs need from the graph's state, under its lock.
    pub(crate) fn take(state: &GraphState, selection: Selection) -> Snapshot {
        let (Some(first), Some(last)) = (selection.first(), selection.last()) else {
            return Snapshot::default();
        };
        Snapshot {
            selection,
            identity: state.identity,
            parts: state.parts.clone(),
            tail: Arc::new(TailCopy::of(&state.tail, first, last)),
            cancelling: state.cancelling.range(first..=last).copied().collect(),
            log: None,
            newest_first: false,
        }
    }

    /// Adds the log to the snapshot, for a page. The caller has locked the graph's state, so the
    /// snapshot and the log are taken at the same instant.
    pub(crate) fn with_log(mut self, engine: &Engine) -> Snapshot {
        self.log = Some(engine.log_files.read().clone());
        self
    }

    pub(crate) fn log(&self) -> Option<&LogFiles> {
        self.log.as_deref()
    }

    /// A snapshot of these jobs, with the same files.
    pub(crate) fn of(&self, selection: Selection) -> Snapshot {
        Snapshot {
            selection,
            identity: self.identity,
            parts: self.parts.clone(),
            tail: self.tail.clone(),
            ..Snapshot::default()
        }
    }

    /// The snapshot without the unwanted jobs, with the same files.
    pub(crate) fn only(self, is_wanted: impl Fn(u64) -> bool) -> Snapshot {
        Snapshot {
            selection: self.selection.only(is_wanted),
            ..self
        }
    }

    /// The parts of packs.
    pub(crate) fn parts(&self) -> &[Arc<Part>] {
        &self.parts
    }

    /// The runs in segments, after the packs.
    pub(crate) fn runs(&self) -> &[TailRun] {
        &self.tail.runs
    }

    /// The part of a pack that contains a job.
    pub(crate) fn part_of(&self, sequence: u64) -> Option<&Arc<Part>> {
        let part = self
            .parts
            .partition_point(|part| part.end_sequence <= sequence);
        self.parts.get(part)
    }

    /// The run in a segment that contains a job.
    pub(crate) fn run_of(&self, sequence: u64) -> Option<&TailRun> {
        let mut runs = self.tail.runs.iter();
        let run = runs.find(|run| run.first_sequence + run.jobs.len() as u64 > sequence);
        run.filter(|run| run.first_sequence <= sequence)
    }

    /// One job, if it exists.
    pub(crate) fn one(graph: &GraphCore, sequence: u64) -> Option<Snapshot> {
        let state = graph.state.read();
        let selection = state.status.select(States::ALL, sequence, 0, 1);
        (selection.first() == Some(sequence)).then(|| Snapshot::take(&state, selection))
    }

    /// Divides the page into stretches that can be read independently. Returns where each stretch
    /// begins, and where the last one ends. No block is in two stretches.
    pub(crate) fn cut_points(&self) -> Vec<u64> {
        let mut cuts = vec![0];
        let mut at = 0;
        while let Some((from, _)) = self
            .selection
            .next(cuts.last().copied().unwrap_or_default(), &mut at)
        {
            let by_jobs = self.selection.word(at + STRETCH_WORDS);
            let by_blocks = self.block_after(from, STRETCH_BLOCKS);
            let Some(next) = [by_jobs, by_blocks].into_iter().flatten().min() else {
                break;
            };
            // Cut before the block of the next job. If this stretch begins in that block, cut after
            // it.
            let begun = self.block_after(next, 0).filter(|&begun| begun > from);
            let next = begun.or_else(|| self.block_after(next, 1)).unwrap_or(next);
            cuts.push(next);
        }
        // The last stretch may be empty.
        cuts.push(u64::MAX);
        cuts
    }

    /// Takes a packed job. Returns the first job of the block that is `blocks` blocks after the
    /// job's block, or the first job after its pack.
    fn block_after(&self, sequence: u64, blocks: usize) -> Option<u64> {
        let part = self.part_of(sequence)?;
        let n = part.block_of(sequence)? + blocks;
        let block = part.blocks.get(n).map(|block| block.first_sequence);
        Some(block.unwrap_or(part.end_sequence))
    }

    /// The sequence numbers of the jobs, in order, and how many bytes each takes in the document.
    pub(crate) fn text_lengths(&self, graph: &GraphCore) -> Result<Vec<(u64, u64)>> {
        let (mut reader, mut at, mut lengths) = (Reader::without_unlisted(), 0, Vec::new());
        let complete = State::Complete.as_str().len() as u64;
        let mut note = |sequence: u64, text: u64| {
            let selected = self.selection.next(sequence, &mut at);
            if let Some((_, state)) = selected.filter(|&(next, _)| next == sequence) {
                let state = state.as_str().len() as u64;
                lengths.push((sequence, text + state - complete));
            }
        };
        while let Some(unit) = reader.read(graph, self)? {
            match unit {
                Unit::Large(large) => {
                    note(large.sequence, u64::from(large.row.end - large.row.start))
                }
                Unit::Block => {
                    let block = &reader.block;
                    for (sequence, row) in (block.first_sequence..).zip(&block.rows) {
                        note(sequence, u64::from(row.end - row.start));
                    }
                }
            }
        }
        Ok(lengths)
    }

    pub(crate) fn is_cancelling(&self, sequence: u64) -> bool {
        self.cancelling.binary_search(&sequence).is_ok()
    }

    /// The jobs that are read in one operation if this job is the last of them.
    pub(crate) fn unit_back(&self, sequence: u64) -> Range<u64> {
        if let Some(part) = self.part_of(sequence) {
            let block = part.block_of(sequence).map(|n| part.blocks[n]);
            return block.map_or(sequence, |block| block.first_sequence)..sequence + 1;
        }
        let bound = self.run_of(sequence).map(|run| run.back_from(sequence));
        // Outside of packs, only consecutive jobs are read in one operation.
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

impl TailRun {
    /// The first of the jobs that can be read in one operation if this job is the last of them.
    pub(crate) fn back_from(&self, sequence: u64) -> u64 {
        let last = (sequence - self.first_sequence) as usize;
        let end = self.jobs.get(last).map_or(0, |job| {
            u64::from(job.request_at) + u64::from(job.request_len)
        });
        let near = self.jobs.iter().take(last + 1).rev().take(BLOCK_JOBS_MAX);
        let is_near = |job: &&TailPlace| {
            !is_large(job) && end.saturating_sub(u64::from(job.unlisted_at)) <= READ_BYTES
        };
        let jobs = near.take_while(is_near).count().max(1) as u64;
        sequence + 1 - jobs
    }
}

/// What a reader has read.
pub(crate) enum Unit {
    /// Neighboring jobs, in [`Reader::block`]. Some of them may not be selected.
    Block,
    /// One job that is too large for a block.
    Large(Large),
}

/// Reads the jobs of a snapshot, in order.
pub(crate) struct Reader {
    pub(crate) block: Block,
    /// The current position in the selection.
    at: usize,
    /// The next job to read.
    next: u64,
    /// The end: this job and later ones are not read.
    pub(super) end: u64,
    /// Whether unlisted parts are read, too. Otherwise, those of packed jobs are missing.
    reads_unlisted: bool,
    ahead: Ahead,
    /// Text read from a segment.
    text: Vec<u8>,
}

/// Bytes read ahead from a pack.
struct Ahead {
    bytes: Vec<u8>,
    offset: u64,
    part: Option<Arc<Part>>,
}

impl Default for Reader {
    fn default() -> Reader {
        let Buffers { block, ahead, text } = Buffers::take();
        Reader {
            block,
            at: 0,
            next: 0,
            end: u64::MAX,
            reads_unlisted: true,
            ahead: Ahead {
                bytes: ahead,
                offset: 0,
                part: None,
            },
            text,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let buffers = Buffers {
            block: std::mem::take(&mut self.block),
            ahead: std::mem::take(&mut self.ahead.bytes),
            text: std::mem::take(&mut self.text),
        };
        buffers.keep();
    }
}

impl Reader {
    /// A reader for which the unlisted parts of packed jobs are missing.
    pub(crate) fn without_unlisted() -> Reader {
        let mut reader = Reader::default();
        reader.reads_unlisted = false;
        reader
    }

    /// Sets whether the unlisted parts of packed jobs are read. By default, they are.
    pub(crate) fn set_reads_unlisted(&mut self, reads: bool) {
        self.reads_unlisted = reads;
    }

    pub(crate) fn reads_unlisted(&self) -> bool {
        self.reads_unlisted
    }

    /// Continues with the selected jobs of this range.
    pub(crate) fn seek_range(&mut self, range: Range<u64>, snapshot: &Snapshot) {
        self.at = snapshot.selection.place(range.start);
        self.next = range.start;
        self.end = range.end;
    }

    /// Reads the next jobs; returns `None` if there are no more.
    pub(crate) fn read(&mut self, graph: &GraphCore, snapshot: &Snapshot) -> Result<Option<Unit>> {
        let next = snapshot.selection.next(self.next, &mut self.at);
        let Some((sequence, _)) = next.filter(|&(sequence, _)| sequence < self.end) else {
            return Ok(None);
        };
        if let Some(part) = snapshot.part_of(sequence) {
            let place = part.block_of(sequence).map(|n| (n, part.blocks[n]));
            let (n, place) = place.ok_or_else(|| missing(&part.pack.path, sequence))?;
            if place.large {
                self.next = sequence + 1;
                return Large::in_pack(part, place).map(|l| Some(Unit::Large(l)));
            }
            self.read_block((part, n), sequence, snapshot)?;
            self.next = place.end_sequence();
            return Ok(Some(Unit::Block));
        }
        let run = snapshot.run_of(sequence);
        let run = run.ok_or_else(|| missing(&graph.path(), sequence))?;
        let first = (sequence - run.first_sequence) as usize;
        if is_large(&run.jobs[first]) {
            self.next = sequence + 1;
            return Ok(Some(Unit::Large(Large::in_tail(run, first))));
        }
        let jobs = self.tail_span(snapshot, run, first);
        self.read_tail(run, first, jobs)?;
        self.next = sequence + jobs as u64;
        Ok(Some(Unit::Block))
    }

    /// Reads the wanted jobs of the `n`-th block of a part, from the first one of them on.
    fn read_block(
        &mut self,
        (part, n): (&Arc<Part>, usize),
        first: u64,
        snapshot: &Snapshot,
    ) -> Result<()> {
        let place = &part.blocks[n];
        let same = self
            .ahead
            .part
            .as_ref()
            .is_some_and(|p| Arc::ptr_eq(p, part));
        let end = place.offset + u64::from(place.len);
        let there = self.ahead.offset + self.ahead.bytes.len() as u64;
        if !same || place.offset < self.ahead.offset || end > there {
            // Stop at the last block that this page needs, and at the end of the neighboring
            // blocks.
            let last = snapshot.selection.last().unwrap_or_default();
            let last = last.min(self.end.saturating_sub(1));
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
            part.pack
                .file
                .read_exact_at(&mut self.ahead.bytes, place.offset)
                .map_err(|e| Error::io("read", &part.pack.path, &e))?;
            self.ahead.offset = place.offset;
            self.ahead.part = Some(part.clone());
        }
        let at = (place.offset - self.ahead.offset) as usize;
        let sealed = &self.ahead.bytes[at..at + place.len as usize];
        let last = snapshot
            .selection
            .before(self.end.min(place.end_sequence()));
        let last = last.map_or(first, |(last, _)| last);
        let extent = Extent {
            jobs: first..=last,
            unlisted: self.reads_unlisted,
        };
        part.open_block(place, sealed, &extent, &mut self.block)
    }

    /// How many jobs, starting with `first`, are read together.
    fn tail_span(&self, snapshot: &Snapshot, run: &TailRun, first: usize) -> usize {
        let start = u64::from(run.jobs[first].unlisted_at);
        let (mut jobs, mut at) = (0, self.at);
        for job in run.jobs[first..].iter().take(BLOCK_JOBS_MAX) {
            let sequence = run.first_sequence + (first + jobs) as u64;
            let selected = snapshot.selection.next(sequence, &mut at);
            let end = u64::from(job.request_at) + u64::from(job.request_len);
            let fits = jobs == 0 || end.saturating_sub(start) <= READ_BYTES;
            let wanted = sequence < self.end && selected.is_some_and(|(next, _)| next == sequence);
            if !wanted || is_large(job) || !fits {
                break;
            }
            jobs += 1;
        }
        jobs.max(1)
    }

    /// Reads the `n`th job of a run and returns how many bytes it took.
    pub(crate) fn check_tail(&mut self, run: &TailRun, n: usize) -> Result<u64> {
        match is_large(&run.jobs[n]) {
            true => Large::in_tail(run, n)
                .whole()
                .map(|(text, unlisted)| (text.len() + unlisted.len()) as u64),
            false => self.read_tail(run, n, 1).map(|()| self.text.len() as u64),
        }
    }

    fn read_tail(&mut self, run: &TailRun, first: usize, jobs: usize) -> Result<()> {
        let places = &run.jobs[first..first + jobs];
        let start = places.first().map_or(0, |p| p.unlisted_at);
        let end = places.last().map_or(0, |p| p.request_at + p.request_len);
        let damaged = |at: u32| {
            Error::damaged(
                &run.segment.path,
                u64::from(at),
                "a request that was valid before is now invalid",
            )
        };
        self.text.resize(end.saturating_sub(start) as usize, 0);
        run.segment
            .file
            .read_exact_at(&mut self.text, u64::from(start))
            .map_err(|e| Error::io("read", &run.segment.path, &e))?;
        self.block.clear(run.first_sequence + first as u64);
        for place in places {
            let unlisted_at = (place.unlisted_at - start) as usize;
            let id_at = (place.id_at() - start) as usize;
            let request_at = (place.request_at - start) as usize;
            let unlisted = &self.text[unlisted_at..][..place.unlisted_len as usize];
            let id = &self.text[id_at..][..usize::from(place.id_len)];
            let request = &self.text[request_at..][..place.request_len as usize];
            let mut crc = crc32fast::Hasher::new();
            crc.update(unlisted);
            crc.update(id);
            crc.update(request);
            let texts = (std::str::from_utf8(id), std::str::from_utf8(request));
            let (true, (Ok(id), Ok(request))) = (crc.finalize() == place.crc, texts) else {
                return Err(damaged(place.id_at()));
            };
            let texts = SubmissionTexts {
                id,
                request,
                unlisted,
            };
            self.block.push(&texts, place.submitted_ms);
        }
        Ok(())
    }
}
