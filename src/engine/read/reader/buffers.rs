//! The buffers of a reader, which are kept for the next one.

use crate::base::spare::Spare;
use crate::log::block::Block;

/// The maximum size of the buffers of a reader that are kept: enough for pages of a few hundred jobs.
/// Readers of more jobs allocate rarely, compared with what they read.
const KEPT_BYTES_MAX: usize = 128 << 10;

static KEPT: Spare<Buffers> = Spare::new(8);

/// The buffers of a reader.
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
        KEPT.take().unwrap_or_default()
    }

    /// Keeps these buffers, unless they are too large.
    pub(super) fn keep(self) {
        if self.capacity() <= KEPT_BYTES_MAX {
            KEPT.keep(self);
        }
    }

    fn capacity(&self) -> usize {
        self.block.capacity() + self.ahead.capacity() + self.text.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests use the same buffers at the same time.
    #[test]
    fn large_buffers_are_not_kept() {
        for ahead in [0, KEPT_BYTES_MAX, KEPT_BYTES_MAX + 1] {
            let buffers = Buffers {
                ahead: Vec::with_capacity(ahead),
                ..Buffers::default()
            };
            buffers.keep();
            KEPT.each(|kept| assert!(kept.capacity() <= KEPT_BYTES_MAX));
        }
    }
}
