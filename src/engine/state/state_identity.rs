//! The identity of a graph's state.
//!
//! Under one identity, a sequence number always means the same job. Therefore, what depends only on
//! jobs that never change can be cached under it.

// Only distinguishes states; nothing waits for it.
use std::sync::atomic::{AtomicU64, Ordering};

/// Identifies a state in memory, uniquely in this process. If a follower's state is replaced by
/// that of another log, the new state has another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StateIdentity(u64);

impl Default for StateIdentity {
    /// A new identity.
    fn default() -> StateIdentity {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        StateIdentity(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
