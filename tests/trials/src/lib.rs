//! What the trials share: programs that kill, cut, starve and damage stores, and
//! check what is left.
//!
//! Owns: nothing yet but their table of contents. Must not know: the store's files.

#![forbid(unsafe_code)]
