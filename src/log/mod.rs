//! The truth: the checked files that a store consists of.
//!
//! Owns: every byte on the disk outside of the index, described in `FORMAT.md`.
//! Must not know: graphs' states, callers, the index.
//! Promise: what was appended durably is read back as it was, or the error names
//! file and place.

#[cfg(feature = "archive")]
pub(crate) mod archive;
pub(crate) mod block;
mod checked_text;
pub(crate) mod clock_gaps;
pub(crate) mod clock_mark;
pub(crate) mod disk;
pub(crate) mod event;
pub(crate) mod event_sizes;
pub(crate) mod file_names;
pub(crate) mod fingerprint;
pub(crate) mod fingerprints;
#[cfg(any(all(test, not(jobstore_shuttle)), fuzzing))]
pub(crate) mod forge;
pub(crate) mod format;
pub(crate) mod frame;
pub(crate) mod identity;
pub(crate) mod pack;
pub(crate) mod pack_writer;
pub(crate) mod permissions;
pub(crate) mod preallocation;
pub(crate) mod purged_jobs;
pub(crate) mod random;
pub(crate) mod revocable;
pub(crate) mod secret_keys;
pub(crate) mod segment;
pub(crate) mod writer;
