//! Arithmetic on a word: the states of 32 jobs, two bits each.

use crate::model::states::States;

/// The number of jobs whose states share a word.
pub(crate) const WORD_JOBS: u64 = 32;
pub(super) const EVERY_LOW_BIT: u64 = 0x5555_5555_5555_5555;

/// A word of complete jobs only.
pub(super) const ALL_COMPLETE: u64 = EVERY_LOW_BIT << 1;

/// A mask in which a bit is set for each job of the word that is in one of these states.
pub(super) fn matches(states: States, word: u64) -> u32 {
    let mut found = 0;
    for code in 0..3u64 {
        if states.bits() & (1 << code) != 0 {
            let differs = word ^ (EVERY_LOW_BIT * code);
            found |= !(differs | (differs >> 1)) & EVERY_LOW_BIT;
        }
    }
    gather(found)
}

/// The even bits of a word, packed together.
fn gather(mut x: u64) -> u32 {
    x &= EVERY_LOW_BIT;
    x = (x | (x >> 1)) & 0x3333_3333_3333_3333;
    x = (x | (x >> 2)) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | (x >> 4)) & 0x00ff_00ff_00ff_00ff;
    x = (x | (x >> 8)) & 0x0000_ffff_0000_ffff;
    (x | (x >> 16)) as u32
}
