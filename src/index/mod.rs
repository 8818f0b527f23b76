//! The seam to the index: small checked rows, derived from the truth.
//!
//! Owns: what an index engine must do. Must not know: which one does it.
//! Promise: nothing rests on it: whatever is missing, stale or damaged in an
//! index is noticed and made again from the log.

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

/// Why the index cannot answer.
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

/// What a scan calls with key and value of each row.
pub(crate) type EachRow<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), Fault>;

/// A store of small rows in the order of their keys.
pub(crate) trait Index: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Calls `each` with every row whose key begins with `prefix`, in order. Rows
    /// written meanwhile may be seen or not.
    fn scan(&self, prefix: &[u8], each: EachRow<'_>) -> Result<(), Fault>;

    /// Makes the changes of a batch; after a crash all of them are there or none,
    /// as far as the engine keeps its word.
    fn write(&self, batch: &Batch) -> Result<(), Fault>;

    /// Whether what is written can be read again.
    fn keeps_rows(&self) -> bool {
        true
    }

    /// Hands everything to the system, as far as the engine can.
    fn flush(&self) -> Result<(), Fault>;
}

/// Rows to put (or, without a value, to remove).
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) bytes: usize,
}

/// A batch holds its engine's locks while it is applied, so it is kept small.
pub(crate) const BATCH_BYTES_MAX: usize = 256 << 10;
/// A row's value has at most so many bytes: larger ones leave the engine's fast
/// path.
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

    /// Whether these rows can be put as well without the batch growing too large.
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
