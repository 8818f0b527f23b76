//! Writes a pack to an unfinished file, which gets the name of the pack when it is complete.
//!
//! A pack either exists completely and durably, or not at all.

mod aside_file;
mod jobs;

use std::sync::Arc;

use self::aside_file::{AsideFile, WRITE_BYTES};
pub(crate) use self::jobs::{JobsWriter, PackedJob};
use crate::base::codec;
use crate::log::block::{Block, PIECE_BYTES, Scratch, Seed, seal_large, seal_piece, stored_len};
use crate::log::clock_mark::ClockMark;
use crate::log::disk::{Disk, File as _};
use crate::log::event::{Event, SubmissionTexts};
use crate::log::event_sizes::{EventSizesBuilder, RemovedWith};
use crate::log::file_names;
use crate::log::fingerprints::{
    FingerprintEntry, MergedFingerprints, PAGE_ENTRIES, PagePlace, seal_page,
};
use crate::log::pack::{
    BlockPlace, ChunkPlace, Footer, GraphBlocks, MAGIC, Pack, Part, TRAILER_BYTES, encode_header,
    footer_crc,
};
use crate::log::preallocation::{Preallocation, Replaced};
use crate::log::revocable::Revocable;
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// The approximate size of the events in a chunk.
const CHUNK_BYTES: usize = 32 << 10;

/// A pack that is being written to an unfinished file.
pub(crate) struct PackWriter<'d> {
    store: StoreId,
    file: AsideFile<'d>,
    footer: Footer,
    scratch: Scratch,
    chunk: Vec<u8>,
    builder: EventSizesBuilder,
    chunk_lsn: u64,
    next_lsn: u64,
}

impl<'d> PackWriter<'d> {
    pub(crate) fn begin(
        disk: &'d dyn Disk,
        store: StoreId,
        first_lsn: u64,
        last_lsn: u64,
    ) -> Result<PackWriter<'d>> {
        let file = AsideFile::create(disk, file_names::pack(first_lsn, last_lsn))?;
        Ok(PackWriter::new(file, store, (first_lsn, last_lsn)))
    }

    /// Begins a pack that is written to the scratch file, which needs no additional space. The pack
    /// must fit into the scratch file. It must also be no larger than the files that it replaces
    /// plus the free space; otherwise, there would be no space for the next scratch file. Returns
    /// [`Error::DiskFull`] if there is no scratch file, or if there would be no next one.
    pub(crate) fn begin_in_scratch(
        on: (&'d dyn Disk, &'d Preallocation),
        store: StoreId,
        (first_lsn, last_lsn): (u64, u64),
        replaced: &Replaced,
    ) -> Result<PackWriter<'d>> {
        let name = file_names::pack(first_lsn, last_lsn);
        let file = AsideFile::scratch(on, name, replaced)?;
        Ok(PackWriter::new(file, store, (first_lsn, last_lsn)))
    }

    fn new(
        mut file: AsideFile<'d>,
        store: StoreId,
        (first_lsn, last_lsn): (u64, u64),
    ) -> PackWriter<'d> {
        file.pending.extend_from_slice(&encode_header(store));
        PackWriter {
            store,
            file,
            footer: Footer {
                first_lsn,
                last_lsn,
                graphs: Vec::new(),
                chunks: Vec::new(),
                event_sizes: Vec::new(),
                clock: None,
            },
            builder: EventSizesBuilder::default(),
            scratch: Scratch::default(),
            chunk: Vec::new(),
            chunk_lsn: first_lsn,
            next_lsn: first_lsn,
        }
    }

    /// Sets the clocks at the last event, if known.
    pub(crate) fn at_clock(mut self, clock: Option<ClockMark>) -> PackWriter<'d> {
        self.footer.clock = clock;
        self
    }

    /// Lets the pack atomically replace this one of the same name. Once that has happened, the name
    /// leads to the new file, even if a later step fails. The caller must therefore sync the names
    /// after reading the new pack.
    pub(crate) fn replacing(mut self, replaced: &Arc<Revocable>) -> PackWriter<'d> {
        self.file.replaced = Some(replaced.clone());
        self
    }

    /// Begins the blocks of a graph. Must be called at most once per graph.
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

    /// Adds a block to the graph that was begun last.
    pub(crate) fn block(&mut self, graph: u32, block: &Block, external_ids: bool) -> Result<()> {
        let offset = self.file.offset();
        let times = || block.rows.iter().map(|row| row.submitted_ms);
        let (first_ms, last_ms) = (times().min().unwrap_or_default(), times().max());
        block.seal(graph, &mut self.scratch, &mut self.file.pending);
        self.add_place(BlockPlace {
            first_sequence: block.first_sequence,
            offset,
            len: (self.file.offset() - offset) as u32,
            jobs: block.rows.len() as u32,
            large: false,
            external_ids,
            purged: false,
            first_ms,
            span_ms: last_ms.unwrap_or(first_ms) - first_ms,
        });
        self.file.flush_if_full()
    }

    /// Returns whether a job of this size is stored in several pieces.
    pub(crate) fn is_large(texts: &SubmissionTexts<'_>) -> bool {
        stored_len(texts) > PIECE_BYTES
    }

    /// Adds a job that is stored in several pieces to the graph that was begun last.
    pub(crate) fn large(
        &mut self,
        graph: u32,
        sequence: u64,
        job: (&SubmissionTexts<'_>, u64),
        external_ids: bool,
    ) -> Result<()> {
        let offset = self.file.offset();
        let mut scratch = std::mem::take(&mut self.scratch);
        let sealed = seal_large(graph, sequence, job, &mut scratch, |piece| {
            self.file.pending.extend_from_slice(piece);
            self.file.flush_if_full()
        });
        self.scratch = scratch;
        sealed?;
        self.add_place(BlockPlace {
            first_sequence: sequence,
            offset,
            len: (self.file.offset() - offset) as u32,
            jobs: 1,
            large: true,
            external_ids,
            purged: false,
            first_ms: job.1,
            span_ms: 0,
        });
        Ok(())
    }

    /// Copies a block of another pack, unchanged, to the graph that was begun last.
    pub(crate) fn copy_block(&mut self, part: &Part, place: &BlockPlace) -> Result<()> {
        let offset = self.file.offset();
        let mut left = (place.offset, place.len as usize);
        while left.1 > 0 {
            let step = left.1.min(WRITE_BYTES);
            let start = self.file.pending.len();
            self.file.pending.resize(start + step, 0);
            part.pack
                .file
                .read_exact_at(&mut self.file.pending[start..], left.0)
                .map_err(|e| Error::io("read", &part.pack.path, &e))?;
            self.file.flush_if_full()?;
            left = (left.0 + step as u64, left.1 - step);
        }
        self.add_place(BlockPlace { offset, ..*place });
        Ok(())
    }

    /// Records that these jobs of the graph that was begun last are quarantined.
    pub(crate) fn quarantine(&mut self, from: u64, end: u64) {
        self.without_block(from, end, false);
    }

    /// Records that these jobs of the graph that was begun last were purged.
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
                offset: self.file.offset(),
                len: 0,
                jobs,
                large: false,
                external_ids: false,
                purged,
                first_ms: 0,
                span_ms: 0,
            });
            from += u64::from(jobs);
        }
    }

    /// Adds the fingerprints of these jobs of the graph that was begun last, after its blocks.
    /// There must be one for each of its jobs that is not quarantined.
    pub(crate) fn fingerprints(&mut self, mut entries: Vec<FingerprintEntry>) -> Result<()> {
        entries.sort_unstable();
        self.sorted_fingerprints(entries.into_iter().map(Ok))
    }

    /// Copies the fingerprints of parts whose blocks were copied to the graph that was begun last,
    /// except those of omitted jobs.
    pub(crate) fn copy_fingerprints(
        &mut self,
        parts: &[Arc<Part>],
        is_left_out: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let kept =
            |entry: &Result<FingerprintEntry>| !entry.as_ref().is_ok_and(|e| is_left_out(e.1));
        self.sorted_fingerprints(MergedFingerprints::new(parts).filter(kept))
    }

    fn sorted_fingerprints(
        &mut self,
        entries: impl Iterator<Item = Result<FingerprintEntry>>,
    ) -> Result<()> {
        let mut page = Vec::with_capacity(PAGE_ENTRIES);
        for entry in entries {
            page.push(entry?);
            if page.len() == PAGE_ENTRIES {
                self.fingerprint_page(&mut page)?;
            }
        }
        self.fingerprint_page(&mut page)
    }

    fn fingerprint_page(&mut self, page: &mut Vec<FingerprintEntry>) -> Result<()> {
        let offset = self.file.offset();
        let (Some(&(first, _)), Some(graph)) = (page.first(), self.footer.graphs.last_mut()) else {
            return Ok(());
        };
        let first_sequence = graph.blocks.first().map_or(0, |place| place.first_sequence);
        let place = (graph.graph, first_sequence, graph.fingerprints.len());
        let before = self.file.pending.len();
        seal_page(place, page, &mut self.scratch, &mut self.file.pending);
        graph.fingerprints.push(PagePlace {
            first,
            offset,
            len: (self.file.pending.len() - before) as u32,
        });
        page.clear();
        self.file.flush_if_full()
    }

    /// Adds the next event. Events must be added in the order of their LSNs, without gaps.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> Result<()> {
        self.event_that(event, RemovedWith::of(event, self.next_lsn))
    }

    /// Adds the next event, with a given condition for its removal.
    pub(crate) fn event_that(
        &mut self,
        event: &Event<'_>,
        removed_with: Option<(u32, RemovedWith)>,
    ) -> Result<()> {
        let before = self.chunk.len();
        event.encode_into(&mut self.chunk);
        if let Some(removed_with) = removed_with {
            let bytes = self.chunk.len() - before;
            self.builder.add(removed_with, bytes as u64);
        }
        self.next_lsn += event.lsns();
        if self.chunk.len() >= CHUNK_BYTES {
            self.end_chunk()?;
        }
        Ok(())
    }

    /// Must be called after all events have been written. `removed` returns how many jobs of a
    /// range of a graph were gone before the first event was written.
    pub(crate) fn end_events(&mut self, removed: impl Fn(u32, u64, u64) -> u64) {
        self.footer.event_sizes = std::mem::take(&mut self.builder).into_footer(removed);
    }

    fn end_chunk(&mut self) -> Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let offset = self.file.offset();
        let seed = Seed::events(self.chunk_lsn);
        seal_piece(seed, &self.chunk, &mut self.scratch, &mut self.file.pending);
        self.footer.chunks.push(ChunkPlace {
            first_lsn: self.chunk_lsn,
            offset,
            len: (self.file.offset() - offset) as u32,
        });
        self.chunk.clear();
        self.chunk_lsn = self.next_lsn;
        self.file.flush_if_full()
    }

    /// Makes the pack durable under its name, and opens it; see [`PackWriter::replacing`].
    pub(crate) fn finish(self) -> Result<Pack> {
        self.finish_with(|_| Ok(()))
    }

    /// Finishes the pack if `check` accepts it. `check` is called before the pack gets its name.
    pub(crate) fn finish_with(mut self, check: impl FnOnce(&Pack) -> Result<()>) -> Result<Pack> {
        self.end_chunk()?;
        if self.footer.event_sizes.is_empty() {
            self.end_events(|_, _, _| 0);
        }
        let encoded = codec::encode(&self.footer);
        self.file.pad((encoded.len() + TRAILER_BYTES) as u64)?;
        let footer_at = self.file.offset();
        let crc = footer_crc(self.store, footer_at, &encoded);
        self.file.pending.extend_from_slice(&encoded);
        self.file
            .pending
            .extend_from_slice(&footer_at.to_le_bytes());
        self.file
            .pending
            .extend_from_slice(&(encoded.len() as u32).to_le_bytes());
        self.file.pending.extend_from_slice(&crc.to_le_bytes());
        self.file.pending.extend_from_slice(MAGIC);
        self.file.finish(self.store, check)
    }
}
