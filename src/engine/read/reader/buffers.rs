//! Buffers that a reader leaves to the next one.
//!
//! A reader of a few jobs needs some tens of kilobytes, for less than 10 us. In a process whose heap
//! is fragmented, an allocator searches longer for them than that.

use parking_lot::Mutex;

use crate::log::block::Block;

/// The maximum number of readers whose buffers are kept.
const KEPT_MAX: usize = 8;
/// The maximum size of the buffers of a reader that are kept: enough for pages of a few hundred jobs.
/// Readers of more jobs allocate rarely, compared with what they read.
const KEPT_BYTES_MAX: usize = 128 << 10;

/// The buffers that are kept. This lock is not one of `base::sync`, because nobody waits for it.
static KEPT: Mutex<Vec<Buffers>> = Mutex::new(Vec::new());

/// The buffers of a reader. What they contain has no meaning for the next one.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) block: Block,
    /// Bytes read ahead from a pack.
    pub(super) ahead: Vec<u8>,
    /// Text read from a segment.
    pub(super) text: Vec<u8>,
}

impl Buffers {
    /// Returns buffers that were kept, or new ones.
    pub(super) fn take() -> Buffers {
        let kept = KEPT.try_lock().and_then(|mut kept| kept.pop());
        kept.unwrap_or_default()
    }

    /// Keeps these buffers, unless they are too large or enough are kept.
    pub(super) fn keep(self) {
        if self.capacity() > KEPT_BYTES_MAX {
            return;
        }
        if let Some(mut kept) = KEPT.try_lock() {
            if kept.len() < KEPT_MAX {
                kept.push(self);
            }
        }
    }

    fn capacity(&self) -> usize {
        self.block.capacity() + self.ahead.capacity() + self.text.capacity()
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;

    /// Other tests use the same buffers at the same time.
    #[test]
    fn a_bounded_amount_is_kept() {
        for ahead in [0, KEPT_BYTES_MAX, KEPT_BYTES_MAX + 1] {
            for _ in 0..2 * KEPT_MAX {
                let buffers = Buffers {
                    ahead: Vec::with_capacity(ahead),
                    ..Buffers::default()
                };
                buffers.keep();
            }
            let kept = KEPT.lock();
            assert!(kept.len() <= KEPT_MAX);
            assert!(kept.iter().all(|kept| kept.capacity() <= KEPT_BYTES_MAX));
        }
    }
}
