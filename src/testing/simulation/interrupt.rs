//! Runs work of a caller in the middle of a background step.
//!
//! Contains the work that is done at the next file operation at which a caller would not block. The
//! work runs in the calling thread, at most once. It never runs while that thread holds a lock that
//! a caller needs, because that would deadlock.

use std::cell::RefCell;

use super::CURRENT;
use crate::engine::core::Engine;

struct Interrupt {
    /// The number of file operations before the work may run.
    after: u64,
    work: Box<dyn FnOnce()>,
}

thread_local! {
    static NEXT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

/// Runs `work` at a file operation within the next step, after this many other file operations.
pub fn interrupt(after: u64, work: impl FnOnce() + 'static) {
    let work = Box::new(work);
    NEXT.set(Some(Interrupt { after, work }));
}

/// Cancels the interrupt. Returns whether it was still pending.
#[must_use]
pub fn end_interrupt() -> bool {
    NEXT.take().is_some()
}

/// Called before a read, a write, or a sync.
pub(super) fn before_call() {
    let due = NEXT.with_borrow_mut(|next| match next {
        Some(interrupt) if interrupt.after > 0 => {
            interrupt.after -= 1;
            None
        }
        next => next.take(),
    });
    let Some(due) = due else {
        return;
    };
    let engines = CURRENT.with_borrow(Vec::clone);
    let mut engines = engines.iter().filter_map(std::sync::Weak::upgrade);
    match engines.all(|engine| is_free(&engine)) {
        true => (due.work)(),
        false => NEXT.set(Some(due)),
    }
}

/// Returns whether every lock that a caller needs to submit, change, or list jobs is free.
fn is_free(engine: &Engine) -> bool {
    let graphs = engine.graphs.try_write();
    let graphs = graphs.map(|graphs| graphs.by_number.values().cloned().collect::<Vec<_>>());
    let are_free = graphs.is_some_and(|graphs| {
        let mut graphs = graphs.iter();
        graphs.all(|g| g.state.try_write().is_some() && g.retention.try_write().is_some())
    });
    are_free
        && engine.try_lock_committer().is_some()
        && engine.preallocation.is_free()
        && engine.log_files.try_write().is_some()
        && engine.indexer.try_lock().is_some()
        && engine.index.try_write().is_some()
        && engine.retired.try_lock().is_some()
        && engine.retention.try_lock().is_some()
        && engine.changed_graphs.try_lock().is_some()
        && engine.clock.try_lock().is_some()
}
