//! A store's folder: whose it is, and who may open it.
//!
//! Owns: what a folder is taken for, its lock, the parts of a store that need a real
//! folder. Must not know: what its files hold.
//! Promise: no byte is changed before the folder is known to be a store, or empty, and
//! locked.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::engine::open::{IndexHome, open, open_read_only};
use crate::engine::{Engine, check, exposure, holder};
use crate::error::{Error, Result};
use crate::index::Index;
use crate::index::folder::{IndexFolder, Wanted};
use crate::options::Options;
use crate::storage::disk::Disk;
use crate::storage::disk::bounded::{Access, Bounded};
use crate::storage::disk::os::Folder;
use crate::storage::names;

/// The share of the cache budget that the index engine is told: it holds about as
/// much again besides, and the lookups' filters need some.
const INDEX_CACHE_SHARE: u64 = 4;

/// Opens the store in a folder; a damaged one, where that is wanted, after a repair.
pub(crate) fn open_folder(options: Options, path: &Path) -> Result<Arc<Engine>> {
    if options.read_only {
        return open_folder_read_only(&options, path);
    }
    let opened = open_sound_folder(options.clone(), path);
    if !options.tolerant || !matches!(opened, Err(Error::Damaged { .. })) {
        return opened;
    }
    let repaired = check::repair_folder(path)?;
    tracing::warn!(
        jobs = repaired.jobs,
        events = repaired.events,
        "the store was damaged; what was damaged is set aside"
    );
    let engine = open_sound_folder(options, path)?;
    // A fresh engine's is empty.
    engine.repaired.set(repaired).ok();
    Ok(engine)
}

fn open_sound_folder(options: Options, path: &Path) -> Result<Arc<Engine>> {
    let kind = match Folder::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Kind::Empty,
        there => kind_of(&there.map_err(|e| Error::io("open", path, &e))?)?,
    };
    if !options.create && matches!(kind, Kind::Empty) {
        return Err(Error::StoreMissing {
            path: path.to_path_buf(),
        });
    }
    check_kind(path, kind)?;
    Folder::create(path).map_err(|e| Error::io("create", path, &e))?;
    let directory = Arc::new(Folder::open(path).map_err(|e| Error::io("open", path, &e))?);
    let lock = lock(&directory)?;
    let disk = Arc::new(Bounded::new(directory.clone(), Access::ReadWrite));
    let cache_bytes = options.cache_bytes / INDEX_CACHE_SHARE;
    let folder = IndexFolder::new(&directory, options.index, cache_bytes);
    let engine = open(options, disk, Some(lock), IndexHome::Folder(folder))?;
    let place = engine.index_folder.as_ref().map(IndexFolder::place);
    if let Some(what) = place.and_then(exposure::find) {
        tracing::warn!(%what, "others can read what the store keeps");
        *engine.exposure.lock() = Some(what);
    }
    Ok(engine)
}

fn open_folder_read_only(options: &Options, path: &Path) -> Result<Arc<Engine>> {
    let engine = read_at_rest(path, |disk| open_read_only(options.clone(), Arc::new(disk)))?;
    if let Some(what) = exposure::find(path) {
        tracing::warn!(%what, "others can read what the store keeps");
        *engine.exposure.lock() = Some(what);
    }
    Ok(engine)
}

/// How often files are read again that an engine has replaced meanwhile.
const READ_TRIES: usize = 5;

/// Reads a store that nobody has open, without keeping anybody from opening it: what was
/// read counts only if no engine had it open at the end either.
pub(crate) fn read_at_rest<T>(
    path: &Path,
    mut read: impl FnMut(Bounded) -> Result<T>,
) -> Result<T> {
    let directory = Arc::new(store_directory(path)?);
    let names = || {
        let mut names = directory.names().map_err(|e| Error::io("read", path, &e))?;
        names.sort_unstable();
        Ok::<_, Error>(names)
    };
    let mut tries = 1;
    loop {
        check_not_in_use(&directory)?;
        let before = names()?;
        let done = read(Bounded::new(directory.clone(), Access::ReadOnly));
        check_not_in_use(&directory)?;
        // An engine may have come and gone.
        if names()? == before || tries == READ_TRIES {
            return done;
        }
        tries += 1;
    }
}

/// Refuses a store that somebody has open. The lock is not kept.
fn check_not_in_use(disk: &Folder) -> Result<()> {
    let free = |file: &File| match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            rustix::fs::flock(file, FlockOperation::Unlock).ok();
            Ok(())
        }
        Err(Errno::WOULDBLOCK) => Err(Error::StoreInUse {
            path: disk.path(""),
            holder: holder::find(&[file]),
        }),
        // Directories are not locked here, or nobody can have locked the file.
        Err(_) => Ok(()),
    };
    free(disk.handle())?;
    match disk.open_plain(names::LOCK, OFlags::RDONLY) {
        Ok(file) => free(&file),
        // It was never opened, or is a copy.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io("open", disk.path(names::LOCK), &e)),
    }
}

/// What a folder is.
enum Kind {
    Store,
    /// A store's files, but not its identity.
    Nameless,
    /// Nothing, or what a crash leaves while a store is being made, or what a file
    /// system has in any folder.
    Empty,
    /// Something else, with one of its names.
    Foreign(String),
}

fn kind_of(disk: &Folder) -> Result<Kind> {
    let names = disk.names();
    let names = names.map_err(|e| Error::io("read", disk.path(""), &e))?;
    if names.iter().any(|name| name == names::STORE) {
        return Ok(Kind::Store);
    }
    let mut kind = Kind::Empty;
    for name in names {
        let harmless =
            name == names::LOCK || names::is_aside(&name) || names::is_of_the_system(&name);
        if names::is_ours(&name) && !harmless {
            return Ok(Kind::Nameless);
        }
        if !harmless {
            kind = Kind::Foreign(name);
        }
    }
    Ok(kind)
}

impl Engine {
    /// Whether a path leads into the store's own folder, by whatever way.
    pub(crate) fn is_within(&self, path: &Path) -> bool {
        let folder = self.index_folder.as_ref();
        folder.is_some_and(|folder| resolved(path).starts_with(resolved(folder.place())))
    }
}

/// Where a path leads that may not be there yet.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let there = path.ancestors().find_map(|above| {
        let found = above.canonicalize().ok()?;
        Some((found, path.strip_prefix(above).ok()?))
    });
    let Some((mut resolved, rest)) = there else {
        return path;
    };
    for part in rest {
        match part == ".." {
            true => drop(resolved.pop()),
            false => resolved.push(part),
        }
    }
    resolved
}

/// Refuses a folder that holds something else.
fn check_kind(path: &Path, kind: Kind) -> Result<()> {
    match kind {
        Kind::Store | Kind::Empty => Ok(()),
        Kind::Nameless => {
            let what = "the file is missing, but the folder holds a store's files";
            Err(Error::damaged(path.join(names::STORE), 0, what))
        }
        Kind::Foreign(found) => Err(Error::NotAStore {
            path: path.to_path_buf(),
            found,
        }),
    }
}

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
pub(super) fn lock(disk: &Folder) -> Result<StoreLock> {
    let failed = |e: io::Error| Error::io("lock", disk.path(names::LOCK), &e);
    let in_use = |files: &[&File]| Error::StoreInUse {
        path: disk.path(""),
        holder: holder::find(files),
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
    let file = match disk.open_or_create(names::LOCK) {
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

/// Whether what is looked at may be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Only,
    AndChange,
}

/// A store's folder that nobody has open, and its lock, so that nobody opens it
/// meanwhile.
pub(crate) fn folder_at_rest(path: &Path) -> Result<(Bounded, Arc<Folder>, StoreLock)> {
    let directory = Arc::new(store_directory(path)?);
    let lock = lock(&directory)?;
    let disk = Bounded::new(directory.clone(), Access::ReadWrite);
    Ok((disk, directory, lock))
}

/// Opens a directory that is a store, sound or not.
fn store_directory(path: &Path) -> Result<Folder> {
    let there = path.to_path_buf();
    let disk = match Folder::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Error::StoreMissing { path: there });
        }
        opened => opened.map_err(|e| Error::io("open", path, &e))?,
    };
    match kind_of(&disk)? {
        Kind::Store | Kind::Nameless => Ok(disk),
        Kind::Empty => Err(Error::StoreMissing { path: there }),
        Kind::Foreign(found) => Err(Error::NotAStore { path: there, found }),
    }
}

/// The index of a store that nobody has open.
pub(crate) fn index_at_rest(
    disk: &Arc<Folder>,
    wanted: Wanted<'_>,
) -> Result<Option<Arc<dyn Index>>> {
    let cache_bytes = Options::default().cache_bytes / INDEX_CACHE_SHARE;
    let index = IndexFolder::at_rest(disk, cache_bytes, wanted);
    index.map_err(|e| Error::io("open", disk.path(""), &e))
}
