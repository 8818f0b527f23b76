//! What every layer stands on: threads and their synchronization, clocks, codecs.
//!
//! Names nothing of the crate outside of this directory.

pub(crate) mod clock;
pub(crate) mod codec;
pub(crate) mod host_clock;
pub(crate) mod parallel;
#[cfg(feature = "simulation")]
pub(crate) mod simulated;
pub(crate) mod sync;
#[cfg(feature = "http")]
pub(crate) mod timestamp;
