//! The store's lock, and how it is acquired.

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

/// The store's lock, held until it is dropped.
///
/// Both the directory and the file `LOCK` in it are locked. The directory can be deleted or
/// replaced only together with everything in it, whereas the file `LOCK` can be deleted alone.
/// However, the file can be locked even on file systems that cannot lock directories (such as NFS),
/// and other programs can check its lock.
pub(crate) struct StoreLock {
    directory: Option<Arc<File>>,
    file: Option<File>,
    /// The process that acquired it.
    owner: u32,
}

impl StoreLock {
    /// Whether the store is locked only by the file `LOCK`.
    pub(crate) fn needs_its_file(&self) -> bool {
        self.directory.is_none()
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        // A forked child has copies of the handles, and must not release its parent's lock.
        if std::process::id() != self.owner {
            return;
        }
        // Unlock explicitly: a child process that is just being started may hold a copy of the
        // handle, so closing this one would not release the lock.
        for file in self.file.iter().chain(self.directory.as_deref()) {
            rustix::fs::flock(file, FlockOperation::Unlock).ok();
        }
    }
}

/// How many times an open tries to acquire the lock. Readers hold the lock briefly when they check
/// whether it is free.
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

/// Acquires the lock of the store in a directory.
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
        // This file system cannot lock directories.
        Err(_) => {}
    }
    let file = match disk.open_or_create(file_names::LOCK) {
        Ok(file) => file,
        // There is no space for the file `LOCK`, but it is not needed, because the directory is
        // locked.
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
