//! Random numbers that make names unique.

/// Returns 128 random bits from the system.
pub(super) fn random_number() -> Result<u128, String> {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(u128::from_le_bytes(bytes)),
        Err(error) => Err(format!("cannot obtain random numbers: {error}")),
    }
}
