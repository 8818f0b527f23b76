//! How much of a pack is garbage, as far as it has been counted.

use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::log::event_sizes::EventSizes;

/// The sizes of a graph's events in a pack.
pub(crate) struct PackedEventSizes {
    pub(crate) sizes: EventSizes,
    /// The graph's share of [`Garbage::events`].
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

/// How much of a pack is garbage, as far as it has been counted.
#[derive(Default)]
pub(crate) struct Garbage {
    /// The size of garbage blocks.
    pub(crate) blocks: AtomicU64,
    /// The size of garbage events before compression.
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

/// Replaces one contribution to a total by another. Only one thread at a time may call this.
pub(crate) fn recount(total: &AtomicU64, share: &AtomicU64, bytes: u64) {
    let before = share.swap(bytes, Ordering::Relaxed);
    total.fetch_add(bytes, Ordering::Relaxed);
    total.fetch_sub(before, Ordering::Relaxed);
}
