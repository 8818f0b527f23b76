//! A sealed stretch of the log, rewritten for reading: the pack.
//!
//! Owns: the pack's file: blocks of each graph, event chunks, footer. Must not
//! know: states, who reads.
//! Promise: a pack is whole or not there; each part of it is checked before it is
//! believed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::storage::block::{
    Block, PIECE_BYTES, Scratch, Seed, open_piece, seal_large, seal_piece, text_len,
};
use crate::storage::codec;
use crate::storage::disk::{Disk, File};
use crate::storage::event::Event;
use crate::storage::frame::{u32_at, u64_at};
use crate::storage::identity::{FORMAT, StoreId};
use crate::storage::names;

/// magic 8, format 4, crc 4, store id 16.
const HEADER_BYTES: usize = 32;
/// footer's place 8, length 4, crc 4, magic 8.
const TRAILER_BYTES: usize = 24;
const MAGIC: &[u8; 8] = b"JOBSPACK";
/// Bytes of events in a chunk, about.
const CHUNK_BYTES: usize = 32 << 10;
/// Writes are gathered up to this size.
const WRITE_BYTES: usize = 1 << 20;
/// A file is synced whenever so much more of it was written.
const SYNC_BYTES: u64 = 4 << 20;

/// A block's place in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockPlace {
    pub(crate) first_sequence: u64,
    pub(crate) offset: u64,
    /// Bytes in the file, all pieces together.
    pub(crate) len: u32,
    pub(crate) jobs: u8,
    /// One job in pieces.
    pub(crate) large: bool,
    /// Whether any of its ids was not made by the graph.
    pub(crate) foreign_ids: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ChunkPlace {
    first_lsn: u64,
    offset: u64,
    len: u32,
}

#[derive(Serialize, Deserialize)]
struct GraphBlocks {
    graph: u32,
    blocks: Vec<BlockPlace>,
}

#[derive(Serialize, Deserialize)]
struct Footer {
    first_lsn: u64,
    last_lsn: u64,
    graphs: Vec<GraphBlocks>,
    chunks: Vec<ChunkPlace>,
}

/// A pack, open for reading.
pub(crate) struct Pack {
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    pub(crate) bytes: u64,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    file: Arc<dyn File>,
    chunks: Vec<ChunkPlace>,
    /// The blocks of each graph, by the graph's number.
    pub(crate) parts: Vec<Arc<Part>>,
}

/// The blocks of one graph in one pack; their sequence numbers join without gap.
pub(crate) struct Part {
    pub(crate) graph: u32,
    pub(crate) first_sequence: u64,
    /// One past the last.
    pub(crate) end_sequence: u64,
    pub(crate) blocks: Vec<BlockPlace>,
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
}

impl Part {
    /// The block that holds this job.
    pub(crate) fn block_of(&self, sequence: u64) -> Option<usize> {
        if !(self.first_sequence..self.end_sequence).contains(&sequence) {
            return None;
        }
        self.blocks
            .partition_point(|b| b.first_sequence <= sequence)
            .checked_sub(1)
    }
}

impl Pack {
    pub(crate) fn open(disk: &dyn Disk, name: &str, store: StoreId) -> Result<Pack> {
        let path = disk.path(name);
        let failed = |e| Error::io("read", &path, &e);
        let damaged = |at: u64, what: &str| Error::damaged(&path, at, what);
        let file = disk.open(name).map_err(failed)?;
        let bytes = file.len().map_err(failed)?;
        if bytes < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            return Err(damaged(bytes, "it is too short for a pack"));
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
                "its header is not valid, or it is of another store",
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
            return Err(damaged(trailer_at, "its trailer is not valid"));
        }
        let mut encoded = vec![0; footer_len as usize];
        file.read_exact_at(&mut encoded, footer_at)
            .map_err(failed)?;
        if footer_crc(store, footer_at, &encoded) != u32_at(&trailer, 12) {
            return Err(damaged(footer_at, "its footer's checksum does not match"));
        }
        let footer: Footer = codec::decode(&encoded)
            .filter(|footer| is_sound(footer, footer_at))
            .ok_or_else(|| damaged(footer_at, "its footer is not valid"))?;
        if names::pack_range(name) != Some((footer.first_lsn, footer.last_lsn)) {
            return Err(damaged(
                footer_at,
                "it holds other log sequence numbers than its name says",
            ));
        }
        let parts = footer
            .graphs
            .into_iter()
            .filter_map(|graph| part_of(graph, &file, &path))
            .map(Arc::new)
            .collect();
        Ok(Pack {
            first_lsn: footer.first_lsn,
            last_lsn: footer.last_lsn,
            bytes,
            name: name.to_owned(),
            path,
            file,
            chunks: footer.chunks,
            parts,
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

    fn chunk_events<E: From<Error>>(
        &self,
        n: usize,
        buffer: &mut Vec<u8>,
        mut each: impl FnMut(u64, &Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let place = &self.chunks[n];
        let damaged = || Error::damaged(&self.path, place.offset, "an event chunk is not valid");
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
            each(lsn, &event)?;
            at += bytes;
            lsn = lsn.checked_add(event.lsns()).ok_or_else(damaged)?;
        }
        if taken != piece.len() || lsn != next {
            return Err(damaged().into());
        }
        Ok(())
    }
}

fn part_of(graph: GraphBlocks, file: &Arc<dyn File>, path: &Path) -> Option<Part> {
    let (first, last) = (graph.blocks.first()?, graph.blocks.last()?);
    Some(Part {
        graph: graph.graph,
        first_sequence: first.first_sequence,
        end_sequence: last.first_sequence + u64::from(last.jobs),
        blocks: graph.blocks,
        file: file.clone(),
        path: path.to_path_buf(),
    })
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
        let all_inside = graph
            .blocks
            .iter()
            .all(|b| b.jobs > 0 && inside(b.offset, b.len) && b.first_sequence < 1 << 62);
        all_inside
            && graph
                .blocks
                .windows(2)
                .all(|w| w[0].first_sequence + u64::from(w[0].jobs) == w[1].first_sequence)
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
    blocks_join && chunks_join && footer.first_lsn <= footer.last_lsn && footer.last_lsn < u64::MAX
}

/// The checksum of all of a header but itself.
fn header_crc(header: &[u8; HEADER_BYTES]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..12]);
    crc.update(&header[16..]);
    crc.finalize()
}

fn encode_header(store: StoreId) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..32].copy_from_slice(&store.0.to_le_bytes());
    let crc = header_crc(&header);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    header
}

fn footer_crc(store: StoreId, footer_at: u64, encoded: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&store.0.to_le_bytes());
    crc.update(&footer_at.to_le_bytes());
    crc.update(encoded);
    crc.finalize()
}

/// A pack being written, aside, until it is whole.
pub(crate) struct PackWriter<'d> {
    disk: &'d dyn Disk,
    store: StoreId,
    aside: String,
    name: String,
    file: Arc<dyn File>,
    pending: Vec<u8>,
    written: u64,
    synced: u64,
    footer: Footer,
    scratch: Scratch,
    chunk: Vec<u8>,
    chunk_lsn: u64,
    next_lsn: u64,
    finished: bool,
}

impl<'d> PackWriter<'d> {
    pub(crate) fn begin(
        disk: &'d dyn Disk,
        store: StoreId,
        first_lsn: u64,
        last_lsn: u64,
    ) -> Result<PackWriter<'d>> {
        let name = names::pack(first_lsn, last_lsn);
        let aside = format!("{name}{}", names::ASIDE);
        // One may be there from an attempt that failed.
        disk.remove(&aside).ok();
        let file = disk
            .create(&aside)
            .map_err(|e| Error::io("create", disk.path(&aside), &e))?;
        Ok(PackWriter {
            disk,
            store,
            aside,
            name,
            file,
            pending: encode_header(store).to_vec(),
            written: 0,
            synced: 0,
            footer: Footer {
                first_lsn,
                last_lsn,
                graphs: Vec::new(),
                chunks: Vec::new(),
            },
            scratch: Scratch::default(),
            chunk: Vec::new(),
            chunk_lsn: first_lsn,
            next_lsn: first_lsn,
            finished: false,
        })
    }

    fn offset(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.file.write_all_at(&self.pending, self.written);
        written.map_err(|e| Error::io("write", self.disk.path(&self.aside), &e))?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        // One long sync at the end would hold up the commits' syncs behind it.
        if self.written - self.synced >= SYNC_BYTES {
            let synced = self.file.sync();
            synced.map_err(|e| Error::io("sync", self.disk.path(&self.aside), &e))?;
            self.synced = self.written;
        }
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.pending.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Begins the blocks of a graph. Each graph comes once.
    pub(crate) fn begin_graph(&mut self, graph: u32) {
        self.footer.graphs.push(GraphBlocks {
            graph,
            blocks: Vec::new(),
        });
    }

    fn add_place(&mut self, place: BlockPlace) {
        if let Some(graph) = self.footer.graphs.last_mut() {
            graph.blocks.push(place);
        }
    }

    /// Adds a block to the graph last begun.
    pub(crate) fn block(&mut self, graph: u32, block: &Block, foreign_ids: bool) -> Result<()> {
        let offset = self.offset();
        block.seal(graph, &mut self.scratch, &mut self.pending);
        self.add_place(BlockPlace {
            first_sequence: block.first_sequence,
            offset,
            len: (self.offset() - offset) as u32,
            jobs: block.rows.len() as u8,
            large: false,
            foreign_ids,
        });
        self.flush_if_full()
    }

    /// Whether a job of this size is stored in pieces.
    pub(crate) fn is_large(id: &str, request: &str) -> bool {
        text_len(id.len(), request.len()) > PIECE_BYTES
    }

    /// Adds a job that is stored in pieces to the graph last begun.
    pub(crate) fn large(
        &mut self,
        graph: u32,
        sequence: u64,
        job: (&str, &str, u64),
        foreign_ids: bool,
    ) -> Result<()> {
        let offset = self.offset();
        let mut scratch = std::mem::take(&mut self.scratch);
        let sealed = seal_large(graph, sequence, job, &mut scratch, |piece| {
            self.pending.extend_from_slice(piece);
            self.flush_if_full()
        });
        self.scratch = scratch;
        sealed?;
        self.add_place(BlockPlace {
            first_sequence: sequence,
            offset,
            len: (self.offset() - offset) as u32,
            jobs: 1,
            large: true,
            foreign_ids,
        });
        Ok(())
    }

    /// Adds blocks of another pack as they are, to the graph last begun.
    pub(crate) fn copy_blocks(&mut self, part: &Part) -> Result<()> {
        let mut buffer = Vec::new();
        for place in &part.blocks {
            let offset = self.offset();
            let mut left = (place.offset, place.len as usize);
            while left.1 > 0 {
                let step = left.1.min(WRITE_BYTES);
                buffer.resize(step, 0);
                part.file
                    .read_exact_at(&mut buffer, left.0)
                    .map_err(|e| Error::io("read", &part.path, &e))?;
                self.pending.extend_from_slice(&buffer);
                self.flush_if_full()?;
                left = (left.0 + step as u64, left.1 - step);
            }
            self.add_place(BlockPlace { offset, ..*place });
        }
        Ok(())
    }

    /// Adds the next event; they come in the order of their LSNs, without gap.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> Result<()> {
        event.encode_into(&mut self.chunk);
        self.next_lsn += event.lsns();
        if self.chunk.len() >= CHUNK_BYTES {
            self.end_chunk()?;
        }
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let offset = self.offset();
        let seed = Seed::events(self.chunk_lsn);
        seal_piece(seed, &self.chunk, &mut self.scratch, &mut self.pending);
        self.footer.chunks.push(ChunkPlace {
            first_lsn: self.chunk_lsn,
            offset,
            len: (self.offset() - offset) as u32,
        });
        self.chunk.clear();
        self.chunk_lsn = self.next_lsn;
        self.flush_if_full()
    }

    /// Makes the pack durable under its name and opens it.
    pub(crate) fn finish(mut self) -> Result<Pack> {
        let pack = self.write_out()?;
        self.finished = true;
        Ok(pack)
    }

    fn write_out(&mut self) -> Result<Pack> {
        self.end_chunk()?;
        let footer_at = self.offset();
        let encoded = codec::encode(&self.footer);
        let crc = footer_crc(self.store, footer_at, &encoded);
        self.pending.extend_from_slice(&encoded);
        self.pending.extend_from_slice(&footer_at.to_le_bytes());
        self.pending
            .extend_from_slice(&(encoded.len() as u32).to_le_bytes());
        self.pending.extend_from_slice(&crc.to_le_bytes());
        self.pending.extend_from_slice(MAGIC);
        self.flush()?;
        let failed = |e| Error::io("finish", self.disk.path(&self.aside), &e);
        self.file.sync().map_err(failed)?;
        self.disk.rename(&self.aside, &self.name).map_err(failed)?;
        let opened = self
            .disk
            .sync_names()
            .map_err(failed)
            .and_then(|()| Pack::open(self.disk, &self.name, self.store));
        if opened.is_err() {
            // Nobody knows of it. If it stays, open finds that it is not needed.
            self.disk.remove(&self.name).ok();
        }
        opened
    }
}

impl Drop for PackWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // Half a pack is of no use; if it stays, open takes it away.
            self.disk.remove(&self.aside).ok();
        }
    }
}
