//! The shared parts of the trials. Trials are programs that kill the processes of stores, cut the
//! power, leave no space, or damage files, and then check what is left.
//!
//! A trial runs the [`workload`] in a child process, which reports its operations as [`line`]s. The
//! trial ends that process or its disk in some way. Then the [`oracle`] compares the remaining
//! store with the lines.

#![forbid(unsafe_code)]

pub mod args;
pub mod child;
pub mod dir_replica;
pub mod directory;
pub mod disk;
pub mod line;
pub mod made;
pub mod oracle;
pub mod plan;
pub mod random;
pub mod rebuilds;
pub mod trace;
pub mod workload;
