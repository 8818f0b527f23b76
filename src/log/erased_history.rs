//! What erased events did: the counts that they contribute to the histories of graphs. An `Erased`
//! event stores them, so that a history that is rebuilt from the log includes jobs that have since
//! been purged.

use std::collections::BTreeMap;

use crate::base::codec::{VarReader, put_var};
use crate::model::history::{Slot, decode_row, encode_rows};
use crate::model::job_counts::JobCounts;

/// The maximum size of the counts that one event stores, unless a single row is larger.
const BYTES_MAX: usize = 16 << 10;

/// Counts by graph and slot.
pub(crate) type ErasedRows = BTreeMap<(u32, Slot), JobCounts>;

/// Encodes rows: for each one, its graph (var), then the row. Returns one or several byte strings,
/// each with the number of its rows.
pub(crate) fn pack(rows: &ErasedRows) -> Vec<(u64, Vec<u8>)> {
    let mut all: Vec<(u64, Vec<u8>)> = Vec::new();
    for ((graph, slot), counts) in rows {
        let mut row = Vec::new();
        put_var(u64::from(*graph), &mut row);
        row.extend(encode_rows(std::iter::once((slot, counts))));
        match all.last_mut() {
            Some((count, bytes)) if bytes.len() + row.len() <= BYTES_MAX => {
                *count += 1;
                bytes.extend(row);
            }
            _ => all.push((1, row)),
        }
    }
    all
}

/// Calls `each` with every row. Returns `None` if the bytes are invalid.
pub(crate) fn each(bytes: &[u8], mut each: impl FnMut(u32, Slot, JobCounts)) -> Option<()> {
    let mut reader = VarReader(bytes);
    while !reader.0.is_empty() {
        let graph = u32::try_from(reader.next()?).ok()?;
        let (slot, counts) = decode_row(&mut reader)?;
        each(graph, slot, counts);
    }
    Some(())
}
