//! The index on redb: the one file that names it.
//!
//! Owns: how redb 2.6 is opened and called; its file. Must not know: what the rows
//! mean.
//! Promise: a panic or error inside redb becomes a [`Fault`].
//!
//! Nothing rests on the index, so nothing waits for the disk: while the index is at
//! work a commit writes its pages to the system and [`StorageBackend::sync_data`] does
//! nothing. A kill of the process takes no commit (what was written is the system's);
//! after a power cut redb finds its file marked as not closed, checks every page's
//! checksum, and goes back to the commit before or refuses the file, which is then
//! made anew. That mark has to be durable before pages change, and what it vouches for
//! before it is taken away: during open and close a sync is one.

#![allow(
    clippy::result_large_err,
    reason = "redb's errors are as they are; they become faults at once"
)]

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use redb::{Builder, Database, Durability, StorageBackend, TableDefinition};

use super::folder::{caught, lock, unlock};
use super::{Batch, EachRow, Fault, Index};
use crate::sync::atomic::{AtomicBool, Ordering};

/// The one file, which is locked while it is open.
pub(super) const LOCKED: &str = "rows.redb";

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

struct RedbIndex {
    /// Gone once it is dropped.
    database: Option<Database>,
    file: Arc<Unsynced>,
    /// It panicked: what it holds in memory may be halfway, so it is not called again.
    is_broken: AtomicBool,
}

/// Opens or makes the index in a folder that is there.
pub(super) fn open(folder: &Path, cache_bytes: u64) -> io::Result<Arc<dyn Index>> {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(LOCKED))?;
    if !lock(&file) {
        return Err(io::Error::other("somebody still has it open"));
    }
    let file = Arc::new(Unsynced {
        file,
        is_synced: AtomicBool::new(true),
    });
    let backend = Backend(file.clone());
    let cache_bytes = usize::try_from(cache_bytes).unwrap_or(usize::MAX);
    let opened = caught(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes);
        let database = builder.create_with_backend(backend)?;
        let making = database.begin_write()?;
        making.open_table(ROWS)?;
        making.commit()?;
        Ok::<_, redb::Error>(database)
    });
    let database = opened.map_err(|Fault(what)| io::Error::other(what))?;
    file.is_synced.store(false, Ordering::Release);
    Ok(Arc::new(RedbIndex {
        database: Some(database),
        file,
        is_broken: AtomicBool::new(false),
    }))
}

impl RedbIndex {
    fn call<T>(&self, call: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, Fault> {
        let database = self
            .database
            .as_ref()
            .filter(|_| !self.is_broken.load(Ordering::Acquire))
            .ok_or_else(|| Fault("the index engine panicked before".to_owned()))?;
        // Stays set when the call does not come back.
        let mut is_back = false;
        let result = caught(|| {
            let result = call(database);
            is_back = true;
            result
        });
        if !is_back {
            self.is_broken.store(true, Ordering::Release);
        }
        result
    }
}

impl Index for RedbIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.call(|database| {
            let rows = database.begin_read()?.open_table(ROWS)?;
            let value = rows.get(key)?;
            Ok(value.map(|value| value.value().to_vec()))
        })
    }

    fn scan(&self, prefix: &[u8], each: EachRow<'_>) -> Result<(), Fault> {
        let mut rows = self.call(|database| {
            let rows = database.begin_read()?.open_table(ROWS)?;
            Ok(rows.range(prefix..)?)
        })?;
        let mut next = || {
            self.call(|_| {
                let Some(row) = rows.next() else {
                    return Ok(None);
                };
                let (key, value) = row?;
                let is_within = key.value().starts_with(prefix);
                Ok(is_within.then(|| (key.value().to_vec(), value.value().to_vec())))
            })
        };
        let scanned = loop {
            match next() {
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault),
                Ok(Some((key, value))) => {
                    if let Err(fault) = each(&key, &value) {
                        break Err(fault);
                    }
                }
            }
        };
        // Its end is a call, too.
        self.call(|_| {
            drop(rows);
            Ok(())
        })?;
        scanned
    }

    fn write(&self, batch: &Batch) -> Result<(), Fault> {
        self.call(|database| {
            let mut changes = database.begin_write()?;
            // With less, redb would free no page.
            changes.set_durability(Durability::Eventual);
            {
                let mut rows = changes.open_table(ROWS)?;
                for (key, value) in &batch.rows {
                    match value {
                        Some(value) => rows.insert(key.as_slice(), value.as_slice())?,
                        None => rows.remove(key.as_slice())?,
                    };
                }
            }
            changes.commit()?;
            Ok(())
        })
    }

    fn flush(&self) -> Result<(), Fault> {
        // Each commit has handed its pages to the system.
        self.call(|_| Ok(()))
    }
}

impl Drop for RedbIndex {
    fn drop(&mut self) {
        self.file.is_synced.store(true, Ordering::Release);
        let database = self.database.take();
        if self.is_broken.load(Ordering::Acquire) {
            // Its end would write what is halfway, or wait for a lock that nobody has.
            // It has no threads; its file is marked as not closed.
            std::mem::forget(database);
        } else if caught(|| {
            drop(database);
            Ok::<(), Fault>(())
        })
        .is_err()
        {
            tracing::warn!("the index did not end well");
        }
        unlock(&self.file.file);
    }
}

/// The file under the index.
struct Unsynced {
    file: File,
    is_synced: AtomicBool,
}

/// What redb is given of it.
struct Backend(Arc<Unsynced>);

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend").finish()
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.file.metadata()?.len())
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        // A damaged file may name any length.
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| self.len().is_ok_and(|len| end > len)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut buffer = vec![0; len];
        self.0.file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.file.set_len(len)
    }

    fn sync_data(&self, _eventual: bool) -> io::Result<()> {
        match self.0.is_synced.load(Ordering::Acquire) {
            true => self.0.file.sync_data(),
            false => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.file.write_all_at(data, offset)
    }
}
