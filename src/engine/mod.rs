//! An open store at work: states in memory, commits, pages, background work.
//!
//! Owns: everything between the public calls and the files. Must not know: the bytes of
//! the log, which index engine is used.
//! Promise: durable before acknowledged, never listed before durable, one order, a
//! page is one instant; after a failed write nothing more is written until the store
//! is reopened, while reads go on.
//!
//! [`state`] is the data, each part with what keeps it right, and [`core`] has all of it
//! in one place. In reading order: [`state::queue`] and [`commit`] take a write to the
//! log, [`state::graph_state`] publishes it, [`state::calls`] tells the caller;
//! [`state::status`] finds what a page shows, [`read`] brings its blocks, [`jobs`] makes
//! values of them; [`packing`], [`compaction`], [`retention`] and [`indexing`] work
//! behind; [`close`] ends all of it, and [`open`] puts it together again.

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
