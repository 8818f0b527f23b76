//! A page as the JSON document of the GES job-list API, assembled from stored text.
//!
//! The output is exactly the API's success document, in compact form. The memory needed to produce
//! it is bounded, regardless of the number of threads. Request bodies are copied verbatim, without
//! being parsed.

use std::io::Write;
use std::ops::Range;

use crate::base::parallel::in_order;
use crate::engine::read::large::Large;
use crate::engine::read::reader::{Reader, Snapshot, Unit};
use crate::engine::state::graph::GraphCore;
use crate::log::block::{BLOCK_STATUS, Row};
use crate::model::error::{Error, Result};
use crate::model::states::State;

pub(crate) const START: &[u8] = br#"{"jobs":["#;
pub(crate) const END: &[u8] = br#"],"result":"success"}"#;

/// The length of a document without jobs, in bytes.
pub(crate) const EMPTY_BYTES: u64 = (START.len() + END.len()) as u64;

/// The minimum number of stretches per thread: with fewer, an additional thread costs more than it
/// saves.
const RANGES_PER_THREAD: usize = 8;

/// At most this many bytes of a stretch's text are produced ahead.
const RANGE_BYTES_MAX: usize = 1 << 20;

/// A document that is produced in parts, on demand.
pub(crate) struct Document {
    texts: JobTexts,
    stage: Stage,
}

enum Stage {
    Start,
    Jobs,
    Done,
}

impl Document {
    pub(crate) fn new() -> Document {
        Document {
            texts: JobTexts::default(),
            stage: Stage::Start,
        }
    }

    /// Writes the next part of the document, about one block; returns `false` once it is
    /// complete. Produces nothing more after an error.
    pub(crate) fn produce(
        &mut self,
        graph: &GraphCore,
        snapshot: &Snapshot,
        out: &mut impl Write,
    ) -> Result<bool> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Start => put(out, START)?,
            Stage::Jobs => {
                if !self.texts.produce(graph, snapshot, out)? {
                    put(out, END)?;
                    return Ok(true);
                }
            }
            Stage::Done => return Ok(false),
        }
        self.stage = Stage::Jobs;
        Ok(true)
    }
}

/// Writes the whole document. A long document is produced by several threads, in stretches, and
/// written by the calling thread.
pub(crate) fn write(
    graph: &GraphCore,
    snapshot: &Snapshot,
    threads: usize,
    out: &mut impl Write,
) -> Result<()> {
    let cuts = match snapshot.newest_first {
        // The blocks of a newest-first list are read one by one.
        true => vec![0, u64::MAX],
        false => snapshot.cut_points(),
    };
    let count = cuts.len() - 1;
    let threads = threads.min(count / RANGES_PER_THREAD);
    if threads < 2 {
        let mut document = Document::new();
        while document.produce(graph, snapshot, out)? {}
        return Ok(());
    }
    put(out, START)?;
    let make = |texts: &mut JobTexts, n: usize, made: &mut RenderedRange| {
        texts.seek_range(cuts[n]..cuts[n + 1], snapshot);
        texts.is_continued = n > 0;
        made.make(graph, snapshot, texts);
    };
    in_order(count, threads, make, |made: &mut RenderedRange| {
        put(out, &made.text)?;
        match std::mem::take(&mut made.end) {
            End::Whole => Ok(()),
            End::Failed(error) => Err(error),
            End::Cut(mut rest) => {
                while rest.produce(graph, snapshot, out)? {}
                Ok(())
            }
        }
    })?;
    put(out, END)
}

/// A stretch of the page, produced ahead.
#[derive(Default)]
struct RenderedRange {
    text: Vec<u8>,
    end: End,
}

#[derive(Default)]
enum End {
    #[default]
    Whole,
    /// The rest is too large to be kept in memory.
    Cut(Box<JobTexts>),
    Failed(Error),
}

impl RenderedRange {
    fn make(&mut self, graph: &GraphCore, snapshot: &Snapshot, texts: &mut JobTexts) {
        self.text.clear();
        self.end = loop {
            match texts.produce(graph, snapshot, &mut self.text) {
                Ok(true) if self.text.len() < RANGE_BYTES_MAX && texts.large.is_none() => {}
                Ok(true) => break End::Cut(Box::new(std::mem::take(texts))),
                Ok(false) => break End::Whole,
                Err(error) => break End::Failed(error),
            }
        };
    }
}

/// The texts of jobs, separated by commas.
pub(super) struct JobTexts {
    reader: Reader,
    /// The first job of the range.
    start: u64,
    /// The current position in the selection.
    at: usize,
    /// Whether a text was written before these.
    pub(super) is_continued: bool,
    /// A job that is read in pieces and not complete yet.
    pub(super) large: Option<Large>,
    piece: Vec<u8>,
    /// In a newest-first list: all jobs with this or a higher sequence number have been written.
    upto: Option<u64>,
}

impl Default for JobTexts {
    fn default() -> JobTexts {
        JobTexts {
            reader: Reader::without_unlisted(),
            start: 0,
            at: 0,
            is_continued: false,
            large: None,
            piece: Vec::new(),
            upto: None,
        }
    }
}

impl JobTexts {
    /// Continues with the selected jobs of this range.
    pub(super) fn seek_range(&mut self, range: Range<u64>, snapshot: &Snapshot) {
        self.start = range.start;
        self.at = snapshot.selection.place(range.start);
        self.reader.seek_range(range, snapshot);
    }

    /// Writes the next jobs, about one block; returns `false` if there are no more.
    pub(super) fn produce(
        &mut self,
        graph: &GraphCore,
        snapshot: &Snapshot,
        out: &mut impl Write,
    ) -> Result<bool> {
        if let Some(mut large) = self.large.take() {
            if large.next_piece(&mut self.piece)? {
                put(out, &self.piece)?;
                self.large = Some(large);
            }
            return Ok(true);
        }
        if snapshot.newest_first {
            let upto = self.upto.unwrap_or(u64::MAX);
            let Some((sequence, _)) = snapshot.selection.before(upto) else {
                return Ok(false);
            };
            let unit = snapshot.unit_back(sequence);
            self.upto = Some(unit.start);
            self.seek_range(unit, snapshot);
        }
        match self.reader.read(graph, snapshot)? {
            None => return Ok(false),
            Some(Unit::Block) if snapshot.newest_first => self.block_back(snapshot, out)?,
            Some(Unit::Block) => self.block(snapshot, out)?,
            Some(Unit::Large(mut large)) => {
                let selected = snapshot.selection.next(large.sequence, &mut self.at);
                large.next_piece(&mut self.piece)?;
                self.comma(out)?;
                let state = selected.map_or(State::Complete, |(_, state)| state);
                splice(&self.piece, &large.row, state, out)?;
                self.large = Some(large);
            }
        }
        Ok(true)
    }

    fn comma(&mut self, out: &mut impl Write) -> Result<()> {
        match std::mem::replace(&mut self.is_continued, true) {
            true => put(out, b","),
            false => Ok(()),
        }
    }

    /// Writes the selected jobs of the reader's block, the last one first.
    fn block_back(&mut self, snapshot: &Snapshot, out: &mut impl Write) -> Result<()> {
        let first = self.reader.block.first_sequence;
        let mut upto = first + self.reader.block.rows.len() as u64;
        while let Some((sequence, state)) = snapshot.selection.before(upto) {
            if sequence < first {
                break;
            }
            self.job(sequence, state, out)?;
            upto = sequence;
        }
        Ok(())
    }

    /// Writes a job of the reader's block.
    fn job(&mut self, sequence: u64, state: State, out: &mut impl Write) -> Result<()> {
        self.comma(out)?;
        let block = &self.reader.block;
        let row = &block.rows[(sequence - block.first_sequence) as usize];
        let text = block.row_text(row);
        let row = Row {
            start: 0,
            end: row.end - row.start,
            ..*row
        };
        splice(text, &row, state, out)
    }

    /// Writes the selected jobs of the reader's block that are in the range. The block's text shows
    /// all jobs as complete and includes the commas between them, so a run of complete jobs can be
    /// copied at once.
    fn block(&mut self, snapshot: &Snapshot, out: &mut impl Write) -> Result<()> {
        let first = self.reader.block.first_sequence;
        let end = first + self.reader.block.rows.len() as u64;
        let end = end.min(self.reader.end);
        let mut from = first.max(self.start);
        while let Some((sequence, state)) = snapshot.selection.next(from, &mut self.at) {
            if sequence >= end {
                break;
            }
            let run = snapshot.selection.complete_run(sequence, end, &mut self.at);
            if run == 0 {
                self.job(sequence, state, out)?;
                from = sequence + 1;
            } else {
                let block = &self.reader.block;
                let row = &block.rows[(sequence - first) as usize];
                let last = &block.rows[(sequence - first + run - 1) as usize];
                let texts = block.comma_and_texts(row, last);
                let is_continued = std::mem::replace(&mut self.is_continued, true);
                put(out, &texts[usize::from(!is_continued)..])?;
                from = sequence + run;
            }
        }
        Ok(())
    }
}

pub(super) fn put(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|e| Error::output(&e))
}

/// Writes a job's text with its current state.
pub(crate) fn splice(text: &[u8], row: &Row, state: State, out: &mut impl Write) -> Result<()> {
    let at = row.status_at();
    put(out, &text[..at])?;
    put(out, state.as_str().as_bytes())?;
    put(out, &text[at + BLOCK_STATUS.len()..])
}
