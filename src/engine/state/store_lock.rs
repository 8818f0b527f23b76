//! The store's lock.
//!
//! Owns: [`StoreLock`], and how it is taken. Must not know: what the folder holds.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::engine::state::lock_holder;
use crate::log::disk::Disk;
use crate::log::disk::os::OsDirectory;
use crate::log::file_names;
use crate::model::error::{Error, Result};

/// The store's lock, while it lives.
///
/// What is locked is the directory itself, which cannot be deleted or replaced without
/// all that is in it; and the file `LOCK`, which can, for file systems that lock no
/// directories (NFS), and for whoever looks there.
pub(crate) struct StoreLock {
    directory: Option<Arc<File>>,
    file: Option<File>,
    /// The process that has taken it.
    owner: u32,
}

impl StoreLock {
    /// Whether it rests on the file `LOCK` alone.
    pub(crate) fn needs_its_file(&self) -> bool {
        self.directory.is_none()
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        // A fork has copies of the handles. Its parent's lock is none of its business.
        if std::process::id() != self.owner {
            return;
        }
        // Unlocked by name: a process that is just being started has a copy of the
        // handle, and closing ours would not let go of the lock.
        for file in self.file.iter().chain(self.directory.as_deref()) {
            rustix::fs::flock(file, FlockOperation::Unlock).ok();
        }
    }
}

/// How often an engine tries to get the lock: readers take it for a moment, to see whether
/// it is free.
const LOCK_TRIES: usize = 25;
const LOCK_REST: Duration = Duration::from_millis(2);

/// Locks a file or directory for a writer.
fn lock_exclusively(file: &File) -> rustix::io::Result<()> {
    let mut tried = 1;
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if tried < LOCK_TRIES => std::thread::sleep(LOCK_REST),
            done => return done,
        }
        tried += 1;
    }
}

/// Takes the lock of the store in a folder.
pub(crate) fn lock(disk: &OsDirectory) -> Result<StoreLock> {
    let failed = |e: io::Error| Error::io("lock", disk.path(file_names::LOCK), &e);
    let in_use = |files: &[&File]| Error::StoreInUse {
        path: disk.path(""),
        holder: lock_holder::find(files),
    };
    let mut lock = StoreLock {
        directory: None,
        file: None,
        owner: std::process::id(),
    };
    match lock_exclusively(disk.handle()) {
        Ok(()) => lock.directory = Some(disk.handle().clone()),
        Err(Errno::WOULDBLOCK) => return Err(in_use(&[disk.handle()])),
        // Directories are not locked here.
        Err(_) => {}
    }
    let file = match disk.open_or_create(file_names::LOCK) {
        Ok(file) => file,
        // There is no room for it, and it is not needed.
        Err(e) if lock.directory.is_some() && is_full(&e) => return Ok(lock),
        Err(e) => return Err(failed(e)),
    };
    match lock_exclusively(&file) {
        Ok(()) => lock.file = Some(file),
        Err(Errno::WOULDBLOCK) => return Err(in_use(&[&file])),
        Err(e) => return Err(failed(e.into())),
    }
    Ok(lock)
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
