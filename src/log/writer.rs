//! The log's writing end.
//!
//! Owns: the segment that is written to, and the order of writes and syncs. Must not
//! know: what events mean.
//! Promise: durable before acknowledged: when [`LogWriter::sync`] has returned Ok, all
//! appended frames survive a power cut and are where an open finds them; a failed write
//! or sync is never retried; what could not be read back is never written.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::{self, Disk, File};
use crate::log::file_names;
use crate::log::frame::Builder;
use crate::log::preallocation::{Preallocation, Prepared, Room};
use crate::log::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// A segment with less room left is as good as full.
const RESUME_BYTES_MIN: u64 = 256;
/// What is kept of a segment for opens that find no room for another: each takes about
/// a hundred bytes.
const OPENING_BYTES_MAX: u64 = 16 << 10;

fn bytes_for_opens(reserve_bytes: u64) -> u64 {
    OPENING_BYTES_MAX.min(reserve_bytes / 8)
}

/// What of a reserve of this size is kept for frames that free room.
pub(crate) fn freeing_bytes(reserve_bytes: u64) -> u64 {
    reserve_bytes / 4 - bytes_for_opens(reserve_bytes)
}

pub(crate) struct LogWriter {
    disk: Arc<dyn Disk>,
    store: StoreId,
    preallocation: Arc<Preallocation>,
    active: Arc<Segment>,
    /// The active segment's, for writing.
    file: Arc<dyn File>,
    /// The byte behind the last frame.
    end: u64,
    capacity: u64,
    /// Whether the active segment takes only what may use the reserve.
    on_reserve: bool,
    next_lsn: u64,
    synced_lsn: u64,
    /// A segment that did not come into use, and is to be removed before the next frame.
    unbegun: Option<u64>,
}

/// Where a log is to be continued, and how.
pub(crate) struct Resume {
    pub(crate) next_lsn: u64,
    /// The byte behind the last frame.
    pub(crate) end: u64,
    /// Whether all behind the end is known to be zeros, durably.
    pub(crate) is_blank: bool,
    /// At most so many bytes are zeroed, if they have to be.
    pub(crate) zeros_max: u64,
    /// Up to which size of the segment, as one of the size that is wanted now.
    pub(crate) capacity_max: u64,
}

/// Why an append failed.
pub(crate) enum AppendError {
    /// Nothing was written; the log is as it was.
    Refused(Error),
    /// Something may have been written.
    Unknown(Error),
}

/// Where a frame went.
pub(crate) struct Appended {
    pub(crate) segment: Arc<Segment>,
    /// The frame's first byte in the segment.
    pub(crate) at: u64,
    /// The segment that was full and is not written to any more.
    pub(crate) sealed: Option<Arc<Segment>>,
}

impl LogWriter {
    /// A log that goes on after `previous` in a fresh file.
    pub(crate) fn begin(
        disk: Arc<dyn Disk>,
        store: StoreId,
        preallocation: Arc<Preallocation>,
        prepared: Prepared,
        next_lsn: u64,
        previous: (u64, u64),
    ) -> Result<LogWriter> {
        let header = SegmentHeader {
            epoch: prepared.epoch,
            first_lsn: next_lsn,
            previous_epoch: previous.0,
            previous_end: previous.1,
        };
        let file = prepared.file.clone();
        let active = Segment::begin(&*disk, prepared.file, header, store)?;
        Ok(LogWriter {
            disk,
            store,
            preallocation,
            active: Arc::new(active),
            file,
            end: SEGMENT_HEADER_BYTES as u64,
            capacity: prepared.bytes,
            on_reserve: prepared.is_reserve,
            next_lsn,
            synced_lsn: next_lsn - 1,
            unbegun: None,
        })
    }

    /// Whether a log that ended there can go on in its last segment.
    pub(crate) fn can_resume(last: &Segment, end: u64) -> bool {
        last.file
            .len()
            .is_ok_and(|capacity| capacity >= end + RESUME_BYTES_MIN)
    }

    /// A log that continues where it ended, in what its last segment has left. `None` if
    /// that is too little, or if too much would have to be zeroed first.
    ///
    /// Frames are found by looking for them, and a frame is valid anywhere in its segment:
    /// so all behind the end has to be zeros, durably, before a frame is written there. A
    /// frame that a crash left behind a torn one could otherwise be taken for the
    /// successor of a new one.
    pub(crate) fn resume(
        disk: Arc<dyn Disk>,
        store: StoreId,
        preallocation: Arc<Preallocation>,
        last: Arc<Segment>,
        place: Resume,
    ) -> Result<Option<LogWriter>> {
        let Resume { next_lsn, end, .. } = place;
        let failed = |e| Error::io("write", &last.path, &e);
        let len = last.file.len().map_err(failed)?;
        let capacity = len.min(place.capacity_max);
        if capacity < end + RESUME_BYTES_MIN || (!place.is_blank && len - end > place.zeros_max) {
            return Ok(None);
        }
        let file = disk.open_to_write(&last.name).map_err(failed)?;
        if !place.is_blank {
            Segment::zero(&*file, end..len).map_err(failed)?;
        }
        // On a full disk, what is left is for what ends something.
        let on_reserve = !preallocation.has_reserve();
        Ok(Some(LogWriter {
            disk,
            store,
            preallocation,
            active: last,
            file,
            end,
            capacity,
            on_reserve,
            next_lsn,
            synced_lsn: next_lsn - 1,
            unbegun: None,
        }))
    }

    /// A log that nothing is written to, of a store that is only read.
    pub(crate) fn detached(store: StoreId, next_lsn: u64) -> Result<LogWriter> {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::default());
        let preallocation = Arc::new(Preallocation::new(1, SEGMENT_HEADER_BYTES as u64));
        let prepared = preallocation.take(&*disk, 0, Room::Ordinary)?;
        LogWriter::begin(disk, store, preallocation, prepared, next_lsn, (0, 0))
    }

    pub(crate) fn next_lsn(&self) -> u64 {
        self.next_lsn
    }

    /// The last LSN that is durable.
    pub(crate) fn synced_lsn(&self) -> u64 {
        self.synced_lsn
    }

    pub(crate) fn active(&self) -> &Arc<Segment> {
        &self.active
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Writes a frame. It is durable after the next [`LogWriter::sync`].
    pub(crate) fn append(
        &mut self,
        frame: &mut Builder,
        room: Room,
    ) -> Result<Appended, AppendError> {
        if frame.is_unreadable() {
            return Err(AppendError::Refused(Error::InvalidUse {
                what: "the encoded write could not be decoded and was rejected; this is a bug in \
                     jobstore, please report it",
            }));
        }
        self.remove_unbegun().map_err(AppendError::Refused)?;
        let len = frame.len() as u64;
        // A frame that has a segment to itself fills it.
        let is_first = self.end == SEGMENT_HEADER_BYTES as u64;
        let room_for = if is_first { Room::Opening } else { room };
        let has_room = self.end + len <= self.capacity_for(room_for);
        let sealed = if !has_room || (self.on_reserve && room == Room::Ordinary) {
            Some(self.rotate(len, room)?)
        } else {
            None
        };
        let (at, first_lsn) = (self.end, self.next_lsn);
        let bytes = frame.finish(self.active.binding(), first_lsn, self.synced_lsn);
        self.file
            .write_all_at(bytes, at)
            .map_err(|e| AppendError::Unknown(Error::io("write", &self.active.path, &e)))?;
        self.active.note_frame(first_lsn, at);
        self.end += len;
        self.next_lsn += frame.count();
        Ok(Appended {
            segment: self.active.clone(),
            at,
            sealed,
        })
    }

    /// How far the active segment may be filled. The last quarter of a reserve is kept for
    /// what frees room, and its very end for opens.
    fn capacity_for(&self, room: Room) -> u64 {
        if !self.on_reserve {
            return self.capacity;
        }
        let for_opens = bytes_for_opens(self.capacity);
        match room {
            Room::Opening => self.capacity,
            Room::Freeing => self.capacity - for_opens,
            Room::Ordinary | Room::Reserve => {
                self.capacity - for_opens - freeing_bytes(self.capacity)
            }
        }
    }

    /// Makes everything appended durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if self.synced_lsn + 1 < self.next_lsn {
            self.file
                .sync()
                .map_err(|e| Error::io("sync", &self.active.path, &e))?;
            self.check_in_place()?;
            self.synced_lsn = self.next_lsn - 1;
        }
        Ok(())
    }

    /// Refuses if what is written would not be found again by an open: because the
    /// directory or the active segment is not where it was. Four system calls of one or
    /// two microseconds together, which is little beside a sync.
    pub(crate) fn check_in_place(&self) -> Result<()> {
        disk::check_file(&*self.disk, &self.active.name, &*self.file)?;
        disk::check_in_place(&*self.disk)
    }

    /// Whether the active segment was made for a write larger than an ordinary segment.
    pub(crate) fn is_oversized(&self) -> bool {
        let has_frames = self.end > SEGMENT_HEADER_BYTES as u64;
        let bytes = self.active.file.len().unwrap_or_default();
        has_frames && !self.on_reserve && bytes > self.preallocation.segment_bytes()
    }

    /// Continues in a segment of ordinary size; returns the one that was active.
    pub(crate) fn leave_segment(&mut self) -> Result<Arc<Segment>, AppendError> {
        self.remove_unbegun().map_err(AppendError::Refused)?;
        self.rotate(0, Room::Ordinary)
    }

    /// Continues in the next segment; returns the one that was active.
    fn rotate(&mut self, frame_bytes: u64, room: Room) -> Result<Arc<Segment>, AppendError> {
        // Frames of the next segment vouch for all of this one.
        self.sync().map_err(AppendError::Unknown)?;
        let needed = SEGMENT_HEADER_BYTES as u64 + frame_bytes;
        let prepared = self
            .preallocation
            .take(&*self.disk, needed, room)
            .map_err(AppendError::Refused)?;
        let header = SegmentHeader {
            epoch: prepared.epoch,
            first_lsn: self.next_lsn,
            previous_epoch: self.active.header.epoch,
            previous_end: self.end,
        };
        let file = prepared.file.clone();
        let next = match Segment::begin(&*self.disk, prepared.file, header, self.store) {
            Ok(next) => next,
            Err(error) => {
                self.unbegun = Some(prepared.epoch);
                // Without success it is tried again before the next frame.
                self.remove_unbegun().ok();
                return Err(AppendError::Refused(error));
            }
        };
        self.active.seal(self.end);
        let sealed = std::mem::replace(&mut self.active, Arc::new(next));
        self.file = file;
        self.end = SEGMENT_HEADER_BYTES as u64;
        self.capacity = prepared.bytes;
        self.on_reserve = prepared.is_reserve;
        Ok(sealed)
    }

    /// Removes, durably, a segment whose header could not be written: the header says where
    /// the active segment ends, so an open that found it would ignore what is written there
    /// from now on. As long as this fails, nothing is written.
    pub(crate) fn remove_unbegun(&mut self) -> Result<()> {
        let Some(epoch) = self.unbegun else {
            return Ok(());
        };
        let name = file_names::segment(epoch);
        let removed = match self.disk.remove(&name) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        removed
            .and_then(|()| self.disk.sync_names())
            .map_err(|e| Error::io("remove", self.disk.path(&name), &e))?;
        self.preallocation.note_packed(epoch);
        self.unbegun = None;
        Ok(())
    }
}
