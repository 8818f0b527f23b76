//! The commit queue: writes that wait for their turn, and their answers.
//!
//! Owns: the bound in bytes, who waits for room, and how an answer reaches a
//! thread or a future. Must not know: what the writes do.
//! Promise: a write that is in the queue is carried out and answered, whoever
//! still waits for it; a full queue never blocks a `poll`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::sync::time::Instant;
use crate::sync::{Condvar, Mutex, MutexGuard};

use crate::engine::answers::Queued;
use crate::engine::graph_state::{GraphCore, RunCell};
use crate::engine::wakers;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::id::JobId;
use crate::job::State;
use crate::outcome::Outcome;
use crate::request::Request;
use crate::secrets::Kept;
use crate::storage::identity::StoreId;
use crate::storage::purged::PurgedJob;

/// What a write without a request weighs.
pub(crate) const SMALL_WRITE_BYTES: u64 = 256;

/// A write as the committer takes it.
pub(crate) struct Operation {
    pub(crate) action: Action,
    /// What it weighs in the queue.
    pub(crate) bytes: u64,
}

impl Operation {
    /// A write that carries no request.
    pub(crate) fn small(action: Action) -> Operation {
        Operation {
            action,
            bytes: SMALL_WRITE_BYTES,
        }
    }
}

pub(crate) enum Action {
    CreateGraph {
        project: String,
        name: String,
        id_number: u64,
        key: [u64; 2],
    },
    DropGraph {
        graph: Arc<GraphCore>,
    },
    Submit {
        graph: Arc<GraphCore>,
        submission: Submission,
    },
    SubmitAll {
        graph: Arc<GraphCore>,
        submissions: Vec<Submission>,
    },
    SubmitAs {
        graph: Arc<GraphCore>,
        id: JobId,
        submission: Submission,
        looked: Looked,
    },
    SubmitOnce {
        graph: Arc<GraphCore>,
        key: String,
        submission: Submission,
        looked: LookedKey,
    },
    Start {
        graph: Arc<GraphCore>,
        sequence: u64,
        id: JobId,
    },
    Complete {
        graph: Arc<GraphCore>,
        sequence: u64,
        id: JobId,
        outcome: Outcome,
        /// The run that completes it, if one does.
        run: Option<Arc<RunCell>>,
    },
    /// A run ends without an outcome.
    GiveUp {
        graph: Arc<GraphCore>,
        sequence: u64,
        id: JobId,
        run: Arc<RunCell>,
        /// Whether the job becomes pending again, or is interrupted.
        requeue: bool,
    },
    Cancel {
        graph: Arc<GraphCore>,
        sequence: u64,
        id: JobId,
    },
    Claim {
        graph: Arc<GraphCore>,
    },
    Import {
        graph: Arc<GraphCore>,
        jobs: Vec<Imported>,
        /// Whether those behind one that is refused are left out.
        stops: bool,
    },
    Purge {
        graph: Arc<GraphCore>,
        jobs: Vec<PurgedJob>,
        why: u8,
    },
    Forget {
        graph: Arc<GraphCore>,
        through_lsn: u64,
        sequences: Vec<u64>,
    },
    /// Records the clocks.
    Clock,
    /// Confirms the clock.
    ConfirmClock,
    /// Ends a job that was claimed and could not be handed over.
    Abandon {
        graph: Arc<GraphCore>,
        sequence: u64,
    },
}

impl Action {
    /// Whether it takes what is there further, or to its end: what must go on when
    /// the disk is full. The others add.
    pub(crate) fn is_ending(&self) -> bool {
        match self {
            Action::CreateGraph { .. }
            | Action::Submit { .. }
            | Action::SubmitAll { .. }
            | Action::SubmitAs { .. }
            | Action::SubmitOnce { .. }
            | Action::Import { .. } => false,
            Action::DropGraph { .. }
            | Action::Start { .. }
            | Action::Complete { .. }
            | Action::GiveUp { .. }
            | Action::Cancel { .. }
            | Action::Claim { .. }
            | Action::Abandon { .. }
            | Action::Purge { .. }
            | Action::Forget { .. }
            | Action::Clock
            | Action::ConfirmClock => true,
        }
    }
}

impl Action {
    /// Whether room comes back by it.
    pub(crate) fn is_freeing(&self) -> bool {
        matches!(
            self,
            Action::DropGraph { .. } | Action::Purge { .. } | Action::Forget { .. }
        )
    }
}

/// A job that is brought from elsewhere, with what is known of its life.
pub(crate) struct Imported {
    pub(crate) id: Option<JobId>,
    pub(crate) submission: Submission,
    pub(crate) state: State,
    /// Of a complete one.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) submitted_ms: Option<u64>,
    pub(crate) started_ms: Option<u64>,
    pub(crate) finished_ms: Option<u64>,
    pub(crate) cancel_requested: bool,
}

/// A request on its way in, with what its caller made of it.
pub(crate) struct Submission {
    pub(crate) kept: Kept,
    pub(crate) fingerprint: Fingerprint,
}

impl Submission {
    pub(crate) fn new(store: StoreId, kept: Kept) -> Submission {
        Submission {
            fingerprint: Fingerprint::of(store, &kept.request),
            kept,
        }
    }
}

/// What a caller that brings an id found before it queued the write, so that the
/// committer need not ask the index.
pub(crate) struct Looked {
    /// The request of the job with that id.
    pub(crate) found: Option<Request>,
    /// Of [`ForeignIds`](crate::engine::lookup::ForeignIds), before the look.
    pub(crate) generation: u64,
}

/// The same for a key that nobody had when its caller looked.
pub(crate) struct LookedKey {
    /// Of [`ForeignIds`](crate::engine::lookup::ForeignIds), before the look.
    pub(crate) generation: u64,
}

pub(crate) struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
    room: Condvar,
    bytes_max: u64,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Queued>,
    /// Of the writes that wait and of those that are being committed.
    bytes: u64,
    /// Writes that were taken out and are not visible yet.
    in_flight: usize,
    /// No more writes are taken.
    closed: bool,
    /// Why, unless it is that the store was closed.
    refusal: Option<Error>,
    /// Futures that wait for room.
    wakers: Vec<Waker>,
}

impl QueueState {
    fn refusal(&self) -> Error {
        self.refusal.clone().unwrap_or(Error::Closed)
    }
}

/// A write that found no room.
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

    /// How many writes wait, and their bytes with those of the writes being committed.
    pub(crate) fn depth(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.waiting.len() as u64, state.bytes)
    }

    fn has_room(&self, state: &QueueState, bytes: u64) -> bool {
        // A write that is larger than the queue goes in alone.
        state.bytes == 0 || state.bytes + bytes <= self.bytes_max
    }

    fn put(state: &mut QueueState, queued: Queued) {
        state.bytes += queued.operation().bytes;
        state.waiting.push_back(queued);
    }

    /// Puts a write in, waiting for room as long as it takes.
    pub(crate) fn push(&self, queued: Queued) {
        self.push_until(queued, None);
    }

    /// Puts a write in, waiting for room until `deadline`; gives it back when there
    /// was none. A closed queue answers it instead.
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
            queued.answer(Err(refusal));
        } else {
            Queue::put(&mut state, queued);
        }
        None
    }

    /// Puts a write in if there is room.
    pub(crate) fn try_push(&self, queued: Queued) -> Result<(), Full> {
        let state = self.state.lock();
        if !state.closed && !self.has_room(&state, queued.operation().bytes) {
            return Err(Full(Box::new(queued), state.bytes));
        }
        self.put_or_refuse(state, queued);
        Ok(())
    }

    /// Puts a write in if there is room, or has the future woken when there is.
    pub(crate) fn poll_push(&self, queued: Queued, context: &mut Context<'_>) -> Option<Queued> {
        let state = self.state.lock();
        let is_full =
            |state: &QueueState| !state.closed && !self.has_room(state, queued.operation().bytes);
        if !is_full(&state) {
            self.put_or_refuse(state, queued);
            return None;
        }
        // Cloned while nothing is held; there may be room by then.
        drop(state);
        let waker = context.waker().clone();
        let mut state = self.state.lock();
        if is_full(&state) {
            let is_known = state.wakers.iter().any(|known| known.will_wake(&waker));
            let unused = match is_known {
                true => Some(waker),
                false => {
                    state.wakers.push(waker);
                    None
                }
            };
            self.filled.notify_one();
            drop(state);
            drop(unused);
            return Some(queued);
        }
        self.put_or_refuse(state, queued);
        None
    }

    /// Puts a write in whether or not there is room. Only for what is bounded
    /// otherwise, such as one small write for each running job.
    pub(crate) fn force_push(&self, queued: Queued) {
        self.put_or_refuse(self.state.lock(), queued);
    }

    fn put_or_refuse(&self, mut state: MutexGuard<'_, QueueState>, queued: Queued) {
        if state.closed {
            let refusal = state.refusal();
            // Who is woken may do anything, so nothing is held meanwhile.
            drop(state);
            queued.answer(Err(refusal));
        } else {
            Queue::put(&mut state, queued);
            self.filled.notify_one();
        }
    }

    /// Takes writes out in their order, up to about `bytes`, at least one. Their bytes
    /// count until they are released.
    pub(crate) fn take(&self, bytes: u64) -> (Vec<Queued>, Taken<'_>) {
        let mut state = self.state.lock();
        let (mut taken, mut sum) = (Vec::new(), 0);
        while let Some(next) = state.waiting.front() {
            if !taken.is_empty() && sum + next.operation().bytes > bytes {
                break;
            }
            sum += next.operation().bytes;
            taken.extend(state.waiting.pop_front());
        }
        state.in_flight += taken.len();
        drop(state);
        let queue = self;
        (taken, Taken { queue, bytes: sum })
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

    /// Notes that writes which were taken out are visible, or refused.
    pub(crate) fn done(&self, writes: usize) {
        self.state.lock().in_flight -= writes;
    }

    /// Whether every write that was put in is visible, or refused.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.waiting.is_empty() && state.in_flight == 0
    }

    /// Calls the committer's thread.
    pub(crate) fn wake_committer(&self) {
        self.filled.notify_one();
    }

    /// Waits for writes until `deadline`. `false` once the queue is closed and
    /// empty.
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

    /// Takes no writes, and says why.
    pub(crate) fn refuse(&self, why: Error) {
        let mut state = self.state.lock();
        state.closed = true;
        state.refusal = Some(why);
    }

    /// Takes no more writes; those that are in stay.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.refusal = None;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.filled.notify_all();
        self.room.notify_all();
        wakers::wake_all(wakers);
    }
}

/// The bytes of writes that were taken out of the queue and are being committed.
pub(crate) struct Taken<'q> {
    queue: &'q Queue,
    bytes: u64,
}

impl Taken<'_> {
    /// Gives the room back; returns the futures that wait for it, to be woken.
    pub(crate) fn release(mut self) -> Vec<Waker> {
        self.queue.release(std::mem::take(&mut self.bytes));
        std::mem::take(&mut self.queue.state.lock().wakers)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.queue.release(self.bytes);
    }
}
