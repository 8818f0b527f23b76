//! The index's folder in a store.
//!
//! Owns: when it goes and is made anew, the marker of an open under way, the seal of a
//! closed one. Must not know: the engine's files, rows.
//! Promise: an index that is not known to be the one of this store is not given to the
//! engine; an open that died is noticed at the next one, also where a panic aborts the
//! process.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::files::{files, is_directory, make_directory, not_found_is_none, remove};
use super::guard::{lock, unlock};
use super::{Batch, EachRow, Fault, Index, content_hash, sled_index};
use crate::log::disk::Disk;
use crate::log::disk::os::OsDirectory;
use crate::log::file_names;
use crate::log::identity::IndexSeal;
use crate::model::error::is_out_of_descriptors;

/// How long an open waits for an index that is just being let go of. The store's own
/// lock says that nobody works on it, so what holds the engine's is a reader at its
/// end or a copy of the handle in a process that is being started; after this long
/// the index is made anew beside it.
const OPEN_WAIT: Duration = Duration::from_secs(2);
/// How long a close waits for the same, to seal the index.
pub(super) const SEAL_WAIT: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// With less room on the disk, or fewer files, the index is kept in memory.
pub(crate) const ROOM_BYTES: u64 = 4 << 20;
const ROOM_FILES: u64 = 16;

/// The folder of a store's index.
pub(crate) struct IndexDirectory {
    disk: Arc<OsDirectory>,
    /// A path to the store's folder: the engine takes nothing else.
    store: PathBuf,
    cache_bytes: u64,
}

/// A path to a folder that stays right when the folder is moved or renamed: through its
/// handle, if the system has paths for those. An engine that opens its files by name, whenever
/// it likes, then never reaches another folder.
fn path_by_handle(directory: &OsDirectory) -> Option<PathBuf> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.handle().as_raw_fd()));
    let (found, own) = (
        fs::metadata(&path).ok()?,
        directory.handle().metadata().ok()?,
    );
    ((found.dev(), found.ino()) == (own.dev(), own.ino())).then_some(path)
}

fn path_of(directory: &OsDirectory) -> PathBuf {
    path_by_handle(directory).unwrap_or_else(|| directory.place().to_path_buf())
}

/// An index, and the handle that its engine's path leads through.
struct LockedIndex {
    /// Gone once it is dropped.
    index: Option<Arc<dyn Index>>,
    directory: Arc<OsDirectory>,
    locked: PathBuf,
}

impl LockedIndex {
    fn index(&self) -> Result<&dyn Index, Fault> {
        let index = self.index.as_deref();
        index.ok_or_else(|| Fault("it has been released".to_owned()))
    }
}

impl Index for LockedIndex {
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

impl Drop for LockedIndex {
    fn drop(&mut self) {
        drop(self.index.take());
        // The handle's number must not become another folder's as long as one of the
        // engine's threads may use it; one that is stuck keeps it for good.
        if !is_free(&self.locked, SEAL_WAIT) {
            std::mem::forget(self.directory.clone());
        }
    }
}

/// What is wanted of an index that nobody has open.
#[derive(Clone, Copy)]
pub(crate) enum IndexAtRest<'s> {
    /// What it holds, if the seal, where there is one, fits.
    Index(Option<&'s IndexSeal>),
    /// That it is gone.
    Nothing,
}

impl IndexDirectory {
    pub(crate) fn new(disk: &Arc<OsDirectory>, cache_bytes: u64) -> IndexDirectory {
        IndexDirectory {
            disk: disk.clone(),
            store: path_of(disk),
            cache_bytes,
        }
    }

    /// The index of a store that nobody has open, where one is wanted; else all that
    /// is there is removed.
    pub(crate) fn at_rest(
        disk: &Arc<OsDirectory>,
        cache_bytes: u64,
        wanted: IndexAtRest<'_>,
    ) -> io::Result<Option<Arc<dyn Index>>> {
        let directory = IndexDirectory::new(disk, cache_bytes);
        let IndexAtRest::Index(seal) = wanted else {
            remove(&directory.inner_path())?;
            directory.remove_rewrite()?;
            return Ok(None);
        };
        let can_be = seal.is_none_or(|seal| seal.engine == sled_index::NAME);
        if !can_be || !is_directory(&directory.inner_path()) {
            return Ok(None);
        }
        let index = directory.open(false, seal)?;
        directory.opened()?;
        Ok(Some(index))
    }

    /// For messages.
    pub(crate) fn path(&self) -> PathBuf {
        self.disk.path(file_names::INDEX)
    }

    pub(super) fn inner_path(&self) -> PathBuf {
        self.store.join(file_names::INDEX)
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
        self.remove_rewrite()?;
        if self.is_free(SEAL_WAIT) {
            remove(&self.inner_path())?;
            self.opened()?;
        }
        Ok(())
    }

    /// Whether the marker is there, whatever has its name.
    fn is_marked(&self) -> bool {
        fs::symlink_metadata(self.store.join(file_names::INDEX_OPENING)).is_ok()
    }

    /// Opens the index, or makes it anew: as asked, or because what is there is not
    /// known to be whole. Then [`IndexDirectory::opened`] is to be called, once the
    /// index was read.
    pub(crate) fn open(
        &self,
        rebuild: bool,
        seal: Option<&IndexSeal>,
    ) -> io::Result<Arc<dyn Index>> {
        let path = self.inner_path();
        let mut why = None;
        if rebuild {
            why = Some("it is unusable");
        } else if self.is_marked() {
            why = Some(
                "the last open of the index did not complete, or the index failed while in use",
            );
        } else if !self.is_free(OPEN_WAIT) {
            why = Some("it is still open elsewhere");
        } else if let Some(seal) = seal {
            if seal.engine != sled_index::NAME {
                why = Some("it was written by another index engine");
            } else {
                match self.compute_seal() {
                    Err(error) if is_out_of_descriptors(&error) => return Err(error),
                    // Whatever cannot be read is different.
                    found if found.as_ref().ok() != Some(seal) => {
                        why = Some("it was changed while the store was closed");
                    }
                    _ => {}
                }
            }
        } else if is_directory(&path) && files(&path).is_err() {
            // An engine would follow a link.
            why = Some("it contains links or unreadable files");
        }
        if let Some(why) = why {
            tracing::warn!(why, "rebuilding the index");
            remove(&path)?;
        }
        remove(&self.store.join(file_names::INDEX_OPENING))?;
        self.disk.create(file_names::INDEX_OPENING)?;
        let index = match self.open_once() {
            // It is sound as far as is known.
            Err(error) if is_out_of_descriptors(&error) => {
                self.opened()?;
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot open the index; rebuilding it");
                remove(&path)?;
                self.open_once()?
            }
            Ok(index) => index,
        };
        self.remove_rewrite()?;
        self.restrict();
        Ok(index)
    }

    /// Whether an index can be open while its directory is renamed.
    pub(crate) fn can_be_renamed(&self) -> bool {
        path_by_handle(&self.disk).is_some()
    }

    /// Opens a fresh index in a directory beside this one's, to take its place.
    pub(crate) fn begin_rewrite(&self) -> io::Result<Arc<dyn Index>> {
        self.remove_rewrite()?;
        let path = self.store.join(file_names::INDEX_REWRITE);
        let opened = make_directory(&path).and_then(|()| self.open_in(&path));
        opened.inspect_err(|_| drop(self.remove_rewrite()))
    }

    /// Exchanges the names of the directories of a rewritten index, whose rows are on the
    /// disk, and of the index, in one step.
    pub(crate) fn exchange_rewrite(&self) -> io::Result<()> {
        self.disk
            .exchange(file_names::INDEX_REWRITE, file_names::INDEX)?;
        // They are exchanged whether or not that is durable. If it is not, a power failure
        // leaves the former index, or what is left of it, which the next open notices.
        self.disk.sync_names().ok();
        Ok(())
    }

    /// Removes what is left of a rewrite. Whoever has it open still reads it.
    pub(crate) fn remove_rewrite(&self) -> io::Result<()> {
        remove(&self.store.join(file_names::INDEX_REWRITE))
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

    pub(super) fn open_once(&self) -> io::Result<Arc<dyn Index>> {
        let path = self.inner_path();
        if !is_directory(&path) {
            remove(&path)?;
            make_directory(&path)?;
        }
        self.open_in(&path)
    }

    /// Opens or makes an index in a folder that is there.
    fn open_in(&self, path: &Path) -> io::Result<Arc<dyn Index>> {
        let directory = Arc::new(OsDirectory::open(path)?);
        let path = path_of(&directory);
        let index = sled_index::open(&path, self.cache_bytes)?;
        Ok(Arc::new(LockedIndex {
            index: Some(index),
            directory,
            locked: path.join(sled_index::LOCKED),
        }))
    }

    /// Bytes of its files, of which some may come and go meanwhile.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        let mut directories = vec![self.inner_path()];
        while let Some(directory) = directories.pop() {
            for entry in not_found_is_none(fs::read_dir(directory))?
                .into_iter()
                .flatten()
            {
                let entry = entry?;
                match not_found_is_none(entry.metadata())? {
                    Some(known) if known.is_dir() => directories.push(entry.path()),
                    known => bytes += known.map_or(0, |known| known.len()),
                }
            }
        }
        Ok(bytes)
    }

    /// Says that the open has ended, well or not, so that it is no reason to make the
    /// index anew.
    pub(crate) fn opened(&self) -> io::Result<()> {
        match self.disk.remove(file_names::INDEX_OPENING) {
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

    pub(super) fn is_free(&self, wait: Duration) -> bool {
        is_free(&self.inner_path().join(sled_index::LOCKED), wait)
    }

    pub(super) fn compute_seal(&self) -> io::Result<IndexSeal> {
        Ok(IndexSeal {
            engine: sled_index::NAME.to_owned(),
            hash: content_hash::hash(&self.inner_path())?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_somebody_has_open_or_that_failed_is_not_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(OsDirectory::open(dir.path()).unwrap());
        let directory = IndexDirectory::new(&disk, 1 << 20);
        let index = directory.open(false, None).unwrap();
        directory.opened().unwrap();
        let reader = index.clone();
        drop(index);
        assert_eq!(directory.seal().unwrap(), None);
        drop(reader);
        let sealed = directory.seal().unwrap();
        assert!(sealed.is_some());
        assert_eq!(directory.seal().unwrap(), sealed);
        fs::write(directory.path().join("more"), b"").unwrap();
        let other = directory.seal().unwrap();
        assert!(other.is_some() && other != sealed);
        fs::write(dir.path().join(file_names::INDEX_OPENING), b"").unwrap();
        assert_eq!(directory.seal().unwrap(), None);
    }

    #[test]
    fn an_index_that_another_engine_sealed_is_rebuilt() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(OsDirectory::open(dir.path()).unwrap());
        let directory = IndexDirectory::new(&disk, 1 << 20);
        let index = directory.open(false, None).unwrap();
        directory.opened().unwrap();
        let mut batch = Batch::default();
        batch.put(b"a".to_vec(), b"1".to_vec());
        index.write(&batch).unwrap();
        drop(index);
        let mut seal = directory.seal().unwrap().unwrap();
        seal.engine = "other".to_owned();
        let wanted = IndexAtRest::Index(Some(&seal));
        let at_rest = IndexDirectory::at_rest(&disk, 1 << 20, wanted).unwrap();
        assert!(at_rest.is_none());
        let index = directory.open(false, Some(&seal)).unwrap();
        assert_eq!(index.get(b"a").unwrap(), None);
    }
}
