//! Work in numbered pieces, produced by several threads and consumed in order.
//!
//! The calling thread consumes every piece once, in order. Even if it is slow, only a few pieces
//! are in memory. No thread outlives the call.

// Shuttle does not schedule these threads. The pages in its tests are too small to start any.
use std::thread;
use std::time::Duration;

use crate::base::sync::{Condvar, Mutex};

/// The number of pieces per thread that may be produced ahead of consumption.
const AHEAD: usize = 3;
/// How long the caller waits for a piece that another thread is producing: about as long as it
/// takes to produce one. After that, the caller produces the piece itself, because the other thread
/// may have been preempted.
const RECHECK_INTERVAL: Duration = Duration::from_micros(200);

struct Pieces<T> {
    state: Mutex<State<T>>,
    /// Notified when the next piece to consume is ready, or will never be ready.
    made: Condvar,
    /// Notified when a piece has been consumed, or the work is over.
    taken: Condvar,
    count: usize,
}

struct State<T> {
    /// The next piece to produce.
    next: usize,
    /// The next piece to consume.
    take: usize,
    /// The pieces that are ready. A piece is at the index of its number modulo the length.
    ring: Vec<Option<T>>,
    /// Consumed pieces, whose buffers are reused.
    spent: Vec<T>,
    /// Set when no more pieces are to be produced.
    over: bool,
}

impl<T: Default> State<T> {
    /// Returns the number of a piece to produce, and a buffer for it, unless the ring is full.
    fn claim(&mut self, count: usize) -> Option<(usize, T)> {
        if self.over || self.next == count || self.next >= self.take + self.ring.len() {
            return None;
        }
        self.next += 1;
        Some((self.next - 1, self.spent.pop().unwrap_or_default()))
    }

    fn put(&mut self, n: usize, piece: T) {
        let place = n % self.ring.len();
        self.ring[place] = Some(piece);
    }

    fn take(&mut self) -> Option<T> {
        let place = self.take % self.ring.len();
        let piece = self.ring[place].take()?;
        self.take += 1;
        Some(piece)
    }
}

/// Stops the other threads when a thread finishes or panics.
struct EndOnDrop<'a, T>(&'a Pieces<T>);

impl<T> Drop for EndOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.state.lock().over = true;
        self.0.made.notify_all();
        self.0.taken.notify_all();
    }
}

/// Produces `count` pieces with up to `threads` threads, including the caller's, and passes them to
/// `take` in order. Each thread has its own `Worker`. The buffer of a consumed piece is reused for
/// another one. The first error of `take` ends the call.
///
/// If no thread can be spawned, the caller produces all pieces.
pub(crate) fn in_order<Worker: Default, T: Default + Send, E>(
    count: usize,
    threads: usize,
    make: impl Fn(&mut Worker, usize, &mut T) + Sync,
    mut take: impl FnMut(&mut T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.clamp(1, count.max(1));
    let pieces = Pieces {
        state: Mutex::new(State {
            next: 0,
            take: 0,
            ring: std::iter::repeat_with(|| None)
                .take(threads * AHEAD)
                .collect(),
            spent: Vec::new(),
            over: false,
        }),
        made: Condvar::new(),
        taken: Condvar::new(),
        count,
    };
    thread::scope(|scope| {
        let _end = EndOnDrop(&pieces);
        for _ in 1..threads {
            let helper = thread::Builder::new().name("jobstore-page".to_owned());
            let helping = helper.spawn_scoped(scope, || {
                give_way();
                pieces.help(&make);
            });
            if helping.is_err() {
                break;
            }
        }
        pieces.lead(&make, &mut take)
    })
}

/// Lets this thread run only on cores that are otherwise idle, because a faster page is not worth a
/// delayed commit. A lower priority (a higher nice value) would not be enough: a core that runs
/// such a thread still counts as busy when another thread is woken.
fn give_way() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{
            NormalThreadSchedulePolicy::Idle, ThreadPriority, ThreadSchedulePolicy,
            set_thread_priority_and_policy, thread_native_id,
        };
        let idle = ThreadSchedulePolicy::Normal(Idle);
        // If the system refuses, the thread keeps its priority.
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).ok();
    }
}

impl<T: Default> Pieces<T> {
    fn help<Worker: Default>(&self, make: &impl Fn(&mut Worker, usize, &mut T)) {
        let mut worker = Worker::default();
        let mut state = self.state.lock();
        loop {
            if let Some((n, mut piece)) = state.claim(self.count) {
                drop(state);
                let end = EndOnDrop(self);
                make(&mut worker, n, &mut piece);
                // Producing the piece did not panic, so the other threads must not be stopped.
                std::mem::forget(end);
                state = self.state.lock();
                // If the piece has already been consumed, the caller has produced it.
                if n >= state.take {
                    let is_next = n == state.take;
                    state.put(n, piece);
                    if is_next {
                        self.made.notify_one();
                    }
                } else {
                    state.spent.push(piece);
                }
            } else if state.over || state.next == self.count {
                return;
            } else {
                self.taken.wait(&mut state);
            }
        }
    }

    fn lead<Worker: Default, E>(
        &self,
        make: &impl Fn(&mut Worker, usize, &mut T),
        take: &mut impl FnMut(&mut T) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut worker = Worker::default();
        let mut state = self.state.lock();
        loop {
            if let Some(mut piece) = state.take() {
                drop(state);
                self.taken.notify_one();
                take(&mut piece)?;
                state = self.state.lock();
                state.spent.push(piece);
            } else if state.over || state.take == self.count {
                return Ok(());
            } else if let Some((n, mut piece)) = state.claim(self.count) {
                drop(state);
                make(&mut worker, n, &mut piece);
                state = self.state.lock();
                state.put(n, piece);
            } else if self.made.wait_for(&mut state, RECHECK_INTERVAL).timed_out() && !state.over {
                let n = state.take;
                let mut piece = state.spent.pop().unwrap_or_default();
                drop(state);
                make(&mut worker, n, &mut piece);
                state = self.state.lock();
                if n == state.take {
                    state.put(n, piece);
                }
            }
        }
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn squares(count: usize, threads: usize) -> Vec<usize> {
        let mut all = Vec::new();
        let make = |_: &mut (), n: usize, piece: &mut usize| *piece = n * n;
        in_order(count, threads, make, |piece| {
            all.push(*piece);
            Ok::<_, ()>(())
        })
        .unwrap();
        all
    }

    #[test]
    fn every_piece_is_taken_once_and_in_order() {
        for threads in [0, 1, 2, 3, 8] {
            for count in [0, 1, 2, 7, 1000] {
                let expected: Vec<usize> = (0..count).map(|n| n * n).collect();
                assert_eq!(squares(count, threads), expected, "{count} by {threads}");
            }
        }
    }

    #[test]
    fn no_more_is_made_ahead_than_a_few_pieces_a_thread() {
        // A piece may be produced twice, so the pieces are not counted.
        let made = AtomicUsize::new(0);
        let mut taken = 0;
        let make = |_: &mut (), n: usize, _: &mut ()| {
            made.fetch_max(n + 1, Ordering::SeqCst);
        };
        in_order(500, 4, make, |_| {
            taken += 1;
            thread::yield_now();
            // Produced but not yet consumed: at most one full ring.
            assert!(made.load(Ordering::SeqCst) <= taken + 4 * AHEAD);
            Ok::<_, ()>(())
        })
        .unwrap();
        assert_eq!(taken, 500);
    }

    #[test]
    fn an_error_ends_all_threads() {
        let made = AtomicUsize::new(0);
        let make = |_: &mut (), _, _: &mut ()| {
            made.fetch_add(1, Ordering::SeqCst);
        };
        let mut taken = 0;
        let ended = in_order(1_000_000, 3, make, |_| {
            taken += 1;
            if taken == 5 { Err("full") } else { Ok(()) }
        });
        assert_eq!(ended, Err("full"));
        assert!(made.load(Ordering::SeqCst) < 100);
    }

    #[test]
    fn a_panic_of_any_thread_comes_out_and_hangs_nothing() {
        for at in [0, 1, 2, 50] {
            let make = |_: &mut (), n: usize, _: &mut ()| assert_ne!(n, at, "on purpose");
            let ended = std::panic::catch_unwind(|| in_order(100, 3, make, |_| Ok::<_, ()>(())));
            assert!(ended.is_err(), "piece {at}");
        }
        let ended = std::panic::catch_unwind(|| {
            in_order(
                100,
                3,
                |_: &mut (), _, _: &mut ()| {},
                |_| -> Result<(), ()> { panic!("on purpose") },
            )
        });
        assert!(ended.is_err());
    }
}
