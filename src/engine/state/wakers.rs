//! Calls wakers, which run code of the host's async runtime. A panic of one waker does not affect
//! others.
//!
//! A waker may run any code when it is cloned, called, or dropped, and may call the store.
//! Therefore, none of this is done while a lock is held.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// The wakers of waiting tasks, one per task, in the order in which they were added.
#[derive(Default)]
pub(crate) struct Wakers {
    all: Vec<Waker>,
    /// The identities of these wakers, so that a waker can be found quickly.
    known: HashSet<(usize, usize)>,
}

impl Wakers {
    /// Adds a waker, or returns it if the same task is already waiting.
    pub(crate) fn add(&mut self, waker: Waker) -> Option<Waker> {
        if !self.known.insert(identity(&waker)) {
            return Some(waker);
        }
        self.all.push(waker);
        None
    }

    pub(crate) fn take(&mut self) -> Vec<Waker> {
        self.known.clear();
        std::mem::take(&mut self.all)
    }
}

/// The identity that [`Waker::will_wake`] compares.
fn identity(waker: &Waker) -> (usize, usize) {
    let table: *const _ = waker.vtable();
    (waker.data().addr(), table.addr())
}

/// Wakes a task.
pub(crate) fn wake(waker: Waker) {
    guarded(|| waker.wake());
}

/// Wakes all tasks, even if a waker panics.
pub(crate) fn wake_all(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(wake);
}

fn guarded(call: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
        // Dropping the panic's payload may panic again.
        std::mem::forget(panic);
        tracing::error!("a waker panicked; its task may never be polled again");
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn each_task_is_woken_once_however_often_it_asked() {
        let tasks: Vec<Arc<Count>> = (0..10_000).map(|_| Arc::default()).collect();
        let mut wakers = Wakers::default();
        for round in 0..3 {
            for task in &tasks {
                let waker = Waker::from(task.clone());
                let same = waker.clone();
                assert!(wakers.add(waker).is_none());
                assert!(
                    wakers
                        .add(same)
                        .is_some_and(|w| w.will_wake(&Waker::from(task.clone())))
                );
            }
            wake_all(wakers.take());
            assert!(wakers.take().is_empty());
            let counts = tasks.iter().map(|task| task.0.load(Ordering::SeqCst));
            assert!(counts.into_iter().all(|count| count == round + 1));
        }
    }
}
