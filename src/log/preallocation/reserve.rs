//! A preallocated file that is kept for a full disk.
//!
//! It is created from free space, or from a file that is no longer needed. The latter works even if
//! freed space goes to other users.

use std::sync::Arc;

use crate::log::disk::{Disk, File, check_room, create_aside};
use crate::log::revocable::{Readers, Revocable};
use crate::log::segment::Segment;
use crate::model::error::{Error, Result};

/// The maximum size of a reserve. It is enough for thousands of starts and completions.
pub(super) const RESERVE_BYTES_MAX: u64 = 1 << 20;
/// No smaller reserve is created.
pub(super) const RESERVE_BYTES_MIN: u64 = 4 << 10;
/// A smaller scratch file may be left after a pack was written to it. It is used nevertheless, since
/// there may be no space for another one.
pub(super) const SCRATCH_BYTES_MIN: u64 = 1;
/// The part of the file that is overwritten last. If it is zero, so is the rest.
const HEAD_BYTES: u64 = 4 << 10;

/// One of the two reserves.
pub(super) struct Reserve {
    name: &'static str,
    /// The intended size.
    full_bytes: u64,
    /// A smaller file is not used.
    bytes_min: u64,
    held: Option<Held>,
    /// Set if a replaced file was given this name, until the file is used.
    kept: Option<Kept>,
}

/// The file of a reserve.
pub(super) struct Held {
    pub(super) bytes: u64,
    pub(super) file: Arc<dyn File>,
}

/// A file that was replaced, and that is to become a reserve.
struct Kept {
    /// Pages may still read the file.
    readers: Option<Readers>,
}

impl Kept {
    fn is_read(&self) -> bool {
        self.readers.as_ref().is_some_and(Readers::exist)
    }
}

impl Reserve {
    pub(super) fn new(name: &'static str, full_bytes: u64, bytes_min: u64) -> Reserve {
        Reserve {
            name,
            full_bytes,
            bytes_min,
            held: None,
            kept: None,
        }
    }

    /// Records that the file was removed.
    pub(super) fn forget(&mut self) {
        (self.held, self.kept) = (None, None);
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// The size of the file, or 0 if there is none.
    pub(super) fn bytes(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.bytes)
    }

    /// Returns how many bytes the file is missing.
    pub(super) fn lacking(&self) -> u64 {
        self.full_bytes.saturating_sub(self.bytes())
    }

    /// Takes the file if it exists and has at least this size.
    pub(super) fn take(&mut self, disk: &dyn Disk, bytes: u64) -> Option<Held> {
        self.find(disk);
        self.held.take_if(|held| held.bytes >= bytes)
    }

    /// Puts the file back that was taken last, and that still has its name.
    pub(super) fn put_back(&mut self, held: Held) {
        self.held = Some(held);
    }

    /// Opens the file if it exists. Anything with this name that cannot be used is ignored.
    pub(super) fn find(&mut self, disk: &dyn Disk) {
        if self.held.is_none() {
            self.held = self
                .open(disk, RESERVE_BYTES_MAX)
                .filter(|found| found.bytes >= self.bytes_min);
        }
    }

    /// Opens the file, truncates it to `bytes_max`, and removes what it contained. Returns `None`
    /// if there is no file, or if it cannot be overwritten now.
    fn open(&mut self, disk: &dyn Disk, bytes_max: u64) -> Option<Held> {
        if let Some(kept) = &self.kept {
            // Before the file is overwritten, its previous name must be durably gone. Otherwise,
            // that name could lead to the new contents after a power failure.
            if kept.is_read() || disk.sync_names().is_err() {
                return None;
            }
            self.kept = None;
        }
        let file = disk.open_to_write(self.name).ok()?;
        // After a crash, the file may still be a part of the log, under another name.
        if disk.links(self.name).ok()? > 1 {
            disk.remove(self.name).ok();
            return None;
        }
        let mut bytes = file.len().ok()?;
        if bytes > bytes_max {
            file.cut(bytes_max).ok()?;
            bytes = bytes_max;
        }
        // The file system has allocated a whole block, even if the disk is full.
        if bytes < RESERVE_BYTES_MIN && Segment::zero(&*file, bytes..RESERVE_BYTES_MIN).is_ok() {
            bytes = RESERVE_BYTES_MIN;
        }
        // The log's files start with a magic number. Requests that were purged are not kept.
        let mut start = [0; 8];
        let is_used = bytes >= 8 && file.read_exact_at(&mut start, 0).is_ok() && start != [0; 8];
        if is_used {
            let head = bytes.min(HEAD_BYTES);
            let zeroed = Segment::zero(&*file, head..bytes);
            zeroed.and_then(|()| Segment::zero(&*file, 0..head)).ok()?;
        }
        Some(Held { bytes, file })
    }

    /// Creates the file with this size, or resizes it.
    pub(super) fn make(&mut self, disk: &dyn Disk, bytes: u64) -> Result<()> {
        self.find(disk);
        if self.held.as_ref().is_some_and(|held| held.bytes == bytes) {
            return Ok(());
        }
        // If there is a file of a different size (a power failure may leave a truncated scratch
        // file), only the missing space is needed, and no additional inode.
        let name = self.name;
        if let Some(Held { bytes: len, file }) = self.open(disk, bytes) {
            if len < bytes {
                check_room(disk, bytes - len, "write", name)?;
                Segment::zero(&*file, len..bytes)
                    .map_err(|e| Error::io("write", disk.path(name), &e))?;
            }
            self.held = Some(Held { bytes, file });
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
        self.kept = None;
        self.held = Some(Held { bytes, file });
        disk.sync_names()
            .map_err(|e| Error::io("create", disk.path(name), &e))
    }

    /// Like [`Reserve::make`], but if there is not enough space (packs have grown slightly, or
    /// another program has used some space), creates a smaller file, which grows as soon as
    /// possible; until then, this function returns an error. Some space is left free, unless even
    /// the smallest reserve needs it.
    pub(super) fn make_some(&mut self, disk: &dyn Disk) -> Result<()> {
        let bytes = self.full_bytes;
        let made = self.make(disk, bytes);
        if matches!(made, Err(Error::DiskFull { .. })) && self.bytes() < RESERVE_BYTES_MIN {
            let free = disk.free_bytes().ok().flatten().unwrap_or_default();
            // If a power failure has truncated the file, the space that it still takes up can be
            // used, too.
            let left = match self.kept {
                Some(_) => 0,
                None => disk.open(self.name).and_then(|f| f.len()).unwrap_or(0),
            };
            let room = free + left;
            if room >= RESERVE_BYTES_MIN {
                let some = room.saturating_sub(bytes / 16);
                let some = some.max(RESERVE_BYTES_MIN).max(left);
                self.make(disk, some.min(bytes)).ok();
            }
        }
        made
    }

    /// Gives this name to a file of the log that is no longer needed, instead of removing it, if
    /// there is no file of this name, or only a smaller one. Returns whether it did.
    pub(super) fn keep_removed(
        &mut self,
        disk: &dyn Disk,
        name: &str,
        file: Option<&Revocable>,
    ) -> bool {
        // A backup may share the file.
        self.find(disk);
        if self.kept.is_some() || self.lacking() == 0 {
            return false;
        }
        let is_larger = |len: u64| len > self.bytes() && len >= self.bytes_min;
        let is_kept = disk.links(name).is_ok_and(|links| links == 1)
            && disk.open(name).and_then(|f| f.len()).is_ok_and(is_larger)
            && disk.rename(name, self.name).is_ok();
        if is_kept {
            self.held = None;
            let readers = file.map(Revocable::readers);
            self.kept = Some(Kept { readers });
        }
        is_kept
    }

    /// Gives a file of the log this name in addition to its own, which is about to be given to
    /// another file, if there is no file of this name. Returns whether it did.
    pub(super) fn keep_replaced(&mut self, disk: &dyn Disk, name: &str, file: &Revocable) -> bool {
        self.find(disk);
        let is_kept = self.held.is_none()
            && self.kept.is_none()
            && disk.links(name).is_ok_and(|links| links == 1)
            && disk.link(name, self.name).is_ok();
        if is_kept {
            let readers = Some(file.readers());
            self.kept = Some(Kept { readers });
        }
        is_kept
    }

    /// Reverts [`Reserve::keep_replaced`].
    pub(super) fn release_kept(&mut self, disk: &dyn Disk) {
        // If this fails, the number of links shows later that the file must not be used.
        disk.remove(self.name).ok();
        self.kept = None;
    }
}
