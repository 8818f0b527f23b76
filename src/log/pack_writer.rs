//! Writing a pack: aside, until it is whole.
//!
//! Owns: the order of its parts, and how it gets its name. Must not know: which
//! events and jobs belong in it.
//! Promise: a pack is there wholly and durably, or not at all.

use std::sync::Arc;

use crate::base::codec;
use crate::log::block::{Block, PIECE_BYTES, Scratch, Seed, seal_large, seal_piece, stored_len};
use crate::log::clock_mark::ClockMark;
use crate::log::disk::{Disk, File, create_aside};
use crate::log::event::{Event, Texts};
use crate::log::file_names;
use crate::log::fingerprint::Fingerprint;
use crate::log::fingerprints::{Entry, Merged, PAGE_ENTRIES, PagePlace, seal_page};
use crate::log::pack::{
    BlockPlace, ChunkPlace, Footer, GraphBlocks, MAGIC, Pack, Part, encode_header, footer_crc,
};
use crate::log::preallocation::{Lent, Spare};
use crate::log::told::{Needs, Tellings};
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

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
    tellings: Tellings,
    chunk_lsn: u64,
    next_lsn: u64,
    /// Whether it takes the place of a file of the same name.
    replaces: bool,
    /// The file is the scratch file, and where it goes back to.
    lent: Option<(&'d Spare, Lent)>,
    /// It is given up rather than become larger.
    bytes_max: u64,
    finished: bool,
}

impl<'d> PackWriter<'d> {
    pub(crate) fn begin(
        disk: &'d dyn Disk,
        store: StoreId,
        first_lsn: u64,
        last_lsn: u64,
    ) -> Result<PackWriter<'d>> {
        let name = file_names::pack(first_lsn, last_lsn);
        let (aside, file) =
            create_aside(disk, &name).map_err(|e| Error::io("create", disk.path(&name), &e))?;
        Ok(PackWriter::new(
            (disk, file),
            store,
            (first_lsn, last_lsn),
            (aside, name),
        ))
    }

    /// A pack that is written into the scratch file, which needs no room. It must fit in
    /// there, and be no larger than the files that it replaces, which have `replaced_bytes`,
    /// or than there is room for beside: otherwise there would be none for the next scratch
    /// file. [`Error::DiskFull`] if there is no scratch file.
    pub(crate) fn begin_in_scratch(
        (disk, spare): (&'d dyn Disk, &'d Spare),
        store: StoreId,
        (first_lsn, last_lsn): (u64, u64),
        replaced_bytes: u64,
    ) -> Result<PackWriter<'d>> {
        let name = file_names::pack(first_lsn, last_lsn);
        let lent = spare.lend_scratch(disk, &name);
        let lent = lent.map_err(|e| Error::io("rename", disk.path(file_names::SCRATCH), &e))?;
        let Some(scratch) = lent else {
            return Err(no_room(disk, &name));
        };
        let (file, aside) = (scratch.file.clone(), scratch.aside.clone());
        let mut writer = PackWriter::new((disk, file), store, (first_lsn, last_lsn), (aside, name));
        let free = disk.free_bytes().ok().flatten().unwrap_or_default();
        writer.bytes_max = scratch.bytes.min(replaced_bytes + free);
        writer.lent = Some((spare, scratch));
        Ok(writer)
    }

    fn new(
        (disk, file): (&'d dyn Disk, Arc<dyn File>),
        store: StoreId,
        (first_lsn, last_lsn): (u64, u64),
        (aside, name): (String, String),
    ) -> PackWriter<'d> {
        PackWriter {
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
                told: Vec::new(),
                clock: None,
            },
            tellings: Tellings::default(),
            scratch: Scratch::default(),
            chunk: Vec::new(),
            chunk_lsn: first_lsn,
            next_lsn: first_lsn,
            replaces: false,
            lent: None,
            bytes_max: u64::MAX,
            finished: false,
        }
    }

    /// Notes the clocks at the last event, if known.
    pub(crate) fn at_clock(mut self, clock: Option<ClockMark>) -> PackWriter<'d> {
        self.footer.clock = clock;
        self
    }

    /// The pack takes the place of one of the same name, in one step. The file with that
    /// name is another one then, whatever fails afterwards, so the caller syncs the names
    /// once it reads the new one.
    pub(crate) fn replacing(mut self) -> PackWriter<'d> {
        self.replaces = true;
        self
    }

    fn offset(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    fn flush(&mut self) -> Result<()> {
        if self.offset() > self.bytes_max {
            return Err(no_room(self.disk, &self.name));
        }
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
            fingerprints: Vec::new(),
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
        let times = || block.rows.iter().map(|row| row.submitted_ms);
        let (first_ms, last_ms) = (times().min().unwrap_or_default(), times().max());
        block.seal(graph, &mut self.scratch, &mut self.pending);
        self.add_place(BlockPlace {
            first_sequence: block.first_sequence,
            offset,
            len: (self.offset() - offset) as u32,
            jobs: block.rows.len() as u32,
            large: false,
            foreign_ids,
            purged: false,
            first_ms,
            span_ms: last_ms.unwrap_or(first_ms) - first_ms,
        });
        self.flush_if_full()
    }

    /// Whether a job of this size is stored in pieces.
    pub(crate) fn is_large(texts: &Texts<'_>) -> bool {
        stored_len(texts) > PIECE_BYTES
    }

    /// Adds a job that is stored in pieces to the graph last begun.
    pub(crate) fn large(
        &mut self,
        graph: u32,
        sequence: u64,
        job: (&Texts<'_>, u64),
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
            purged: false,
            first_ms: job.1,
            span_ms: 0,
        });
        Ok(())
    }

    /// Adds a block of another pack as it is, to the graph last begun.
    pub(crate) fn copy_block(&mut self, part: &Part, place: &BlockPlace) -> Result<()> {
        let offset = self.offset();
        let mut left = (place.offset, place.len as usize);
        while left.1 > 0 {
            let step = left.1.min(WRITE_BYTES);
            let start = self.pending.len();
            self.pending.resize(start + step, 0);
            part.pack
                .file
                .read_exact_at(&mut self.pending[start..], left.0)
                .map_err(|e| Error::io("read", &part.pack.path, &e))?;
            self.flush_if_full()?;
            left = (left.0 + step as u64, left.1 - step);
        }
        self.add_place(BlockPlace { offset, ..*place });
        Ok(())
    }

    /// Says of these jobs of the graph last begun that they are set aside.
    pub(crate) fn set_aside(&mut self, from: u64, end: u64) {
        self.without_block(from, end, false);
    }

    /// Says of these jobs of the graph last begun that they were purged.
    pub(crate) fn purged(&mut self, from: u64, end: u64) {
        self.without_block(from, end, true);
    }

    fn without_block(&mut self, mut from: u64, end: u64, purged: bool) {
        let graph = self.footer.graphs.last_mut();
        if let Some(last) = graph.and_then(|graph| graph.blocks.last_mut()) {
            let is_same = last.is_empty() && last.purged == purged;
            if let (true, Ok(jobs)) = (is_same, u32::try_from(end - last.first_sequence)) {
                last.jobs = jobs;
                return;
            }
        }
        while from < end {
            let jobs = u32::try_from(end - from).unwrap_or(u32::MAX);
            self.add_place(BlockPlace {
                first_sequence: from,
                offset: self.offset(),
                len: 0,
                jobs,
                large: false,
                foreign_ids: false,
                purged,
                first_ms: 0,
                span_ms: 0,
            });
            from += u64::from(jobs);
        }
    }

    /// Adds the fingerprints of these jobs of the graph last begun, behind its blocks.
    /// Each of its jobs that is not set aside has one.
    pub(crate) fn fingerprints(&mut self, mut entries: Vec<Entry>) -> Result<()> {
        entries.sort_unstable();
        self.sorted_fingerprints(entries.into_iter().map(Ok))
    }

    /// Adds the fingerprints of parts whose blocks were copied to the graph last begun,
    /// but for those of jobs that are left out.
    pub(crate) fn copy_fingerprints(
        &mut self,
        parts: &[Arc<Part>],
        is_left_out: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let kept = |entry: &Result<Entry>| !entry.as_ref().is_ok_and(|e| is_left_out(e.1));
        self.sorted_fingerprints(Merged::new(parts).filter(kept))
    }

    fn sorted_fingerprints(&mut self, entries: impl Iterator<Item = Result<Entry>>) -> Result<()> {
        let mut page = Vec::with_capacity(PAGE_ENTRIES);
        for entry in entries {
            page.push(entry?);
            if page.len() == PAGE_ENTRIES {
                self.fingerprint_page(&mut page)?;
            }
        }
        self.fingerprint_page(&mut page)
    }

    fn fingerprint_page(&mut self, page: &mut Vec<Entry>) -> Result<()> {
        let offset = self.offset();
        let (Some(&(first, _)), Some(graph)) = (page.first(), self.footer.graphs.last_mut()) else {
            return Ok(());
        };
        let first_sequence = graph.blocks.first().map_or(0, |place| place.first_sequence);
        let place = (graph.graph, first_sequence, graph.fingerprints.len());
        let before = self.pending.len();
        seal_page(place, page, &mut self.scratch, &mut self.pending);
        graph.fingerprints.push(PagePlace {
            first,
            offset,
            len: (self.pending.len() - before) as u32,
        });
        page.clear();
        self.flush_if_full()
    }

    /// Adds the next event; they come in the order of their LSNs, without gap.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> Result<()> {
        self.event_that(event, Needs::of(event, self.next_lsn))
    }

    /// The same, of which it is known what has to go before it can.
    pub(crate) fn event_that(
        &mut self,
        event: &Event<'_>,
        needs: Option<(u32, Needs)>,
    ) -> Result<()> {
        let before = self.chunk.len();
        event.encode_into(&mut self.chunk);
        if let Some(needs) = needs {
            let bytes = self.chunk.len() - before;
            self.tellings.add(needs, bytes as u64);
        }
        self.next_lsn += event.lsns();
        if self.chunk.len() >= CHUNK_BYTES {
            self.end_chunk()?;
        }
        Ok(())
    }

    /// Says that all events are written. `gone` says how many jobs of a range of a graph
    /// were gone before the first of them was.
    pub(crate) fn end_events(&mut self, gone: impl Fn(u32, u64, u64) -> u64) {
        self.footer.told = std::mem::take(&mut self.tellings).into_footer(gone);
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

    /// Makes the pack durable under its name and opens it; see [`PackWriter::replacing`].
    pub(crate) fn finish(self) -> Result<Pack> {
        self.finish_with(|_| Ok(()))
    }

    /// The same, if `check` accepts the pack: it sees it while it does not have its name.
    pub(crate) fn finish_with(mut self, check: impl FnOnce(&Pack) -> Result<()>) -> Result<Pack> {
        let pack = self.write_out(check)?;
        self.finished = true;
        Ok(pack)
    }

    fn write_out(&mut self, check: impl FnOnce(&Pack) -> Result<()>) -> Result<Pack> {
        self.end_chunk()?;
        if self.footer.told.is_empty() {
            self.end_events(|_, _, _| 0);
        }
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
        if self.lent.is_some() {
            self.file.cut(self.written).map_err(failed)?;
        }
        self.file.sync().map_err(failed)?;
        // Opened before it has its name: nothing may fail once it replaced another.
        let pack = Pack::open_as(self.disk, (&self.aside, &self.name), self.store)?;
        check(&pack)?;
        self.disk.rename(&self.aside, &self.name).map_err(failed)?;
        if self.replaces {
            return Ok(pack);
        }
        if let Err(e) = self.disk.sync_names() {
            // Nobody knows of it. If it stays, open finds that it is not needed.
            self.disk.remove(&self.name).ok();
            return Err(failed(e));
        }
        Ok(pack)
    }
}

fn no_room(disk: &dyn Disk, name: &str) -> Error {
    Error::DiskFull {
        operation: "rewrite",
        path: disk.path(name),
    }
}

/// Puts jobs of one graph together as blocks. They come in order.
pub(crate) struct JobsWriter<'w, 'd> {
    writer: &'w mut PackWriter<'d>,
    graph: u32,
    block: Block,
    foreign_ids: bool,
    fingerprints: Vec<Entry>,
    /// The number of the next job, once there was one.
    next: Option<u64>,
}

/// A job as it is packed.
#[derive(Clone, Copy)]
pub(crate) struct PackedJob<'a> {
    pub(crate) sequence: u64,
    pub(crate) texts: Texts<'a>,
    pub(crate) time_ms: u64,
    pub(crate) fingerprint: Fingerprint,
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
            fingerprints: Vec::new(),
            next: None,
        }
    }

    /// Refuses a job that is not the one that follows: in a block it would be taken for
    /// another.
    fn follow(&mut self, from: u64, end: u64) -> Result<()> {
        if self.next.replace(end).is_some_and(|next| next != from) {
            let path = self.writer.disk.path(&self.writer.aside);
            let what = format!(
                "unexpected job {from} of graph {}: jobs are missing or out of order",
                self.graph
            );
            return Err(Error::damaged(path, 0, what));
        }
        Ok(())
    }

    /// Adds the next job.
    pub(crate) fn push(&mut self, job: &PackedJob<'_>, is_foreign: bool) -> Result<()> {
        let &PackedJob {
            sequence,
            ref texts,
            time_ms,
            fingerprint,
        } = job;
        self.follow(sequence, sequence + 1)?;
        self.fingerprints.push((fingerprint, sequence));
        if PackWriter::is_large(texts) {
            self.end_block()?;
            return self
                .writer
                .large(self.graph, sequence, (texts, time_ms), is_foreign);
        }
        if !self.block.has_room_for(texts) {
            self.end_block()?;
        }
        if self.block.rows.is_empty() {
            self.block.clear(sequence);
        }
        self.block.push(texts, time_ms);
        self.foreign_ids |= is_foreign;
        Ok(())
    }

    /// Says of these jobs that they are set aside.
    pub(crate) fn set_aside(&mut self, from: u64, end: u64) -> Result<()> {
        if from == end {
            return Ok(());
        }
        self.follow(from, end)?;
        self.end_block()?;
        self.writer.set_aside(from, end);
        Ok(())
    }

    /// Says of these jobs that they were purged.
    pub(crate) fn purged(&mut self, from: u64, end: u64) -> Result<()> {
        self.follow(from, end)?;
        self.end_block()?;
        self.writer.purged(from, end);
        Ok(())
    }

    /// Adds a block of another pack as it is; its fingerprints come otherwise.
    pub(crate) fn copy_block(&mut self, part: &Part, place: &BlockPlace) -> Result<()> {
        self.follow(place.first_sequence, place.end_sequence())?;
        self.end_block()?;
        self.writer.copy_block(part, place)
    }

    /// Writes out what is not written yet, but for the fingerprints.
    pub(crate) fn finish_blocks(mut self) -> Result<()> {
        self.end_block()
    }

    /// Writes out what is not written yet.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.end_block()?;
        self.writer.fingerprints(self.fingerprints)
    }

    fn end_block(&mut self) -> Result<()> {
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
            match &self.lent {
                Some((spare, scratch)) => {
                    spare.return_scratch(self.disk, scratch);
                }
                None => drop(self.disk.remove(&self.aside)),
            }
        }
    }
}
