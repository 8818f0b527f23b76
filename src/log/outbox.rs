//! What was appended to the log and has not been sent to its replica yet.
//!
//! The log is sent as it is in its segments, in pieces that belong to one segment each.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::log::segment::SEGMENT_HEADER_BYTES;
use crate::model::error::Result;

/// How many bytes are left free at the start of a piece, for the header that the replica adds.
pub(crate) const HEADER_ROOM: usize = 104;
/// The buffer of a piece is freed if a write made it larger than this.
const BUFFER_BYTES_MAX: usize = 4 << 20;

type SegmentHeaderBytes = [u8; SEGMENT_HEADER_BYTES];

/// A replica of the log, to which one piece after another is appended.
pub(crate) trait RemoteLog: Send + Sync {
    /// Begins to append a piece. The previous one must be finished.
    fn begin(&self, piece: Piece);
    /// Waits until the piece is durable in the replica, and returns its buffer. After an error,
    /// nothing more can be appended.
    fn finish(&self) -> Result<Vec<u8>>;
}

/// Consecutive bytes of a segment.
pub(crate) struct Piece {
    pub(crate) epoch: u64,
    /// The offset of the bytes in the segment. If it is 0, they begin with the segment's header.
    pub(crate) offset: u64,
    /// The LSN of the first event.
    pub(crate) first_lsn: u64,
    /// The LSN after the last event.
    pub(crate) end_lsn: u64,
    /// [`HEADER_ROOM`] bytes, then the bytes of the segment.
    pub(crate) bytes: Vec<u8>,
}

/// The pieces that are not in the replica yet.
pub(crate) struct Outbox {
    remote: Arc<dyn RemoteLog>,
    /// More than one only if a segment was begun and left without a frame.
    pieces: VecDeque<Piece>,
    spare: Vec<u8>,
}

impl Outbox {
    pub(crate) fn new(remote: Arc<dyn RemoteLog>) -> Outbox {
        Outbox {
            remote,
            pieces: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// Adds the header of a new segment.
    pub(crate) fn segment(&mut self, epoch: u64, next_lsn: u64, header: &SegmentHeaderBytes) {
        let piece = self.header(epoch, next_lsn, header);
        self.pieces.push_back(piece);
    }

    /// Adds the header of a segment that precedes all others.
    pub(crate) fn segment_before(
        &mut self,
        epoch: u64,
        next_lsn: u64,
        header: &SegmentHeaderBytes,
    ) {
        let piece = self.header(epoch, next_lsn, header);
        self.pieces.push_front(piece);
    }

    fn header(&mut self, epoch: u64, next_lsn: u64, header: &SegmentHeaderBytes) -> Piece {
        let mut piece = self.piece(epoch, 0, next_lsn);
        piece.bytes.extend_from_slice(header);
        piece
    }

    /// Adds a frame that was written to the segment at `offset`.
    pub(crate) fn frame(&mut self, (epoch, offset): (u64, u64), lsns: (u64, u64), frame: &[u8]) {
        let (first_lsn, end_lsn) = lsns;
        if self.pieces.back().is_none_or(|last| last.epoch != epoch) {
            let piece = self.piece(epoch, offset, first_lsn);
            self.pieces.push_back(piece);
        }
        if let Some(last) = self.pieces.back_mut() {
            last.bytes.extend_from_slice(frame);
            last.end_lsn = end_lsn;
        }
    }

    fn piece(&mut self, epoch: u64, offset: u64, first_lsn: u64) -> Piece {
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.clear();
        bytes.resize(HEADER_ROOM, 0);
        Piece {
            epoch,
            offset,
            first_lsn,
            end_lsn: first_lsn,
            bytes,
        }
    }

    /// How many bytes wait to be sent.
    pub(crate) fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.bytes.len()).sum()
    }

    /// Sends everything, and calls `sync_local` while the last piece is on its way. If both fail,
    /// returns the error of `sync_local`.
    pub(crate) fn send(&mut self, sync_local: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut sync_local = Some(sync_local);
        let mut synced = Ok(());
        while let Some(piece) = self.pieces.pop_front() {
            self.remote.begin(piece);
            if self.pieces.is_empty() {
                synced = sync_local.take().map_or(Ok(()), |sync| sync());
            }
            let sent = self.remote.finish();
            synced = synced.and_then(|()| {
                self.spare = sent?;
                Ok(())
            });
            synced.clone()?;
            if self.spare.capacity() > BUFFER_BYTES_MAX {
                self.spare = Vec::new();
            }
        }
        sync_local.take().map_or(synced, |sync| sync())
    }
}
