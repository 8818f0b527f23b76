//! The truth: the checked files that a store consists of.
//!
//! Owns: every byte on the disk outside of the index, described in `FORMAT.md`.
//! Must not know: graphs' states, callers, the index.
//! Promise: what was appended durably is read back as it was, or the error names
//! file and place.

pub(crate) mod block;
pub(crate) mod clock_mark;
pub(crate) mod codec;
pub(crate) mod disk;
pub(crate) mod event;
pub(crate) mod fingerprints;
pub(crate) mod frame;
pub(crate) mod gaps;
#[cfg(any(all(test, not(jobstore_shuttle)), fuzzing))]
pub(crate) mod hostile;
pub(crate) mod identity;
pub(crate) mod log;
pub(crate) mod names;
pub(crate) mod pack;
pub(crate) mod pack_writer;
pub(crate) mod purged;
pub(crate) mod revocable;
pub(crate) mod secret_keys;
pub(crate) mod segment;
pub(crate) mod spare;
mod text;
pub(crate) mod told;
