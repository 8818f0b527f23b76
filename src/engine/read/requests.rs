//! Reads parts of the requests of some jobs, without parsing the rest.

use std::cell::Cell;
use std::collections::HashMap;

use crate::engine::read::missing_job::missing;
use crate::engine::read::reader::{Reader, Snapshot, Unit};
use crate::engine::state::graph::GraphCore;
use crate::model::error::{Error, Result};
use crate::model::json;
use crate::model::request::Request;

/// Reads the commands of these jobs, which are in ascending order. Calls `each` with a job and the
/// number of its command, or 0 if the command has none.
pub(crate) fn each_command(
    graph: &GraphCore,
    snapshot: &Snapshot,
    sequences: &[u64],
    mut each: impl FnMut(u64, u8),
) -> Result<()> {
    // Most jobs have one of a few commands.
    let mut numbers: HashMap<Box<str>, u8> = HashMap::new();
    each_request(graph, snapshot, sequences, |sequence, request, _| {
        let request = std::str::from_utf8(request).ok();
        let Some([command, ..]) = request.and_then(Request::parts_of) else {
            return Err(missing(&graph.path(), sequence));
        };
        let number = match numbers.get(command) {
            Some(&number) => number,
            None => {
                let name = json::characters(command).unwrap_or_default();
                let number = graph.state.read().activity.commands.number(&name);
                // Commands without a number may be many.
                if let Some(number) = number {
                    numbers.insert(command.into(), number);
                }
                number.unwrap_or(0)
            }
        };
        each(sequence, number);
        Ok(())
    })
}

/// Reads the requests of these jobs, which are in ascending order. Calls `each` with a job, the JSON
/// of its request, and the time of its submission.
pub(crate) fn each_request(
    graph: &GraphCore,
    snapshot: &Snapshot,
    sequences: &[u64],
    mut each: impl FnMut(u64, &[u8], u64) -> Result<()>,
) -> Result<()> {
    if sequences.is_empty() {
        return Ok(());
    }
    // The selection asks for its jobs in ascending order.
    let left = Cell::new(sequences);
    let is_one = |sequence| {
        let is_first = left.get().first() == Some(&sequence);
        left.set(&left.get()[usize::from(is_first)..]);
        is_first
    };
    let these = snapshot.of(snapshot.selection.clone().only(is_one));
    each_text(graph, &these, Reader::without_unlisted(), |job| {
        each(job.sequence, job.request, job.submitted_ms)
    })
}

/// A job, as it is stored.
pub(crate) struct JobText<'t> {
    pub(crate) sequence: u64,
    /// The JSON of the request.
    pub(crate) request: &'t [u8],
    /// See [`crate::model::unlisted::Unlisted`]; empty unless the reader reads it.
    pub(crate) unlisted: &'t [u8],
    pub(crate) submitted_ms: u64,
}

/// Reads the selected jobs of a snapshot, in order, until `each` fails.
pub(crate) fn each_text<E: From<Error>>(
    graph: &GraphCore,
    snapshot: &Snapshot,
    mut reader: Reader,
    mut each: impl FnMut(JobText<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut at = 0;
    while let Some(unit) = reader.read(graph, snapshot)? {
        match unit {
            Unit::Large(large) => {
                let (sequence, row) = (large.sequence, large.row);
                let (text, unlisted) = match reader.reads_unlisted() {
                    true => large.whole()?,
                    false => (large.text()?, Vec::new()),
                };
                let request = text.get(row.request_range());
                each(JobText {
                    sequence,
                    request: request.ok_or_else(|| missing(&graph.path(), sequence))?,
                    unlisted: &unlisted,
                    submitted_ms: row.submitted_ms,
                })?;
            }
            Unit::Block => {
                let block = &reader.block;
                let (mut from, end) = (
                    block.first_sequence,
                    block.first_sequence + block.rows.len() as u64,
                );
                let mut next = |from| snapshot.selection.next(from, &mut at);
                while let Some((sequence, _)) = next(from).filter(|job| job.0 < end) {
                    let n = (sequence - block.first_sequence) as usize;
                    let row = &block.rows[n];
                    each(JobText {
                        sequence,
                        request: block.request(row),
                        unlisted: match reader.reads_unlisted() {
                            true => block.unlisted(n),
                            false => &[],
                        },
                        submitted_ms: row.submitted_ms,
                    })?;
                    from = sequence + 1;
                }
            }
        }
    }
    Ok(())
}
