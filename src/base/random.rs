//! Random bytes, for the whole crate.
//!
//! They come from the system, or, in tests, from the simulator of this thread or from the scheduler
//! that explores interleavings, so that the same seed or schedule always runs the same steps.

use std::io;

/// Returns random bytes.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Returns 128 random bits, which make a name unique.
pub(crate) fn random_number() -> io::Result<u128> {
    random().map(u128::from_le_bytes)
}

#[cfg(not(all(test, jobstore_shuttle)))]
fn fill(bytes: &mut [u8]) -> io::Result<()> {
    #[cfg(any(test, feature = "simulation"))]
    if super::simulated::fill(bytes) {
        return Ok(());
    }
    getrandom::fill(bytes)
        .map_err(|error| io::Error::other(format!("cannot obtain random numbers: {error}")))
}

#[cfg(all(test, jobstore_shuttle))]
fn fill(bytes: &mut [u8]) -> io::Result<()> {
    shuttle::rand::RngCore::fill_bytes(&mut shuttle::rand::thread_rng(), bytes);
    Ok(())
}
