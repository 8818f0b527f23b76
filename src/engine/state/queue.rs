//! The commit queue: writes that wait to be committed.
//!
//! The queue is bounded in bytes. Every queued write is either committed or refused. It completes
//! even if its caller stops waiting. A full queue never blocks a `poll`.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use crate::base::sync::time::Instant;
use crate::base::sync::{Condvar, Mutex, MutexGuard};

use crate::engine::state::calls::Queued;
use crate::engine::state::clock_readings::{ClockReading, ClockReadings};
use crate::engine::state::wakers::{self, Wakers};
use crate::model::error::{Error, Result};

pub(crate) struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
    room: Condvar,
    bytes_max: u64,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Queued>,
    /// The total size of the writes that wait and those that are being committed, in bytes.
    bytes: u64,
    /// The number of writes that were taken and are not visible yet.
    in_flight: usize,
    /// Whether new writes are refused.
    closed: bool,
    /// Why new writes are refused, unless the reason is that the store was closed.
    refusal: Option<Error>,
    /// Futures that wait for space.
    wakers: Wakers,
    /// The committer thread is not woken while fewer writes than this wait.
    wanted: usize,
    /// How many writes were taken so far.
    taken: u64,
    clock_readings: ClockReadings,
}

impl QueueState {
    fn refusal(&self) -> Error {
        self.refusal.clone().unwrap_or(Error::Closed)
    }
}

/// A write for which there was no space, and how many bytes are in the queue.
pub(crate) struct Full(pub(crate) Box<Queued>, pub(crate) u64);

impl Queue {
    pub(crate) fn new(bytes_max: u64) -> Queue {
        Queue {
            state: Mutex::default(),
            filled: Condvar::new(),
            room: Condvar::new(),
            bytes_max,
        }
    }

    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// How many writes wait, and the total size of these writes and those being committed, in
    /// bytes.
    pub(crate) fn depth(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.waiting.len() as u64, state.bytes)
    }

    fn has_room(&self, state: &QueueState, bytes: u64) -> bool {
        // A write that is larger than the queue's limit is admitted only if no other write is in
        // the queue or being committed.
        state.bytes == 0 || state.bytes + bytes <= self.bytes_max
    }

    fn put(state: &mut QueueState, queued: Queued) {
        state.bytes += queued.operation().bytes;
        state.waiting.push_back(queued);
    }

    /// Adds a write; waits for space as long as necessary.
    pub(crate) fn push(&self, queued: Queued) {
        self.push_until(queued, None);
    }

    /// Adds a write. Waits for space until `deadline`, and returns the write if there was no space.
    /// If the queue is closed, completes the write with an error.
    pub(crate) fn push_until(&self, queued: Queued, deadline: Option<Instant>) -> Option<Queued> {
        let mut state = self.state.lock();
        while !state.closed && !self.has_room(&state, queued.operation().bytes) {
            self.filled.notify_one();
            match deadline {
                None => self.room.wait(&mut state),
                Some(deadline) => {
                    if self.room.wait_until(&mut state, deadline).timed_out() {
                        return Some(queued);
                    }
                }
            }
        }
        if state.closed {
            let refusal = state.refusal();
            drop(state);
            queued.complete(Err(refusal));
        } else {
            Queue::put(&mut state, queued);
        }
        None
    }

    /// Adds a write that the committer thread is to commit; waits for space as long as necessary.
    pub(crate) fn hand_over(&self, queued: Queued) {
        self.push(queued);
        self.notify(&self.state.lock());
    }

    fn notify(&self, state: &QueueState) {
        if state.waiting.len() >= state.wanted {
            self.filled.notify_one();
        }
    }

    /// Adds a write if there is space.
    pub(crate) fn try_push(&self, queued: Queued) -> Result<(), Full> {
        let state = self.state.lock();
        if !state.closed && !self.has_room(&state, queued.operation().bytes) {
            return Err(Full(Box::new(queued), state.bytes));
        }
        self.put_or_refuse(state, queued);
        Ok(())
    }

    /// Adds a write if there is space; otherwise, wakes the future once there is space.
    pub(crate) fn poll_push(&self, queued: Queued, context: &mut Context<'_>) -> Option<Queued> {
        let state = self.state.lock();
        let is_full =
            |state: &QueueState| !state.closed && !self.has_room(state, queued.operation().bytes);
        if !is_full(&state) {
            self.put_or_refuse(state, queued);
            return None;
        }
        // Clone the waker without holding the lock. By the time it is cloned, there may be space.
        drop(state);
        let waker = context.waker().clone();
        let mut state = self.state.lock();
        if is_full(&state) {
            let unused = state.wakers.add(waker);
            self.filled.notify_one();
            drop(state);
            drop(unused);
            return Some(queued);
        }
        self.put_or_refuse(state, queued);
        None
    }

    /// Adds a write regardless of space. Only for writes whose number is limited in another way,
    /// such as one small write for each running job.
    pub(crate) fn force_push(&self, queued: Queued) {
        self.put_or_refuse(self.state.lock(), queued);
    }

    fn put_or_refuse(&self, mut state: MutexGuard<'_, QueueState>, queued: Queued) {
        if state.closed {
            let refusal = state.refusal();
            // A waker may run any code, so no lock is held.
            drop(state);
            queued.complete(Err(refusal));
        } else {
            Queue::put(&mut state, queued);
            self.notify(&state);
        }
    }

    /// Begins a reading of the clock for the writes that are waiting now.
    pub(crate) fn begin_clock_reading(&self) -> ClockReading {
        let state = self.state.lock();
        state
            .clock_readings
            .begin(state.taken + state.waiting.len() as u64)
    }

    /// The time of the last commit.
    pub(crate) fn commit_time_ms(&self) -> u64 {
        self.state.lock().clock_readings.now_ms()
    }

    /// Records the result of a clock reading.
    pub(crate) fn end_clock_reading(&self, begun: &ClockReading, now_ms: u64) {
        self.state.lock().clock_readings.end(begun, now_ms);
    }

    /// Takes, in order, writes that were queued before the last clock reading began: about `bytes`
    /// bytes at most, but at least one write if there is one. Returns the writes with their commit
    /// time. Their bytes count toward the queue's size until they are released.
    pub(crate) fn take(&self, bytes: u64) -> (Vec<Queued>, TakenBytes<'_>, u64) {
        let mut state = self.state.lock();
        let (mut taken, mut sum) = (Vec::new(), 0);
        while let Some(next) = state.waiting.front() {
            let is_over = !taken.is_empty() && sum + next.operation().bytes > bytes;
            if is_over || state.taken == state.clock_readings.writes() {
                break;
            }
            sum += next.operation().bytes;
            taken.extend(state.waiting.pop_front());
            state.taken += 1;
        }
        state.in_flight += taken.len();
        let now_ms = state.clock_readings.now_ms();
        drop(state);
        let queue = self;
        (taken, TakenBytes { queue, bytes: sum }, now_ms)
    }

    fn release(&self, bytes: u64) {
        if bytes > 0 {
            self.state.lock().bytes -= bytes;
            self.room.notify_all();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().waiting.is_empty()
    }

    /// Records that writes that were taken are visible or refused.
    pub(crate) fn done(&self, writes: usize) {
        self.state.lock().in_flight -= writes;
    }

    /// Whether every write that was added is visible or refused.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.waiting.is_empty() && state.in_flight == 0
    }

    /// Wakes the committer thread.
    pub(crate) fn wake_committer(&self) {
        self.filled.notify_one();
    }

    /// Waits until this many writes are in the queue, or until `deadline`. Returns how many are in
    /// it.
    pub(crate) fn wait_for(&self, writes: usize, deadline: Instant) -> usize {
        let mut state = self.state.lock();
        state.wanted = writes;
        while state.waiting.len() < writes && !state.closed {
            if self.filled.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.wanted = 0;
        state.waiting.len()
    }

    /// Waits for writes until `deadline`. Returns `false` once the queue is closed and empty.
    pub(crate) fn wait_filled(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        if state.waiting.is_empty() && !state.closed {
            match deadline {
                Some(deadline) => {
                    self.filled.wait_until(&mut state, deadline);
                }
                None => self.filled.wait(&mut state),
            }
        }
        !(state.closed && state.waiting.is_empty())
    }

    /// Refuses all writes with this error.
    pub(crate) fn refuse(&self, why: Error) {
        let mut state = self.state.lock();
        state.closed = true;
        state.refusal = Some(why);
    }

    /// Refuses new writes; those in the queue stay.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.refusal = None;
        let wakers = state.wakers.take();
        drop(state);
        self.filled.notify_all();
        self.room.notify_all();
        wakers::wake_all(wakers);
    }
}

/// The bytes of writes that were taken from the queue and are being committed.
pub(crate) struct TakenBytes<'q> {
    queue: &'q Queue,
    bytes: u64,
}

impl TakenBytes<'_> {
    /// Frees the space; returns the futures that wait for it, to be woken.
    pub(crate) fn release(mut self) -> Vec<Waker> {
        self.queue.release(std::mem::take(&mut self.bytes));
        self.queue.state.lock().wakers.take()
    }
}

impl Drop for TakenBytes<'_> {
    fn drop(&mut self) {
        self.queue.release(self.bytes);
    }
}
