//! Whether a store can do all it should.
//!
//! Owns: [`Health`]. Must not know: what is wrong, beyond its words.
//! Promise: a store that only seems well does not say so.

use std::sync::Arc;
use std::time::SystemTime;

/// Whether a store can do all it should: from [`JobStore::health`](crate::JobStore::health).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It can.
    Ok,
    /// It serves what it can, but something behind that does not work, there is no room on
    /// the disk, or others than its owner can read its files: the words say what, and what
    /// helps.
    #[non_exhaustive]
    Degraded {
        /// What does not work.
        why: Arc<str>,
    },
    /// It serves reads only: a write or sync has failed. Reopen it.
    #[non_exhaustive]
    ReadOnly {
        /// What failed.
        why: Arc<str>,
        /// When, by the clock of [`Options::clock`](crate::Options::clock).
        since: SystemTime,
    },
    /// It was closed.
    Closed,
}
