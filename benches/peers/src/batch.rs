//! Executes the concurrent writes of all callers in one transaction, with one sync.
//!
//! The first caller is the leader, and executes its own write. Callers that arrive in the meantime
//! wait. One of them then becomes the leader, and executes the writes of all that wait. A single
//! caller commits on its own thread, without a context switch.
//!
//! Contains the choice of the leader, and passes the results to the waiting callers. It is
//! independent of any store.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow};

pub struct Batch<W> {
    queue: Mutex<Queue<W>>,
}

struct Queue<W> {
    is_led: bool,
    waiting: Vec<(W, Arc<Seat>)>,
}

/// What a waiting caller waits on.
#[derive(Default)]
struct Seat {
    turn: Mutex<Option<Turn>>,
    changed: Condvar,
}

enum Turn {
    Lead,
    /// Another caller has executed the write, with this result.
    Done(Result<(), String>),
}

impl<W> Batch<W> {
    pub fn new() -> Batch<W> {
        let queue = Queue {
            is_led: false,
            waiting: Vec::new(),
        };
        Batch {
            queue: Mutex::new(queue),
        }
    }

    /// Executes the write with `commit`, in this caller or in another one.
    pub fn carry_out(&self, write: W, commit: impl Fn(&[W]) -> Result<()>) -> Result<()> {
        let mut queue = lock(&self.queue);
        if !queue.is_led {
            queue.is_led = true;
            drop(queue);
            let done = commit(&[write]);
            self.pass_on();
            return done;
        }
        let seat = Arc::new(Seat::default());
        queue.waiting.push((write, seat.clone()));
        drop(queue);
        match seat.wait() {
            Turn::Done(done) => done.map_err(|error| anyhow!(error)),
            Turn::Lead => {
                let together = std::mem::take(&mut lock(&self.queue).waiting);
                let (writes, seats): (Vec<_>, Vec<_>) = together.into_iter().unzip();
                let done = commit(&writes);
                // The others are notified before the next leader, so that some of them return in
                // time for the next batch.
                for other in seats.iter().filter(|other| !Arc::ptr_eq(other, &seat)) {
                    let told = done.as_ref().map_err(|error| format!("{error:#}"));
                    other.call(Turn::Done(told.copied()));
                }
                self.pass_on();
                done
            }
        }
    }

    fn pass_on(&self) {
        let mut queue = lock(&self.queue);
        match queue.waiting.first() {
            Some((_, seat)) => seat.call(Turn::Lead),
            None => queue.is_led = false,
        }
    }
}

impl Seat {
    fn wait(&self) -> Turn {
        let mut turn = lock(&self.turn);
        loop {
            match turn.take() {
                Some(turn) => return turn,
                None => {
                    turn = self
                        .changed
                        .wait(turn)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn call(&self, turn: Turn) {
        *lock(&self.turn) = Some(turn);
        self.changed.notify_one();
    }
}

/// Locks a mutex even if it is poisoned, because a caller that panicked ends the run anyway.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
