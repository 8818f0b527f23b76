//! What is known of the rewrites of an index.
//!
//! Owns: [`Rewrites`], and how much garbage is too much. Must not know: how an index is
//! rewritten.

use std::sync::Arc;

use crate::base::sync::time::Instant;
use crate::index::Index;

/// What the files of an index may have beyond twice the bytes of its rows.
pub(crate) const GARBAGE_FREE: u64 = 6 << 20;

/// What is known of the rewrites of an index.
#[derive(Default)]
pub(crate) struct Rewrites {
    /// Up to where the log was in the index when its rows were looked at last.
    pub(crate) looked_lsn: u64,
    /// No look before then.
    pub(crate) not_before: Option<Instant>,
    /// The index as the last rewrite left it.
    pub(crate) rewritten: Option<Size>,
    /// The file system cannot exchange the names of two directories.
    pub(crate) is_impossible: bool,
    /// An index that has been replaced, as long as somebody reads it.
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

    /// Whether there is much more garbage than a rewrite left: an engine's files are never
    /// full.
    pub(crate) fn is_worse_than(self, rewritten: Size) -> bool {
        self.file_bytes > rewritten.file_bytes / 2 * 3
            || self.row_bytes < rewritten.row_bytes / 4 * 3
    }
}
