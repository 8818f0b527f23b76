//! The shared parts of the trials: programs that kill, power off, starve, and damage stores, and
//! check what is left.
//!
//! A trial runs the [`workload`] in a child process, which reports its operations in [`line`]s,
//! ends that process or its disk in some way, and has the [`oracle`] compare the remaining store
//! with the lines.

#![forbid(unsafe_code)]

pub mod args;
pub mod child;
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
