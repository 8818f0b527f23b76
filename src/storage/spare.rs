//! The log's next file, made ahead, and the reserve for a full disk.
//!
//! Owns: the segment that is prepared for later, the file `RESERVE`, and which of
//! them the log goes on in. Must not know: frames, what events mean.
//! Promise: epochs grow in the order of use; the reserve is only ever taken for what
//! ends something, and never the room for it by what begins something.

use std::sync::Arc;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::storage::disk::{Disk, File, check_room, create_aside};
use crate::storage::names;
use crate::storage::segment::Segment;

/// The first segment of an open has this size, each further one twice the size of
/// the one before, up to the option: a small store stays small.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
/// Thousands of starts and ends fit in here.
const RESERVE_BYTES_MAX: u64 = 1 << 20;
/// A file that is smaller is no reserve.
const RESERVE_BYTES_MIN: u64 = 4 << 10;

/// Where a frame may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Into segments that are made of free space.
    Ordinary,
    /// Also into the reserve, when no other segment can be had.
    Reserve,
}

/// The next segment's file, made ahead by a thread that has the time.
pub(crate) struct Spare {
    slot: Mutex<Slot>,
    reserve_bytes: u64,
    segment_bytes: u64,
    /// What is there; who asks does not wait while a file is made.
    bytes: AtomicU64,
}

struct Slot {
    ready: Option<Prepared>,
    reserve: Option<Reserve>,
    next_epoch: u64,
    next_bytes: u64,
    bytes_max: u64,
    /// What the reserve is to have.
    reserve_bytes: u64,
    /// Nothing is made any more.
    closed: bool,
}

struct Reserve {
    bytes: u64,
    file: Arc<dyn File>,
}

/// A file of zeros with a segment's name.
pub(crate) struct Prepared {
    pub(crate) epoch: u64,
    pub(crate) bytes: u64,
    pub(crate) file: Arc<dyn File>,
    /// Whether it was the reserve.
    pub(crate) is_reserve: bool,
}

impl Spare {
    pub(crate) fn new(next_epoch: u64, segment_bytes: u64) -> Spare {
        // Twice the smallest segment holds the largest write that ends something.
        let reserve_bytes = RESERVE_BYTES_MAX.min(2 * segment_bytes);
        Spare {
            slot: Mutex::new(Slot {
                ready: None,
                reserve: None,
                next_epoch,
                next_bytes: FIRST_SEGMENT_BYTES.min(segment_bytes),
                bytes_max: segment_bytes,
                reserve_bytes,
                closed: false,
            }),
            reserve_bytes,
            segment_bytes,
            bytes: AtomicU64::new(0),
        }
    }

    /// Bytes of the files that are made ahead.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What the reserve is to have.
    pub(crate) fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
    }

    /// The size up to which segments grow.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Whether the reserve is there.
    pub(crate) fn has_reserve(&self) -> bool {
        self.slot.lock().reserve.is_some()
    }

    /// Makes the reserve and the next file where they are missing. The lock is held
    /// meanwhile: a commit that needs the file waits for this one instead of making
    /// another.
    pub(crate) fn refill(&self, disk: &dyn Disk) -> Result<()> {
        let mut slot = self.slot.lock();
        if slot.closed {
            return Ok(());
        }
        let reserve = slot.make_reserve(disk);
        let made = reserve.and(slot.make_ready(disk));
        self.count(&slot);
        made
    }

    /// Does something while no file is being made here.
    #[cfg(all(test, not(jobstore_shuttle)))]
    pub(crate) fn stand_still(&self, what: impl FnOnce()) {
        let _slot = self.slot.lock();
        what();
    }

    /// Makes the reserve if there is none of the right size.
    pub(crate) fn make_reserve(&self, disk: &dyn Disk) -> Result<()> {
        let mut slot = self.slot.lock();
        let made = slot.make_reserve(disk);
        self.count(&slot);
        made
    }

    fn count(&self, slot: &Slot) {
        let ready = slot.ready.as_ref().map_or(0, |ready| ready.bytes);
        let reserve = slot.reserve.as_ref().map_or(0, |reserve| reserve.bytes);
        self.bytes.store(ready + reserve, Ordering::Relaxed);
    }

    /// A file of at least `bytes`. The reserve goes for whatever keeps another from
    /// being made.
    pub(crate) fn take(&self, disk: &dyn Disk, bytes: u64, room: Room) -> Result<Prepared> {
        let mut slot = self.slot.lock();
        let taken = match slot.take_ordinary(disk, bytes) {
            Err(refused) if room == Room::Reserve => slot.take_reserve(disk, bytes, refused),
            taken => taken,
        };
        self.count(&slot);
        taken
    }

    /// Takes the unused file away at a clean close. The reserve stays: the next open
    /// may need it.
    pub(crate) fn discard(&self, disk: &dyn Disk) -> Result<()> {
        let mut slot = self.slot.lock();
        slot.closed = true;
        slot.drop_ready(disk)
    }
}

impl Slot {
    /// Opens the reserve if there is one. Whatever else has its name is none.
    fn find_reserve(&mut self, disk: &dyn Disk) {
        if self.reserve.is_some() {
            return;
        }
        let found = disk
            .open_to_write(names::RESERVE)
            .and_then(|file| Ok((file.len()?, file)));
        if let Ok((bytes, file)) = found {
            if (RESERVE_BYTES_MIN..=RESERVE_BYTES_MAX).contains(&bytes) {
                self.reserve = Some(Reserve { bytes, file });
            }
        }
    }

    /// Whole under its name, or not there.
    fn make_reserve(&mut self, disk: &dyn Disk) -> Result<()> {
        self.find_reserve(disk);
        let bytes = self.reserve_bytes;
        if self.reserve.as_ref().is_some_and(|r| r.bytes == bytes) {
            return Ok(());
        }
        check_room(disk, bytes, "create", names::RESERVE)?;
        let (aside, file) = create_aside(disk, names::RESERVE)
            .map_err(|e| Error::io("create", disk.path(names::RESERVE), &e))?;
        Segment::fill(disk, &aside, &*file, bytes)?;
        if let Err(e) = disk.rename(&aside, names::RESERVE) {
            disk.remove(&aside).ok();
            return Err(Error::io("create", disk.path(names::RESERVE), &e));
        }
        self.reserve = Some(Reserve { bytes, file });
        disk.sync_names()
            .map_err(|e| Error::io("create", disk.path(names::RESERVE), &e))
    }

    /// Room that is not to be taken by anything else.
    fn kept_bytes(&self) -> u64 {
        match self.reserve {
            Some(_) => 0,
            None => self.reserve_bytes,
        }
    }

    fn make_ready(&mut self, disk: &dyn Disk) -> Result<()> {
        if self.ready.is_some() {
            return Ok(());
        }
        let mut bytes = self.next_bytes;
        if let Ok(Some(free)) = disk.free_bytes() {
            // A smaller one is better than none.
            while bytes / 2 >= FIRST_SEGMENT_BYTES && free < bytes + self.kept_bytes() {
                bytes /= 2;
            }
        }
        let prepared = self.prepare(disk, bytes)?;
        self.next_bytes = (bytes * 2).min(self.bytes_max);
        self.ready = Some(prepared);
        Ok(())
    }

    /// A file of the next epoch.
    fn prepare(&mut self, disk: &dyn Disk, bytes: u64) -> Result<Prepared> {
        let epoch = self.next_epoch;
        let name = names::segment(epoch);
        check_room(disk, bytes + self.kept_bytes(), "create", &name)?;
        let file = Segment::prepare(disk, &name, bytes)?;
        self.next_epoch += 1;
        Ok(Prepared {
            epoch,
            bytes,
            file,
            is_reserve: false,
        })
    }

    fn take_ordinary(&mut self, disk: &dyn Disk, bytes: u64) -> Result<Prepared> {
        if bytes <= self.next_bytes {
            self.make_ready(disk)?;
        }
        if let Some(prepared) = self.ready.take_if(|ready| ready.bytes >= bytes) {
            return Ok(prepared);
        }
        let prepared = self.prepare(disk, bytes)?;
        // The one that is too small for this frame has the lower epoch.
        if let Err(error) = self.drop_ready(disk) {
            disk.remove(&names::segment(prepared.epoch)).ok();
            return Err(error);
        }
        Ok(prepared)
    }

    fn drop_ready(&mut self, disk: &dyn Disk) -> Result<()> {
        let Some(ready) = &self.ready else {
            return Ok(());
        };
        let name = names::segment(ready.epoch);
        disk.remove(&name)
            .map_err(|e| Error::io("remove", disk.path(&name), &e))?;
        self.ready = None;
        Ok(())
    }

    /// Makes the reserve the next segment, which needs no room. `refused` says why
    /// there is no other.
    fn take_reserve(&mut self, disk: &dyn Disk, bytes: u64, refused: Error) -> Result<Prepared> {
        self.find_reserve(disk);
        let Some(reserve) = self.reserve.take_if(|reserve| reserve.bytes >= bytes) else {
            return Err(refused);
        };
        let failed = |e| Error::io("write", disk.path(names::RESERVE), &e);
        // Frames are found by looking for them, so nothing else may lie there; and
        // what can be written now can be written when it matters.
        if let Err(e) = Segment::zero(&*reserve.file, 0..reserve.bytes) {
            self.reserve = Some(reserve);
            return Err(failed(e));
        }
        self.drop_ready(disk)?;
        let epoch = self.next_epoch;
        let name = names::segment(epoch);
        // Which name it has after an error, the next look for it finds.
        disk.rename(names::RESERVE, &name).map_err(failed)?;
        if let Err(e) = disk.sync_names() {
            disk.rename(&name, names::RESERVE).ok();
            return Err(failed(e));
        }
        self.next_epoch += 1;
        Ok(Prepared {
            epoch,
            bytes: reserve.bytes,
            file: reserve.file,
            is_reserve: true,
        })
    }
}
