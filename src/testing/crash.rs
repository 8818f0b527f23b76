//! What the store promises when the disk or the process ends under it, tried out
//! on a folder in memory that forgets, fails and stalls as it is told.
//!
//! A seeded client makes graphs and jobs and moves them through their states; it
//! notes what it attempted, what was acknowledged, and what the store should then
//! hold. The store works with segments of a few KiB, so that rotating, packing and
//! merging go on all the time. Then:
//! - `power_cuts`: the power goes between any two calls to the disk. What was
//!   acknowledged is there, at most what was attempted is there, nothing by half.
//! - `failing_calls`: each call to the disk fails once, or from then on. Nothing is
//!   acknowledged falsely, nothing hangs, reads go on.
//! - `full_disk`: there is no room left. New jobs are refused, all others go on to
//!   their end, and new ones are taken as soon as there is room.
//! - `freeing`: there is no room and no file left. Purging and dropping give both back.
//! - `held_syncs`: a sync that does not return. Nobody sees what it is to make
//!   durable, and nobody waits for it but its writer.
//! - `stuck`: the index, or a thread, does not come back. Writes and lists go on, and
//!   a close ends in time.
//! - `damage`: bytes of a closed store change. What is read is right or an error.
//! - `repair`: what was damaged is quarantined. What is left is right and goes on.
//! - `small_disk`: the same on a file system without a free byte or inode.
//! - `descriptors`: few files can be open. A store of many files is read, opened, packed
//!   and repaired all the same, and the lack of descriptors is taken for nothing else.
//! - `rewritten`: jobs are purged, graphs dropped, packs rewritten. The log by itself tells
//!   what the store tells.
//! - `space`: what was purged, dropped and forgotten takes no room.
//! - `late_index`: the index ends in the middle of what was packed since.
//! - `old_details`: the index brings back rows as they were before.

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
mod rewritten;
mod small_disk;
mod space;
mod stuck;
mod world;
