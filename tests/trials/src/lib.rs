//! What the trials share: programs that kill, cut, starve and damage stores, and
//! check what is left.
//!
//! Owns: nothing but their table of contents. Must not know: the store's files.
//!
//! A trial runs the [`workload`] in a process of its own, which says what it does in
//! [`line`]s, ends that process or its disk in some way, and has the [`oracle`]
//! compare the store that is left with what was said.

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
