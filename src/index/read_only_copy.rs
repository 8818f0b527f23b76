//! Reads the index of a closed store, for a store that is opened for reading only.
//!
//! An engine may write when it opens an index. Therefore, it opens a private copy, and nothing is
//! written to the store. The seal is verified on the copy, so a change to the original while it is
//! being copied cannot go unnoticed.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::{IndexDirectory, SEAL_WAIT};
use super::files::{files, remove};
use super::memory::MemoryIndex;
use super::{all_rows, sled_index};
use crate::base::random::random_number;
use crate::log::disk::os::OsDirectory;
use crate::log::identity::IndexSeal;

/// An index larger than this is not copied, because reading the log takes as long but needs no
/// space.
const BYTES_MAX: u64 = 256 << 20;

/// A directory that only this process uses, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> io::Result<Scratch> {
        let name = random_number()?;
        let path = parent.join(format!("jobstore-index-{name:032x}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "cannot remove a temporary copy of \
                 the index");
        }
    }
}

/// Reads the rows of the sealed index from a copy below `scratch`. `None` if the index does not
/// match its seal or is too large, or if there is no space for the copy.
pub(crate) fn read(
    store: &Arc<OsDirectory>,
    seal: &IndexSeal,
    scratch: &Path,
    cache_bytes: u64,
) -> io::Result<Option<MemoryIndex>> {
    if seal.engine != sled_index::NAME {
        return Ok(None);
    }
    let sealed = IndexDirectory::new(store, cache_bytes);
    let bytes = sealed.bytes()?;
    if bytes > BYTES_MAX {
        return Ok(None);
    }
    let scratch = Scratch::new(scratch)?;
    let place = Arc::new(OsDirectory::open(&scratch.0)?);
    let copy = IndexDirectory::new(&place, cache_bytes);
    if !copy.has_room_for(2 * bytes) {
        return Ok(None);
    }
    copy_files(&sealed.inner_path(), &copy.inner_path())?;
    if copy.compute_seal()? != *seal {
        return Ok(None);
    }
    let rows = MemoryIndex::default();
    let index = copy.open_once()?;
    let read = all_rows::copy(&*index, &rows);
    drop(index);
    // The engine's threads may still use the files of the copy for a moment.
    copy.is_free(SEAL_WAIT);
    read.map_err(|fault| io::Error::other(fault.0))?;
    Ok(Some(rows))
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    // Directories are listed before their contents.
    for entry in files(from)? {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        match entry.len {
            None => DirBuilder::new().mode(0o700).create(to)?,
            Some(_) => drop(fs::copy(from, to)?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Batch, Index};

    fn sealed(dir: &Path) -> (Arc<OsDirectory>, IndexSeal) {
        let store = Arc::new(OsDirectory::open(dir).unwrap());
        let directory = IndexDirectory::new(&store, 1 << 20);
        let index = directory.open(false, None).unwrap();
        directory.opened().unwrap();
        let mut batch = Batch::default();
        batch.put(b"a".to_vec(), b"1".to_vec());
        batch.put(b"b".to_vec(), b"2".to_vec());
        index.write(&batch).unwrap();
        index.flush().unwrap();
        drop(index);
        let seal = directory.seal().unwrap().unwrap();
        (store, seal)
    }

    fn rows(index: &MemoryIndex) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        let each = &mut |key: &[u8], value: &[u8]| {
            rows.push((key.to_vec(), value.to_vec()));
            Ok(())
        };
        index.scan(&[], each).unwrap();
        rows
    }

    #[test]
    fn a_sealed_index_is_read_and_stays_as_it_is() {
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (store, seal) = sealed(dir.path());
        let directory = IndexDirectory::new(&store, 1 << 20);
        let before = files(&directory.inner_path()).unwrap();
        let index = read(&store, &seal, scratch.path(), 1 << 20).unwrap();
        let found = rows(&index.expect("it is as it was sealed"));
        let expected = [
            (b"a".to_vec(), b"1".to_vec()),
            (b"b".to_vec(), b"2".to_vec()),
        ];
        assert_eq!(found, expected);
        assert!(files(&directory.inner_path()).unwrap() == before);
        assert_eq!(directory.seal().unwrap(), Some(seal));
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_index_that_changed_since_is_not_read() {
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (store, seal) = sealed(dir.path());
        let directory = IndexDirectory::new(&store, 1 << 20);
        fs::write(directory.inner_path().join("more"), b"").unwrap();
        let index = read(&store, &seal, scratch.path(), 1 << 20).unwrap();
        assert!(index.is_none());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_index_that_another_engine_sealed_is_not_read() {
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (store, mut seal) = sealed(dir.path());
        seal.engine = "other".to_owned();
        let index = read(&store, &seal, scratch.path(), 1 << 20).unwrap();
        assert!(index.is_none());
    }
}
