//! Guarantee: the committer thread waits for several writes that are handed over to it, and is woken
//! when they are there, or when the queue is closed. No write is left in the queue.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;

use crate::base::sync::time::Instant;
use crate::engine::state::calls::{Call, WriteResult};
use crate::engine::state::operation::{Action, Operation};
use crate::engine::state::queue::Queue;
use crate::testing::schedule::explore::explore;

/// In some schedules, a wait times out nevertheless. In the others, a missed wake-up is a deadlock,
/// which fails the test.
const NEVER: Duration = Duration::from_secs(3600);

fn operation(number: u64) -> Operation {
    Operation::small(Action::CreateGraph {
        project: "p".to_owned(),
        name: format!("g{number}"),
        id_number: number,
        key: [number, 7],
    })
}

/// Hands over a write from each of several threads, which wait for the results.
fn hand_over(queue: &Arc<Queue>, writes: u64) -> Vec<thread::JoinHandle<bool>> {
    let one = |n| {
        let queue = queue.clone();
        thread::spawn(move || {
            let (call, queued) = Call::new(operation(n));
            queue.hand_over(queued);
            call.wait().is_ok()
        })
    };
    (0..writes).map(one).collect()
}

/// Completes all writes in the queue.
fn complete(queue: &Queue) {
    let reading = queue.begin_clock_reading();
    queue.end_clock_reading(&reading, 1);
    let (taken, bytes, _) = queue.take(1 << 20);
    let count = taken.len();
    for queued in taken {
        queued.complete(Ok(WriteResult::Done));
    }
    queue.done(count);
    drop(bytes);
}

/// Waits for three writes, then completes writes until the queue is closed. Returns how many writes
/// were in the queue after the wait.
fn commit(queue: &Arc<Queue>) -> thread::JoinHandle<usize> {
    let queue = queue.clone();
    thread::spawn(move || {
        let found = queue.wait_for(3, Instant::now() + NEVER);
        while queue.wait_filled(None) {
            complete(&queue);
        }
        found
    })
}

#[test]
fn expected_writes_are_waited_for_and_none_is_missed() {
    explore(2000, || {
        let queue = Arc::new(Queue::new(1 << 20));
        let committer = commit(&queue);
        for caller in hand_over(&queue, 5) {
            assert!(caller.join().expect("no panic"), "a write is not completed");
        }
        queue.close();
        committer.join().expect("no panic");
    });
}

#[test]
fn a_close_ends_the_wait_for_writes_that_never_come() {
    explore(2000, || {
        let queue = Arc::new(Queue::new(1 << 20));
        let committer = commit(&queue);
        let callers = hand_over(&queue, 2);
        queue.close();
        let completed = callers
            .into_iter()
            .map(|caller| caller.join().expect("no panic"));
        // Those that came after the close are refused.
        let completed = completed.filter(|is_completed| *is_completed).count();
        assert!(committer.join().expect("no panic") <= completed);
    });
}
