//! What a directory contains of a store's log, and how much of it is known to be acknowledged.
//!
//! With `Durability::Synced`, what the replica lacks was never acknowledged. What is not known to be
//! acknowledged may not have been sent to the replica.

use crate::log::disk::Disk;
use crate::log::file_names;
use crate::log::identity;
use crate::log::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentFile};
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;
use crate::replica::following;

/// The log in a directory.
#[derive(Default)]
pub(crate) struct Local {
    /// The LSN after the contiguous run of packs that begins with the first event.
    pub(crate) packed_lsn: u64,
    pub(crate) segments: Vec<LocalSegment>,
    /// The LSN after the last event.
    pub(crate) end_lsn: u64,
    /// The LSN after the last event that is known to be acknowledged.
    pub(crate) acknowledged_lsn: u64,
}

/// A segment that was used.
pub(crate) struct LocalSegment {
    pub(crate) epoch: u64,
    pub(crate) first_lsn: u64,
    /// The first LSN and the offset of each frame.
    pub(crate) frames: Vec<(u64, u64)>,
    /// The offset after the last frame.
    pub(crate) end: u64,
}

impl LocalSegment {
    /// The offset after the frame that ends with this LSN, which the segment contains.
    pub(crate) fn offset_after(&self, end_lsn: u64) -> u64 {
        match self.frames.iter().find(|&&(first, _)| first >= end_lsn) {
            Some(&(_, at)) => at,
            None => self.end,
        }
    }
}

impl Local {
    pub(crate) fn is_empty(&self) -> bool {
        self.end_lsn <= 1
    }

    /// Reads the log of a directory. A log that is damaged is an error.
    pub(crate) fn read(disk: &dyn Disk, store: StoreId) -> Result<Local> {
        let names = disk
            .names()
            .map_err(|e| Error::io("read", disk.path(""), &e))?;
        let mut packs: Vec<_> = names
            .iter()
            .filter_map(|name| file_names::pack_range(name))
            .collect();
        packs.sort_unstable();
        let mut packed_lsn = 1;
        for (first, last) in packs {
            if first <= packed_lsn {
                packed_lsn = packed_lsn.max(last + 1);
            }
        }
        let mut epochs: Vec<_> = names
            .iter()
            .filter_map(|name| file_names::segment_epoch(name))
            .collect();
        epochs.sort_unstable();
        let mut opened = Vec::new();
        for epoch in epochs {
            if let SegmentFile::Segment(segment) = Segment::open(disk, epoch, store)? {
                // An older one is already packed.
                if segment.header.first_lsn >= packed_lsn {
                    opened.push(segment);
                }
            }
        }
        let is_following = following::is_marked(disk)?;
        let closed = identity::read_closed(disk, store)?.map(|closed| closed.end);
        let mut local = Local {
            packed_lsn,
            segments: Vec::new(),
            end_lsn: packed_lsn,
            acknowledged_lsn: packed_lsn,
        };
        for (n, segment) in opened.iter().enumerate() {
            let header = segment.header;
            let next = opened.get(n + 1).map(|next| next.header);
            let known_end = match next {
                Some(next) => {
                    Some(next.previous_end).filter(|_| next.previous_epoch == header.epoch)
                }
                None => closed.filter(|c| c.epoch == header.epoch).map(|c| c.offset),
            };
            let mut bytes = segment.read_all()?;
            if is_following && known_end.is_none() {
                bytes.truncate(segment.readable_end(&bytes));
            }
            let scanned = segment.scan_events(&bytes, known_end, |_, _, _| Ok::<(), Error>(()))?;
            if header.first_lsn != local.end_lsn {
                let what = "a file of the log is missing before it";
                return Err(Error::damaged(&segment.path, 0, what));
            }
            // The next segment is begun only after everything in this one was acknowledged.
            let acknowledged = match known_end {
                Some(_) => scanned.next_lsn,
                None => (scanned.synced_lsn + 1).min(scanned.next_lsn),
            };
            local.acknowledged_lsn = local.acknowledged_lsn.max(acknowledged);
            local.end_lsn = scanned.next_lsn;
            local.segments.push(LocalSegment {
                epoch: header.epoch,
                first_lsn: header.first_lsn,
                frames: scanned.frames,
                end: scanned.end.max(SEGMENT_HEADER_BYTES as u64),
            });
        }
        if let Some(closed) = closed {
            local.acknowledged_lsn = local.acknowledged_lsn.max(closed.lsn + 1);
        }
        Ok(local)
    }
}
