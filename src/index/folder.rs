//! The index's folder in a store: what all engines on disk have in common.
//!
//! Owns: which folder is whose, when it goes and is made anew, the marker of an open
//! under way, the seal of a closed one. Must not know: an engine's files, rows.
//! Promise: an index that is not known to be the one of this store is not given to its
//! engine; an open that died is noticed at the next one, also where a panic aborts the
//! process; an index of another engine than the chosen one does not stay.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

#[cfg(feature = "redb")]
use super::redb_index;
use super::{Batch, EachRow, Fault, Index, sled_index};
use crate::error::is_out_of_descriptors;
use crate::options::IndexEngine;
use crate::storage::disk::Disk;
use crate::storage::disk::os::Folder;
use crate::storage::identity::IndexSeal;
use crate::storage::names;

/// How long an open waits for an index that is just being let go of. The store's own
/// lock says that nobody works on it, so what holds the engine's is a reader at its
/// end or a copy of the handle in a process that is being started; after this long
/// the index is made anew beside it.
const OPEN_WAIT: Duration = Duration::from_secs(2);
/// How long a close waits for the same, to seal the index.
const SEAL_WAIT: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// With less room on the disk, or fewer files, the index is kept in memory.
pub(crate) const ROOM_BYTES: u64 = 4 << 20;
const ROOM_FILES: u64 = 16;

/// The folder of one engine's index.
pub(crate) struct IndexFolder {
    disk: Arc<Folder>,
    /// A path to the store's folder, for engines that take nothing else.
    store: PathBuf,
    engine: IndexEngine,
    cache_bytes: u64,
}

/// A path to a folder that stays right when the folder is moved: through its handle, if
/// the system has paths for those. An engine that opens its files by name, whenever it
/// likes, then never reaches another folder.
fn path_of(disk: &Folder) -> PathBuf {
    let path = PathBuf::from(format!("/proc/self/fd/{}", disk.handle().as_raw_fd()));
    let leads_there = || {
        let (found, own) = (fs::metadata(&path).ok()?, disk.handle().metadata().ok()?);
        Some((found.dev(), found.ino()) == (own.dev(), own.ino()))
    };
    match leads_there() {
        Some(true) => path,
        _ => disk.place().to_path_buf(),
    }
}

/// An index, and the handle that its engine's path leads through.
struct Held {
    /// Gone once it is dropped.
    index: Option<Arc<dyn Index>>,
    disk: Arc<Folder>,
    locked: PathBuf,
}

impl Held {
    fn index(&self) -> Result<&dyn Index, Fault> {
        let index = self.index.as_deref();
        index.ok_or_else(|| Fault("it was let go of".to_owned()))
    }
}

impl Index for Held {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.index()?.get(key)
    }

    fn scan(&self, prefix: &[u8], each: EachRow<'_>) -> Result<(), Fault> {
        self.index()?.scan(prefix, each)
    }

    fn write(&self, batch: &Batch) -> Result<(), Fault> {
        self.index()?.write(batch)
    }

    fn flush(&self) -> Result<(), Fault> {
        self.index()?.flush()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.index.take());
        // The handle's number must not become another folder's as long as one of the
        // engine's threads may use it; one that is stuck keeps it for good.
        if !is_free(&self.locked, SEAL_WAIT) {
            std::mem::forget(self.disk.clone());
        }
    }
}

/// All engines that keep an index in a folder.
pub(super) const ENGINES: &[IndexEngine] = &[
    IndexEngine::Sled,
    #[cfg(feature = "redb")]
    IndexEngine::Redb,
];

/// What is wanted of an index that nobody has open.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'s> {
    /// What it holds, if the seal, where there is one, fits.
    Index(Option<&'s IndexSeal>),
    /// That it is gone.
    Nothing,
}

/// What an engine's files have to say about it.
#[derive(Clone, Copy)]
struct Known {
    /// As it stands in a seal.
    name: &'static str,
    folder: &'static str,
    /// The file that is locked while anybody has the index open.
    locked: &'static str,
    open: fn(&Path, u64) -> io::Result<Arc<dyn Index>>,
}

impl IndexFolder {
    pub(crate) fn new(disk: &Arc<Folder>, engine: IndexEngine, cache_bytes: u64) -> IndexFolder {
        IndexFolder {
            disk: disk.clone(),
            store: path_of(disk),
            engine,
            cache_bytes,
        }
    }

    /// The index of a store that nobody has open, where one is wanted; else all that
    /// is there is removed.
    pub(crate) fn at_rest(
        disk: &Arc<Folder>,
        cache_bytes: u64,
        wanted: Wanted<'_>,
    ) -> io::Result<Option<Arc<dyn Index>>> {
        let Wanted::Index(seal) = wanted else {
            let store = path_of(disk);
            remove(&store.join(names::INDEX))?;
            remove(&store.join(names::INDEX_REDB))?;
            return Ok(None);
        };
        for &engine in ENGINES {
            let folder = IndexFolder::new(disk, engine, cache_bytes);
            let is_sealed = seal.is_none_or(|seal| seal.engine == folder.known().name);
            if is_sealed && is_folder(&folder.inner_path()) {
                let index = folder.open(false, seal)?;
                folder.opened()?;
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn known(&self) -> Known {
        match self.engine {
            IndexEngine::Sled => Known {
                name: "sled",
                folder: names::INDEX,
                locked: sled_index::LOCKED,
                open: sled_index::open,
            },
            #[cfg(feature = "redb")]
            IndexEngine::Redb => Known {
                name: "redb",
                folder: names::INDEX_REDB,
                locked: redb_index::LOCKED,
                open: redb_index::open,
            },
        }
    }

    /// For messages.
    pub(crate) fn path(&self) -> PathBuf {
        self.disk.path(self.known().folder)
    }

    /// The store's folder, from the root on.
    pub(crate) fn place(&self) -> &Path {
        self.disk.place()
    }

    fn inner_path(&self) -> PathBuf {
        self.store.join(self.known().folder)
    }

    /// Whether the disk has room enough to open or write an index. Without, an engine may
    /// fail in ways that it does not recover from, or hang.
    pub(crate) fn has_room(&self) -> bool {
        self.has_room_for(ROOM_BYTES)
    }

    /// Whether the disk has so much room, and room for the files.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        let Ok(found) = rustix::fs::fstatvfs(&**self.disk.handle()) else {
            return true;
        };
        let has_files = found.f_files == 0 || found.f_favail >= ROOM_FILES;
        has_files && found.f_bavail.saturating_mul(found.f_frsize) >= bytes
    }

    /// Removes the index's files if nobody has them open: they take room that the log may
    /// need, and can be made anew.
    pub(crate) fn discard(&self) -> io::Result<()> {
        if self.is_free(SEAL_WAIT) {
            remove(&self.inner_path())?;
            self.opened()?;
        }
        Ok(())
    }

    /// Whether the marker is there, whatever has its name.
    fn is_marked(&self) -> bool {
        fs::symlink_metadata(self.store.join(names::INDEX_OPENING)).is_ok()
    }

    /// Opens the index, or makes it anew: as asked, or because what is there is not
    /// known to be whole. Then [`IndexFolder::opened`] is to be called, once the
    /// index was read.
    pub(crate) fn open(&self, anew: bool, seal: Option<&IndexSeal>) -> io::Result<Arc<dyn Index>> {
        let path = self.inner_path();
        let mut why = None;
        if anew {
            why = Some("it cannot be used");
        } else if self.is_marked() {
            why = Some("the last open of the index did not end, or it failed at work");
        } else if !self.is_free(OPEN_WAIT) {
            why = Some("somebody still has it open");
        } else if let Some(seal) = seal {
            if seal.engine != self.known().name {
                why = Some("another engine kept it");
            } else {
                match self.compute_seal() {
                    Err(error) if is_out_of_descriptors(&error) => return Err(error),
                    // Whatever cannot be read is different.
                    found if found.as_ref().ok() != Some(seal) => {
                        why = Some("it is not as it was when the store was closed");
                    }
                    _ => {}
                }
            }
        } else if is_folder(&path) && files(&path).is_err() {
            // An engine would follow a link.
            why = Some("there are links or unreadable files in it");
        }
        if let Some(why) = why {
            tracing::warn!(why, "the index is made anew");
            remove(&path)?;
        }
        remove(&self.store.join(names::INDEX_OPENING))?;
        self.disk.create(names::INDEX_OPENING)?;
        let index = match self.open_once() {
            // It is sound as far as is known.
            Err(error) if is_out_of_descriptors(&error) => {
                self.opened()?;
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(%error, "the index does not open; it is made anew");
                remove(&path)?;
                self.open_once()?
            }
            Ok(index) => index,
        };
        for folder in [names::INDEX, names::INDEX_REDB] {
            if folder != self.known().folder {
                remove(&self.store.join(folder))?;
            }
        }
        self.restrict();
        Ok(index)
    }

    /// Takes what an engine made away from others than the owner: engines leave that to
    /// the umask. What cannot be changed, or has gone meanwhile, stays as it is; the
    /// store's folder keeps others out.
    pub(crate) fn restrict(&self) {
        let root = self.inner_path();
        for entry in files(&root).unwrap_or_default() {
            let mode = match entry.len {
                Some(_) => 0o600,
                None => 0o700,
            };
            if entry.mode != mode {
                let mode = fs::Permissions::from_mode(mode);
                fs::set_permissions(root.join(&entry.name), mode).ok();
            }
        }
    }

    fn open_once(&self) -> io::Result<Arc<dyn Index>> {
        let path = self.inner_path();
        if !is_folder(&path) {
            remove(&path)?;
            // Made here, because an engine would leave it open to others.
            fs::DirBuilder::new().mode(0o700).create(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        }
        let index = (self.known().open)(&path, self.cache_bytes)?;
        Ok(Arc::new(Held {
            index: Some(index),
            disk: self.disk.clone(),
            locked: path.join(self.known().locked),
        }))
    }

    /// Bytes of its files, of which some may come and go meanwhile.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        let mut folders = vec![self.inner_path()];
        while let Some(folder) = folders.pop() {
            for entry in gone_is_empty(fs::read_dir(folder))?.into_iter().flatten() {
                let entry = entry?;
                match gone_is_empty(entry.metadata())? {
                    Some(known) if known.is_dir() => folders.push(entry.path()),
                    known => bytes += known.map_or(0, |known| known.len()),
                }
            }
        }
        Ok(bytes)
    }

    /// Says that the open has ended, well or not, so that it is no reason to make the
    /// index anew.
    pub(crate) fn opened(&self) -> io::Result<()> {
        match self.disk.remove(names::INDEX_OPENING) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// What vouches for the files of an index that was let go of; `None` when they
    /// may still change, or may not be used again.
    pub(crate) fn seal(&self) -> io::Result<Option<IndexSeal>> {
        if self.is_marked() || !self.is_free(SEAL_WAIT) {
            return Ok(None);
        }
        self.restrict();
        let before = files(&self.inner_path())?;
        let seal = self.compute_seal()?;
        Ok((files(&self.inner_path())? == before).then_some(seal))
    }

    fn is_free(&self, wait: Duration) -> bool {
        is_free(&self.inner_path().join(self.known().locked), wait)
    }

    fn compute_seal(&self) -> io::Result<IndexSeal> {
        let root = self.inner_path();
        let mut hasher = Xxh3::new();
        let mut buffer = vec![0; 64 << 10];
        for entry in files(&root)? {
            let name = entry.name.as_bytes();
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name);
            hasher.update(&entry.len.map_or(u64::MAX, |len| len).to_le_bytes());
            let Some(mut left) = entry.len else {
                continue;
            };
            let mut file = File::open(root.join(&entry.name))?;
            while left > 0 {
                let n = (buffer.len() as u64).min(left) as usize;
                file.read_exact(&mut buffer[..n])?;
                hasher.update(&buffer[..n]);
                left -= n as u64;
            }
        }
        Ok(IndexSeal {
            engine: self.known().name.to_owned(),
            hash: hasher.digest128(),
        })
    }
}

/// Whether nobody has an index open, by the file that its engine locks. An engine lets go
/// of its files a moment after it was dropped, when the last of its threads has.
fn is_free(locked: &Path, wait: Duration) -> bool {
    let Ok(file) = File::open(locked) else {
        // What is not there or cannot be opened is a matter of the engine's.
        return true;
    };
    let deadline = Instant::now() + wait;
    while !lock(&file) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    unlock(&file);
    true
}

/// Whether there is a folder of this path, and not a link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Takes the lock of an open file, as the engines do; no when somebody has it.
pub(super) fn lock(file: &File) -> bool {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Lets go of it by name: a process that is just being started has a copy of the
/// handle.
pub(super) fn unlock(file: &File) {
    rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock).ok();
}

/// A file or folder below the index's.
#[derive(PartialEq, Eq)]
struct Entry {
    name: String,
    /// `None` for a folder.
    len: Option<u64>,
    mode: u32,
    changed: (i64, i64),
}

fn gone_is_empty<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Everything below a folder, by name; anything that is neither file nor folder is an
/// error.
fn files(root: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let plain = entry.file_name().into_string();
            let plain = plain.map_err(|_| io::Error::other("a name is no text"))?;
            let name = match folder.as_str() {
                "" => plain,
                folder => format!("{folder}/{plain}"),
            };
            let known = fs::symlink_metadata(root.join(&name))?;
            if known.is_dir() {
                folders.push(name.clone());
            } else if !known.is_file() {
                return Err(io::Error::other("it is neither file nor folder"));
            }
            found.push(Entry {
                name,
                len: known.is_file().then_some(known.len()),
                mode: known.mode() & 0o777,
                // A folder's time changes with the names in it, which are compared.
                changed: match known.is_file() {
                    true => (known.mtime(), known.mtime_nsec()),
                    false => (0, 0),
                },
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Removes an index's folder and everything in it.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(folder) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(folder),
        Ok(_) => fs::remove_file(folder),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Calls an engine, which may panic on damage where it should return an error.
pub(super) fn caught<T, E: std::fmt::Display>(
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| Fault(e.to_string())),
        Err(_) => Err(Fault("the index engine panicked".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_somebody_has_open_or_that_failed_is_not_sealed() {
        for &engine in ENGINES {
            let dir = tempfile::tempdir().unwrap();
            let disk = Arc::new(Folder::open(dir.path()).unwrap());
            let folder = IndexFolder::new(&disk, engine, 1 << 20);
            let index = folder.open(false, None).unwrap();
            folder.opened().unwrap();
            let reader = index.clone();
            drop(index);
            assert_eq!(folder.seal().unwrap(), None, "{engine:?}");
            drop(reader);
            let sealed = folder.seal().unwrap();
            assert!(sealed.is_some(), "{engine:?}");
            assert_eq!(folder.seal().unwrap(), sealed, "{engine:?}");
            fs::write(folder.path().join("more"), b"").unwrap();
            let other = folder.seal().unwrap();
            assert!(other.is_some() && other != sealed, "{engine:?}");
            fs::write(dir.path().join(names::INDEX_OPENING), b"").unwrap();
            assert_eq!(folder.seal().unwrap(), None, "{engine:?}");
        }
    }
}
