//! Calls to the committer, and their results.
//!
//! [`Call`] is shared by the caller and the committer. A queued write completes exactly once,
//! even if the committer panics or the caller stops waiting.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::base::sync::time::Instant;
use crate::base::sync::{Condvar, Mutex};
use crate::engine::state::graph::GraphCore;
use crate::engine::state::metrics::Metrics;
use crate::engine::state::operation::Operation;
use crate::engine::state::waiters::Waiter;
use crate::engine::state::wakers;
use crate::model::error::{Error, Result};
use crate::model::id::JobId;

/// The result that the committer returns for a write.
pub(crate) enum WriteResult {
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
    /// How many jobs were imported, and which jobs were refused: the index of each, and the reason.
    Imported {
        made: u64,
        refused: Vec<(usize, Error)>,
    },
    /// The LSN of the event that purged the jobs, and how many jobs it purged.
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
    completed: Condvar,
}

#[derive(Default)]
struct CallState {
    result: Option<Result<WriteResult>>,
    waker: Option<Waker>,
}

impl Call {
    /// Creates a call, and the write that belongs to it, for the queue.
    pub(crate) fn new(operation: Operation) -> (Arc<Call>, Queued) {
        let call = Arc::new(Call {
            operation,
            called_at: Instant::now(),
            state: Mutex::default(),
            completed: Condvar::new(),
        });
        let queued = Queued {
            call: call.clone(),
            is_completed: false,
        };
        (call, queued)
    }

    fn complete(&self, result: Result<WriteResult>) {
        let mut state = self.state.lock();
        state.result = Some(result);
        let waker = state.waker.take();
        drop(state);
        self.completed.notify_one();
        if let Some(waker) = waker {
            wakers::wake(waker);
        }
    }

    pub(crate) fn is_completed(&self) -> bool {
        self.state.lock().result.is_some()
    }

    pub(crate) fn wait(&self) -> Result<WriteResult> {
        #[cfg(feature = "simulation")]
        crate::base::simulated::before_waiting();
        let mut state = self.state.lock();
        loop {
            match state.result.take() {
                Some(result) => return result,
                None => self.completed.wait(&mut state),
            }
        }
    }

    pub(crate) fn wait_until(&self, deadline: Instant) -> Option<Result<WriteResult>> {
        #[cfg(feature = "simulation")]
        crate::base::simulated::before_waiting();
        let mut state = self.state.lock();
        loop {
            if let Some(result) = state.result.take() {
                return Some(result);
            }
            if self.completed.wait_until(&mut state, deadline).timed_out() {
                return state.result.take();
            }
        }
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<WriteResult>> {
        let waker = context.waker().clone();
        let mut state = self.state.lock();
        let (polled, unused) = match state.result.take() {
            Some(result) => (Poll::Ready(result), Some(waker)),
            None => (Poll::Pending, state.waker.replace(waker)),
        };
        drop(state);
        drop(unused);
        polled
    }
}

/// A write that is in the queue or is being committed. It completes even if the committer panics.
pub(crate) struct Queued {
    call: Arc<Call>,
    is_completed: bool,
}

impl Queued {
    pub(crate) fn operation(&self) -> &Operation {
        &self.call.operation
    }

    pub(crate) fn complete(mut self, result: Result<WriteResult>) {
        self.is_completed = true;
        self.call.complete(result);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if !self.is_completed {
            self.call.complete(Err(Error::CommitUnknown {
                ids: Arc::new([]),
                why: "the commit did not finish".into(),
            }));
        }
    }
}

/// The results and wake-ups of a round. They are delivered after the committer is unlocked: a waker
/// may run any code, and the next round does not have to wait for that code.
#[must_use]
pub(crate) struct RoundResults {
    pub(crate) writes: Vec<Queued>,
    pub(crate) results: Vec<Result<WriteResult>>,
    /// Futures that wait for space in the queue.
    pub(crate) wakers: Vec<Waker>,
    /// Waiters for the completion of a job.
    pub(crate) waiters: Vec<Arc<Waiter>>,
}

impl RoundResults {
    pub(crate) fn deliver(self, metrics: &Metrics) {
        let now = Instant::now();
        for queued in &self.writes {
            let time = now.saturating_duration_since(queued.call.called_at);
            metrics.waits.record(time);
        }
        wakers::wake_all(self.wakers);
        self.waiters.iter().for_each(|waiter| waiter.wake());
        for (queued, result) in self.writes.into_iter().zip(self.results) {
            queued.complete(result);
        }
    }
}
