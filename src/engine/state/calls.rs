//! Calls to the committer, and their results.
//!
//! [`Call`] is shared by the caller and the committer. A queued write completes exactly once,
//! even if the committer panics or the caller stops waiting.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::base::sync::time::Instant;
use crate::base::sync::{Condvar, Mutex};
use crate::engine::state::graph::GraphCore;
use crate::engine::state::metrics::Meters;
use crate::engine::state::operation::Operation;
use crate::engine::state::waiters::Waiter;
use crate::engine::state::wakers;
use crate::model::error::{Error, Result};
use crate::model::id::JobId;

/// The committer's result.
pub(crate) enum Answer {
    Done,
    Graph(Arc<GraphCore>),
    Created(JobId),
    CreatedAll(Vec<JobId>),
    /// The id already belongs to this job, with the same request.
    Exists,
    /// The key already belongs to this job, with the same request.
    ExistsAs(JobId),
    /// The job was already complete.
    AlreadyComplete,
    CancelledBeforeStart,
    CancelRequested,
    /// How many jobs were imported; which were refused, by index, and why.
    Imported {
        made: u64,
        refused: Vec<(usize, Error)>,
    },
    /// How many jobs were purged, by the event with this LSN.
    Purged {
        lsn: u64,
        jobs: u64,
    },
    /// The job is pending again.
    Requeued,
    /// The job that was claimed, if one was pending.
    Claimed(Option<u64>),
}

/// A write and its result. The caller keeps it, so that the write's data is usually freed on
/// the caller's thread, and does not delay the next commit.
pub(crate) struct Call {
    operation: Operation,
    called_at: Instant,
    state: Mutex<CallState>,
    answered: Condvar,
}

#[derive(Default)]
struct CallState {
    answer: Option<Result<Answer>>,
    waker: Option<Waker>,
}

impl Call {
    /// Creates a call, and its write for the queue.
    pub(crate) fn new(operation: Operation) -> (Arc<Call>, Queued) {
        let call = Arc::new(Call {
            operation,
            called_at: Instant::now(),
            state: Mutex::default(),
            answered: Condvar::new(),
        });
        let queued = Queued {
            call: call.clone(),
            is_answered: false,
        };
        (call, queued)
    }

    fn answer(&self, answer: Result<Answer>) {
        let mut state = self.state.lock();
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        self.answered.notify_one();
        if let Some(waker) = waker {
            wakers::wake(waker);
        }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.state.lock().answer.is_some()
    }

    pub(crate) fn wait(&self) -> Result<Answer> {
        #[cfg(feature = "simulation")]
        crate::base::simulated::before_waiting();
        let mut state = self.state.lock();
        loop {
            match state.answer.take() {
                Some(answer) => return answer,
                None => self.answered.wait(&mut state),
            }
        }
    }

    pub(crate) fn wait_until(&self, deadline: Instant) -> Option<Result<Answer>> {
        #[cfg(feature = "simulation")]
        crate::base::simulated::before_waiting();
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = state.answer.take() {
                return Some(answer);
            }
            if self.answered.wait_until(&mut state, deadline).timed_out() {
                return state.answer.take();
            }
        }
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Answer>> {
        let waker = context.waker().clone();
        let mut state = self.state.lock();
        let (polled, unused) = match state.answer.take() {
            Some(answer) => (Poll::Ready(answer), Some(waker)),
            None => (Poll::Pending, state.waker.replace(waker)),
        };
        drop(state);
        drop(unused);
        polled
    }
}

/// A write in the queue or being committed. It completes even if the committer panics.
pub(crate) struct Queued {
    call: Arc<Call>,
    is_answered: bool,
}

impl Queued {
    pub(crate) fn operation(&self) -> &Operation {
        &self.call.operation
    }

    pub(crate) fn answer(mut self, answer: Result<Answer>) {
        self.is_answered = true;
        self.call.answer(answer);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if !self.is_answered {
            self.call.answer(Err(Error::CommitUnknown {
                ids: Arc::new([]),
                why: "the commit did not finish".into(),
            }));
        }
    }
}

/// The results and wake-ups of a round. They are delivered after the committer is unlocked: a
/// waker may run any code, and the next round need not wait for it.
#[must_use]
pub(crate) struct Answers {
    pub(crate) taken: Vec<Queued>,
    pub(crate) answers: Vec<Result<Answer>>,
    /// Futures that wait for space in the queue.
    pub(crate) waiting: Vec<Waker>,
    /// Waiters for the completion of a job.
    pub(crate) called: Vec<Arc<Waiter>>,
}

impl Answers {
    pub(crate) fn give(self, meters: &Meters) {
        let now = Instant::now();
        for queued in &self.taken {
            let time = now.saturating_duration_since(queued.call.called_at);
            meters.waits.note(time);
        }
        wakers::wake_all(self.waiting);
        self.called.iter().for_each(|waiter| waiter.call());
        for (queued, answer) in self.taken.into_iter().zip(self.answers) {
            queued.answer(answer);
        }
    }
}
