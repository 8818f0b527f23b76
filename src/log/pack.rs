//! A sealed stretch of the log, rewritten for reading: the pack.
//!
//! Owns: the pack's file: blocks and fingerprints of each graph, event chunks, footer,
//! and reading them. Must not know: states, who reads.
//! Promise: a pack is whole or not there; each part of it is checked before it is
//! believed.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::codec;
use crate::base::codec::{NUMBER_MAX, u32_at, u64_at};
use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::log::block::{Block, Seed, open_piece};
use crate::log::clock_mark::ClockMark;
use crate::log::disk::{Disk, File as _};
use crate::log::event::Event;
use crate::log::file_names;
use crate::log::fingerprints::PagePlace;
use crate::log::format::FORMAT;
use crate::log::revocable::Revocable;
use crate::log::told::Told;
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// magic 8, format 4, crc 4, store id 16.
const HEADER_BYTES: usize = 32;
/// footer's place 8, length 4, crc 4, magic 8.
const TRAILER_BYTES: usize = 24;
pub(super) const MAGIC: &[u8; 8] = b"JOBSPACK";
/// A block's place in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockPlace {
    pub(crate) first_sequence: u64,
    pub(crate) offset: u64,
    /// Bytes in the file, all pieces together; 0 for jobs that are there no more.
    pub(crate) len: u32,
    pub(crate) jobs: u32,
    /// One job in pieces.
    pub(crate) large: bool,
    /// Whether any of its ids was not made by the graph.
    pub(crate) foreign_ids: bool,
    /// Whether its jobs were purged.
    pub(crate) purged: bool,
    /// When the first of its jobs was submitted, by the clock, in ms.
    pub(crate) first_ms: u64,
    /// How much later the last was.
    pub(crate) span_ms: u64,
}

impl BlockPlace {
    /// Whether a repair found the block damaged: its jobs are listed no more.
    pub(crate) fn is_set_aside(&self) -> bool {
        self.len == 0 && !self.purged
    }

    /// Whether it says of its jobs only that they are there no more.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One past its last job.
    pub(crate) fn end_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.jobs)
    }
}

/// An event chunk's place in its pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChunkPlace {
    pub(crate) first_lsn: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct GraphBlocks {
    pub(super) graph: u32,
    pub(super) blocks: Vec<BlockPlace>,
    pub(super) fingerprints: Vec<PagePlace>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Footer {
    pub(super) first_lsn: u64,
    pub(super) last_lsn: u64,
    pub(super) graphs: Vec<GraphBlocks>,
    pub(super) chunks: Vec<ChunkPlace>,
    pub(super) told: Vec<Told>,
    /// The clocks at its last event, if known.
    pub(super) clock: Option<ClockMark>,
}

/// A pack, open for reading.
pub(crate) struct Pack {
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    pub(crate) bytes: u64,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) store: StoreId,
    pub(crate) file: Arc<Revocable>,
    chunks: Vec<ChunkPlace>,
    /// The clocks at its last event, if known.
    pub(crate) clock: Option<ClockMark>,
    /// The blocks of each graph, by the graph's number.
    pub(crate) parts: Vec<Arc<Part>>,
    /// What its events take, by the graph they tell of.
    pub(crate) told: Vec<ToldOf>,
    /// Bytes of all blocks.
    pub(crate) block_bytes: u64,
    /// Bytes of its event chunks in the file.
    pub(crate) event_bytes: u64,
    /// Bytes of its events before compression.
    pub(crate) told_bytes: u64,
    /// What of it is garbage.
    pub(crate) garbage: Garbage,
}

/// What the events of a graph take.
pub(crate) struct ToldOf {
    pub(crate) told: Told,
    /// Its share in [`Garbage::told`].
    pub(crate) gone: AtomicU64,
}

impl ToldOf {
    fn new(told: Told) -> ToldOf {
        ToldOf {
            told,
            gone: AtomicU64::new(0),
        }
    }
}

/// What of a pack is garbage, as far as it has been counted.
#[derive(Default)]
pub(crate) struct Garbage {
    /// Bytes of blocks.
    pub(crate) blocks: AtomicU64,
    /// Bytes of events before compression.
    pub(crate) told: AtomicU64,
    is_counted: AtomicBool,
}

impl Garbage {
    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted.load(Ordering::Relaxed)
    }

    pub(crate) fn set_counted(&self) {
        self.is_counted.store(true, Ordering::Relaxed);
    }
}

/// Counts a share of a total again. One thread counts at a time.
pub(crate) fn recount(total: &AtomicU64, share: &AtomicU64, bytes: u64) {
    let before = share.swap(bytes, Ordering::Relaxed);
    total.fetch_add(bytes, Ordering::Relaxed);
    total.fetch_sub(before, Ordering::Relaxed);
}

/// A pack's file, as all of its parts share it.
pub(crate) struct PackFile {
    pub(crate) file: Arc<Revocable>,
    /// For messages.
    pub(crate) path: PathBuf,
}

/// The blocks of one graph in one pack; their sequence numbers join without gap.
pub(crate) struct Part {
    pub(crate) graph: u32,
    pub(crate) first_sequence: u64,
    /// One past the last.
    pub(crate) end_sequence: u64,
    /// How many of its jobs a repair set aside.
    pub(crate) set_aside: u64,
    /// How many of its jobs were purged and take no room any more.
    pub(crate) purged: u64,
    pub(crate) blocks: Box<[BlockPlace]>,
    /// The pages of its requests' fingerprints, in order.
    pub(crate) fingerprints: Box<[PagePlace]>,
    pub(crate) pack: Arc<PackFile>,
    /// Its share in [`Garbage::blocks`].
    pub(crate) gone: AtomicU64,
}

impl Part {
    pub(crate) fn block_bytes(&self) -> u64 {
        self.blocks.iter().map(|place| u64::from(place.len)).sum()
    }

    /// The block that holds this job.
    pub(crate) fn block_of(&self, sequence: u64) -> Option<usize> {
        if !(self.first_sequence..self.end_sequence).contains(&sequence) {
            return None;
        }
        self.blocks
            .partition_point(|b| b.first_sequence <= sequence)
            .checked_sub(1)
    }

    /// Reads a block of small jobs; `piece` is room for its bytes.
    pub(crate) fn read_block(
        &self,
        place: &BlockPlace,
        (block, piece): (&mut Block, &mut Vec<u8>),
    ) -> Result<()> {
        piece.resize(place.len as usize, 0);
        self.pack
            .file
            .read_exact_at(piece, place.offset)
            .map_err(|e| Error::io("read", &self.pack.path, &e))?;
        let opened = block.open(self.graph, place.first_sequence, piece);
        let whole = opened.filter(|()| block.rows.len() as u64 == u64::from(place.jobs));
        whole.ok_or_else(|| self.not_valid(place))
    }

    pub(crate) fn not_valid(&self, place: &BlockPlace) -> Error {
        Error::damaged(&self.pack.path, place.offset, "invalid block of jobs")
    }
}

impl Pack {
    /// The store that a pack's header says it is of, if the header is valid.
    pub(crate) fn store_in(header: &[u8]) -> Option<StoreId> {
        let header: &[u8; HEADER_BYTES] = header.get(..HEADER_BYTES)?.try_into().ok()?;
        let valid = header[..8] == MAGIC[..] && u32_at(header, 12) == header_crc(header);
        let low = u128::from(u64_at(header, 16));
        valid.then(|| StoreId(low | u128::from(u64_at(header, 24)) << 64))
    }

    /// The blocks of a graph.
    pub(crate) fn part_of(&self, graph: u32) -> Option<&Arc<Part>> {
        let n = self.parts.binary_search_by_key(&graph, |part| part.graph);
        n.ok().map(|n| &self.parts[n])
    }

    /// What the events of a graph take.
    pub(crate) fn told_of(&self, graph: u32) -> Option<&ToldOf> {
        let n = self.told.binary_search_by_key(&graph, |of| of.told.graph);
        n.ok().map(|n| &self.told[n])
    }

    /// The event chunks, each with its LSNs, both inclusive.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (&ChunkPlace, u64, u64)> {
        self.chunks.iter().enumerate().map(|(n, place)| {
            let next = self.chunks.get(n + 1);
            let last_lsn = next.map_or(self.last_lsn, |next| next.first_lsn - 1);
            (place, place.first_lsn, last_lsn)
        })
    }

    pub(crate) fn open(disk: &dyn Disk, name: &str, store: StoreId) -> Result<Pack> {
        Pack::open_as(disk, (name, name), store)
    }

    /// Opens the file of this name as the pack of another, which it is given later.
    pub(super) fn open_as(
        disk: &dyn Disk,
        (file, name): (&str, &str),
        store: StoreId,
    ) -> Result<Pack> {
        let path = disk.path(file);
        let failed = |e| Error::io("read", &path, &e);
        let damaged = |at: u64, what: &str| Error::damaged(&path, at, what);
        let file = Arc::new(Revocable::new(disk.open(file).map_err(failed)?));
        let bytes = file.len().map_err(failed)?;
        if bytes < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            return Err(damaged(bytes, "the file is too short to be a pack"));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(failed)?;
        let is_ours = header[..8] == MAGIC[..] && u32_at(&header, 12) == header_crc(&header);
        if is_ours && u32_at(&header, 8) > FORMAT {
            return Err(Error::NewerFormat {
                path: disk.path(""),
                found: u32_at(&header, 8),
                supported: FORMAT,
            });
        }
        if header != encode_header(store) {
            return Err(damaged(
                0,
                "invalid header, or the file belongs to another store",
            ));
        }
        let trailer_at = bytes - TRAILER_BYTES as u64;
        let mut trailer = [0; TRAILER_BYTES];
        file.read_exact_at(&mut trailer, trailer_at)
            .map_err(failed)?;
        let (footer_at, footer_len) = (u64_at(&trailer, 0), u64::from(u32_at(&trailer, 8)));
        let fits = footer_at >= HEADER_BYTES as u64
            && footer_at.checked_add(footer_len) == Some(trailer_at)
            && trailer[16..] == MAGIC[..];
        if !fits {
            return Err(damaged(trailer_at, "invalid trailer"));
        }
        let mut encoded = vec![0; footer_len as usize];
        file.read_exact_at(&mut encoded, footer_at)
            .map_err(failed)?;
        if footer_crc(store, footer_at, &encoded) != u32_at(&trailer, 12) {
            return Err(damaged(footer_at, "footer checksum mismatch"));
        }
        let footer: Footer = codec::decode(&encoded)
            .filter(|footer| is_sound(footer, footer_at))
            .ok_or_else(|| damaged(footer_at, "invalid footer"))?;
        if file_names::pack_range(name) != Some((footer.first_lsn, footer.last_lsn)) {
            return Err(damaged(
                footer_at,
                "the log sequence numbers do not match the file name",
            ));
        }
        let path = disk.path(name);
        let shared = Arc::new(PackFile {
            file: file.clone(),
            path: path.clone(),
        });
        let mut parts: Vec<Arc<Part>> = footer
            .graphs
            .into_iter()
            .filter_map(|graph| part_of(graph, &shared))
            .map(Arc::new)
            .collect();
        parts.sort_by_key(|part| part.graph);
        Ok(Pack {
            first_lsn: footer.first_lsn,
            last_lsn: footer.last_lsn,
            bytes,
            name: name.to_owned(),
            path,
            store,
            file,
            event_bytes: footer.chunks.iter().map(|c| u64::from(c.len)).sum(),
            chunks: footer.chunks,
            clock: footer.clock,
            block_bytes: parts.iter().map(|part| part.block_bytes()).sum(),
            parts,
            told_bytes: footer.told.iter().map(Told::bytes).sum(),
            told: footer.told.into_iter().map(ToldOf::new).collect(),
            garbage: Garbage::default(),
        })
    }

    /// Calls `each` with every event from `from_lsn` on and its LSN.
    pub(crate) fn events<E: From<Error>>(
        &self,
        from_lsn: u64,
        mut each: impl FnMut(u64, &Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = self.chunks.partition_point(|c| c.first_lsn <= from_lsn);
        let mut buffer = Vec::new();
        for n in first.saturating_sub(1)..self.chunks.len() {
            self.chunk_events(n, &mut buffer, |lsn, event| {
                if lsn + event.lsns() > from_lsn {
                    each(lsn, event)?;
                }
                Ok::<(), E>(())
            })?;
        }
        Ok(())
    }

    /// Calls `each` with the events of the chunk that holds this LSN.
    pub(crate) fn events_near(
        &self,
        lsn: u64,
        mut each: impl FnMut(u64, &Event<'_>),
    ) -> Result<()> {
        let after = self.chunks.partition_point(|c| c.first_lsn <= lsn);
        match after.checked_sub(1) {
            None => Ok(()),
            Some(n) => self.chunk_events(n, &mut Vec::new(), |lsn, event| {
                each(lsn, event);
                Ok(())
            }),
        }
    }

    /// Calls `each` with the events of the `n`-th chunk.
    pub(crate) fn chunk_events<E: From<Error>>(
        &self,
        n: usize,
        buffer: &mut Vec<u8>,
        mut each: impl FnMut(u64, &Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let place = &self.chunks[n];
        let damaged = || Error::damaged(&self.path, place.offset, "invalid event chunk");
        let mut piece = vec![0; place.len as usize];
        self.file
            .read_exact_at(&mut piece, place.offset)
            .map_err(|e| Error::io("read", &self.path, &e))?;
        let (len, taken) =
            open_piece(Seed::events(place.first_lsn), &piece, buffer).ok_or_else(damaged)?;
        let next = self
            .chunks
            .get(n + 1)
            .map_or(self.last_lsn + 1, |c| c.first_lsn);
        let (mut at, mut lsn) = (0, place.first_lsn);
        while at < len {
            let (event, bytes) = Event::decode_prefix(&buffer[at..len]).ok_or_else(damaged)?;
            // A count is believed only as far as the chunk goes.
            let after = lsn.checked_add(event.lsns()).filter(|&after| after <= next);
            let after = after.ok_or_else(damaged)?;
            each(lsn, &event)?;
            at += bytes;
            lsn = after;
        }
        if taken != piece.len() || lsn != next {
            return Err(damaged().into());
        }
        Ok(())
    }
}

fn part_of(graph: GraphBlocks, pack: &Arc<PackFile>) -> Option<Part> {
    let (first, last) = (graph.blocks.first()?, graph.blocks.last()?);
    Some(Part {
        graph: graph.graph,
        first_sequence: first.first_sequence,
        end_sequence: last.end_sequence(),
        set_aside: jobs_of(&graph.blocks, BlockPlace::is_set_aside),
        purged: jobs_of(&graph.blocks, |place| place.purged),
        blocks: graph.blocks.into(),
        fingerprints: graph.fingerprints.into(),
        pack: pack.clone(),
        gone: AtomicU64::new(0),
    })
}

fn jobs_of(blocks: &[BlockPlace], which: impl Fn(&BlockPlace) -> bool) -> u64 {
    let those = blocks.iter().filter(|place| which(place));
    those.map(|place| u64::from(place.jobs)).sum()
}

/// Whether all places lie inside of the file and join as they must.
fn is_sound(footer: &Footer, footer_at: u64) -> bool {
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
    let told = footer.told.iter().all(Told::is_possible)
        && footer.told.windows(2).all(|w| w[0].graph < w[1].graph);
    blocks_join && pages_join && chunks_join && in_range && told && clock
}

/// The checksum of all of a header but itself.
fn header_crc(header: &[u8; HEADER_BYTES]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..12]);
    crc.update(&header[16..]);
    crc.finalize()
}

pub(super) fn encode_header(store: StoreId) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..32].copy_from_slice(&store.0.to_le_bytes());
    let crc = header_crc(&header);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    header
}

pub(super) fn footer_crc(store: StoreId, footer_at: u64, encoded: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&store.0.to_le_bytes());
    crc.update(&footer_at.to_le_bytes());
    crc.update(encoded);
    crc.finalize()
}
