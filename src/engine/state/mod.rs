//! What an open store consists of.
//!
//! Owns: its data, each part with what keeps it right. Must not know: commits, pages,
//! background work; nothing of the engine that stands outside of this directory.

#[cfg(feature = "archive")]
pub(crate) mod archive_state;
pub(crate) mod attached_service;
pub(crate) mod backlog;
pub(crate) mod calls;
pub(crate) mod catalog;
pub(crate) mod change;
pub(crate) mod claim;
pub(crate) mod clock_readings;
pub(crate) mod committer;
pub(crate) mod committer_guard;
pub(crate) mod detail_changes;
pub(crate) mod detail_rows;
pub(crate) mod details;
pub(crate) mod external_ids;
pub(crate) mod graph;
pub(crate) mod graph_changes;
pub(crate) mod graph_state;
pub(crate) mod indexer;
pub(crate) mod lock_holder;
pub(crate) mod log_files;
pub(crate) mod metrics;
pub(crate) mod operation;
pub(crate) mod queue;
pub(crate) mod recovered;
pub(crate) mod removed_jobs;
pub(crate) mod removed_runs;
pub(crate) mod retention;
pub(crate) mod retired;
pub(crate) mod rewrites;
pub(crate) mod run_cell;
pub(crate) mod status;
pub(crate) mod store_lock;
pub(crate) mod unpacked;
pub(crate) mod waiters;
pub(crate) mod wakers;
pub(crate) mod watchdog;
pub(crate) mod workers;
