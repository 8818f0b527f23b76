//! The rows of the index: keys, values, and checksums.
//!
//! A row opens only under the key for which it was sealed.
//!
//! | key | value |
//! |---|---|
//! | `h` | [`IndexHead`] |
//! | `g` graph | [`GraphRow`] |
//! | `s` graph, chunk | states of 4096 jobs, then a hash for each of their detail rows, then the number of jobs with each outcome; or the number of chunks, starting with this one, in which all jobs are gone |
//! | `d` graph, sequence / 128 | [`Detail`]s of 128 jobs |
//! | `x` graph | empty: a dropped graph whose detail rows may still exist |
//! | `c` graph, number | name of a command |
//! | `T` graph | list of the pages of a history |
//! | `t` graph, page, part | a part of a page of a history |
//! | `R` run | length of a run of lookups |
//! | `r` run, page | sorted pairs of hash and owner |
//!
//! Numbers in keys are big-endian. Every value ends with the CRC-32 of key and content.

mod details;

use serde::{Deserialize, Serialize};

pub(crate) use self::details::{Detail, DetailRow, Finished, TombstoneRow};
use crate::base::codec::{self, VarReader, put_var, u32_at};
use crate::log::clock_gaps::Gaps;
use crate::model::history::PageNumber;

pub(crate) const HEAD: &[u8] = b"h";
pub(crate) const GRAPHS: &[u8] = b"g";
pub(crate) const STATUS: &[u8] = b"s";
pub(crate) const DROPPED: &[u8] = b"x";
pub(crate) const RUNS: &[u8] = b"R";
pub(crate) const RUN_PAGES: &[u8] = b"r";
pub(crate) const COMMANDS: &[u8] = b"c";
pub(crate) const HISTORY_LISTS: &[u8] = b"T";
const HISTORY: &[u8] = b"t";
const DETAILS: &[u8] = b"d";

/// The maximum size of a part of a page of a history.
pub(crate) const HISTORY_PART_BYTES: usize = 6000;

/// The number of jobs per detail row.
pub(crate) const DETAIL_JOBS: u64 = 128;
/// The version of the layout of all rows. An index with another version is rebuilt.
pub(crate) const ROWS_FORMAT: u32 = 9;

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

pub(crate) fn command_key(graph: u32, number: u8) -> Vec<u8> {
    [COMMANDS, &graph.to_be_bytes(), &[number]].concat()
}

/// Returns the graph and the number in a key that [`command_key`] returned.
pub(crate) fn parse_command_key(key: &[u8]) -> Option<(u32, u8)> {
    let rest = key.strip_prefix(COMMANDS)?;
    let (graph, number) = rest.split_at_checked(4)?;
    let [number] = number.try_into().ok()?;
    Some((u32::from_be_bytes(graph.try_into().ok()?), number))
}

pub(crate) fn history_list_key(graph: u32) -> Vec<u8> {
    [HISTORY_LISTS, &graph.to_be_bytes()].concat()
}

/// Returns the graph in a key that [`history_list_key`] returned.
pub(crate) fn parse_history_list_key(key: &[u8]) -> Option<u32> {
    let number = key.strip_prefix(HISTORY_LISTS)?;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

pub(crate) fn history_key(graph: u32, page: PageNumber, part: u8) -> Vec<u8> {
    let grain = [page.grain.to_stored()];
    let (graph, number) = (graph.to_be_bytes(), page.number.to_be_bytes());
    [HISTORY, &graph, &grain, &number, &[part]].concat()
}

/// The common prefixes of the keys of a graph's commands and history.
pub(crate) fn history_prefixes(graph: u32) -> [Vec<u8>; 3] {
    let graph = graph.to_be_bytes();
    [COMMANDS, HISTORY_LISTS, HISTORY].map(|kind| [kind, &graph].concat())
}

/// Returns whether a row of this key is included in the digest.
pub(crate) fn is_in_digest(key: &[u8]) -> bool {
    let included = [GRAPHS, STATUS, RUNS, COMMANDS, HISTORY_LISTS];
    included.iter().any(|kind| key.starts_with(kind))
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
    /// The hash of all rows for which [`is_in_digest`] returns true. Valid only if `partial` is not
    /// set.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
