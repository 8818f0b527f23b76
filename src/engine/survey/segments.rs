//! A segment as it was found, complete or not.
//!
//! Determines which of its frames are valid, and where frames are missing. A torn end is not
//! damage. A frame is valid only if a later frame, the next segment, or a close confirms it.

use std::path::PathBuf;

use crate::log::clock_mark::ClockMark;
use crate::log::disk::Disk;
use crate::log::event::Event;
use crate::log::frame::{Binding, Frame};
use crate::log::segment::SEGMENT_HEADER_BYTES;
use crate::model::error::{Error, Result};

/// The size of the pieces in which a file is read if it cannot be read as a whole.
const READ_BYTES: usize = 4 << 10;

/// A segment, whether or not its header is valid.
pub(crate) struct SegmentSurvey {
    pub(crate) epoch: u64,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(super) binding: Binding,
    /// If the header is valid: the segment's first LSN, the epoch of the segment before it, and the
    /// end of that segment.
    pub(super) header: Option<(u64, u64, u64)>,
    /// The valid frames.
    pub(crate) frames: Vec<FrameSurvey>,
    /// The last LSN that is recorded as synced by frames without events that precede those in
    /// `frames`.
    pub(super) synced_lsn: u64,
    pub(super) len: u64,
}

#[derive(Clone, Copy)]
pub(crate) struct FrameSurvey {
    pub(crate) first_lsn: u64,
    pub(crate) count: u64,
    pub(super) synced_lsn: u64,
    pub(crate) clock: ClockMark,
    pub(super) at: u64,
    pub(super) len: u64,
}

impl SegmentSurvey {
    /// Reads the whole file.
    pub(crate) fn read(&self, disk: &dyn Disk) -> Result<Vec<u8>> {
        let failed = |e| Error::io("read", &self.path, &e);
        let file = disk.open(&self.name).map_err(failed)?;
        let mut bytes = vec![0; file.len().map_err(failed)? as usize];
        if file.read_exact_at(&mut bytes, 0).is_err() {
            // Unreadable parts are treated as zeros, in which no frame is found.
            for (n, piece) in bytes.chunks_mut(READ_BYTES).enumerate() {
                if file.read_exact_at(piece, (n * READ_BYTES) as u64).is_err() {
                    piece.fill(0);
                }
            }
        }
        Ok(bytes)
    }

    /// The events of a valid frame.
    pub(crate) fn events<'b>(
        &self,
        frame: &FrameSurvey,
        bytes: &'b [u8],
    ) -> Result<Vec<(u64, Event<'b>)>> {
        let changed =
            || Error::damaged(&self.path, frame.at, "the file changed during verification");
        let bytes = bytes.get(frame.at as usize..).ok_or_else(changed)?;
        let frame = Frame::parse(bytes, self.binding).ok_or_else(changed)?;
        frame_events(&frame).ok_or_else(changed)
    }
}

pub(super) fn frame_events<'b>(frame: &Frame<'b>) -> Option<Vec<(u64, Event<'b>)>> {
    let mut events = Vec::new();
    let whole = frame.events(|lsn, event, _| {
        let is_packs = matches!(
            event,
            Event::Submits { .. } | Event::Lost { .. } | Event::Erased { .. }
        );
        events.push((lsn, event));
        if is_packs { Err(()) } else { Ok(()) }
    });
    (whole == Ok(true)).then_some(events)
}

/// A range of LSNs that no frame contains, and the offset at which a frame is missing. The range is
/// empty if no LSN is missing and the next frame is merely at the wrong offset.
pub(super) struct Hole {
    pub(super) first_lsn: u64,
    pub(super) last_lsn: u64,
    pub(super) at: u64,
}

impl SegmentSurvey {
    pub(super) fn no_header(&self) -> Error {
        let what = "invalid header, or the file belongs to another store";
        Error::damaged(&self.path, 0, what)
    }

    pub(super) fn first_lsn(&self) -> u64 {
        let first_frame = self.frames.first().map(|frame| frame.first_lsn);
        let header = self.header.map(|(first_lsn, ..)| first_lsn);
        header.or(first_frame).unwrap_or(u64::MAX)
    }

    /// Keeps the valid frames, starting at `lsn`, and returns where frames are missing. If the LSN
    /// `limit` is known, the frames before it are valid. Otherwise, contiguous frames are valid.
    /// Frames that come after missing ones are valid only if a later frame confirms that the
    /// missing frames were synced.
    pub(super) fn keep(&mut self, mut lsn: u64, limit: Option<u64>) -> Vec<Hole> {
        let mut holes = Vec::new();
        let mut kept: Vec<FrameSurvey> = Vec::new();
        let mut at = SEGMENT_HEADER_BYTES as u64;
        for (n, frame) in self.frames.iter().enumerate() {
            if frame.first_lsn < lsn || limit.is_some_and(|limit| frame.first_lsn >= limit) {
                if frame.at == at {
                    at += frame.len;
                }
                continue;
            }
            // A reader of a segment finds a frame only directly after the previous one.
            if frame.first_lsn > lsn || frame.at != at {
                let vouched = |later: &FrameSurvey| later.synced_lsn >= lsn;
                if limit.is_none() && !self.frames[n..].iter().any(vouched) {
                    break;
                }
                holes.push(Hole {
                    first_lsn: lsn,
                    last_lsn: frame.first_lsn - 1,
                    at,
                });
            }
            lsn = frame.first_lsn + frame.count;
            at = frame.at + frame.len;
            kept.push(*frame);
        }
        // A replay also trusts what frames without events record as synced.
        let limit = limit.or_else(|| Some(self.synced_lsn + 1));
        if let Some(limit) = limit.filter(|&limit| lsn < limit) {
            holes.push(Hole {
                first_lsn: lsn,
                last_lsn: limit - 1,
                at,
            });
        }
        self.frames = kept;
        holes
    }
}
