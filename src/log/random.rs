//! Random numbers for the ids in a store.

use crate::base::random;
use crate::log::disk::Disk;
use crate::model::error::{Error, Result};

/// Returns random bytes.
pub(crate) fn random<const N: usize>(disk: &dyn Disk) -> Result<[u8; N]> {
    random::random().map_err(|e| Error::io("generate random numbers for", disk.path(""), &e))
}

/// Returns 19 random digits for the ids of a graph. The first digit is not zero.
pub(crate) fn random_id_number(disk: &dyn Disk) -> Result<u64> {
    const SMALLEST: u64 = 1_000_000_000_000_000_000;
    let random = u64::from_le_bytes(random(disk)?);
    Ok(SMALLEST + random % (9 * SMALLEST))
}
