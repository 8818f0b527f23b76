//! The directory of the index in a store: decides when to remove and rebuild the index, and handles
//! the marker of an open in progress and the seal of a closed index.
//!
//! The engine opens an index only if the index is known to belong to this store. An open that did
//! not complete is detected by the next one, even if a panic aborted the process.

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

/// How long an open waits for an index that is still in use. The store's own lock shows that no
/// other process has the store open. The engine's lock can then be held only by a reader that is
/// about to finish, or by a duplicate of the handle in a process that is being spawned. After this
/// time, the index is rebuilt.
const OPEN_WAIT: Duration = Duration::from_secs(2);
/// How long a close waits until the index is no longer in use and can be sealed.
pub(super) const SEAL_WAIT: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// With less free space than this, or too few free inodes, the index is kept in memory.
pub(crate) const ROOM_BYTES: u64 = 4 << 20;
const ROOM_FILES: u64 = 16;

/// The directory of a store's index.
pub(crate) struct IndexDirectory {
    disk: Arc<OsDirectory>,
    /// A path to the store's directory. It is needed because the engine accepts only paths.
    store: PathBuf,
    cache_bytes: u64,
}

/// Returns a path to the directory that stays valid when the directory is moved or renamed: a path
/// through its handle, if the system has such paths. With such a path, an engine that opens files
/// by name at any time never reaches another directory.
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

/// An index, and the directory handle that the engine's path goes through.
struct LockedIndex {
    /// `None` once the index is dropped.
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
        // The descriptor number must not be reused for another directory while one of the engine's
        // threads may still use it. If a thread is stuck, the descriptor is leaked.
        if !is_free(&self.locked, SEAL_WAIT) {
            std::mem::forget(self.directory.clone());
        }
    }
}

/// What to do with the index of a store that is not open.
#[derive(Clone, Copy)]
pub(crate) enum IndexAtRest<'s> {
    /// Open the index if it matches the seal, or if no seal is given.
    Index(Option<&'s IndexSeal>),
    /// Remove the index.
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

    /// Opens or removes the index of a store that is not open, as `wanted` specifies.
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

    /// The path of the index's directory, for messages.
    pub(crate) fn path(&self) -> PathBuf {
        self.disk.path(file_names::INDEX)
    }

    pub(super) fn inner_path(&self) -> PathBuf {
        self.store.join(file_names::INDEX)
    }

    /// Returns whether the disk has enough space to open or write an index. Without enough space,
    /// an engine may hang, or fail in ways from which it does not recover.
    pub(crate) fn has_room(&self) -> bool {
        self.has_room_for(ROOM_BYTES)
    }

    /// Returns whether the disk has this much free space, and enough free inodes.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        let Ok(found) = rustix::fs::fstatvfs(&**self.disk.handle()) else {
            return true;
        };
        let has_files = found.f_files == 0 || found.f_favail >= ROOM_FILES;
        has_files && found.f_bavail.saturating_mul(found.f_frsize) >= bytes
    }

    /// Removes the index's files unless they are open. The log may need their space, and they can
    /// be rebuilt.
    pub(crate) fn discard(&self) -> io::Result<()> {
        self.remove_rewrite()?;
        if self.is_free(SEAL_WAIT) {
            remove(&self.inner_path())?;
            self.opened()?;
        }
        Ok(())
    }

    /// Returns whether the marker exists, whatever type of file it is.
    fn is_marked(&self) -> bool {
        fs::symlink_metadata(self.store.join(file_names::INDEX_OPENING)).is_ok()
    }

    /// Opens the index. If `rebuild` is set, or the existing index may not be intact, creates an
    /// empty one instead. The caller must call [`IndexDirectory::opened`] once it has read the
    /// index.
    pub(crate) fn open(
        &self,
        rebuild: bool,
        seal: Option<&IndexSeal>,
    ) -> io::Result<Arc<dyn Index>> {
        let path = self.inner_path();
        let mut why = None;
        if rebuild {
            why = Some("it is unusable");
        } else if self.is_marked() && fs::symlink_metadata(&path).is_ok() {
            why = Some(
                "the last open of the index did not complete, the index failed while in use, or \
                 the log was replaced",
            );
        } else if !self.is_free(OPEN_WAIT) {
            why = Some("it is still open elsewhere");
        } else if let Some(seal) = seal {
            if seal.engine != sled_index::NAME {
                why = Some("it was written by another index engine");
            } else {
                match self.compute_seal() {
                    Err(error) if is_out_of_descriptors(&error) => return Err(error),
                    // An index that cannot be read is treated as changed.
                    found if found.as_ref().ok() != Some(seal) => {
                        why = Some("it was changed while the store was closed");
                    }
                    _ => {}
                }
            }
        } else if is_directory(&path) && files(&path).is_err() {
            // An engine would follow symbolic links.
            why = Some("it contains links or unreadable files");
        }
        if let Some(why) = why {
            tracing::warn!(why, "rebuilding the index");
            remove(&path)?;
        }
        remove(&self.store.join(file_names::INDEX_OPENING))?;
        self.disk.create(file_names::INDEX_OPENING)?;
        let index = match self.open_once() {
            // A lack of descriptors does not suggest that the index is damaged, so it is kept.
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

    /// Returns whether the directory can be renamed while the index in it is open.
    pub(crate) fn can_be_renamed(&self) -> bool {
        path_by_handle(&self.disk).is_some()
    }

    /// Opens an empty index in a separate directory that is going to replace this one.
    pub(crate) fn begin_rewrite(&self) -> io::Result<Arc<dyn Index>> {
        self.remove_rewrite()?;
        let path = self.store.join(file_names::INDEX_REWRITE);
        let opened = make_directory(&path).and_then(|()| self.open_in(&path));
        opened.inspect_err(|_| drop(self.remove_rewrite()))
    }

    /// Atomically exchanges the names of two directories: the directory of the rewritten index,
    /// whose rows are on the disk, and the directory of the current index.
    pub(crate) fn exchange_rewrite(&self) -> io::Result<()> {
        self.disk
            .exchange(file_names::INDEX_REWRITE, file_names::INDEX)?;
        // The exchange takes effect even if it is not durable. If it is not durable, a power
        // failure may bring back the former index, which may be incomplete. The next open detects
        // that.
        self.disk.sync_names().ok();
        Ok(())
    }

    /// Removes whatever remains of a rewrite. Readers that have its files open can still read them.
    pub(crate) fn remove_rewrite(&self) -> io::Result<()> {
        remove(&self.store.join(file_names::INDEX_REWRITE))
    }

    /// Restricts the files that an engine created to the owner, because engines leave the modes to
    /// the umask. Files whose mode cannot be changed, or that no longer exist, are skipped. The
    /// mode of the store's directory keeps other users out in any case.
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

    /// Opens or creates an index in an existing directory.
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

    /// Returns the total size of the index's files. Files may be created or removed during the
    /// scan.
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

    /// Records that the open has ended, successfully or not, so that it does not cause a rebuild.
    pub(crate) fn opened(&self) -> io::Result<()> {
        match self.disk.remove(file_names::INDEX_OPENING) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Computes the seal of an index that is no longer in use. `None` if its files may still change
    /// or must not be used again.
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

/// Waits until no process has the index open, judging by the lock on the file that its engine
/// locks. Returns `false` on a timeout. An engine releases its files shortly after it has been
/// dropped, when its last thread has finished.
fn is_free(locked: &Path, wait: Duration) -> bool {
    let Ok(file) = File::open(locked) else {
        // If the file does not exist or cannot be opened, the engine handles that.
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
