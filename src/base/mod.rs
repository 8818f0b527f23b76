//! What all layers use: threads and their synchronization, clocks, and codecs.
//!
//! Nothing here refers to the rest of the crate.

pub(crate) mod clock;
pub(crate) mod codec;
pub(crate) mod host_clock;
pub(crate) mod parallel;
pub(crate) mod random;
#[cfg(any(test, feature = "simulation"))]
#[cfg_attr(test, allow(dead_code, reason = "each kind of test uses a part"))]
pub(crate) mod simulated;
pub(crate) mod spare;
pub(crate) mod sync;
pub(crate) mod timestamp;
