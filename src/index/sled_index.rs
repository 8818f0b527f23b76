//! The index on sled 0.34.7. This is the only file that refers to sled.
//!
//! sled is opened and called so that none of its known faults reaches a caller. A panic or error
//! inside sled becomes a [`Fault`].

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::guard::catch_panic;
use super::{Batch, EachRow, Fault, Index};

/// sled collects garbage during its own periodic flushes. A flush is not a sync.
const FLUSH_EVERY_MS: u64 = 500;
/// The name of the engine in a seal.
pub(super) const NAME: &str = "sled";
/// The file that sled locks while an index is open.
pub(super) const LOCKED: &str = "db";

struct SledIndex {
    /// `None` once the index is dropped.
    tree: Option<sled::Db>,
}

/// Opens or creates the index in an existing directory.
pub(super) fn open(directory: &Path, cache_bytes: u64) -> io::Result<Arc<dyn Index>> {
    remove_unfinished_snapshots(directory)?;
    let config = sled::Config::new()
        .path(directory)
        .cache_capacity(cache_bytes)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    let tree = match catch_unwind(AssertUnwindSafe(|| config.open())) {
        // The caller handles a full disk separately.
        Ok(Err(sled::Error::Io(e))) => return Err(e),
        Ok(opened) => opened.map_err(|e| io::Error::other(e.to_string()))?,
        Err(_) => return Err(io::Error::other("sled panicked")),
    };
    Ok(Arc::new(SledIndex { tree: Some(tree) }))
}

/// Removes unfinished snapshots. If the process is killed while sled writes a snapshot, the
/// remaining file would make the next open fail.
fn remove_unfinished_snapshots(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

impl SledIndex {
    fn tree(&self) -> Result<&sled::Db, Fault> {
        let tree = self.tree.as_ref();
        tree.ok_or_else(|| Fault("it has been released".to_owned()))
    }
}

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let tree = self.tree()?;
        catch_panic(|| tree.get(key)).map(|value| value.map(|v| v.to_vec()))
    }

    fn scan(&self, prefix: &[u8], each: EachRow<'_>) -> Result<(), Fault> {
        let mut rows = self.tree()?.scan_prefix(prefix);
        while let Some((key, value)) = catch_panic(|| rows.next().transpose())? {
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
        catch_panic(|| tree.apply_batch(changes))
    }

    fn flush(&self) -> Result<(), Fault> {
        let tree = self.tree()?;
        catch_panic(|| tree.flush()).map(|_| ())
    }
}

impl Drop for SledIndex {
    fn drop(&mut self) {
        // Dropping the database writes and syncs, and panics if that fails.
        let tree = self.tree.take();
        let ended = catch_panic(|| {
            drop(tree);
            Ok::<(), Fault>(())
        });
        if ended.is_err() {
            tracing::warn!("the index did not close cleanly");
        }
    }
}
