//! An open store: states in memory, commits, pages, background work.
//!
//! A write is durable before it is acknowledged, and visible only once it is durable. All
//! writes have one order, and a page is a snapshot of one instant. After a failed write,
//! nothing more is written until the store is reopened; reads continue.
//!
//! [`state`] contains the data, and [`core`] puts it together. In reading order:
//! [`state::queue`] and [`commit`] write to the log, [`state::graph_state`] publishes the
//! changes, and [`state::calls`] completes the callers' writes; [`state::status`] selects the
//! jobs of a page, [`read`] reads their blocks, and [`jobs`] builds values from them;
//! [`packing`], [`compaction`], [`retention`], and [`indexing`] run in the background;
//! [`close`] stops everything, and [`open`] builds it from the files.

pub(crate) mod age_clock;
#[cfg(feature = "archive")]
pub(crate) mod archiver;
#[cfg(feature = "archive")]
pub(crate) mod archiving;
pub(crate) mod check;
pub(crate) mod close;
pub(crate) mod commit;
pub(crate) mod compaction;
pub(crate) mod compaction_filter;
pub(crate) mod core;
pub(crate) mod cursors;
pub(crate) mod directory;
pub(crate) mod document;
pub(crate) mod feed;
pub(crate) mod garbage;
pub(crate) mod health;
pub(crate) mod idempotency_keys;
pub(crate) mod index_fallback;
pub(crate) mod index_rewrite;
pub(crate) mod indexing;
pub(crate) mod jobs;
pub(crate) mod large;
pub(crate) mod listing;
pub(crate) mod log_snapshot;
pub(crate) mod lookup;
pub(crate) mod missing_job;
pub(crate) mod open;
pub(crate) mod opens;
pub(crate) mod pack_files;
pub(crate) mod packed_events;
pub(crate) mod packing;
pub(crate) mod read;
pub(crate) mod recover;
pub(crate) mod relocation;
pub(crate) mod repair;
pub(crate) mod replay;
pub(crate) mod retention;
pub(crate) mod scan;
pub(crate) mod state;
pub(crate) mod store_files;
pub(crate) mod store_handle;
pub(crate) mod survey;
pub(crate) mod tombstones;
