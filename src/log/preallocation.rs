//! The log's next file, made ahead, and the reserves for a full disk.
//!
//! Owns: the segment that is prepared for later, the files `RESERVE` and `SCRATCH`, and
//! which of them the log goes on in. Must not know: frames, what events mean.
//! Promise: epochs grow in the order of use; the reserves are only ever taken for what
//! ends something or frees room, and never the room for them by what begins something.
//! Nor does a segment for what begins something take the room in which segments that are
//! in use are packed: packing gives back what was purged since, so it must not be stuck.
//!
//! `RESERVE` becomes the log's next segment when there is no room for another.
//! `SCRATCH` is the file in which a pack is written, or the mark of a clean close, when
//! there is no room for one: what it replaces gives the room for the next `SCRATCH`, so
//! freeing room never needs any.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicU64, Ordering};

use crate::log::disk::{Disk, File, check_room, create_aside, rename_aside};
use crate::log::file_names;
use crate::log::segment::Segment;
use crate::model::error::{Error, Result};

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
    /// Also into the last of the reserve, which is kept for what frees room.
    Freeing,
    /// Also into the end of a segment, which is kept for opens.
    Opening,
}

/// The next segment's file, made ahead by a thread that has the time.
pub(crate) struct Preallocation {
    slot: Mutex<Slot>,
    reserve_bytes: u64,
    segment_bytes: u64,
    /// What is there; who asks does not wait while a file is made.
    bytes: AtomicU64,
}

struct Slot {
    ready: Option<Prepared>,
    reserve: Option<Reserve>,
    scratch: Option<Reserve>,
    next_epoch: u64,
    next_bytes: u64,
    bytes_max: u64,
    /// What the reserve is to have.
    reserve_bytes: u64,
    /// The segments in use, by epoch, and their bytes. A pack of one has about as many.
    to_pack: BTreeMap<u64, u64>,
    /// Nothing is made any more.
    closed: bool,
}

struct Reserve {
    bytes: u64,
    file: Arc<dyn File>,
}

fn pack_overhead(reserve_bytes: u64) -> u64 {
    reserve_bytes / 16
}

/// A file of zeros with a segment's name.
pub(crate) struct Prepared {
    pub(crate) epoch: u64,
    pub(crate) bytes: u64,
    pub(crate) file: Arc<dyn File>,
    /// Whether it was the reserve.
    pub(crate) is_reserve: bool,
}

impl Preallocation {
    pub(crate) fn new(next_epoch: u64, segment_bytes: u64) -> Preallocation {
        // Twice the smallest segment holds the largest write that ends something.
        let reserve_bytes = RESERVE_BYTES_MAX.min(2 * segment_bytes);
        Preallocation {
            slot: Mutex::new(Slot {
                ready: None,
                reserve: None,
                scratch: None,
                next_epoch,
                next_bytes: FIRST_SEGMENT_BYTES.min(segment_bytes),
                bytes_max: segment_bytes,
                reserve_bytes,
                to_pack: BTreeMap::new(),
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

    /// What a pack may have beyond the segment that it is made of.
    pub(crate) fn pack_overhead(&self) -> u64 {
        pack_overhead(self.reserve_bytes)
    }

    /// A segment that was found is to be packed: room for that is kept.
    pub(crate) fn note_to_pack(&self, epoch: u64, bytes: u64) {
        self.slot.lock().to_pack.insert(epoch, bytes);
    }

    /// A segment was packed, or came not into use.
    pub(crate) fn note_packed(&self, epoch: u64) {
        self.slot.lock().to_pack.remove(&epoch);
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
        let reserves = slot.make_reserves(disk);
        let made = reserves.and(slot.make_ready(disk));
        self.count(&slot);
        made
    }

    /// Whether nobody makes or takes a file at present.
    #[cfg(feature = "simulation")]
    pub(crate) fn is_free(&self) -> bool {
        self.slot.try_lock().is_some()
    }

    /// Does something while no file is being made here.
    #[cfg(all(test, not(jobstore_shuttle)))]
    pub(crate) fn stand_still(&self, what: impl FnOnce()) {
        let _slot = self.slot.lock();
        what();
    }

    /// Makes the reserves that are missing or not of the right size. The log's comes
    /// first if the log needs it to go on.
    pub(crate) fn make_reserves(&self, disk: &dyn Disk, log_needs_it: bool) -> Result<()> {
        let mut slot = self.slot.lock();
        let made = match log_needs_it {
            true => slot.make_reserve(disk),
            false => Ok(()),
        };
        let made = made.and_then(|()| slot.make_reserves(disk));
        self.count(&slot);
        made
    }

    /// Gives the scratch file the name of an unfinished file that is to get the name `name`:
    /// to be written from its start, cut, and renamed; or given back by
    /// [`Preallocation::return_scratch`]. `None` if there is none.
    pub(crate) fn lend_scratch(
        &self,
        disk: &dyn Disk,
        name: &str,
    ) -> io::Result<Option<ScratchFile>> {
        let mut slot = self.slot.lock();
        find(disk, file_names::SCRATCH, &mut slot.scratch);
        let Some(scratch) = slot.scratch.take() else {
            return Ok(None);
        };
        // Which name it has after an error, the next look for it finds.
        let aside = rename_aside(disk, file_names::SCRATCH, name)?;
        self.count(&slot);
        let Reserve { bytes, file } = scratch;
        Ok(Some(ScratchFile { bytes, file, aside }))
    }

    /// Takes a scratch file back that was not cut, or as much of its room as there is.
    pub(crate) fn return_scratch(&self, disk: &dyn Disk, scratch: &ScratchFile) {
        let mut slot = self.slot.lock();
        let whole = scratch.file.len().is_ok_and(|len| len == scratch.bytes);
        if !whole || disk.rename(&scratch.aside, file_names::SCRATCH).is_err() {
            disk.remove(&scratch.aside).ok();
        }
        // Removed, its room is there for the next one.
        slot.make_scratch(disk).ok();
        self.count(&slot);
    }

    /// Makes another scratch file if it was used, from the room of what it replaced, before
    /// anything else can take that room: also while the store is being closed.
    pub(crate) fn replace_scratch(&self, disk: &dyn Disk) {
        let mut slot = self.slot.lock();
        if slot.scratch.is_none() {
            // Without success it is tried again with the other files.
            slot.make_scratch(disk).ok();
            self.count(&slot);
        }
    }

    fn count(&self, slot: &Slot) {
        let ready = slot.ready.as_ref().map_or(0, |ready| ready.bytes);
        let bytes = |held: &Option<Reserve>| held.as_ref().map_or(0, |held| held.bytes);
        let reserves = bytes(&slot.reserve) + bytes(&slot.scratch);
        self.bytes.store(ready + reserves, Ordering::Relaxed);
    }

    /// A file of at least `bytes`. The reserve goes for whatever keeps another from
    /// being made.
    pub(crate) fn take(&self, disk: &dyn Disk, bytes: u64, room: Room) -> Result<Prepared> {
        let mut slot = self.slot.lock();
        let taken = match slot.take_ordinary(disk, bytes) {
            Err(refused) if room != Room::Ordinary => slot.take_reserve(disk, bytes, refused),
            taken => taken,
        };
        if let Ok(prepared) = &taken {
            slot.to_pack.insert(prepared.epoch, prepared.bytes);
        }
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

/// A scratch file on loan.
pub(crate) struct ScratchFile {
    pub(crate) bytes: u64,
    pub(crate) file: Arc<dyn File>,
    /// The name it has until it is finished.
    pub(crate) aside: String,
}

/// Opens a reserve if there is one. Whatever else has its name is none.
fn find(disk: &dyn Disk, name: &str, held: &mut Option<Reserve>) {
    if held.is_some() {
        return;
    }
    let found = disk
        .open_to_write(name)
        .and_then(|file| Ok((file.len()?, file)));
    if let Ok((bytes, file)) = found {
        if (RESERVE_BYTES_MIN..=RESERVE_BYTES_MAX).contains(&bytes) {
            *held = Some(Reserve { bytes, file });
        }
    }
}

/// Makes a reserve of this size.
fn make(disk: &dyn Disk, name: &str, held: &mut Option<Reserve>, bytes: u64) -> Result<()> {
    find(disk, name, held);
    if held.as_ref().is_some_and(|held| held.bytes == bytes) {
        return Ok(());
    }
    // One of another size, as a power cut leaves a scratch file that was cut, takes only
    // the room that it lacks, and no inode.
    if let Ok(file) = disk.open_to_write(name) {
        let failed = |e| Error::io("write", disk.path(name), &e);
        let len = file.len().map_err(failed)?;
        if len > bytes {
            file.cut(bytes).map_err(failed)?;
        } else {
            check_room(disk, bytes - len, "write", name)?;
            Segment::zero(&*file, len..bytes).map_err(failed)?;
        }
        *held = Some(Reserve { bytes, file });
        return Ok(());
    }
    check_room(disk, bytes, "create", name)?;
    let (aside, file) =
        create_aside(disk, name).map_err(|e| Error::io("create", disk.path(name), &e))?;
    Segment::fill(disk, &aside, &*file, bytes)?;
    if let Err(e) = disk.rename(&aside, name) {
        disk.remove(&aside).ok();
        return Err(Error::io("create", disk.path(name), &e));
    }
    *held = Some(Reserve { bytes, file });
    disk.sync_names()
        .map_err(|e| Error::io("create", disk.path(name), &e))
}

/// Makes a reserve of this size, or a smaller one if there is not enough room for it, as
/// when packs have got a little larger or another program has taken some room. A smaller one
/// grows as soon as it can; until then this returns an error. A little room stays free,
/// unless the smallest reserve needs it.
fn make_some(disk: &dyn Disk, name: &str, held: &mut Option<Reserve>, bytes: u64) -> Result<()> {
    let made = make(disk, name, held, bytes);
    if matches!(made, Err(Error::DiskFull { .. })) && held.is_none() {
        let free = disk.free_bytes().ok().flatten().unwrap_or_default();
        // What a power cut left of one that was cut is room, too.
        let left = disk.open(name).and_then(|file| file.len());
        let room = free + left.unwrap_or_default();
        if room >= RESERVE_BYTES_MIN {
            let some = room.saturating_sub(bytes / 16).max(RESERVE_BYTES_MIN);
            make(disk, name, held, some.min(bytes)).ok();
        }
    }
    made
}

impl Slot {
    /// The scratch file first: it is what room comes from.
    fn make_reserves(&mut self, disk: &dyn Disk) -> Result<()> {
        self.make_scratch(disk)?;
        self.check_packing_room(disk)?;
        self.make_reserve(disk)
    }

    /// Refuses a reserve in the room in which a segment is packed, if that room is there:
    /// packing makes room for both.
    fn check_packing_room(&self, disk: &dyn Disk) -> Result<()> {
        let (lacking, to_pack) = (self.lacking(&self.reserve), self.packing_bytes(0));
        match disk.free_bytes() {
            Ok(Some(free)) if lacking > 0 && to_pack > 0 && free >= to_pack => {
                check_room(disk, lacking + to_pack, "create", file_names::RESERVE)
            }
            _ => Ok(()),
        }
    }

    fn make_reserve(&mut self, disk: &dyn Disk) -> Result<()> {
        let bytes = self.reserve_bytes;
        make_some(disk, file_names::RESERVE, &mut self.reserve, bytes)
    }

    fn make_scratch(&mut self, disk: &dyn Disk) -> Result<()> {
        let bytes = self.reserve_bytes;
        make_some(disk, file_names::SCRATCH, &mut self.scratch, bytes)
    }

    /// What a reserve lacks.
    fn lacking(&self, held: &Option<Reserve>) -> u64 {
        let bytes = held.as_ref().map_or(0, |held| held.bytes);
        self.reserve_bytes.saturating_sub(bytes)
    }

    /// Room that is not to be taken by anything else: what the reserves lack.
    fn kept_bytes(&self) -> u64 {
        self.lacking(&self.reserve) + self.lacking(&self.scratch)
    }

    /// Room that must be there for another segment: to pack it, too.
    fn bytes_needed(&self, bytes: u64) -> u64 {
        bytes + self.packing_bytes(bytes) + self.kept_bytes()
    }

    /// Room in which the segments in use, and another of this size, are packed. They are
    /// packed one after another, and each gives its own room back; those that fit into the
    /// scratch file need none.
    fn packing_bytes(&self, bytes: u64) -> u64 {
        let in_use = self.to_pack.values().copied();
        match in_use.max().unwrap_or(0).max(bytes) {
            largest if largest <= self.reserve_bytes => 0,
            largest => largest + pack_overhead(self.reserve_bytes),
        }
    }

    fn make_ready(&mut self, disk: &dyn Disk) -> Result<()> {
        if self.ready.is_some() {
            return Ok(());
        }
        let mut bytes = self.next_bytes;
        if let Ok(Some(free)) = disk.free_bytes() {
            // A smaller one is better than none.
            while bytes / 2 >= FIRST_SEGMENT_BYTES && free < self.bytes_needed(bytes) {
                bytes /= 2;
            }
        }
        let prepared = self.prepare(disk, bytes)?;
        self.next_bytes = (bytes * 2).min(self.bytes_max);
        self.ready = Some(prepared);
        Ok(())
    }

    /// A file of the next epoch. The reserves come first: of bytes and of files alike.
    fn prepare(&mut self, disk: &dyn Disk, bytes: u64) -> Result<Prepared> {
        let epoch = self.next_epoch;
        let name = file_names::segment(epoch);
        // Another error is noted when the packer tries again; meanwhile their bytes are kept
        // free.
        if let Err(Error::DiskFull { .. }) = self.make_reserves(disk) {
            return Err(Error::DiskFull {
                operation: "create",
                path: disk.path(&name),
            });
        }
        check_room(disk, self.bytes_needed(bytes), "create", &name)?;
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
            disk.remove(&file_names::segment(prepared.epoch)).ok();
            return Err(error);
        }
        Ok(prepared)
    }

    fn drop_ready(&mut self, disk: &dyn Disk) -> Result<()> {
        let Some(ready) = &self.ready else {
            return Ok(());
        };
        let name = file_names::segment(ready.epoch);
        disk.remove(&name)
            .map_err(|e| Error::io("remove", disk.path(&name), &e))?;
        self.ready = None;
        Ok(())
    }

    /// Makes the reserve the next segment, which needs no room. `refused` says why
    /// there is no other.
    fn take_reserve(&mut self, disk: &dyn Disk, bytes: u64, refused: Error) -> Result<Prepared> {
        find(disk, file_names::RESERVE, &mut self.reserve);
        let Some(reserve) = self.reserve.take_if(|reserve| reserve.bytes >= bytes) else {
            return Err(refused);
        };
        let failed = |e| Error::io("write", disk.path(file_names::RESERVE), &e);
        // Frames are found by looking for them, so nothing else may lie there; and
        // what can be written now can be written when it matters.
        if let Err(e) = Segment::zero(&*reserve.file, 0..reserve.bytes) {
            self.reserve = Some(reserve);
            return Err(failed(e));
        }
        self.drop_ready(disk)?;
        let epoch = self.next_epoch;
        let name = file_names::segment(epoch);
        // Which name it has after an error, the next look for it finds.
        disk.rename(file_names::RESERVE, &name).map_err(failed)?;
        if let Err(e) = disk.sync_names() {
            disk.rename(&name, file_names::RESERVE).ok();
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
