//! The header and footer of a pack, and their validation.

use serde::{Deserialize, Serialize};

use super::part::BlockPlace;
use crate::base::codec::NUMBER_MAX;
use crate::log::clock_mark::ClockMark;
use crate::log::event_sizes::EventSizes;
use crate::log::fingerprints::PagePlace;
use crate::log::format::FORMAT;
use crate::model::store_id::StoreId;

/// The fields and their sizes in bytes: magic 8, format 4, CRC 4, store id 16.
pub(super) const HEADER_BYTES: usize = 32;

/// The fields and their sizes in bytes: offset of the footer 8, length of the footer 4, CRC 4,
/// magic 8.
pub(in crate::log) const TRAILER_BYTES: usize = 24;

pub(in crate::log) const MAGIC: &[u8; 8] = b"JOBSPACK";

/// The position of an event chunk in its pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChunkPlace {
    pub(crate) first_lsn: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

#[derive(Serialize, Deserialize)]
pub(in crate::log) struct GraphBlocks {
    pub(in crate::log) graph: u32,
    pub(in crate::log) blocks: Vec<BlockPlace>,
    pub(in crate::log) fingerprints: Vec<PagePlace>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::log) struct Footer {
    pub(in crate::log) first_lsn: u64,
    pub(in crate::log) last_lsn: u64,
    pub(in crate::log) graphs: Vec<GraphBlocks>,
    pub(in crate::log) chunks: Vec<ChunkPlace>,
    pub(in crate::log) event_sizes: Vec<EventSizes>,
    /// The clocks at the last event, if known.
    pub(in crate::log) clock: Option<ClockMark>,
}

impl Footer {
    /// The offset at which the last piece ends.
    pub(super) fn pieces_end(&self) -> u64 {
        let chunks = self.chunks.iter().map(|c| (c.offset, c.len));
        let of_graphs = self.graphs.iter().flat_map(|graph| {
            let blocks = graph.blocks.iter().map(|b| (b.offset, b.len));
            blocks.chain(graph.fingerprints.iter().map(|p| (p.offset, p.len)))
        });
        let ends = chunks.chain(of_graphs).map(|(at, len)| at + u64::from(len));
        ends.max().unwrap_or(HEADER_BYTES as u64)
    }
}

/// Returns whether all positions are inside the file and contiguous where they must be.
pub(super) fn is_sound(footer: &Footer, footer_at: u64) -> bool {
    let inside = |offset: u64, len: u32| {
        offset >= HEADER_BYTES as u64
            && offset
                .checked_add(u64::from(len))
                .is_some_and(|end| end <= footer_at)
    };
    let blocks_join = footer.graphs.iter().all(|graph| {
        let all_inside = graph.blocks.iter().all(|b| {
            let joins = b.jobs > 0 && b.first_sequence < NUMBER_MAX;
            joins && inside(b.offset, b.len) && (b.is_empty() || !b.purged)
        });
        all_inside
            && graph
                .blocks
                .windows(2)
                .all(|w| w[0].end_sequence() == w[1].first_sequence)
    });
    let pages_join = footer.graphs.iter().all(|graph| {
        let mut pages = graph.fingerprints.iter();
        let in_order = graph
            .fingerprints
            .windows(2)
            .all(|w| w[0].first <= w[1].first);
        in_order && pages.all(|p| inside(p.offset, p.len) && p.first.is_possible())
    });
    let chunks_join = footer.chunks.iter().all(|c| inside(c.offset, c.len))
        && footer
            .chunks
            .windows(2)
            .all(|w| w[0].first_lsn < w[1].first_lsn)
        && footer
            .chunks
            .first()
            .is_some_and(|c| c.first_lsn == footer.first_lsn);
    let in_range = footer
        .chunks
        .last()
        .is_some_and(|c| c.first_lsn <= footer.last_lsn)
        && (1..NUMBER_MAX).contains(&footer.first_lsn)
        && footer.last_lsn < NUMBER_MAX;
    let clock = footer.clock.is_none_or(|clock| clock.is_possible());
    let event_sizes = footer.event_sizes.iter().all(EventSizes::is_possible)
        && footer
            .event_sizes
            .windows(2)
            .all(|w| w[0].graph < w[1].graph);
    blocks_join && pages_join && chunks_join && in_range && event_sizes && clock
}

/// The checksum of a header, excluding the checksum itself.
pub(super) fn header_crc(header: &[u8; HEADER_BYTES]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..12]);
    crc.update(&header[16..]);
    crc.finalize()
}

pub(in crate::log) fn encode_header(store: StoreId) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..32].copy_from_slice(&store.0.to_le_bytes());
    let crc = header_crc(&header);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    header
}

pub(in crate::log) fn footer_crc(store: StoreId, footer_at: u64, encoded: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&store.0.to_le_bytes());
    crc.update(&footer_at.to_le_bytes());
    crc.update(encoded);
    crc.finalize()
}
