//! The rows of the index: keys, values, and checksums.
//!
//! A row opens only under the key for which it was sealed.
//!
//! | key | value |
//! |---|---|
//! | `h` | [`IndexHead`] |
//! | `g` graph | [`GraphRow`] |
//! | `s` graph, chunk | states of 4096 jobs, then a hash for each of their detail rows; or the number of chunks, starting with this one, in which all jobs are gone |
//! | `d` graph, sequence / 128 | [`Detail`]s of 128 jobs |
//! | `x` graph | empty: a dropped graph whose detail rows may still exist |
//! | `R` run | length of a run of lookups |
//! | `r` run, page | sorted pairs of hash and owner |
//!
//! Numbers in keys are big-endian. Every value ends with the CRC-32 of key and content.

use serde::{Deserialize, Serialize};

use crate::base::codec::{self, VarReader, put_var, u32_at};
use crate::log::clock_gaps::Gaps;
use crate::log::purged_jobs::IdHash;

pub(crate) const HEAD: &[u8] = b"h";
pub(crate) const GRAPHS: &[u8] = b"g";
pub(crate) const STATUS: &[u8] = b"s";
pub(crate) const DROPPED: &[u8] = b"x";
pub(crate) const RUNS: &[u8] = b"R";
pub(crate) const RUN_PAGES: &[u8] = b"r";
const DETAILS: &[u8] = b"d";

/// The number of jobs per detail row.
pub(crate) const DETAIL_JOBS: u64 = 128;
/// The version of the layout of all rows. An index with another version is rebuilt.
pub(crate) const ROWS_FORMAT: u32 = 7;

pub(crate) fn graph_key(graph: u32) -> Vec<u8> {
    [GRAPHS, &graph.to_be_bytes()].concat()
}

/// Returns the graph in a key that [`graph_key`] returned.
pub(crate) fn parse_graph_key(key: &[u8]) -> Option<u32> {
    let number = key.strip_prefix(GRAPHS)?;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

pub(crate) fn dropped_key(graph: u32) -> Vec<u8> {
    [DROPPED, &graph.to_be_bytes()].concat()
}

/// Returns the graph in a key that [`dropped_key`] returned.
pub(crate) fn parse_dropped_key(key: &[u8]) -> Option<u32> {
    let number = key.strip_prefix(DROPPED)?;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

pub(crate) fn status_key(graph: u32, chunk: u64) -> Vec<u8> {
    [STATUS, &graph.to_be_bytes(), &chunk.to_be_bytes()].concat()
}

/// Returns the graph and chunk in a key that [`status_key`] returned.
pub(crate) fn parse_status_key(key: &[u8]) -> Option<(u32, u64)> {
    let rest = key.strip_prefix(STATUS)?;
    let (graph, chunk) = rest.split_at_checked(4)?;
    Some((
        u32::from_be_bytes(graph.try_into().ok()?),
        u64::from_be_bytes(chunk.try_into().ok()?),
    ))
}

pub(crate) fn detail_key(graph: u32, group: u64) -> Vec<u8> {
    [DETAILS, &graph.to_be_bytes(), &group.to_be_bytes()].concat()
}

/// The common prefix of the keys of a graph's status rows.
pub(crate) fn status_prefix(graph: u32) -> Vec<u8> {
    [STATUS, &graph.to_be_bytes()].concat()
}

/// The common prefix of the keys of a graph's detail rows.
pub(crate) fn detail_prefix(graph: u32) -> Vec<u8> {
    [DETAILS, &graph.to_be_bytes()].concat()
}

pub(crate) fn run_key(run: u64) -> Vec<u8> {
    [RUNS, &run.to_be_bytes()].concat()
}

pub(crate) fn run_page_key(run: u64, page: u32) -> Vec<u8> {
    [RUN_PAGES, &run.to_be_bytes(), &page.to_be_bytes()].concat()
}

/// Returns the number of the run in a key of a run or of one of its pages.
pub(crate) fn parse_run(key: &[u8]) -> Option<u64> {
    let number = key.get(1..9)?;
    Some(u64::from_be_bytes(number.try_into().ok()?))
}

fn crc(key: &[u8], content: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(content);
    crc.finalize()
}

/// Returns the value to store under this key.
pub(crate) fn seal(key: &[u8], mut content: Vec<u8>) -> Vec<u8> {
    let crc = crc(key, &content);
    content.extend_from_slice(&crc.to_le_bytes());
    content
}

/// Compresses words by run length, from the third byte on: for each run, a count (var), then the
/// word.
pub(crate) fn pack_words(content: &[u8]) -> Vec<u8> {
    let (head, words) = content.split_at(content.len().min(2));
    let mut packed = head.to_vec();
    let words: Vec<&[u8]> = words.chunks(8).collect();
    for run in words.chunk_by(|a, b| a == b) {
        put_var(run.len() as u64, &mut packed);
        packed.extend_from_slice(run[0]);
    }
    packed
}

/// The inverse of [`pack_words`], for at most `max` words.
pub(crate) fn unpack_words(packed: &[u8], max: u64) -> Option<Vec<u8>> {
    let (head, rest) = packed.split_at_checked(2)?;
    let (mut content, mut reader, mut left) = (head.to_vec(), VarReader(rest), max);
    while !reader.0.is_empty() {
        let count = reader.next()?;
        left = left.checked_sub(count)?;
        let word = reader.eight()?.to_le_bytes();
        (0..count).for_each(|_| content.extend_from_slice(&word));
    }
    Some(content)
}

/// Returns the content of a row if it was sealed under this key.
pub(crate) fn open<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let at = value.len().checked_sub(4)?;
    (crc(key, &value[..at]) == u32_at(value, at)).then_some(&value[..at])
}

/// The header of the whole index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexHead {
    pub(crate) rows_format: u32,
    pub(crate) store: u128,
    /// All events up to this LSN are in the index.
    pub(crate) applied_lsn: u64,
    /// Whether rows may be newer than `applied_lsn`, because a large change was in progress.
    pub(crate) partial: bool,
    pub(crate) open_number: u64,
    /// The number of graphs ever created.
    pub(crate) graphs: u32,
    /// The approximate number of jobs whose ids and keys are still in the runs but may be dead.
    pub(crate) lost_ids: u64,
    /// The confirmed gaps, which the age clock did not count.
    pub(crate) gaps: Gaps,
    /// The hash of all graph rows, status rows, and run rows. Valid only if `partial` is not set.
    pub(crate) digest: u64,
}

/// A graph that has not been dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GraphRow {
    pub(crate) number: u64,
    pub(crate) key: [u64; 2],
    #[serde(deserialize_with = "codec::text")]
    pub(crate) project: String,
    #[serde(deserialize_with = "codec::text")]
    pub(crate) name: String,
    pub(crate) created_ms: u64,
    /// Purges up to this LSN no longer have tombstones.
    pub(crate) forgotten_lsn: u64,
}

/// Returns the contribution of a row to the digest.
pub(crate) fn row_hash(key: &[u8], value: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(value, xxhash_rust::xxh3::xxh3_64(key))
}

pub(crate) fn seal_value<T: Serialize>(key: &[u8], value: &T) -> Vec<u8> {
    seal(key, codec::encode(value))
}

pub(crate) fn open_value<'a, T: Deserialize<'a>>(key: &[u8], value: &'a [u8]) -> Option<T> {
    codec::decode(open(key, value)?)
}

/// What is known about a job besides its submission and state, or a change to what is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Detail {
    pub(crate) started_ms: Option<u64>,
    pub(crate) finished: Option<Finished>,
    pub(crate) cancel_requested: bool,
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
        self.tombstone = later.tombstone.or(self.tombstone);
    }
}

/// The details of 128 neighboring jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DetailRow(pub(crate) [Detail; DETAIL_JOBS as usize]);

impl Default for DetailRow {
    fn default() -> DetailRow {
        DetailRow([Detail::default(); DETAIL_JOBS as usize])
    }
}

const STARTED: u64 = 1;
const FINISHED: u64 = 2;
const CANCEL_REQUESTED: u64 = 4;
const OPEN_NUMBER: u64 = 8;
const EXTRA: u64 = 16;
const PURGED: u64 = 32;
const FLAG_BITS: u32 = 6;

impl DetailRow {
    /// Encodes the row. The first byte is the number of jobs up to the last one with known details.
    /// Then, for each job, the flags and the kind of the outcome form one number, followed by the
    /// fields that the flags indicate: start (as the difference from the previous start); end (from
    /// the start); age clock at the end (from the end; not for purged jobs); number of the open;
    /// LSN of the rest of the outcome; LSN and hash of a tombstone.
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
            ] {
                flags |= if is_set { flag } else { 0 };
            }
            let kind = u64::from(end.map_or(0, |e| e.kind));
            put_var(kind << FLAG_BITS | flags, &mut out);
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
        let (&known, bytes) = bytes.split_first()?;
        let mut reader = VarReader(bytes);
        let mut last_ms = 0u64;
        for detail in row.0.get_mut(..usize::from(known))? {
            let tag = reader.next()?;
            let has = |flag: u64| tag & flag != 0;
            detail.cancel_requested = has(CANCEL_REQUESTED);
            if has(STARTED) {
                last_ms = moved(last_ms, reader.next()?);
                detail.started_ms = Some(last_ms);
            }
            if has(FINISHED) {
                let at_ms = moved(last_ms, reader.next()?);
                if !has(STARTED) {
                    last_ms = at_ms;
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
        }
        reader.0.is_empty().then_some(row)
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
    fn words_come_back_and_repeated_ones_take_no_room() {
        let mut content = vec![9, 8];
        for n in 0..160u64 {
            let word = if n % 50 == 0 { n } else { u64::MAX };
            content.extend_from_slice(&word.to_le_bytes());
        }
        let packed = pack_words(&content);
        assert!(packed.len() < 80, "{}", packed.len());
        assert_eq!(unpack_words(&packed, 160), Some(content));
        assert_eq!(unpack_words(&packed, 159), None);
        assert_eq!(unpack_words(&packed[..packed.len() - 1], 160), None);
        assert_eq!(unpack_words(&[1], 160), None);
        assert_eq!(pack_words(&[1, 2]), [1, 2]);
    }

    #[test]
    fn a_row_opens_only_under_its_key_and_whole() {
        let key = detail_key(1, 2);
        let value = seal(&key, vec![1, 2, 3]);
        assert_eq!(open(&key, &value), Some(&[1, 2, 3][..]));
        assert_eq!(open(&detail_key(1, 3), &value), None);
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, &flipped), None);
        }
        assert_eq!(open(&key, &[]), None);
    }

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
