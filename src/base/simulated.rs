//! The seam to a simulator.
//!
//! Owns: which simulator this thread has, if any, and what the layers above ask of it.

use std::cell::Cell;

/// What a simulator does for its thread.
#[derive(Clone, Copy)]
pub(crate) struct Simulator {
    /// Fills the buffer with random bytes; `false` to leave that to the system.
    pub(crate) fill: fn(&mut [u8]) -> bool,
    /// Does what a wait that begins now would wait for.
    pub(crate) before_waiting: fn(),
    /// Whether a store is open.
    #[cfg(feature = "http")]
    pub(crate) has_store: fn() -> bool,
}

thread_local! {
    static HERE: Cell<Option<Simulator>> = const { Cell::new(None) };
}

/// Gives this thread its simulator.
pub(crate) fn set(simulator: Simulator) {
    HERE.set(Some(simulator));
}

/// Fills the buffer if this thread's random bytes are simulated.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    HERE.get().is_some_and(|simulator| (simulator.fill)(bytes))
}

/// To be called before a wait, which would not end otherwise.
pub(crate) fn before_waiting() {
    if let Some(simulator) = HERE.get() {
        (simulator.before_waiting)();
    }
}

/// Whether this thread has a simulated store.
#[cfg(feature = "http")]
pub(crate) fn is_here() -> bool {
    HERE.get().is_some_and(|simulator| (simulator.has_store)())
}
