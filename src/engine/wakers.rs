//! Wakers: code of the host's async runtime, called by the store.
//!
//! Owns: the only calls to them. Must not know: who waits for what.
//! Promise: a waker that panics harms nobody else.
//!
//! A waker may do anything when it is cloned, called or dropped, also call the store. So
//! none of that is done under a lock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakes a task.
pub(crate) fn wake(waker: Waker) {
    guarded(|| waker.wake());
}

/// Wakes all of them, whatever one of them does.
pub(crate) fn wake_all(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(wake);
}

fn guarded(call: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
        // Dropping what it panicked with may panic again.
        std::mem::forget(panic);
        tracing::error!("a waker panicked; its task may never be polled again");
    }
}
