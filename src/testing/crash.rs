//! Crash tests: the store's guarantees when the disk fails or the process dies. The store uses a
//! directory in memory that loses data, fails, or stalls when a test requires it.
//!
//! A seeded client creates graphs and jobs and moves them through their states. It records what it
//! attempted, what was acknowledged, and what the store should then contain. The store uses
//! segments of a few KiB, so that segments are rotated, packed, and merged all the time. The
//! scenarios:
//! - `power_cuts`: the power fails between any two calls to the disk. All acknowledged data is
//!   present, nothing is present that was not attempted, and nothing is present partially.
//! - `failing_calls`: each call to the disk fails, either once or together with all later calls.
//!   Nothing is acknowledged falsely, nothing hangs, and reads continue.
//! - `full_disk`: no space is left. New jobs are refused, existing jobs can still be completed, and
//!   new ones are accepted as soon as there is space.
//! - `freeing`: no space and no inode is left. Purging and dropping free both.
//! - `reserved`: freed space goes to root first. Purging still frees space.
//! - `held_syncs`: a sync does not return. Nobody sees the data that it makes durable, and only the
//!   caller that wrote that data waits for it.
//! - `stuck`: the index or a thread hangs. Writes and lists continue, and a close returns in time.
//! - `damage`: bytes of a closed store change. Every read is correct or an error.
//! - `repair`: damaged data is quarantined. The rest is correct and remains usable.
//! - `small_disk`: a real file system without a free byte or inode. Purging frees space.
//! - `descriptors`: few files can be open. A store of many files can still be read, opened, packed,
//!   and repaired, and the lack of descriptors is not mistaken for another problem.
//! - `rewritten`: jobs are purged, graphs are dropped, and packs are rewritten. The log alone
//!   yields the same results as the store.
//! - `space`: purged, dropped, and forgotten data takes no space.
//! - `replicated_headers`: segments are begun, and nothing is written to them. The replica can still
//!   be restored.
//! - `replicated_keys`: the record of the secret keys cannot be read. It is not missing in the
//!   replica because of that.
//! - `late_index`: the index ends in the middle of data that has since been packed.
//! - `old_details`: the index returns outdated rows.

mod client;
mod damage;
mod descriptors;
mod expiring;
mod failed_rewrites;
mod failing_calls;
mod freeing;
mod full_disk;
mod held_syncs;
mod late_index;
mod old_details;
mod power_cuts;
mod repair;
mod replicated_headers;
mod replicated_keys;
mod reserved;
mod rewritten;
mod small_disk;
mod space;
mod stuck;
mod world;
