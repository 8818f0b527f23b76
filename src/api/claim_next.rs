// Waiting for the next pending job.
//
// As long as a job is pending and callers are waiting, one of them is awake to claim it. A caller
// that was woken but does not claim a job wakes the next caller.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::api::graph::Graph;
use crate::api::pending_write::PendingWrite;
use crate::api::registration::Registration;
use crate::api::run::Run;
use crate::base::sync::time::Instant;
use crate::engine::state::waiters::PENDING;
use crate::model::error::{Error, Result};

impl Graph {
    /// Claims the oldest pending job; if no job is pending, waits for one. Returns `None` if no job
    /// could be claimed within the timeout.
    ///
    /// The timeout limits only the wait for a job. A claim that begins before the timeout still
    /// runs to completion. A zero timeout does not wait, and with a timeout too long for the clock,
    /// the call waits forever.
    ///
    /// A wait ends when a job is submitted, imported as pending, or requeued. Each such job wakes
    /// one waiter: the one that has waited longest. A caller that was not waiting may claim the job
    /// first; then the woken waiter waits again.
    ///
    /// # Cost
    /// That of [`Graph::claim_next`]. A waiting call uses a few hundred bytes of memory and does
    /// not poll.
    ///
    /// # Errors
    /// Those of [`Graph::claim_next`]. These also end a wait: [`Error::GraphDropped`],
    /// [`Error::Closed`], and, if a failed write means that the store must be reopened,
    /// [`Error::ReadOnly`]. In a store that was opened read-only, [`Error::OpenedReadOnly`] is
    /// returned immediately.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// use std::time::Duration;
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// assert!(movie.claim_next_timeout(Duration::from_millis(1))?.is_none());
    ///
    /// let engine = movie.clone();
    /// std::thread::spawn(move || {
    ///     engine.submit(Request::new("clear_graph", "/ges", Body::empty())?)
    /// });
    /// let run = movie.claim_next_timeout(Duration::from_secs(60))?;
    /// run.ok_or("no job within a minute")?.complete(Outcome::succeeded())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn claim_next_timeout(&self, timeout: Duration) -> Result<Option<Run>> {
        let deadline = Instant::now().checked_add(timeout);
        let mut claimer = Claimer::new(self);
        loop {
            claimer.owes = true;
            if let Some(run) = self.claim_next()? {
                claimer.owes = false;
                return Ok(Some(run));
            }
            claimer.owes = false;
            if !claimer.wait(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Returns a future that claims the oldest pending job and, if no job is pending, waits for
    /// one. It works in any async runtime. [`Graph::claim_next_timeout`] is the blocking
    /// equivalent.
    ///
    /// Nothing happens before the future is first polled. Waiters are woken in the order in which
    /// they were first polled, one for each job. Poll or drop a woken future promptly: until then,
    /// the job for which it was woken also waits.
    ///
    /// # Cancel safety
    /// The future can be dropped at any time, for example in a `select!`, and no job is lost. A
    /// claim in flight is withdrawn. If its job is already running, the job is handed back: it
    /// becomes pending again, at its original position in the order, whatever the
    /// [`Recovery`](crate::Recovery) setting. In this case, the [changes](Graph::changes) show the
    /// job as started and requeued. If the future was woken for a job, another waiter is woken in
    /// its place. Dropping does not block.
    ///
    /// The hand-back is queued when the future is dropped, so drop the future before you close the
    /// store. If the store is closed first, the next open recovers the job like any other running
    /// job.
    ///
    /// # Errors
    /// The future returns the errors of [`Graph::claim_next_timeout`]. If it is polled again after
    /// it has completed, it returns [`Error::InvalidUse`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Error, Graph, JobStore, Outcome, Request};
    ///
    /// async fn work(movie: Graph) -> Result<(), Error> {
    ///     loop {
    ///         let run = match movie.claim_next_async().await {
    ///             Ok(run) => run,
    ///             Err(Error::Closed) => return Ok(()),
    ///             Err(error) => return Err(error),
    ///         };
    ///         run.complete_async(Outcome::succeeded()).await?;
    /// #       return Ok(());
    ///     }
    /// }
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// # futures::executor::block_on(work(movie))?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn claim_next_async(&self) -> ClaimNext {
        ClaimNext {
            claimer: Claimer::new(self),
            step: Step::First,
        }
    }
}

/// A caller that waits for a pending job.
struct Claimer {
    graph: Graph,
    registration: Registration,
    /// Whether the caller was woken for a job or is claiming one. If it then stops without a job,
    /// it wakes the next waiter.
    owes: bool,
}

impl Claimer {
    fn new(graph: &Graph) -> Claimer {
        Claimer {
            graph: graph.clone(),
            registration: Registration::new(graph, PENDING),
            owes: false,
        }
    }

    fn unregister(&mut self) {
        self.owes |= self.registration.remove();
    }

    /// Whether a job is pending. Call this after the waiter has been registered.
    fn sees_job(&self) -> Result<bool> {
        self.graph.check_writable()?;
        Ok(self.graph.core.state.read().has_pending())
    }

    /// Blocks until a job is pending. Returns `false` if the deadline passes first.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<bool> {
        loop {
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(false);
            }
            self.graph.engine().check_process()?;
            let waiter = self.registration.waiter();
            let sees_job = self.sees_job()?;
            if !sees_job && !waiter.wait(deadline) {
                return Ok(false);
            }
            self.unregister();
            if sees_job {
                return Ok(true);
            }
        }
    }

    /// Wakes the next waiter if there is still a job for it.
    fn leave(&mut self) {
        self.unregister();
        if !std::mem::take(&mut self.owes) || self.graph.engine().check_process().is_err() {
            return;
        }
        let mut waiters = Vec::new();
        self.graph.core.state.write().take_claimers(1, &mut waiters);
        waiters.iter().for_each(|waiter| waiter.wake());
    }
}

impl Drop for Claimer {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A future that claims the next pending job: returned by [`Graph::claim_next_async`].
///
/// It keeps the store open.
#[must_use = "it does nothing unless it is awaited"]
pub struct ClaimNext {
    claimer: Claimer,
    step: Step,
}

enum Step {
    First,
    Waiting,
    Claiming(PendingWrite<Option<Run>>),
    Done,
}

impl ClaimNext {
    fn claim(&mut self) {
        self.step = Step::Claiming(self.claimer.graph.nonblocking().claim_next());
        self.claimer.owes = true;
    }

    fn poll_claim(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Run>>> {
        let claimer = &mut self.claimer;
        if let Err(error) = claimer.graph.engine().check_process() {
            return Poll::Ready(Err(error));
        }
        match &mut self.step {
            Step::Done => Poll::Ready(Err(Error::InvalidUse {
                what: "this future has returned its job; ask for another one",
            })),
            Step::First => {
                self.claim();
                Poll::Ready(Ok(None))
            }
            Step::Claiming(write) => match Pin::new(write).poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(claimed) => {
                    self.step = Step::Waiting;
                    // After an error, the job may still be pending.
                    claimer.owes = claimed.is_err();
                    Poll::Ready(claimed)
                }
            },
            Step::Waiting => {
                let waiter = claimer.registration.waiter();
                if claimer.sees_job()? {
                    claimer.unregister();
                    self.claim();
                } else if waiter.poll(context.waker()) {
                    claimer.unregister();
                } else {
                    return Poll::Pending;
                }
                Poll::Ready(Ok(None))
            }
        }
    }
}

/// No field is structurally pinned.
impl Unpin for ClaimNext {}

impl Future for ClaimNext {
    type Output = Result<Run>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Run>> {
        loop {
            let claimed = match self.poll_claim(context) {
                Poll::Ready(claimed) => claimed.transpose(),
                Poll::Pending => return Poll::Pending,
            };
            if let Some(claimed) = claimed {
                self.step = Step::Done;
                self.claimer.leave();
                return Poll::Ready(claimed);
            }
        }
    }
}

impl fmt::Debug for ClaimNext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimNext")
            .field("graph", &self.claimer.graph)
            .finish_non_exhaustive()
    }
}
