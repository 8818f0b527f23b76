//! A write that was handed over and whose answer is waited for later.
//!
//! Owns: [`PendingWrite`]: a future and a thing to block on, without naming a runtime.
//! Must not know: what the write does.
//! Promise: dropping a pending write never withdraws its write, unless it is a claim, and never
//! exceeds the queue's bound; polling never waits, for room, for a sync or for anybody.

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

/// The answer to a queued write: wait for it, or await it.
///
/// The write is carried out whether or not anybody waits, except for a claim, whose job is
/// [handed back](crate::NonBlocking::claim_next) if nobody takes it. A pending write that found the
/// queue full gets its place when it is first polled or waited for and there is
/// room. If it is dropped before, the drop blocks until there is room: the write is not
/// lost, and the queue keeps its bound. Async code that must not block uses
/// [`Graph::try_submit`](crate::Graph::try_submit), which refuses instead, or awaits the
/// pending write.
///
/// Polling never waits for room, a sync or a lock held over one. Where the answer
/// carries a job or an outcome, the poll that takes it reads that from the files,
/// which are nearly always in the system's cache.
///
/// A pending write keeps the request it carries in memory until its answer is taken or it is
/// dropped, also when the commit is done: the queue's bound is for what waits in it or
/// is being committed.
///
/// As a future it gives what [`PendingWrite::wait`] does; it is not to be polled after that
/// ([`Error::InvalidUse`]).
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
    /// Of a claim: what hands its job back if nobody takes it.
    claim: Option<(Arc<GraphCore>, Arc<Claim>)>,
}

enum State {
    /// Refused, or answered, before it was queued: `finish` has the answer.
    Known,
    /// It found the queue full and is not in it yet.
    Outside(Option<Queued>, Arc<Call>),
    /// In the queue, or carried out.
    Queued(Arc<Call>),
    /// The answer was taken.
    Done,
}

impl<T> PendingWrite<T> {
    /// Queues a write if there is room; otherwise the pending write does when it is waited
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

    /// The same for a claim, which is withdrawn, or its job handed back, if the pending write
    /// is dropped before its result was returned.
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

    /// Queues a write if there is room; otherwise refuses it.
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

    /// Blocks until the answer is there.
    ///
    /// # Errors
    /// Those of the write; [`Error::InvalidUse`] when the answer was given before.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// // Both are on their way, and share a sync.
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

    /// Blocks until the answer is there, at most so long; `None` when it is not: the
    /// write is carried out all the same, and can be waited for again.
    ///
    /// # Errors
    /// Those of the write; once the answer was given, [`Error::InvalidUse`].
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

    /// Queues the write even if there is no room: for guards, whose drop must not block,
    /// and of which there is one for each running job.
    pub(crate) fn detach(mut self) {
        if let State::Outside(queued, _) = &mut self.state {
            if let Some(queued) = queued.take() {
                self.handle.engine.queue.force_push(queued);
            }
        }
    }

    /// Gets the write into the queue, waiting for room until the deadline: the
    /// calling thread blocks anyway. `false` when there was none.
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

/// What a pending write says whose answer was taken already.
fn already_returned() -> Error {
    Error::InvalidUse {
        what: "the result of this write has already been returned",
    }
}

/// Nothing in a pending write is pinned to its place.
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
                // After the claim in the queue. There is one for each claim, so the queue stays
                // bounded.
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
