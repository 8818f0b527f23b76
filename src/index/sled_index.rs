//! The index on sled: the one file that names it.
//!
//! Owns: how sled 0.34.7 is opened and called so that none of its known faults
//! reaches a caller. Must not know: what the rows mean.
//! Promise: a panic or error inside sled becomes a [`Fault`]; an open that died is
//! noticed at the next one, also where a panic aborts the process.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Batch, EachRow, Fault, Index};

/// sled collects its garbage when it flushes by itself; a flush is no sync.
const FLUSH_EVERY_MS: u64 = 500;

pub(crate) struct SledIndex {
    /// Gone while it is dropped.
    tree: Option<sled::Db>,
}

impl Drop for SledIndex {
    fn drop(&mut self) {
        let tree = self.tree.take();
        // Its end writes and syncs, and panics where that fails.
        let ended = catch_unwind(AssertUnwindSafe(|| drop(tree)));
        if ended.is_err() {
            tracing::warn!("the index did not end well");
        }
    }
}

impl SledIndex {
    /// Opens or makes the index in `folder`. `marker` is a file that is there while
    /// this runs: if it is there already, the last open died here, and the folder
    /// goes.
    pub(crate) fn open(folder: &Path, marker: &Path, cache_bytes: u64) -> io::Result<SledIndex> {
        if marker.exists() {
            tracing::warn!("the last open of the index did not end; it is made anew");
            remove(folder)?;
            // It may be no file.
            remove(marker)?;
        }
        fs::write(marker, [])?;
        let opened = remove_unfinished_snapshots(folder).and_then(|()| open(folder, cache_bytes));
        let opened = match opened {
            Ok(tree) => Ok(tree),
            Err(e) => {
                tracing::warn!(error = %e, "the index does not open; it is made anew");
                remove(folder).and_then(|()| open(folder, cache_bytes))
            }
        };
        fs::remove_file(marker)?;
        Ok(SledIndex {
            tree: Some(opened?),
        })
    }
}

/// How long an open waits for an index that is just being let go of. The store's own
/// lock says that nobody works on it, so what holds sled's is a reader at its end or
/// a copy of the handle in a process that is being started; after this long the index
/// is made anew beside it.
const LOCK_WAIT: Duration = Duration::from_secs(2);

fn is_locked(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

fn open(folder: &Path, cache_bytes: u64) -> io::Result<sled::Db> {
    if !folder.is_dir() {
        remove(folder)?;
        // Made here, because sled would leave it open to others.
        fs::DirBuilder::new().mode(0o700).create(folder)?;
    }
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match open_once(folder, cache_bytes) {
            Err(e) if is_locked(&e) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return opened,
        }
    }
}

fn open_once(folder: &Path, cache_bytes: u64) -> io::Result<sled::Db> {
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(cache_bytes)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        // A full disk is to be told apart.
        Ok(Err(sled::Error::Io(e))) => Err(e),
        Ok(opened) => opened.map_err(|e| io::Error::other(e.to_string())),
        Err(_) => Err(io::Error::other("sled panicked")),
    }
}

/// Removes the index's folder and everything in it, or a file.
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

/// A kill within sled's snapshot leaves a file that its next open stumbles over.
fn remove_unfinished_snapshots(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// sled panics on some damage where it should return an error.
fn caught<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| Fault(e.to_string())),
        Err(_) => Err(Fault("sled panicked".to_owned())),
    }
}

impl SledIndex {
    fn tree(&self) -> Result<&sled::Db, Fault> {
        self.tree
            .as_ref()
            .ok_or_else(|| Fault("it was let go of".to_owned()))
    }
}

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let tree = self.tree()?;
        caught(|| tree.get(key)).map(|value| value.map(|v| v.to_vec()))
    }

    fn scan(&self, prefix: &[u8], each: EachRow<'_>) -> Result<(), Fault> {
        let mut rows = self.tree()?.scan_prefix(prefix);
        while let Some((key, value)) = caught(|| rows.next().transpose())? {
            each(&key, &value)?;
        }
        Ok(())
    }

    fn write(&self, batch: &Batch) -> Result<(), Fault> {
        let mut changes = sled::Batch::default();
        for (key, value) in &batch.rows {
            match value {
                Some(value) => changes.insert(key.as_slice(), value.as_slice()),
                None => changes.remove(key.as_slice()),
            }
        }
        let tree = self.tree()?;
        caught(|| tree.apply_batch(changes))
    }

    fn flush(&self) -> Result<(), Fault> {
        let tree = self.tree()?;
        caught(|| tree.flush()).map(|_| ())
    }
}
