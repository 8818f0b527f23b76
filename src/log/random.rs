//! Random numbers from the system.

use std::io;

use crate::log::disk::Disk;
use crate::model::error::{Error, Result};

/// Returns random bytes from the system.
pub(crate) fn random<const N: usize>(disk: &dyn Disk) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    #[cfg(any(test, feature = "simulation"))]
    if crate::base::simulated::fill(&mut bytes) {
        return Ok(bytes);
    }
    getrandom::fill(&mut bytes).map_err(|e| {
        let e = io::Error::other(e.to_string());
        Error::io("generate random numbers for", disk.path(""), &e)
    })?;
    Ok(bytes)
}

/// Returns 19 random digits for the ids of a graph. The first digit is not zero.
pub(crate) fn random_id_number(disk: &dyn Disk) -> Result<u64> {
    const SMALLEST: u64 = 1_000_000_000_000_000_000;
    let random = u64::from_le_bytes(random(disk)?);
    Ok(SMALLEST + random % (9 * SMALLEST))
}
