//! Callers in the middle of a step of the background.
//!
//! Owns: what is to be done at the next call of a file at which a caller would wait for
//! nobody. Must not know: what that is.
//! Promise: it happens in the calling thread, at most once, and never where a lock is held
//! that a caller needs: that would not end.

use std::cell::RefCell;

use super::CURRENT;
use crate::engine::core::Engine;

struct Interrupt {
    /// Calls that are still let pass.
    after: u64,
    work: Box<dyn FnOnce()>,
}

thread_local! {
    static NEXT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

/// Does this at a call of a file, after so many others, within a step that is taken next.
pub fn interrupt(after: u64, work: impl FnOnce() + 'static) {
    let work = Box::new(work);
    NEXT.set(Some(Interrupt { after, work }));
}

/// Takes it back; says whether it was still to be done.
#[must_use]
pub fn end_interrupt() -> bool {
    NEXT.take().is_some()
}

/// Before a read, a write or a sync.
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

/// Whether a caller that submits, changes or lists jobs finds every lock free.
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
