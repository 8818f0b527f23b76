//! Preallocation: the next segment, created in advance, and the reserves for a full disk.
//!
//! Segments are used in ascending order of their epochs. Only writes that complete jobs or free
//! space may use the reserves. Other writes never use the space that is needed to create the
//! reserves. Their segments also never use the space that is needed to pack the segments in use.
//! Packing must always be possible, because it frees the space of purged jobs.
//!
//! `RESERVE` becomes the next segment if there is no space for another one. A pack, or the record
//! of a clean close, is written to `SCRATCH` if there is no space for a new file. After a pack
//! was written to `SCRATCH`, one of the files that the pack replaces becomes the next `SCRATCH`.
//! Freeing space therefore never needs additional space, even if freed space goes to other users.

mod replaced;
mod reserve;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::replaced::{Replaced, ScratchUse};
use self::reserve::{Held, RESERVE_BYTES_MAX, RESERVE_BYTES_MIN, Reserve, SCRATCH_BYTES_MIN};
use crate::log::disk::{Disk, File, check_room, rename_aside};
use crate::log::file_names;
use crate::log::revocable::Revocable;
use crate::log::segment::Segment;
use crate::model::error::{Error, Result};

/// The size of the first segment after an open. Each further segment is twice as large as the one
/// before, up to the configured size, so that a small store stays small.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;

/// The space that a frame may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Only segments that are created from free space.
    Ordinary,
    /// In addition, the reserve, if no other segment can be created.
    Reserve,
    /// In addition, the last part of the reserve, which is kept for writes that free space.
    Freeing,
    /// In addition, the end of a segment, which is kept for opens.
    Opening,
}

/// The preallocated files. A background thread creates the next segment in advance.
pub(crate) struct Preallocation {
    slot: Mutex<Slot>,
    reserve_bytes: u64,
    segment_bytes: u64,
    /// The size of the preallocated files. Can be read without waiting while a file is being
    /// created.
    bytes: AtomicU64,
}

struct Slot {
    ready: Option<Prepared>,
    reserve: Reserve,
    scratch: Reserve,
    next_epoch: u64,
    next_bytes: u64,
    bytes_max: u64,
    /// The intended size of each reserve.
    reserve_bytes: u64,
    /// The sizes of the segments in use, by epoch. Packing a segment needs about as much space
    /// again.
    to_pack: BTreeMap<u64, u64>,
    /// Set when no more files are to be created.
    closed: bool,
}

fn pack_overhead(reserve_bytes: u64) -> u64 {
    reserve_bytes / 16
}

/// A file of zeros that has the name of a segment.
pub(crate) struct Prepared {
    pub(crate) epoch: u64,
    pub(crate) bytes: u64,
    pub(crate) file: Arc<dyn File>,
    /// Whether the file was the reserve.
    pub(crate) is_reserve: bool,
}

impl Preallocation {
    pub(crate) fn new(next_epoch: u64, segment_bytes: u64) -> Preallocation {
        // The largest write that completes a job fits into twice the smallest segment.
        let reserve_bytes = RESERVE_BYTES_MAX.min(2 * segment_bytes);
        Preallocation {
            slot: Mutex::new(Slot {
                ready: None,
                reserve: Reserve::new(file_names::RESERVE, reserve_bytes, RESERVE_BYTES_MIN),
                scratch: Reserve::new(file_names::SCRATCH, reserve_bytes, SCRATCH_BYTES_MIN),
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

    /// The size of the preallocated files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The intended size of each reserve.
    pub(crate) fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
    }

    /// The size up to which segments grow.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// How much larger a pack may be than the segment that it is created from.
    pub(crate) fn pack_overhead(&self) -> u64 {
        pack_overhead(self.reserve_bytes)
    }

    /// Registers an existing segment that is to be packed, so that the space for packing it is kept
    /// free.
    pub(crate) fn note_to_pack(&self, epoch: u64, bytes: u64) {
        self.slot.lock().to_pack.insert(epoch, bytes);
    }

    /// Unregisters a segment that was packed, or was never used.
    pub(crate) fn note_packed(&self, epoch: u64) {
        self.slot.lock().to_pack.remove(&epoch);
    }

    /// Records that the reserves were removed, so that they are created again.
    pub(crate) fn forget_reserves(&self) {
        let mut slot = self.slot.lock();
        slot.reserve.forget();
        slot.scratch.forget();
        self.count(&slot);
    }

    /// Returns whether there is a reserve.
    pub(crate) fn has_reserve(&self) -> bool {
        self.slot.lock().reserve.is_held()
    }

    /// Creates the reserves and the next segment if they are missing. Other callers wait on the
    /// lock, so a commit that needs a file does not create another one at the same time.
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

    /// Returns whether no thread is creating or taking a file.
    #[cfg(feature = "simulation")]
    pub(crate) fn is_free(&self) -> bool {
        self.slot.try_lock().is_some()
    }

    /// Calls `what` while no file can be created.
    #[cfg(all(test, not(jobstore_shuttle)))]
    pub(crate) fn stand_still(&self, what: impl FnOnce()) {
        let _slot = self.slot.lock();
        what();
    }

    /// Creates reserves that are missing or have the wrong size. Normally, the scratch file is
    /// created first. If the log cannot continue without `RESERVE`, `RESERVE` is created first.
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

    /// Renames the scratch file to the temporary name of a file that is going to be renamed to
    /// `name`. The caller overwrites it from its start, truncates it, and renames it, or returns it
    /// with [`Preallocation::return_scratch`]. `None` if there is no scratch file.
    pub(crate) fn lend_scratch(
        &self,
        disk: &dyn Disk,
        name: &str,
    ) -> io::Result<Option<ScratchFile>> {
        let mut slot = self.slot.lock();
        let Some(scratch) = slot.scratch.take(disk, 0) else {
            return Ok(None);
        };
        // After an error, the file may have either name. The next search finds the file in both
        // cases.
        let aside = rename_aside(disk, file_names::SCRATCH, name)?;
        self.count(&slot);
        let Held { bytes, file } = scratch;
        Ok(Some(ScratchFile { bytes, file, aside }))
    }

    /// Returns how a pack that replaces these files may be written to the scratch file, if at all.
    pub(crate) fn scratch_use(&self, disk: &dyn Disk, replaced: &Replaced) -> Option<ScratchUse> {
        let mut slot = self.slot.lock();
        slot.scratch.find(disk);
        replaced.scratch_use(disk.freed_space(), slot.scratch.bytes())
    }

    /// Takes back a scratch file. If the file was truncated, it grows as far as the space permits.
    pub(crate) fn return_scratch(&self, disk: &dyn Disk, scratch: &ScratchFile) {
        let mut slot = self.slot.lock();
        slot.remove(disk, &scratch.aside, None).ok();
        slot.make_scratch(disk).ok();
        self.count(&slot);
    }

    /// If the scratch file was used, creates another one from the space of the files that were
    /// replaced, before anything else can use that space. Also called while the store is being
    /// closed.
    pub(crate) fn replace_scratch(&self, disk: &dyn Disk) {
        let mut slot = self.slot.lock();
        if !slot.scratch.is_held() {
            // If this fails, it is retried when the other files are created.
            slot.make_scratch(disk).ok();
            self.count(&slot);
        }
    }

    /// Removes a file of the log that is no longer needed. If a reserve is missing, keeps the
    /// file's space for it: the file gets the name of the reserve. Freed space might go to other
    /// users.
    pub(crate) fn remove(&self, disk: &dyn Disk, name: &str, file: &Revocable) -> io::Result<()> {
        self.slot.lock().remove(disk, name, Some(file))
    }

    /// Like [`Preallocation::remove`], for a file that a crash has left. If the log cannot continue
    /// without `RESERVE`, the file becomes `RESERVE` rather than the scratch file.
    pub(crate) fn remove_leftover(
        &self,
        disk: &dyn Disk,
        name: &str,
        log_needs_it: bool,
    ) -> io::Result<()> {
        let mut slot = self.slot.lock();
        if log_needs_it && slot.reserve.keep_removed(disk, name, None) {
            return Ok(());
        }
        slot.remove(disk, name, None)
    }

    /// Gives the name of a file of the log to the file `aside`, which replaces it. Like
    /// [`Preallocation::remove`], keeps the space of the replaced file if a reserve is missing.
    pub(crate) fn replace(
        &self,
        disk: &dyn Disk,
        (aside, name): (&str, &str),
        replaced: &Revocable,
    ) -> io::Result<()> {
        let mut slot = self.slot.lock();
        let mut reserves = slot.by_need().into_iter();
        let kept = reserves.find_map(|reserve| {
            let is_kept = reserve.keep_replaced(disk, name, replaced);
            is_kept.then_some(reserve)
        });
        let renamed = disk.rename(aside, name);
        if let (Err(_), Some(reserve)) = (&renamed, kept) {
            reserve.release_kept(disk);
        }
        renamed
    }

    fn count(&self, slot: &Slot) {
        let ready = slot.ready.as_ref().map_or(0, |ready| ready.bytes);
        let reserves = slot.reserve.bytes() + slot.scratch.bytes();
        self.bytes.store(ready + reserves, Ordering::Relaxed);
    }

    /// Takes a file of at least `bytes`. Depending on `room`, the reserve is used if no other file
    /// can be created, for any reason.
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

    /// Removes the unused segment at a clean close. The reserves are kept, because the next open
    /// may need them.
    pub(crate) fn discard(&self, disk: &dyn Disk) -> Result<()> {
        let mut slot = self.slot.lock();
        slot.closed = true;
        slot.drop_ready(disk)
    }
}

/// A scratch file in use.
pub(crate) struct ScratchFile {
    pub(crate) bytes: u64,
    pub(crate) file: Arc<dyn File>,
    /// The temporary name of the file.
    pub(crate) aside: String,
}

impl Slot {
    /// Creates the scratch file first, because it is needed to free space.
    fn make_reserves(&mut self, disk: &dyn Disk) -> Result<()> {
        self.make_scratch(disk)?;
        self.check_packing_room(disk)?;
        self.make_reserve(disk)
    }

    /// Returns an error if the reserve would use the space that is needed to pack a segment,
    /// provided that this space is available. Packing then frees space for both.
    fn check_packing_room(&self, disk: &dyn Disk) -> Result<()> {
        let (lacking, to_pack) = (self.reserve.lacking(), self.packing_bytes(0));
        match disk.free_bytes() {
            Ok(Some(free)) if lacking > 0 && to_pack > 0 && free >= to_pack => {
                check_room(disk, lacking + to_pack, "create", file_names::RESERVE)
            }
            _ => Ok(()),
        }
    }

    fn make_reserve(&mut self, disk: &dyn Disk) -> Result<()> {
        self.reserve.make_some(disk)
    }

    fn make_scratch(&mut self, disk: &dyn Disk) -> Result<()> {
        self.scratch.make_some(disk)
    }

    /// The reserves, in the order in which they are created. The scratch file comes first, because
    /// it is needed to free space.
    fn by_need(&mut self) -> [&mut Reserve; 2] {
        [&mut self.scratch, &mut self.reserve]
    }

    fn remove(&mut self, disk: &dyn Disk, name: &str, file: Option<&Revocable>) -> io::Result<()> {
        let mut reserves = self.by_need().into_iter();
        match reserves.any(|reserve| reserve.keep_removed(disk, name, file)) {
            true => Ok(()),
            false => disk.remove(name),
        }
    }

    /// The space that is kept free for the reserves: the bytes that they are missing.
    fn kept_bytes(&self) -> u64 {
        self.reserve.lacking() + self.scratch.lacking()
    }

    /// The free space that another segment requires, including the space to pack it.
    fn bytes_needed(&self, bytes: u64) -> u64 {
        bytes + self.packing_bytes(bytes) + self.kept_bytes()
    }

    /// The space that is needed to pack the segments in use and another one of this size. Segments
    /// are packed one after another, and packing each one frees its own space. Segments that fit
    /// into the scratch file need no space.
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
            // A smaller segment is better than none.
            while bytes / 2 >= FIRST_SEGMENT_BYTES && free < self.bytes_needed(bytes) {
                bytes /= 2;
            }
        }
        let prepared = self.prepare(disk, bytes)?;
        self.next_bytes = (bytes * 2).min(self.bytes_max);
        self.ready = Some(prepared);
        Ok(())
    }

    /// Creates a file with the next epoch. The reserves are created first, so that they get the
    /// last bytes and inodes.
    fn prepare(&mut self, disk: &dyn Disk, bytes: u64) -> Result<Prepared> {
        let epoch = self.next_epoch;
        let name = file_names::segment(epoch);
        // Other errors are reported when the packer tries again. Until then, the space for the
        // reserves is kept free.
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
        // The prepared segment is too small for this frame, and its epoch is lower.
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

    /// Turns the reserve into the next segment, which needs no space. If there is no suitable
    /// reserve, returns `refused`, the reason why no other segment could be created.
    fn take_reserve(&mut self, disk: &dyn Disk, bytes: u64, refused: Error) -> Result<Prepared> {
        let Some(reserve) = self.reserve.take(disk, bytes) else {
            return Err(refused);
        };
        let failed = |e| Error::io("write", disk.path(file_names::RESERVE), &e);
        // The file is filled with zeros because a scan could mistake its old bytes for frames.
        // Besides, this shows that the file can be written to now that it is needed.
        if let Err(e) = Segment::zero(&*reserve.file, 0..reserve.bytes) {
            self.reserve.put_back(reserve);
            return Err(failed(e));
        }
        self.drop_ready(disk)?;
        let epoch = self.next_epoch;
        let name = file_names::segment(epoch);
        // After an error, the file may have either name. The next search finds the file in both
        // cases.
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
