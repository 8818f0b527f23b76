//! The interface between this thread and its simulator, if it has one.

use std::cell::Cell;

/// The functions that a simulator provides for its thread.
#[derive(Clone, Copy)]
pub(crate) struct Simulator {
    /// Fills the buffer with random bytes. Returns `false` if the system's random bytes are to be
    /// used.
    pub(crate) fill: fn(&mut [u8]) -> bool,
    /// Called before a wait. Does the work that the wait would wait for.
    pub(crate) before_waiting: fn(),
    /// Returns whether a store is open.
    #[cfg(feature = "http")]
    pub(crate) has_store: fn() -> bool,
}

thread_local! {
    static HERE: Cell<Option<Simulator>> = const { Cell::new(None) };
}

/// Sets the simulator of this thread.
pub(crate) fn set(simulator: Simulator) {
    HERE.set(Some(simulator));
}

/// If the random bytes of this thread are simulated, fills the buffer. Returns whether it did.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    HERE.get().is_some_and(|simulator| (simulator.fill)(bytes))
}

/// Must be called before any wait. Without this call, the wait of a simulated thread would never
/// end.
pub(crate) fn before_waiting() {
    if let Some(simulator) = HERE.get() {
        (simulator.before_waiting)();
    }
}

/// Returns whether this thread has a simulated store.
#[cfg(feature = "http")]
pub(crate) fn is_here() -> bool {
    HERE.get().is_some_and(|simulator| (simulator.has_store)())
}

/// Returns whether this thread has a simulator.
pub(crate) fn is_simulated() -> bool {
    HERE.get().is_some()
}
