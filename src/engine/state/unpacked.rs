//! Where requests that are not packed yet are stored in segments.

use std::sync::Arc;

use crate::base::codec::length_prefix_bytes;
use crate::log::event::SubmissionTexts;
use crate::log::segment::Segment;

/// Where a request that is not packed yet is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TailPlace {
    /// The offset of its unlisted part in the segment.
    pub(crate) unlisted_at: u32,
    pub(crate) unlisted_len: u32,
    /// The offset of its request in the segment.
    pub(crate) request_at: u32,
    pub(crate) request_len: u32,
    /// The CRC-32 of its unlisted part, id, and request.
    pub(crate) crc: u32,
    pub(crate) submitted_ms: u64,
    /// The number of its command, or 0.
    pub(crate) command: u8,
    pub(crate) id_len: u8,
}

impl TailPlace {
    /// The place of the texts of a submission whose event ends at the offset `end`.
    pub(crate) fn new(
        end: u64,
        texts: &SubmissionTexts<'_>,
        (submitted_ms, command): (u64, u8),
    ) -> TailPlace {
        let from_end = texts.places_from_end();
        let mut crc = crc32fast::Hasher::new();
        crc.update(texts.unlisted);
        crc.update(texts.id.as_bytes());
        crc.update(texts.request.as_bytes());
        TailPlace {
            // These offsets fit into 32 bits: a segment is at most 1 GiB long, unless it was created
            // for one larger write, and the limits on requests and batches keep a write smaller.
            unlisted_at: (end - from_end.unlisted as u64) as u32,
            unlisted_len: texts.unlisted.len() as u32,
            request_at: (end - from_end.request as u64) as u32,
            request_len: texts.request.len() as u32,
            crc: crc.finalize(),
            submitted_ms,
            command,
            id_len: texts.id.len() as u8,
        }
    }

    /// The offset of its id in the segment.
    pub(crate) fn id_at(&self) -> u32 {
        let prefix = length_prefix_bytes(usize::from(self.id_len));
        self.unlisted_at + self.unlisted_len + prefix as u32
    }

    /// Moves the place forward by this many bytes.
    pub(crate) fn shift(&mut self, bytes: u32) {
        self.unlisted_at += bytes;
        self.request_at += bytes;
    }
}

/// Requests of one graph in one segment, with consecutive sequence numbers.
#[derive(Clone)]
pub(crate) struct TailRun {
    pub(crate) segment: Arc<Segment>,
    pub(crate) first_sequence: u64,
    pub(crate) jobs: Vec<TailPlace>,
}
