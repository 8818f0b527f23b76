//! Reading: which jobs a call selects, their texts, and the feed of changes.

pub(crate) mod cursors;
pub(crate) mod document;
pub(crate) mod feed;
pub(crate) mod history;
pub(crate) mod idempotency_keys;
pub(crate) mod jobs;
pub(crate) mod large;
pub(crate) mod listing;
pub(crate) mod log_snapshot;
pub(crate) mod lookup;
pub(crate) mod missing_job;
pub(crate) mod opens;
mod outcome_tally;
pub(crate) mod reader;
pub(crate) mod requests;
#[cfg(feature = "http")]
pub(crate) mod runs;
pub(crate) mod scan;
pub(crate) mod submission_times;
pub(crate) mod tally;
pub(crate) mod tombstones;
