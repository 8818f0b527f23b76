//! The versions of the format that this release supports. FORMAT.md describes the format.

use std::path::Path;

use crate::model::error::{Error, Result};

/// The version that this release writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 2;
/// The oldest version that this release reads.
pub(crate) const OLDEST_FORMAT: u32 = 2;

/// Returns an error if this release does not support this version. `directory` is the store's.
pub(crate) fn check(found: u32, directory: &Path) -> Result<()> {
    match found {
        ..OLDEST_FORMAT => Err(Error::OlderFormat {
            path: directory.into(),
            found,
            oldest: OLDEST_FORMAT,
        }),
        OLDEST_FORMAT..=FORMAT => Ok(()),
        _ => Err(Error::NewerFormat {
            path: directory.into(),
            found,
            supported: FORMAT,
        }),
    }
}
