//! The formats that this release writes and reads; FORMAT.md describes them.

/// The format this release writes, and the latest it reads.
pub(crate) const FORMAT: u32 = 1;
/// The earliest format this release reads.
pub(crate) const OLDEST_FORMAT: u32 = 1;
