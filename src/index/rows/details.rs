//! The row of details: the times, outcomes, and tombstones of neighboring jobs.

use super::DETAIL_JOBS;
use crate::base::codec::{VarReader, put_var};
use crate::log::purged_jobs::IdHash;

/// What is known about a job besides its submission and state, or a change to what is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Detail {
    pub(crate) started_ms: Option<u64>,
    pub(crate) finished: Option<Finished>,
    pub(crate) cancel_requested: bool,
    /// The number of the job's command, if known; 0 otherwise.
    pub(crate) command: u8,
    /// What remains of a purged job.
    pub(crate) tombstone: Option<TombstoneRow>,
    /// Only in a change: whether to discard what was known before.
    pub(crate) reset: bool,
}

/// Distinguishes a job that was purged from one that never existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TombstoneRow {
    /// The LSN of the event that purged the job.
    pub(crate) lsn: u64,
    /// The hash of the job's id; see [`IdHash`].
    pub(crate) lookup: u64,
    pub(crate) further: u64,
}

impl TombstoneRow {
    /// Creates the tombstone of a job that was purged by the event with this LSN.
    pub(crate) fn new(id: &IdHash, lsn: u64) -> TombstoneRow {
        TombstoneRow {
            lsn,
            lookup: id.lookup,
            further: id.further,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) at_ms: u64,
    /// The reading of the age clock at `at_ms`.
    pub(crate) age_ms: i64,
    /// The kind of the outcome, as stored.
    pub(crate) kind: u8,
    /// The number of the open that recovered the job, or 0.
    pub(crate) open_number: u64,
    /// The LSN of the event that contains the rest of the outcome; 0 if there is no more.
    pub(crate) extra_lsn: u64,
}

impl Detail {
    /// Applies a later change.
    pub(crate) fn merge(&mut self, later: &Detail) {
        if later.reset {
            *self = *later;
            return;
        }
        self.started_ms = later.started_ms.or(self.started_ms);
        self.finished = later.finished.or(self.finished);
        self.cancel_requested |= later.cancel_requested;
        if later.command != 0 {
            self.command = later.command;
        }
        self.tombstone = later.tombstone.or(self.tombstone);
    }
}

/// The details of 128 neighboring jobs, which take up several kilobytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DetailRow(pub(crate) Box<[Detail]>);

impl Default for DetailRow {
    fn default() -> DetailRow {
        DetailRow(vec![Detail::default(); DETAIL_JOBS as usize].into())
    }
}

const STARTED: u64 = 1;
const FINISHED: u64 = 2;
const CANCEL_REQUESTED: u64 = 4;
const OPEN_NUMBER: u64 = 8;
const EXTRA: u64 = 16;
const PURGED: u64 = 32;
const COMMAND: u64 = 64;
const FLAG_BITS: u32 = 7;

impl DetailRow {
    /// Encodes the row. The first byte is the number of jobs up to the last one with known details.
    /// Then, for each job, the flags and the kind of the outcome form one number, followed by the
    /// fields that the flags indicate: number of the command (one byte); start (as the difference
    /// from the previous start); end (from the start); age clock at the end (from the end; not for
    /// purged jobs); number of the open; LSN of the rest of the outcome; LSN and hash of a
    /// tombstone.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let last = self.0.iter().rposition(|d| *d != Detail::default());
        let known = &self.0[..last.map_or(0, |last| last + 1)];
        let mut out = Vec::with_capacity(1 + known.len() * 8);
        out.push(known.len() as u8);
        let mut last_ms = 0;
        for detail in known {
            let end = detail.finished;
            let mut flags = 0;
            for (flag, is_set) in [
                (STARTED, detail.started_ms.is_some()),
                (FINISHED, end.is_some()),
                (CANCEL_REQUESTED, detail.cancel_requested),
                (OPEN_NUMBER, end.is_some_and(|e| e.open_number > 0)),
                (EXTRA, end.is_some_and(|e| e.extra_lsn > 0)),
                (PURGED, detail.tombstone.is_some()),
                (COMMAND, detail.command != 0),
            ] {
                flags |= if is_set { flag } else { 0 };
            }
            let kind = u64::from(end.map_or(0, |e| e.kind));
            put_var(kind << FLAG_BITS | flags, &mut out);
            if detail.command != 0 {
                out.push(detail.command);
            }
            if let Some(started_ms) = detail.started_ms {
                put_var(distance(last_ms, started_ms), &mut out);
                last_ms = started_ms;
            }
            if let Some(end) = end {
                put_var(distance(last_ms, end.at_ms), &mut out);
                if detail.tombstone.is_none() {
                    put_var(distance(end.at_ms, end.age_ms as u64), &mut out);
                }
                if detail.started_ms.is_none() {
                    last_ms = end.at_ms;
                }
                if end.open_number > 0 {
                    put_var(end.open_number, &mut out);
                }
                if end.extra_lsn > 0 {
                    put_var(end.extra_lsn, &mut out);
                }
            }
            if let Some(tombstone) = detail.tombstone {
                put_var(tombstone.lsn, &mut out);
                out.extend_from_slice(&tombstone.lookup.to_le_bytes());
                out.extend_from_slice(&tombstone.further.to_le_bytes());
            }
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<DetailRow> {
        let mut row = DetailRow::default();
        let (mut reader, known) = DetailReader::new(bytes)?;
        for detail in row.0.get_mut(..known)? {
            *detail = reader.next()?;
        }
        reader.reader.0.is_empty().then_some(row)
    }

    /// Decodes only the `n`-th job's details.
    pub(crate) fn decode_one(bytes: &[u8], n: usize) -> Option<Detail> {
        let (mut reader, known) = DetailReader::new(bytes)?;
        if n >= known {
            return Some(Detail::default());
        }
        for _ in 0..n {
            reader.next()?;
        }
        reader.next()
    }
}

/// Decodes the details of a row, job by job.
struct DetailReader<'b> {
    reader: VarReader<'b>,
    last_ms: u64,
}

impl DetailReader<'_> {
    /// Returns the reader of a row, and the number of its jobs.
    fn new(bytes: &[u8]) -> Option<(DetailReader<'_>, usize)> {
        let (&known, bytes) = bytes.split_first()?;
        let reader = DetailReader {
            reader: VarReader(bytes),
            last_ms: 0,
        };
        Some((reader, usize::from(known)))
    }

    fn next(&mut self) -> Option<Detail> {
        let reader = &mut self.reader;
        let mut detail = Detail::default();
        let tag = reader.next()?;
        let has = |flag: u64| tag & flag != 0;
        detail.cancel_requested = has(CANCEL_REQUESTED);
        if has(COMMAND) {
            detail.command = reader.byte().filter(|&command| command != 0)?;
        }
        if has(STARTED) {
            self.last_ms = moved(self.last_ms, reader.next()?);
            detail.started_ms = Some(self.last_ms);
        }
        if has(FINISHED) {
            let at_ms = moved(self.last_ms, reader.next()?);
            if !has(STARTED) {
                self.last_ms = at_ms;
            }
            detail.finished = Some(Finished {
                at_ms,
                age_ms: match has(PURGED) {
                    true => at_ms as i64,
                    false => moved(at_ms, reader.next()?) as i64,
                },
                kind: u8::try_from(tag >> FLAG_BITS).ok()?,
                open_number: if has(OPEN_NUMBER) { reader.next()? } else { 0 },
                extra_lsn: if has(EXTRA) { reader.next()? } else { 0 },
            });
        }
        if has(PURGED) {
            detail.tombstone = Some(TombstoneRow {
                lsn: reader.next()?,
                lookup: reader.eight()?,
                further: reader.eight()?,
            });
        }
        Some(detail)
    }
}

/// The difference between two times. It is encoded so that small differences in either direction
/// are small numbers.
fn distance(from: u64, to: u64) -> u64 {
    let step = to.wrapping_sub(from) as i64;
    ((step << 1) ^ (step >> 63)) as u64
}

fn moved(from: u64, distance: u64) -> u64 {
    from.wrapping_add((distance >> 1) ^ (distance & 1).wrapping_neg())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::NUMBER_MAX;

    #[test]
    fn details_come_back_and_the_fullest_row_fits() {
        let mut row = DetailRow::default();
        for (n, detail) in row.0.iter_mut().enumerate() {
            let far = if n % 2 == 0 { 0 } else { 253_402_300_799_999 };
            *detail = Detail {
                started_ms: Some(far),
                finished: Some(Finished {
                    at_ms: 253_402_300_799_999 - far,
                    age_ms: i64::MIN,
                    kind: 5,
                    open_number: u64::MAX,
                    extra_lsn: u64::MAX,
                }),
                cancel_requested: n % 3 == 0,
                command: 64,
                tombstone: None,
                reset: false,
            };
        }
        let bytes = row.encode();
        assert!(
            bytes.len() + 4 <= crate::index::VALUE_BYTES_MAX,
            "{}",
            bytes.len()
        );
        assert_eq!(DetailRow::decode(&bytes).as_ref(), Some(&row));
        for (n, detail) in row.0.iter().enumerate() {
            assert_eq!(DetailRow::decode_one(&bytes, n), Some(*detail));
        }
        assert_eq!(DetailRow::decode(&bytes[1..]), None);
        for detail in &mut row.0 {
            *detail = Detail {
                tombstone: Some(TombstoneRow {
                    lsn: u64::MAX,
                    lookup: 1,
                    further: u64::MAX,
                }),
                ..Detail::default()
            };
        }
        assert!(row.encode().len() + 4 <= crate::index::VALUE_BYTES_MAX);
        assert_eq!(DetailRow::decode(&row.encode()), Some(row));
        let empty = DetailRow::default().encode();
        assert_eq!(DetailRow::decode_one(&empty, 5), Some(Detail::default()));
        assert_eq!(DetailRow::decode(&empty), Some(DetailRow::default()));
    }

    #[test]
    fn a_row_of_purged_jobs_with_ends_as_far_apart_as_times_go_fits() {
        const LSN: u64 = (1 << 42) - 1;
        // A recovered outcome includes the number of the open that recovered the job; an import may
        // supply any number. An outcome of a different kind may have more data in the log.
        for (open_number, extra_lsn) in [(NUMBER_MAX - 1, 0), (0, LSN)] {
            let mut row = DetailRow::default();
            for (n, detail) in row.0.iter_mut().enumerate() {
                let far = if n % 2 == 0 { 0 } else { 253_402_300_799_999 };
                *detail = Detail {
                    started_ms: Some(far),
                    finished: Some(Finished {
                        at_ms: 253_402_300_799_999 - far,
                        age_ms: 253_402_300_799_999 - far as i64,
                        kind: 5,
                        open_number,
                        extra_lsn,
                    }),
                    cancel_requested: true,
                    command: 64,
                    tombstone: Some(TombstoneRow {
                        lsn: LSN,
                        lookup: u64::MAX,
                        further: u64::MAX,
                    }),
                    reset: false,
                };
            }
            let bytes = row.encode();
            assert!(bytes.len() + 4 <= crate::index::VALUE_BYTES_MAX);
            assert_eq!(DetailRow::decode(&bytes), Some(row));
        }
    }
}
