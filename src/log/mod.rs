//! The log: the checksummed files that a store consists of.
//!
//! Every byte on the disk outside of the index is defined here, and described in `FORMAT.md`. Data
//! that was durably appended is either read back unchanged, or reported as damaged in an error that
//! names the file and the offset.

#[cfg(feature = "archive")]
pub(crate) mod archive;
pub(crate) mod block;
mod checked_text;
pub(crate) mod clock_gaps;
pub(crate) mod clock_mark;
pub(crate) mod disk;
pub(crate) mod erased_history;
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
pub(crate) mod outbox;
pub(crate) mod pack;
pub(crate) mod pack_writer;
pub(crate) mod permissions;
pub(crate) mod preallocation;
pub(crate) mod purged_jobs;
pub(crate) mod random;
pub(crate) mod reign;
pub(crate) mod revocable;
pub(crate) mod secret_keys;
pub(crate) mod segment;
pub(crate) mod submit_runs;
pub(crate) mod writer;
