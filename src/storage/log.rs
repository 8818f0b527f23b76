//! The log's writing end.
//!
//! Owns: the segment that is written to, the one prepared for later, and the
//! order of writes and syncs. Must not know: what events mean.
//! Promise: durable before acknowledged: when [`Log::sync`] has returned Ok, all
//! appended frames survive a power cut; a failed write or sync is never retried.

use std::sync::Arc;

use crate::sync::Mutex;

use crate::error::{Error, Result};
use crate::storage::disk::{Disk, File};
use crate::storage::frame::Builder;
use crate::storage::identity::StoreId;
use crate::storage::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentHeader};

/// The first segment of an open has this size, each further one twice the size of
/// the one before, up to the option: a small store stays small.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;

/// The next segment's file, made ahead by a thread that has the time.
pub(crate) struct Spare {
    slot: Mutex<Slot>,
}

struct Slot {
    ready: Option<Prepared>,
    next_epoch: u64,
    next_bytes: u64,
    bytes_max: u64,
}

struct Prepared {
    epoch: u64,
    bytes: u64,
    file: Arc<dyn File>,
}

impl Spare {
    pub(crate) fn new(next_epoch: u64, segment_bytes: u64) -> Spare {
        Spare {
            slot: Mutex::new(Slot {
                ready: None,
                next_epoch,
                next_bytes: FIRST_SEGMENT_BYTES.min(segment_bytes),
                bytes_max: segment_bytes,
            }),
        }
    }

    /// Makes the next file if there is none. The lock is held meanwhile: a commit
    /// that needs the file waits for this one instead of making another.
    pub(crate) fn refill(&self, disk: &dyn Disk) -> Result<()> {
        let mut slot = self.slot.lock();
        if slot.ready.is_some() {
            return Ok(());
        }
        let (epoch, bytes) = (slot.next_epoch, slot.next_bytes);
        let file = Segment::prepare(disk, epoch, bytes)?;
        slot.next_epoch += 1;
        slot.next_bytes = (bytes * 2).min(slot.bytes_max);
        slot.ready = Some(Prepared { epoch, bytes, file });
        Ok(())
    }

    /// A file of at least `bytes`.
    fn take(&self, disk: &dyn Disk, bytes: u64) -> Result<Prepared> {
        self.refill(disk)?;
        let mut slot = self.slot.lock();
        if let Some(prepared) = slot.ready.take() {
            if prepared.bytes >= bytes {
                return Ok(prepared);
            }
            // Too small for this one frame. Its epoch must not be skipped over by
            // a file that is written to, so it goes away.
            if let Err(e) = disk.remove(&crate::storage::names::segment(prepared.epoch)) {
                let path = disk.path(&crate::storage::names::segment(prepared.epoch));
                slot.ready = Some(prepared);
                return Err(Error::io("remove", path, &e));
            }
        }
        let epoch = slot.next_epoch;
        let file = Segment::prepare(disk, epoch, bytes)?;
        slot.next_epoch += 1;
        Ok(Prepared { epoch, bytes, file })
    }

    /// Takes the unused file away at a clean close.
    pub(crate) fn discard(&self, disk: &dyn Disk) -> Result<()> {
        let Some(prepared) = self.slot.lock().ready.take() else {
            return Ok(());
        };
        let name = crate::storage::names::segment(prepared.epoch);
        disk.remove(&name)
            .map_err(|e| Error::io("remove", disk.path(&name), &e))
    }
}

pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    store: StoreId,
    spare: Arc<Spare>,
    active: Arc<Segment>,
    /// The byte behind the last frame.
    end: u64,
    capacity: u64,
    next_lsn: u64,
    synced_lsn: u64,
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

impl Log {
    /// A log that goes on after `previous` in a fresh segment.
    pub(crate) fn begin(
        disk: Arc<dyn Disk>,
        store: StoreId,
        spare: Arc<Spare>,
        next_lsn: u64,
        previous: (u64, u64),
    ) -> Result<Log> {
        let prepared = spare.take(&*disk, 0)?;
        let header = SegmentHeader {
            epoch: prepared.epoch,
            first_lsn: next_lsn,
            previous_epoch: previous.0,
            previous_end: previous.1,
        };
        let active = Segment::begin(&*disk, prepared.file, header, store)?;
        Ok(Log {
            disk,
            store,
            spare,
            active: Arc::new(active),
            end: SEGMENT_HEADER_BYTES as u64,
            capacity: prepared.bytes,
            next_lsn,
            synced_lsn: next_lsn - 1,
        })
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

    /// Writes a frame. It is durable after the next [`Log::sync`].
    pub(crate) fn append(&mut self, frame: &mut Builder) -> Result<Appended, AppendError> {
        let len = frame.len() as u64;
        let sealed = if self.end + len > self.capacity {
            self.rotate(len)?
        } else {
            None
        };
        let (at, first_lsn) = (self.end, self.next_lsn);
        let bytes = frame.finish(self.active.binding(), first_lsn, self.synced_lsn);
        self.active
            .file
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

    /// Makes everything appended durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if self.synced_lsn + 1 < self.next_lsn {
            self.active
                .file
                .sync()
                .map_err(|e| Error::io("sync", &self.active.path, &e))?;
            self.synced_lsn = self.next_lsn - 1;
        }
        Ok(())
    }

    fn rotate(&mut self, frame_bytes: u64) -> Result<Option<Arc<Segment>>, AppendError> {
        // Frames of the next segment vouch for all of this one.
        self.sync().map_err(AppendError::Unknown)?;
        let needed = SEGMENT_HEADER_BYTES as u64 + frame_bytes;
        let prepared = self
            .spare
            .take(&*self.disk, needed)
            .map_err(AppendError::Refused)?;
        let header = SegmentHeader {
            epoch: prepared.epoch,
            first_lsn: self.next_lsn,
            previous_epoch: self.active.header.epoch,
            previous_end: self.end,
        };
        let next = Segment::begin(&*self.disk, prepared.file, header, self.store)
            .map_err(AppendError::Unknown)?;
        self.active.seal(self.end);
        let sealed = std::mem::replace(&mut self.active, Arc::new(next));
        self.end = SEGMENT_HEADER_BYTES as u64;
        self.capacity = prepared.bytes;
        Ok(Some(sealed))
    }
}
