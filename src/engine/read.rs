//! Reading: which jobs a call selects, their texts, and the feed of changes.

pub(crate) mod cursors;
pub(crate) mod document;
pub(crate) mod feed;
pub(crate) mod idempotency_keys;
pub(crate) mod jobs;
pub(crate) mod large;
pub(crate) mod listing;
pub(crate) mod log_snapshot;
pub(crate) mod lookup;
pub(crate) mod missing_job;
pub(crate) mod opens;
pub(crate) mod reader;
#[cfg(feature = "http")]
pub(crate) mod runs;
pub(crate) mod scan;
pub(crate) mod tombstones;
