//! A pack: a sealed range of the log, rewritten for reading. It contains the blocks and
//! fingerprints of each graph, event chunks, and a footer.
//!
//! A pack either exists completely or not at all. The checksum of each part is verified before the
//! part is used.

mod footer;
mod garbage;
mod part;

use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use self::footer::ChunkPlace;
pub(super) use self::footer::{
    Footer, GraphBlocks, MAGIC, TRAILER_BYTES, encode_header, footer_crc,
};
use self::footer::{HEADER_BYTES, header_crc, is_sound};
pub(crate) use self::garbage::{Garbage, PackedEventSizes, recount};
pub(crate) use self::part::{BlockPlace, PackFile, Part};
use crate::base::codec;
use crate::base::codec::{u32_at, u64_at, u128_at};
use crate::base::sync::atomic::AtomicU64;
use crate::log::block::{Seed, open_piece};
use crate::log::clock_mark::ClockMark;
use crate::log::disk::{Disk, File as _};
use crate::log::event::Event;
use crate::log::event_sizes::EventSizes;
use crate::log::file_names;
use crate::log::format;
use crate::log::revocable::Revocable;
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

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
    /// The clocks at the last event, if known.
    pub(crate) clock: Option<ClockMark>,
    /// The blocks of each graph, ordered by graph number.
    pub(crate) parts: Vec<Arc<Part>>,
    /// The size of the events of each graph.
    pub(crate) event_sizes: Vec<PackedEventSizes>,
    /// The size of all blocks.
    pub(crate) block_bytes: u64,
    /// The size of the event chunks in the file.
    pub(crate) event_bytes: u64,
    /// The size of the events before compression.
    pub(crate) raw_event_bytes: u64,
    /// The size of the unused space before the footer.
    pub(crate) padding_bytes: u64,
    /// How much of the pack is garbage.
    pub(crate) garbage: Garbage,
}

impl Pack {
    /// Returns the store id in a pack's header, if the header is valid.
    pub(crate) fn store_in(header: &[u8]) -> Option<StoreId> {
        let header: &[u8; HEADER_BYTES] = header.get(..HEADER_BYTES)?.try_into().ok()?;
        let valid = header[..8] == MAGIC[..] && u32_at(header, 12) == header_crc(header);
        valid.then(|| StoreId(u128_at(header, 16)))
    }

    /// Returns the blocks of a graph.
    pub(crate) fn part_of(&self, graph: u32) -> Option<&Arc<Part>> {
        let n = self.parts.binary_search_by_key(&graph, |part| part.graph);
        n.ok().map(|n| &self.parts[n])
    }

    /// Returns the size of the events of a graph.
    pub(crate) fn event_sizes_of(&self, graph: u32) -> Option<&PackedEventSizes> {
        let n = self
            .event_sizes
            .binary_search_by_key(&graph, |of| of.sizes.graph);
        n.ok().map(|n| &self.event_sizes[n])
    }

    /// Returns the event chunks, each with its first and last LSN.
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

    /// Opens the first of these files as a pack that is going to be renamed to the second name.
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
        if is_ours {
            format::check(u32_at(&header, 8), &disk.path(""))?;
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
        let padding_bytes = footer_at - footer.pieces_end();
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
            padding_bytes,
            raw_event_bytes: footer.event_sizes.iter().map(EventSizes::bytes).sum(),
            event_sizes: footer
                .event_sizes
                .into_iter()
                .map(PackedEventSizes::new)
                .collect(),
            garbage: Garbage::default(),
        })
    }

    /// Calls `each` with every event from `from_lsn` on, and its LSN.
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

    /// Calls `each` with the events of the chunk that contains this LSN.
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
            // A count is accepted only if it does not extend past the end of the chunk.
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
        quarantined: jobs_of(&graph.blocks, BlockPlace::is_quarantined),
        purged: jobs_of(&graph.blocks, |place| place.purged),
        blocks: graph.blocks.into(),
        fingerprints: graph.fingerprints.into(),
        pack: pack.clone(),
        garbage: AtomicU64::new(0),
    })
}

fn jobs_of(blocks: &[BlockPlace], which: impl Fn(&BlockPlace) -> bool) -> u64 {
    let those = blocks.iter().filter(|place| which(place));
    those.map(|place| u64::from(place.jobs)).sum()
}
