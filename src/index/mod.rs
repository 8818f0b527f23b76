//! The index: small checksummed rows that are derived from the log, and the interface to the engine
//! that stores them.
//!
//! Correctness does not depend on the index. Rows that are missing, stale, or damaged are detected,
//! and rebuilt from the log.

pub(crate) mod all_rows;
mod content_hash;
pub(crate) mod directory;
pub(crate) mod empty;
pub(crate) mod files;
pub(crate) mod guard;
pub(crate) mod memory;
pub(crate) mod read_only_copy;
pub(crate) mod rows;
mod sled_index;
pub(crate) mod sorted_runs;

use crate::model::error::Error;

/// Why the index is not available.
#[derive(Clone, Debug)]
pub(crate) struct Fault(pub(crate) String);

impl Fault {
    pub(crate) fn into_error(self) -> Error {
        Error::IndexUnavailable {
            what: self.0.into(),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The function that a scan calls with the key and value of each row.
pub(crate) type EachRow<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), Fault>;

/// A store of small rows, ordered by key.
pub(crate) trait Index: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Calls `each` with every row whose key begins with `prefix`, in order. Rows that are written
    /// during the scan may or may not be included.
    fn scan(&self, prefix: &[u8], each: EachRow<'_>) -> Result<(), Fault>;

    /// Applies a batch. As far as the engine guarantees it, either all or none of its changes
    /// survive a crash.
    fn write(&self, batch: &Batch) -> Result<(), Fault>;

    /// Returns whether rows can be read back after they are written.
    fn keeps_rows(&self) -> bool {
        true
    }

    /// Passes all data to the operating system, as far as the engine can.
    fn flush(&self) -> Result<(), Fault>;
}

/// Rows to put. A row without a value is removed.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) bytes: usize,
}

/// An engine is locked while it applies a batch, so batches are kept small.
pub(crate) const BATCH_BYTES_MAX: usize = 256 << 10;
/// The maximum size of a row's value. Larger values miss the engine's fast path.
pub(crate) const VALUE_BYTES_MAX: usize = 6 << 10;

impl Batch {
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        debug_assert!(value.len() <= VALUE_BYTES_MAX);
        self.bytes += key.len() + value.len();
        self.rows.push((key, Some(value)));
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.bytes += key.len();
        self.rows.push((key, None));
    }

    /// Returns whether these rows can be added without making the batch too large.
    pub(crate) fn has_room_for(&self, rows: &[(Vec<u8>, Option<Vec<u8>>)]) -> bool {
        let bytes: usize = rows
            .iter()
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len))
            .sum();
        self.bytes + bytes <= BATCH_BYTES_MAX
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES_MAX - VALUE_BYTES_MAX
    }

    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.bytes = 0;
    }
}
