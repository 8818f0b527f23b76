//! What the benchmarks share, an idea a file.
#![allow(dead_code)] // Each program uses its own part of this.

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
