//! The state of index rewrites.
//!
//! [`Rewrites`] includes the rule for how much garbage is too much.

use std::sync::Arc;

use crate::base::sync::time::Instant;
use crate::index::Index;

/// The files of an index may take this many bytes in addition to twice the size of its rows.
pub(crate) const GARBAGE_FREE: u64 = 6 << 20;

/// The state of index rewrites.
#[derive(Default)]
pub(crate) struct Rewrites {
    /// The LSN of the index when its rows were last checked.
    pub(crate) looked_lsn: u64,
    /// The earliest time of the next check.
    pub(crate) not_before: Option<Instant>,
    /// The size of the index directly after the last rewrite.
    pub(crate) rewritten: Option<Size>,
    /// Whether the file system cannot exchange the names of two directories.
    pub(crate) is_impossible: bool,
    /// A replaced index that still has readers.
    pub(crate) replaced: Option<Arc<dyn Index>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) file_bytes: u64,
    pub(crate) row_bytes: u64,
}

impl Size {
    /// Whether the files are mostly garbage.
    pub(crate) fn is_mostly_garbage(self) -> bool {
        self.file_bytes > GARBAGE_FREE + 2 * self.row_bytes
    }

    /// Whether there is much more garbage than after the last rewrite. (Some always remains,
    /// because the engine's files are never full.)
    pub(crate) fn is_worse_than(self, rewritten: Size) -> bool {
        self.file_bytes > rewritten.file_bytes / 2 * 3
            || self.row_bytes < rewritten.row_bytes / 4 * 3
    }
}
