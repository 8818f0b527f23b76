//! An open store at work: states in memory, commits, pages, background work.
//!
//! Owns: everything between the public calls and the files. Must not know: the
//! bytes of the log, which index engine is used.
//! Promise: durable before acknowledged, never listed before durable, one order,
//! a page is one instant.
//!
//! In reading order: [`queue`] and [`commit`] take a write to the log, [`graph`]
//! publishes it, [`status`] finds what a page shows, [`read`] brings its blocks, [`jobs`] makes
//! values of them;
//! [`packing`] and [`indexing`] work behind; [`open`] puts all of it together again.

pub(crate) mod commit;
pub(crate) mod engine;
pub(crate) mod graph;
pub(crate) mod indexing;
pub(crate) mod jobs;
pub(crate) mod large;
pub(crate) mod lookup;
pub(crate) mod open;
pub(crate) mod packing;
pub(crate) mod queue;
pub(crate) mod read;
pub(crate) mod recover;
pub(crate) mod replay;
pub(crate) mod status;

#[cfg(test)]
mod crash_tests;
