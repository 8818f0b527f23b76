//! The versions of the format that this release supports. FORMAT.md describes the format.

/// The version that this release writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;
/// The oldest version that this release reads.
pub(crate) const OLDEST_FORMAT: u32 = 1;
