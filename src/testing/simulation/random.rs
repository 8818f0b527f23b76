//! Random bytes that a seed determines.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

pub(super) fn seed(seed: u64) {
    STATE.set(Some(seed));
}

/// Fills the buffer if this thread has a seed. Returns whether it did.
pub(super) fn fill(bytes: &mut [u8]) -> bool {
    let Some(mut state) = STATE.get() else {
        return false;
    };
    for some in bytes.chunks_mut(8) {
        let drawn = next(&mut state).to_le_bytes();
        some.copy_from_slice(&drawn[..some.len()]);
    }
    STATE.set(Some(state));
    true
}

/// splitmix64
pub(super) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
