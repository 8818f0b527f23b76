//! Groups the jobs of a graph into the blocks of a pack.

use super::PackWriter;
use crate::log::block::Block;
use crate::log::event::SubmissionTexts;
use crate::log::fingerprint::Fingerprint;
use crate::log::fingerprints::FingerprintEntry;
use crate::log::pack::{BlockPlace, Part};
use crate::model::error::{Error, Result};

/// Groups the jobs of one graph into blocks. The jobs are added in order.
pub(crate) struct JobsWriter<'w, 'd> {
    writer: &'w mut PackWriter<'d>,
    graph: u32,
    block: Block,
    external_ids: bool,
    fingerprints: Vec<FingerprintEntry>,
    /// The sequence number that the next job must have. `None` before the first job.
    next: Option<u64>,
}

/// A job to be packed.
#[derive(Clone, Copy)]
pub(crate) struct PackedJob<'a> {
    pub(crate) sequence: u64,
    pub(crate) texts: SubmissionTexts<'a>,
    pub(crate) time_ms: u64,
    pub(crate) fingerprint: Fingerprint,
}

impl<'w, 'd> JobsWriter<'w, 'd> {
    /// Begins a graph. Must be called at most once per graph.
    pub(crate) fn begin(writer: &'w mut PackWriter<'d>, graph: u32) -> JobsWriter<'w, 'd> {
        writer.begin_graph(graph);
        JobsWriter {
            writer,
            graph,
            block: Block::default(),
            external_ids: false,
            fingerprints: Vec::new(),
            next: None,
        }
    }

    /// Returns an error if the range does not start with the next job. The jobs of a block are
    /// identified by their positions, so a gap would shift all later ones.
    fn follow(&mut self, from: u64, end: u64) -> Result<()> {
        if self.next.replace(end).is_some_and(|next| next != from) {
            let path = self.writer.file.path();
            let what = format!(
                "unexpected job {from} of graph {}: jobs are missing or out of order",
                self.graph
            );
            return Err(Error::damaged(path, 0, what));
        }
        Ok(())
    }

    /// Adds the next job.
    pub(crate) fn push(&mut self, job: &PackedJob<'_>, is_external: bool) -> Result<()> {
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
                .large(self.graph, sequence, (texts, time_ms), is_external);
        }
        if !self.block.has_room_for(texts) {
            self.end_block()?;
        }
        if self.block.rows.is_empty() {
            self.block.clear(sequence);
        }
        self.block.push(texts, time_ms);
        self.external_ids |= is_external;
        Ok(())
    }

    /// Records that these jobs are quarantined.
    pub(crate) fn quarantine(&mut self, from: u64, end: u64) -> Result<()> {
        if from == end {
            return Ok(());
        }
        self.follow(from, end)?;
        self.end_block()?;
        self.writer.quarantine(from, end);
        Ok(())
    }

    /// Records that these jobs were purged.
    pub(crate) fn purged(&mut self, from: u64, end: u64) -> Result<()> {
        self.follow(from, end)?;
        self.end_block()?;
        self.writer.purged(from, end);
        Ok(())
    }

    /// Copies a block of another pack, unchanged. Its fingerprints are copied separately.
    pub(crate) fn copy_block(&mut self, part: &Part, place: &BlockPlace) -> Result<()> {
        self.follow(place.first_sequence, place.end_sequence())?;
        self.end_block()?;
        self.writer.copy_block(part, place)
    }

    /// Writes all remaining jobs, but not the fingerprints.
    pub(crate) fn finish_blocks(mut self) -> Result<()> {
        self.end_block()
    }

    /// Writes all remaining jobs and the fingerprints.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.end_block()?;
        self.writer.fingerprints(self.fingerprints)
    }

    fn end_block(&mut self) -> Result<()> {
        if !self.block.rows.is_empty() {
            self.writer
                .block(self.graph, &self.block, self.external_ids)?;
            self.block.clear(0);
            self.external_ids = false;
        }
        Ok(())
    }
}
