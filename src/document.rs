//! A page as the contract's JSON document, spliced from stored text.
//!
//! Owns: the document's fixed text and where states go. Must not know: how blocks
//! are read.
//! Promise: exactly the contract's success document, compact, in bounded memory;
//! bodies to the letter, because nothing is parsed.

use std::io::Write;

use crate::engine::graph_state::GraphCore;
use crate::engine::large::Large;
use crate::engine::read::{Reader, Snapshot, Unit};
use crate::error::{Error, Result};
use crate::job::State;
use crate::storage::block::{BLOCK_STATUS, Row};

const START: &[u8] = br#"{"jobs":["#;
const END: &[u8] = br#"],"result":"success"}"#;

/// A document on its way out.
pub(crate) struct Document {
    reader: Reader,
    /// Where the selection is looked at.
    at: usize,
    stage: Stage,
    is_first: bool,
    piece: Vec<u8>,
}

enum Stage {
    Start,
    Jobs,
    /// In the middle of a job that comes in pieces.
    Pieces(Large),
    Done,
}

impl Document {
    pub(crate) fn new() -> Document {
        Document {
            reader: Reader::default(),
            at: 0,
            stage: Stage::Start,
            is_first: true,
            piece: Vec::new(),
        }
    }

    /// Writes the next part of the document, about a block's worth; `false` once
    /// it is complete. After an error there is no more.
    pub(crate) fn produce(
        &mut self,
        graph: &GraphCore,
        snapshot: &Snapshot,
        out: &mut impl Write,
    ) -> Result<bool> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Start => {
                put(out, START)?;
                self.stage = Stage::Jobs;
            }
            Stage::Jobs => match self.reader.read(graph, snapshot)? {
                None => put(out, END)?,
                Some(Unit::Block) => {
                    self.block(snapshot, out)?;
                    self.stage = Stage::Jobs;
                }
                Some(Unit::Large(mut large)) => {
                    let selected = snapshot.selection.next(large.sequence, &mut self.at);
                    large.next_piece(&mut self.piece)?;
                    self.comma(out)?;
                    let state = selected.map_or(State::Complete, |(_, state)| state);
                    splice(&self.piece, &large.row, state, out)?;
                    self.stage = Stage::Pieces(large);
                }
            },
            Stage::Pieces(mut large) => {
                self.stage = if large.next_piece(&mut self.piece)? {
                    put(out, &self.piece)?;
                    Stage::Pieces(large)
                } else {
                    Stage::Jobs
                };
            }
            Stage::Done => return Ok(false),
        }
        Ok(true)
    }

    fn comma(&mut self, out: &mut impl Write) -> Result<()> {
        match std::mem::take(&mut self.is_first) {
            true => Ok(()),
            false => put(out, b","),
        }
    }

    /// The selected jobs of the reader's block. Its text shows them as complete and
    /// has its commas, so a run of complete jobs is one piece.
    fn block(&mut self, snapshot: &Snapshot, out: &mut impl Write) -> Result<()> {
        let first = self.reader.block.first_sequence;
        let end = first + self.reader.block.rows.len() as u64;
        let mut from = first;
        while let Some((sequence, state)) = snapshot.selection.next(from, &mut self.at) {
            if sequence >= end {
                break;
            }
            let run = snapshot.selection.complete_run(sequence, end, &mut self.at);
            if run == 0 {
                self.comma(out)?;
                let block = &self.reader.block;
                let row = &block.rows[(sequence - first) as usize];
                let text = block.row_text(row);
                let row = Row {
                    start: 0,
                    end: row.end - row.start,
                    ..*row
                };
                splice(text, &row, state, out)?;
                from = sequence + 1;
            } else {
                let block = &self.reader.block;
                let row = &block.rows[(sequence - first) as usize];
                let last = &block.rows[(sequence - first + run - 1) as usize];
                let texts = block.comma_and_texts(row, last);
                let comma = usize::from(std::mem::take(&mut self.is_first));
                put(out, &texts[comma..])?;
                from = sequence + run;
            }
        }
        Ok(())
    }
}

fn put(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|e| Error::output(&e))
}

/// A job's text with its own state.
fn splice(text: &[u8], row: &Row, state: State, out: &mut impl Write) -> Result<()> {
    let at = row.status_at();
    put(out, &text[..at])?;
    put(out, state.as_str().as_bytes())?;
    put(out, &text[at + BLOCK_STATUS.len()..])
}
