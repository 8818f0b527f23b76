//! The writer of the log: appends to the active segment, and orders writes and syncs.
//!
//! When [`LogWriter::sync`] has returned `Ok`, all appended frames survive a power failure, and an
//! open finds them. A failed write or sync is never retried. A frame that a reader would reject is
//! never written.

pub(crate) mod copying;

use std::io::ErrorKind;
use std::sync::Arc;

use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::{self, Disk, File};
use crate::log::file_names;
use crate::log::frame::Builder;
use crate::log::outbox::{Outbox, RemoteLog};
use crate::log::preallocation::{Preallocation, Prepared, Room};
use crate::log::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// A segment with less free space than this counts as full.
const RESUME_BYTES_MIN: u64 = 256;
/// The part of a segment that is kept for opens that find no space for another segment. Each open
/// needs about a hundred bytes.
const OPENING_BYTES_MAX: u64 = 16 << 10;

fn bytes_for_opens(reserve_bytes: u64) -> u64 {
    OPENING_BYTES_MAX.min(reserve_bytes / 8)
}

/// The part of a reserve of this size that is kept for frames that free space.
pub(crate) fn freeing_bytes(reserve_bytes: u64) -> u64 {
    reserve_bytes / 4 - bytes_for_opens(reserve_bytes)
}

pub(crate) struct LogWriter {
    disk: Arc<dyn Disk>,
    store: StoreId,
    preallocation: Arc<Preallocation>,
    active: Arc<Segment>,
    /// The file of the active segment, open for writing.
    file: Arc<dyn File>,
    /// The offset after the last frame.
    end: u64,
    capacity: u64,
    /// Whether the active segment accepts only frames that may use the reserve.
    on_reserve: bool,
    next_lsn: u64,
    synced_lsn: u64,
    /// The epoch of a segment that was never used and must be removed before the next frame is
    /// written.
    unbegun: Option<u64>,
    /// What the replica lacks, if there is one.
    outbox: Option<Outbox>,
}

/// The position at which a log is continued, and the limits for that.
pub(crate) struct Resume {
    pub(crate) next_lsn: u64,
    /// The offset after the last frame.
    pub(crate) end: u64,
    /// Whether everything after the end is known to be durably zero.
    pub(crate) is_blank: bool,
    /// The maximum number of bytes to zero, if necessary.
    pub(crate) zeros_max: u64,
    /// The segment is not filled beyond this size, which is that of a new segment.
    pub(crate) capacity_max: u64,
}

/// Why an append failed.
pub(crate) enum AppendError {
    /// Nothing was written, and the log is unchanged.
    Refused(Error),
    /// Something may have been written.
    Unknown(Error),
}

/// The position of an appended frame.
pub(crate) struct Appended {
    pub(crate) segment: Arc<Segment>,
    /// The offset of the frame in the segment.
    pub(crate) at: u64,
    /// The segment that was full and is no longer appended to.
    pub(crate) sealed: Option<Arc<Segment>>,
}

impl LogWriter {
    /// Creates a log that continues after `previous` in a new file.
    pub(crate) fn begin(
        disk: Arc<dyn Disk>,
        store: StoreId,
        preallocation: Arc<Preallocation>,
        prepared: Prepared,
        next_lsn: u64,
        previous: (u64, u64),
        remote: Option<Arc<dyn RemoteLog>>,
    ) -> Result<LogWriter> {
        let header = SegmentHeader {
            epoch: prepared.epoch,
            first_lsn: next_lsn,
            previous_epoch: previous.0,
            previous_end: previous.1,
        };
        let file = prepared.file.clone();
        let active = Segment::begin(&*disk, prepared.file, header, store)?;
        let mut outbox = remote.map(Outbox::new);
        if let Some(outbox) = &mut outbox {
            outbox.segment(header.epoch, next_lsn, &header.encode(store));
        }
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
            outbox,
        })
    }

    /// Sends the headers of these segments to the replica, too. They precede the segment in which
    /// this writer begins, and have no frame, so their headers may not be in the replica yet.
    pub(crate) fn send_unused(&mut self, unused: &[Arc<Segment>]) {
        if let Some(outbox) = &mut self.outbox {
            for header in unused.iter().rev().map(|segment| segment.header) {
                outbox.segment_before(header.epoch, self.next_lsn, &header.encode(self.store));
            }
        }
    }

    /// Returns whether a log that ended at `end` can continue in its last segment.
    pub(crate) fn can_resume(last: &Segment, end: u64) -> bool {
        last.file
            .len()
            .is_ok_and(|capacity| capacity >= end + RESUME_BYTES_MIN)
    }

    /// Continues a log in the rest of its last segment, at the offset where the log ended. Returns
    /// `None` if too little space is left in the segment, or if too much would have to be zeroed
    /// first.
    ///
    /// A frame is valid at any offset in its segment. If a crash left a valid frame after a torn
    /// one, that frame could therefore seem to follow a new frame. To prevent this, everything
    /// after the end must be durably zero before a frame is written there.
    pub(crate) fn resume(
        disk: Arc<dyn Disk>,
        store: StoreId,
        preallocation: Arc<Preallocation>,
        last: Arc<Segment>,
        place: Resume,
        remote: Option<Arc<dyn RemoteLog>>,
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
        let mut outbox = remote.map(Outbox::new);
        if let Some(outbox) = outbox
            .as_mut()
            .filter(|_| end == SEGMENT_HEADER_BYTES as u64)
        {
            // The header of a segment is sent together with its first frame.
            outbox.segment(last.header.epoch, next_lsn, &last.header.encode(store));
        }
        // On a full disk, the rest is kept for writes that complete jobs or free space.
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
            outbox,
        }))
    }

    /// Creates a log to which nothing is appended, for a store that is only read.
    pub(crate) fn detached(store: StoreId, next_lsn: u64) -> Result<LogWriter> {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::default());
        let preallocation = Arc::new(Preallocation::new(1, SEGMENT_HEADER_BYTES as u64));
        let prepared = preallocation.take(&*disk, 0, Room::Ordinary)?;
        LogWriter::begin(disk, store, preallocation, prepared, next_lsn, (0, 0), None)
    }

    pub(crate) fn next_lsn(&self) -> u64 {
        self.next_lsn
    }

    /// Returns the last durable LSN.
    pub(crate) fn synced_lsn(&self) -> u64 {
        self.synced_lsn
    }

    pub(crate) fn active(&self) -> &Arc<Segment> {
        &self.active
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Writes a frame. It becomes durable with the next [`LogWriter::sync`].
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
        // The first frame of a segment may fill all of it.
        let is_first = self.end == SEGMENT_HEADER_BYTES as u64;
        let room_for = if is_first { Room::Opening } else { room };
        let has_room = self.end + len <= self.capacity_for(room_for);
        let sealed = if !has_room || (self.on_reserve && room == Room::Ordinary) {
            Some(self.rotate(len, room)?)
        } else {
            None
        };
        let (at, first_lsn, count) = (self.end, self.next_lsn, frame.count());
        let bytes = frame.finish(self.active.binding(), first_lsn, self.synced_lsn);
        self.file
            .write_all_at(bytes, at)
            .map_err(|e| AppendError::Unknown(Error::io("write", &self.active.path, &e)))?;
        self.active.note_frame(first_lsn, at);
        self.end += len;
        self.next_lsn += count;
        if let Some(outbox) = &mut self.outbox {
            let place = (self.active.header.epoch, at);
            outbox.frame(place, (first_lsn, self.next_lsn), bytes);
        }
        Ok(Appended {
            segment: self.active.clone(),
            at,
            sealed,
        })
    }

    /// The offset up to which the active segment may be filled. The last quarter of a reserve is
    /// kept for writes that free space, and the very end of the segment for opens.
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

    /// Makes everything that was appended durable, here and in the replica.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if self.synced_lsn + 1 < self.next_lsn {
            let sync_local = || {
                let synced = self.file.sync();
                synced.map_err(|e| Error::io("sync", &self.active.path, &e))
            };
            match &mut self.outbox {
                Some(outbox) => outbox.send(sync_local)?,
                None => sync_local()?,
            }
            self.check_in_place()?;
            self.synced_lsn = self.next_lsn - 1;
        }
        Ok(())
    }

    /// How many bytes wait in memory to be sent to the replica.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.outbox.as_ref().map_or(0, Outbox::bytes)
    }

    /// Returns an error if an open would not find newly written frames, because the path no longer
    /// leads to the directory or the active segment. This takes four system calls of one or two
    /// microseconds in total, which is little compared to a sync.
    pub(crate) fn check_in_place(&self) -> Result<()> {
        disk::check_file(&*self.disk, &self.active.name, &*self.file)?;
        disk::check_in_place(&*self.disk)
    }

    /// Returns whether the active segment was created for a write that is larger than an ordinary
    /// segment.
    pub(crate) fn is_oversized(&self) -> bool {
        let has_frames = self.end > SEGMENT_HEADER_BYTES as u64;
        let bytes = self.active.file.len().unwrap_or_default();
        has_frames && !self.on_reserve && bytes > self.preallocation.segment_bytes()
    }

    /// Continues in a segment of ordinary size.
    pub(crate) fn leave_segment(&mut self) -> Result<(), AppendError> {
        self.remove_unbegun().map_err(AppendError::Refused)?;
        self.rotate(0, Room::Ordinary).map(drop)
    }

    /// Continues in the next segment. Returns the previously active segment.
    fn rotate(&mut self, frame_bytes: u64, room: Room) -> Result<Arc<Segment>, AppendError> {
        // The synced LSNs of frames in the next segment cover all of this one.
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
                // If the segment cannot be removed now, its removal is retried before the next
                // frame is written.
                self.remove_unbegun().ok();
                return Err(AppendError::Refused(error));
            }
        };
        if let Some(outbox) = &mut self.outbox {
            outbox.segment(header.epoch, self.next_lsn, &header.encode(self.store));
        }
        self.active.seal(self.end);
        let sealed = std::mem::replace(&mut self.active, Arc::new(next));
        self.file = file;
        self.end = SEGMENT_HEADER_BYTES as u64;
        self.capacity = prepared.bytes;
        self.on_reserve = prepared.is_reserve;
        Ok(sealed)
    }

    /// Durably removes a segment whose header could not be written. That header would record where
    /// the active segment ends, so if an open found it, the open would ignore everything appended
    /// to the active segment from now on. Nothing is written until the segment is removed.
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
