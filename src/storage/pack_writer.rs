//! Writing a pack: aside, until it is whole.
//!
//! Owns: the order of its parts, and how it gets its name. Must not know: which
//! events and jobs belong in it.
//! Promise: a pack is there wholly and durably, or not at all.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::storage::block::{Block, PIECE_BYTES, Scratch, Seed, seal_large, seal_piece, text_len};
use crate::storage::codec;
use crate::storage::disk::{Disk, File};
use crate::storage::event::Event;
use crate::storage::identity::StoreId;
use crate::storage::names;
use crate::storage::pack::{
    BlockPlace, ChunkPlace, Footer, GraphBlocks, MAGIC, Pack, Part, encode_header, footer_crc,
};

/// Bytes of events in a chunk, about.
const CHUNK_BYTES: usize = 32 << 10;
/// Writes are gathered up to this size.
const WRITE_BYTES: usize = 1 << 20;
/// A file is synced whenever so much more of it was written.
const SYNC_BYTES: u64 = 4 << 20;

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
            jobs: block.rows.len() as u32,
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
        let mut blocks = part.blocks.iter();
        blocks.try_for_each(|place| self.copy_block(part, place))
    }

    /// Adds a block of another pack as it is, to the graph last begun.
    pub(crate) fn copy_block(&mut self, part: &Part, place: &BlockPlace) -> Result<()> {
        let offset = self.offset();
        let mut left = (place.offset, place.len as usize);
        while left.1 > 0 {
            let step = left.1.min(WRITE_BYTES);
            let start = self.pending.len();
            self.pending.resize(start + step, 0);
            part.file
                .read_exact_at(&mut self.pending[start..], left.0)
                .map_err(|e| Error::io("read", &part.path, &e))?;
            self.flush_if_full()?;
            left = (left.0 + step as u64, left.1 - step);
        }
        self.add_place(BlockPlace { offset, ..*place });
        Ok(())
    }

    /// Says of these jobs of the graph last begun that they are set aside.
    pub(crate) fn set_aside(&mut self, mut from: u64, end: u64) {
        while from < end {
            let jobs = u32::try_from(end - from).unwrap_or(u32::MAX);
            self.add_place(BlockPlace {
                first_sequence: from,
                offset: self.offset(),
                len: 0,
                jobs,
                large: false,
                foreign_ids: false,
            });
            from += u64::from(jobs);
        }
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

/// Puts jobs of one graph together as blocks. They come in order.
pub(crate) struct JobsWriter<'w, 'd> {
    writer: &'w mut PackWriter<'d>,
    graph: u32,
    block: Block,
    foreign_ids: bool,
}

impl<'w, 'd> JobsWriter<'w, 'd> {
    /// Begins a graph. Each comes once.
    pub(crate) fn begin(writer: &'w mut PackWriter<'d>, graph: u32) -> JobsWriter<'w, 'd> {
        writer.begin_graph(graph);
        JobsWriter {
            writer,
            graph,
            block: Block::default(),
            foreign_ids: false,
        }
    }

    /// Adds the next job.
    pub(crate) fn push(
        &mut self,
        sequence: u64,
        (id, request, time_ms): (&str, &str, u64),
        is_foreign: bool,
    ) -> Result<()> {
        if PackWriter::is_large(id, request) {
            self.end_block()?;
            return self
                .writer
                .large(self.graph, sequence, (id, request, time_ms), is_foreign);
        }
        if !self.block.has_room_for(id.len(), request.len()) {
            self.end_block()?;
        }
        if self.block.rows.is_empty() {
            self.block.clear(sequence);
        }
        self.block.push(id, request, time_ms);
        self.foreign_ids |= is_foreign;
        Ok(())
    }

    /// Says of these jobs that they are set aside.
    pub(crate) fn set_aside(&mut self, from: u64, end: u64) -> Result<()> {
        self.end_block()?;
        self.writer.set_aside(from, end);
        Ok(())
    }

    /// Writes out what is not written yet; to be called at the end.
    pub(crate) fn end_block(&mut self) -> Result<()> {
        if !self.block.rows.is_empty() {
            self.writer
                .block(self.graph, &self.block, self.foreign_ids)?;
            self.block.clear(0);
            self.foreign_ids = false;
        }
        Ok(())
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
