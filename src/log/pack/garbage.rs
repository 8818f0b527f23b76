//! What of a pack is garbage, as far as it has been counted.

use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::log::event_sizes::EventSizes;

/// What the events of a graph take.
pub(crate) struct PackedEventSizes {
    pub(crate) sizes: EventSizes,
    /// Its share in [`Garbage::events`].
    pub(crate) garbage: AtomicU64,
}

impl PackedEventSizes {
    pub(super) fn new(sizes: EventSizes) -> PackedEventSizes {
        PackedEventSizes {
            sizes,
            garbage: AtomicU64::new(0),
        }
    }
}

/// What of a pack is garbage, as far as it has been counted.
#[derive(Default)]
pub(crate) struct Garbage {
    /// Bytes of blocks.
    pub(crate) blocks: AtomicU64,
    /// Bytes of events before compression.
    pub(crate) events: AtomicU64,
    is_counted: AtomicBool,
}

impl Garbage {
    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted.load(Ordering::Relaxed)
    }

    pub(crate) fn set_counted(&self) {
        self.is_counted.store(true, Ordering::Relaxed);
    }
}

/// Counts a share of a total again. One thread counts at a time.
pub(crate) fn recount(total: &AtomicU64, share: &AtomicU64, bytes: u64) {
    let before = share.swap(bytes, Ordering::Relaxed);
    total.fetch_add(bytes, Ordering::Relaxed);
    total.fetch_sub(before, Ordering::Relaxed);
}
