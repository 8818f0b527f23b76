//! A store's directory: what it contains, and who may open it.
//!
//! This module contains the parts of a store that need a real directory. No byte is changed before
//! the directory is locked and is known to be empty or to contain a store.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::engine::core::Engine;
use crate::engine::open::{IndexLocation, open, open_read_only};
use crate::engine::relocation;
use crate::engine::state::lock_holder;
use crate::engine::state::store_lock::{StoreLock, lock};
use crate::index::Index;
use crate::index::directory::{IndexAtRest, IndexDirectory};
use crate::index::read_only_copy;
use crate::log::disk::Disk;
use crate::log::disk::bounded::{BoundedDisk, FileAccess};
use crate::log::disk::os::OsDirectory;
use crate::log::file_names;
use crate::log::identity::IndexSeal;
use crate::log::permissions;
use crate::model::error::{Error, Result};
use crate::model::options::Options;

/// The cache budget is divided by this to obtain the index engine's cache size. The engine actually
/// uses about twice that size, and the filters for lookups also need memory.
const INDEX_CACHE_SHARE: u64 = 4;

/// Opens the store in a directory.
pub(crate) fn open_directory(options: Options, path: &Path) -> Result<Arc<Engine>> {
    if options.read_only {
        return open_directory_read_only(&options, path);
    }
    relocation::check_not_forked()?;
    let kind = match OsDirectory::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Kind::Empty,
        there => kind_of(&there.map_err(|e| Error::io("open", path, &e))?)?,
    };
    if !options.create && options.replica.is_none() && matches!(kind, Kind::Empty) {
        return Err(Error::StoreMissing {
            path: path.to_path_buf(),
        });
    }
    check_kind(path, kind)?;
    OsDirectory::create(path).map_err(|e| Error::io("create", path, &e))?;
    let directory = Arc::new(OsDirectory::open(path).map_err(|e| Error::io("open", path, &e))?);
    let lock = lock(&directory)?;
    let disk = Arc::new(BoundedDisk::new(directory.clone(), FileAccess::ReadWrite));
    let cache_bytes = options.cache_bytes / INDEX_CACHE_SHARE;
    let index_directory = IndexDirectory::new(&directory, cache_bytes);
    let engine = open(
        options,
        disk,
        Some(lock),
        IndexLocation::Directory(index_directory),
    )?;
    note_place(&engine, directory.place());
    Ok(engine)
}

/// Records where a store is, and whether other users can read its directory.
fn note_place(engine: &Engine, place: &Path) {
    engine.place.set(place.to_path_buf()).ok();
    if let Some(what) = permissions::find(place) {
        tracing::warn!(%what, "other users can access the store's files");
        *engine.permission_warning.lock() = Some(what);
    }
}

fn open_directory_read_only(options: &Options, path: &Path) -> Result<Arc<Engine>> {
    read_at_rest(path, |directory, disk| {
        check_kind(path, kind_of(directory)?)?;
        let sealed = |seal: &_| sealed_index(directory, seal, options);
        let engine = open_read_only(options.clone(), Arc::new(disk), sealed)?;
        note_place(&engine, directory.place());
        Ok(engine)
    })
}

/// The contents of a closed store's index, if it can be used.
fn sealed_index(
    directory: &Arc<OsDirectory>,
    seal: &IndexSeal,
    options: &Options,
) -> Option<Arc<dyn Index>> {
    let cache_bytes = options.cache_bytes / INDEX_CACHE_SHARE;
    match read_only_copy::read(directory, seal, &std::env::temp_dir(), cache_bytes) {
        Ok(index) => Some(Arc::new(index?)),
        Err(error) => {
            tracing::debug!(%error, "cannot copy the index; rebuilding it in memory");
            None
        }
    }
}

/// The maximum number of times that files are read. They are read again if another process has
/// opened the store and replaced them.
const READ_TRIES: usize = 5;

/// Reads a store that is not open, without preventing others from opening it. The result is valid
/// only if the store is still not open at the end.
pub(crate) fn read_at_rest<T>(
    path: &Path,
    mut read: impl FnMut(&Arc<OsDirectory>, BoundedDisk) -> Result<T>,
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
        let done = read(
            &directory,
            BoundedDisk::new(directory.clone(), FileAccess::ReadOnly),
        );
        check_not_in_use(&directory)?;
        // Another process may have opened and closed the store in the meantime.
        if names()? == before || tries == READ_TRIES {
            return done;
        }
        tries += 1;
    }
}

/// Refuses a store that is open. Locks it briefly to find out, but does not keep the lock.
fn check_not_in_use(disk: &OsDirectory) -> Result<()> {
    let free = |file: &File| match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            rustix::fs::flock(file, FlockOperation::Unlock).ok();
            Ok(())
        }
        Err(Errno::WOULDBLOCK) => Err(Error::StoreInUse {
            path: disk.path(""),
            holder: lock_holder::find(&[file]),
        }),
        // This system cannot lock directories, or cannot lock this file. In the latter case, no
        // process can have locked the file.
        Err(_) => Ok(()),
    };
    free(disk.handle())?;
    match disk.open_plain(file_names::LOCK, OFlags::RDONLY) {
        Ok(file) => free(&file),
        // The store was never opened, or is a copy.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io("open", disk.path(file_names::LOCK), &e)),
    }
}

/// What a directory contains.
enum Kind {
    Store,
    /// The files of a store, except the file `STORE`.
    Nameless,
    /// Nothing, except possibly files that remain after a crash during the creation of a store, and
    /// files that a file system puts into every directory.
    Empty,
    /// Anything else. The string is the name of a file that does not belong to a store.
    Foreign(String),
}

fn kind_of(disk: &OsDirectory) -> Result<Kind> {
    let names = disk.names();
    let names = names.map_err(|e| Error::io("read", disk.path(""), &e))?;
    if names.iter().any(|name| name == file_names::STORE) {
        return Ok(Kind::Store);
    }
    let mut kind = Kind::Empty;
    for name in names {
        let marks = [
            file_names::LOCK,
            file_names::MIRRORING,
            file_names::FOLLOWING,
        ];
        let harmless = marks.contains(&name.as_str())
            || file_names::is_aside(&name)
            || file_names::is_of_the_system(&name);
        if file_names::is_ours(&name) && !harmless {
            return Ok(Kind::Nameless);
        }
        if !harmless {
            kind = Kind::Foreign(name);
        }
    }
    Ok(kind)
}

impl Engine {
    /// Whether a path leads into the store's directory, either directly or through symbolic links.
    pub(crate) fn is_within(&self, path: &Path) -> bool {
        let place = self.place.get();
        place.is_some_and(|place| resolved(path).starts_with(resolved(place)))
    }
}

/// Resolves a path that may not exist yet.
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

/// Refuses a directory unless it is empty or contains a store.
fn check_kind(path: &Path, kind: Kind) -> Result<()> {
    match kind {
        Kind::Store | Kind::Empty => Ok(()),
        Kind::Nameless => {
            let what = "the file is missing, but the directory contains other files of a store";
            Err(Error::damaged(path.join(file_names::STORE), 0, what))
        }
        Kind::Foreign(found) => Err(Error::NotAStore {
            path: path.to_path_buf(),
            found,
        }),
    }
}

/// Returns the directory of a store that is not open, and the store's lock. As long as the lock is
/// held, no other process can open the store.
pub(crate) fn directory_at_rest(path: &Path) -> Result<(BoundedDisk, Arc<OsDirectory>, StoreLock)> {
    let directory = Arc::new(store_directory(path)?);
    let lock = lock(&directory)?;
    let disk = BoundedDisk::new(directory.clone(), FileAccess::ReadWrite);
    Ok((disk, directory, lock))
}

/// Opens a directory that contains a store, even a damaged one.
fn store_directory(path: &Path) -> Result<OsDirectory> {
    let there = path.to_path_buf();
    let disk = match OsDirectory::open(path) {
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

/// Opens the index of a store that is not open.
pub(crate) fn index_at_rest(
    disk: &Arc<OsDirectory>,
    wanted: IndexAtRest<'_>,
) -> Result<Option<Arc<dyn Index>>> {
    let cache_bytes = Options::default().cache_bytes / INDEX_CACHE_SHARE;
    let index = IndexDirectory::at_rest(disk, cache_bytes, wanted);
    index.map_err(|e| Error::io("open", disk.path(""), &e))
}
