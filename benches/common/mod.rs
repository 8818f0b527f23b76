//! Code that the benchmarks share, one topic per file.
#![allow(dead_code)] // Each program uses a different part of this.

pub mod callers;
pub mod child;
pub mod directory;
pub mod memory;
pub mod quiet;
pub mod requests;
pub mod settings;
pub mod stores;
pub mod table;
pub mod took;
pub mod turns;
pub mod work;
