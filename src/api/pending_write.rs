// A queued write whose result is read later.
//
// If a pending write is dropped, its write is withdrawn only if it is a claim. A drop never makes
// the queue exceed its limit. Polling never blocks on queue space, a sync, or another thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::api::write::{Finish, PreparedWrite};
use crate::base::sync::time::Instant;
use crate::engine::state::calls::{Call, Queued, WriteResult};
use crate::engine::state::claim::Claim;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::operation::{Action, Operation};
use crate::engine::state::queue::Full;
use crate::engine::store_handle::StoreHandle;
use crate::model::error::{Error, Result};

/// The result of a queued write: await it, or block on [`PendingWrite::wait`]. It works in any
/// async runtime.
///
/// The write completes whether or not anyone waits for it. The exception is a claim: its job is
/// [handed back](crate::NonBlocking::claim_next). If the queue was full, the write enters the queue
/// when the pending write is polled or waited for and there is space. If the pending write is
/// dropped before that, the drop blocks until there is space, so that the write is not lost and the
/// queue stays within its limit. Async code that must not block should await the pending write, or
/// use [`Graph::try_submit`](crate::Graph::try_submit), which returns an error if the queue is
/// full.
///
/// Polling does not block on queue space, on a sync, or on a lock that is held during one. If the
/// result includes a job or an outcome, the last poll reads it from the files, which are almost
/// always in the system's file cache.
///
/// A pending write keeps its request in memory until its result is read or it is dropped, even
/// after the commit. The queue's limit covers only writes that are queued or being committed.
///
/// The future returns the same result as [`PendingWrite::wait`]. If it is polled again after it has
/// completed, it returns [`Error::InvalidUse`].
///
/// # Examples
/// ```
/// use jobstore::{Body, JobStore, Request};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let write = movie.nonblocking().submit(Request::new("clear_graph", "/ges", Body::empty())?);
/// // In an async engine: `let id = write.await?;`
/// let id = write.wait()?;
/// assert!(movie.job(&id)?.is_some());
/// # Ok::<(), jobstore::Error>(())
/// ```
#[must_use = "the write completes anyway, but it may fail with an error"]
pub struct PendingWrite<T> {
    handle: Arc<StoreHandle>,
    state: State,
    finish: Option<Finish<T>>,
    /// For a claim: the graph and the claim, to hand the job back if nobody takes it.
    claim: Option<(Arc<GraphCore>, Arc<Claim>)>,
}

enum State {
    /// The result is known without a write: `finish` returns it.
    Known,
    /// The queue was full, and the write has not been queued yet.
    Outside(Option<Queued>, Arc<Call>),
    /// The write is queued or complete.
    Queued(Arc<Call>),
    /// The result has been read.
    Done,
}

impl<T> PendingWrite<T> {
    /// Queues a write if there is space. Otherwise, the pending write is queued when it is waited
    /// for.
    pub(crate) fn new(handle: &Arc<StoreHandle>, write: Result<PreparedWrite<T>>) -> PendingWrite<T>
    where
        T: Send + 'static,
    {
        let PreparedWrite { operation, finish } =
            write.unwrap_or_else(|e| PreparedWrite::finished(Err(e)));
        let state = operation.map_or(State::Known, |operation| {
            let (call, queued) = Call::new(operation);
            match handle.engine.queue.try_push(queued) {
                Ok(()) => State::Queued(call),
                Err(Full(queued, _)) => State::Outside(Some(*queued), call),
            }
        });
        PendingWrite {
            handle: handle.clone(),
            state,
            finish: Some(finish),
            claim: None,
        }
    }

    /// Like `new`, but for a claim. If the pending write is dropped before its result has been
    /// returned, the claim is withdrawn or its job is handed back.
    pub(crate) fn of_claim(
        handle: &Arc<StoreHandle>,
        claim: (Arc<GraphCore>, Arc<Claim>),
        write: Result<PreparedWrite<T>>,
    ) -> PendingWrite<T>
    where
        T: Send + 'static,
    {
        let mut pending = PendingWrite::new(handle, write);
        pending.claim = Some(claim);
        pending
    }

    /// Queues a write if there is space, and returns an error otherwise.
    pub(crate) fn try_new(
        handle: &Arc<StoreHandle>,
        write: PreparedWrite<T>,
    ) -> Result<PendingWrite<T>> {
        let mut state = State::Known;
        if let Some(operation) = write.operation {
            let (call, queued) = Call::new(operation);
            let queue = &handle.engine.queue;
            if let Err(Full(queued, queued_bytes)) = queue.try_push(queued) {
                let error = Error::Busy {
                    queued_bytes,
                    max_bytes: queue.bytes_max(),
                };
                handle.engine.metrics.busy.add(1);
                queued.complete(Err(error.clone()));
                return Err(error);
            }
            state = State::Queued(call);
        }
        Ok(PendingWrite {
            handle: handle.clone(),
            state,
            finish: Some(write.finish),
            claim: None,
        })
    }

    /// Blocks until the write is complete, and returns its result.
    ///
    /// # Errors
    /// Those of the write; [`Error::InvalidUse`] if the result has already been read.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// // Both are queued, and share one sync.
    /// let request = || Request::new("vertex_query", "/ges", Body::empty());
    /// let (one, two) = (movie.nonblocking().submit(request()?), movie.nonblocking().submit(request()?));
    /// assert_ne!(one.wait()?, two.wait()?);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn wait(mut self) -> Result<T> {
        self.handle.engine.check_process()?;
        self.enter(None);
        let result = match std::mem::replace(&mut self.state, State::Done) {
            State::Known => Ok(WriteResult::Done),
            State::Outside(_, call) | State::Queued(call) => call.wait(),
            State::Done => Err(already_returned()),
        };
        self.finished(result)
    }

    /// Blocks until the write is complete or the timeout passes. Returns `None` on a timeout: the
    /// write still completes, and can be waited for again.
    ///
    /// # Errors
    /// Those of the write; [`Error::InvalidUse`] if the result has already been read.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// use std::time::Duration;
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let mut write = movie.nonblocking().submit(Request::new("clear_graph", "/ges", Body::empty())?);
    /// let id = loop {
    ///     match write.wait_timeout(Duration::from_secs(1)) {
    ///         Some(result) => break result?,
    ///         None => eprintln!("the disk is slow"),
    ///     }
    /// };
    /// # assert!(movie.job(&id)?.is_some());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T>> {
        if let Err(error) = self.handle.engine.check_process() {
            return Some(Err(error));
        }
        let deadline = Instant::now().checked_add(timeout);
        if !self.enter(deadline) {
            return None;
        }
        let result = match &mut self.state {
            State::Known => Ok(WriteResult::Done),
            State::Outside(_, call) | State::Queued(call) => match deadline {
                Some(deadline) => call.wait_until(deadline)?,
                None => call.wait(),
            },
            State::Done => Err(already_returned()),
        };
        self.state = State::Done;
        Some(self.finished(result))
    }

    /// Queues the write even if there is no space: for runs, because dropping a run must not block.
    /// There is at most one such write for each running job.
    pub(crate) fn detach(mut self) {
        if let State::Outside(queued, _) = &mut self.state {
            if let Some(queued) = queued.take() {
                self.handle.engine.queue.force_push(queued);
            }
        }
    }

    /// Adds the write to the queue. Blocks until there is space or the deadline passes. Returns
    /// `false` if there was no space.
    fn enter(&mut self, deadline: Option<Instant>) -> bool {
        if let State::Outside(queued, call) = &mut self.state {
            let call = call.clone();
            if let Some(waiting) = queued.take() {
                let queue = &self.handle.engine.queue;
                *queued = queue.push_until(waiting, deadline);
                if queued.is_some() {
                    return false;
                }
                queue.wake_committer();
            }
            self.state = State::Queued(call);
        }
        true
    }

    fn finished(&mut self, result: Result<WriteResult>) -> Result<T> {
        match self.finish.take() {
            Some(finish) => finish(result),
            None => Err(already_returned()),
        }
    }
}

/// The error of a pending write whose result has already been read.
fn already_returned() -> Error {
    Error::InvalidUse {
        what: "the result of this write has already been returned",
    }
}

/// No field is structurally pinned.
impl<T> Unpin for PendingWrite<T> {}

impl<T> Future for PendingWrite<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let write = &mut *self;
        if let Err(error) = write.handle.engine.check_process() {
            return Poll::Ready(Err(error));
        }
        if let State::Outside(queued, call) = &mut write.state {
            let call = call.clone();
            if let Some(waiting) = queued.take() {
                *queued = write.handle.engine.queue.poll_push(waiting, context);
                if queued.is_some() {
                    return Poll::Pending;
                }
            }
            write.state = State::Queued(call);
        }
        let result = match &mut write.state {
            State::Known => Ok(WriteResult::Done),
            State::Queued(call) => match call.poll(context) {
                Poll::Ready(result) => result,
                Poll::Pending => return Poll::Pending,
            },
            State::Outside(..) | State::Done => Err(already_returned()),
        };
        write.state = State::Done;
        Poll::Ready(write.finished(result))
    }
}

impl<T> Drop for PendingWrite<T> {
    fn drop(&mut self) {
        if self.handle.engine.check_process().is_err() {
            return;
        }
        let state = std::mem::replace(&mut self.state, State::Done);
        match (state, self.claim.take()) {
            (State::Outside(Some(queued), _), None) => self.handle.engine.queue_detached(queued),
            (State::Queued(_), Some((graph, claim))) => {
                claim.withdraw();
                // The hand-back follows the claim in the queue. There is at most one for each
                // claim, so the queue stays bounded.
                let action = Action::HandBack { graph, claim };
                let (_, queued) = Call::new(Operation::small(action));
                self.handle.engine.queue.force_push(queued);
            }
            _ => {}
        }
    }
}

impl<T> fmt::Debug for PendingWrite<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Known => "PendingWrite(refused)",
            State::Outside(..) => "PendingWrite(waiting for room)",
            State::Queued(_) => "PendingWrite(queued)",
            State::Done => "PendingWrite(answered)",
        })
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::engine::open::open_disk;
    use crate::log::disk::memory::MemoryDisk;
    use crate::model::options::Options;
    use crate::{Body, Graph, JobQuery, JobStore, Request};

    const QUEUE_BYTES: u64 = 16 << 10;

    fn store() -> (Arc<MemoryDisk>, JobStore, Graph) {
        let disk = Arc::new(MemoryDisk::default());
        let options = Options::default().max_queue_bytes(QUEUE_BYTES);
        let engine = open_disk(options, disk.clone()).unwrap();
        let store = JobStore::of(Arc::new(StoreHandle { engine }));
        let graph = store.create_graph("1", "movie").unwrap();
        (disk, store, graph)
    }

    fn request(bytes: usize) -> Request {
        let body = Body::from_json(format!("{:?}", "x".repeat(bytes))).unwrap();
        Request::new("c", "/", body).unwrap()
    }

    #[test]
    fn dropped_tickets_keep_the_bound_of_the_queue_and_lose_nothing() {
        const WRITES: u64 = 500;
        let (disk, _store, graph) = store();
        disk.hold_syncs();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..WRITES {
                    drop(graph.nonblocking().submit(request(1000)));
                }
                done.store(true, Ordering::SeqCst);
            });
            disk.wait_until_held();
            let mut most = 0;
            let deadline = Instant::now() + Duration::from_millis(300);
            while Instant::now() < deadline {
                most = most.max(graph.engine().queue.depth().1);
                std::thread::sleep(Duration::from_millis(1));
            }
            disk.release_syncs();
            while !done.load(Ordering::SeqCst) {
                most = most.max(graph.engine().queue.depth().1);
            }
            assert!(most <= QUEUE_BYTES, "{most} bytes were queued");
            assert!(most > QUEUE_BYTES / 2, "the queue was never full");
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let total = || graph.list(JobQuery::new()).unwrap().total().unwrap();
        while total() < WRITES {
            assert!(Instant::now() < deadline, "{} of {WRITES} came", total());
        }
    }

    #[test]
    fn what_is_being_committed_counts_until_it_is_committed() {
        let (disk, _store, graph) = store();
        disk.hold_syncs();
        let first = graph.try_submit(request(10_000)).unwrap();
        disk.wait_until_held();
        let second = graph.try_submit(request(10_000));
        disk.release_syncs();
        assert!(matches!(second, Err(Error::Busy { .. })), "{second:?}");
        first.wait().unwrap();
        graph.try_submit(request(10_000)).unwrap().wait().unwrap();
    }
}
