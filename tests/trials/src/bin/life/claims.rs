//! Workers that wait for a job, or for a cancellation.
//!
//! Nothing actually blocks here, because there is only one thread. Futures are polled and dropped,
//! and their wake-ups are checked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use jobstore::simulation::Step;
use jobstore::{Error, Run, State};

use crate::life::{Finding, Life, Ran};
use crate::model::{Effect, Job, Name};
use crate::operations::{After, Pick};
use crate::requests::Content;

/// How many times a claim is polled before it is dropped, and which of these polls are followed by
/// a commit.
#[derive(Clone, Copy, Debug)]
pub struct Polls {
    pub count: u8,
    pub commits: u8,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A future, and whether its task was woken.
struct Task<F> {
    future: F,
    woken: Arc<Woken>,
}

impl<F: Future + Unpin> Task<F> {
    fn new(future: F) -> Task<F> {
        let woken = Arc::default();
        Task { future, woken }
    }

    fn poll(&mut self) -> Poll<F::Output> {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(self.woken.clone());
        Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker))
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst)
    }
}

impl Life {
    pub fn oldest_pending(&self, name: Name) -> Option<(u64, Job)> {
        let mut jobs = self.model.graphs[&name].jobs.iter();
        let oldest = jobs.find(|(_, job)| job.state == State::Pending);
        oldest.map(|(&sequence, job)| (sequence, job.clone()))
    }

    /// Compares the result of a claim with the job that it should have claimed.
    pub fn claimed(
        &mut self,
        name: Name,
        claimed: Result<Option<Run>, Error>,
        oldest: Option<(u64, Job)>,
        after: &After,
    ) -> Ran {
        match (claimed, oldest) {
            (Ok(Some(run)), Some((sequence, job))) => {
                if job.id.as_deref().is_some_and(|id| id != run.id().as_str()) {
                    return Err(format!("{} was claimed, not {:?}", run.id(), job.id));
                }
                self.started(name, sequence, run, &job, after)
            }
            (Ok(None), None) => Ok(true),
            (Ok(run), oldest) => Err(format!("{run:?} was claimed, not {oldest:?}")),
            (Err(error), Some((sequence, _))) => {
                self.refused("a claim", &error, Effect::Start(name, sequence))?;
                self.abandoned(name, sequence)
            }
            (Err(error), None) => self.excuse("a claim", &error),
        }
    }

    pub fn claim_next_timeout(&mut self, pick: Pick, after: &After) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let oldest = self.oldest_pending(name);
        let claimed = graph.claim_next_timeout(std::time::Duration::ZERO);
        self.claimed(name, claimed, oldest, after)
    }

    /// Polls a claim some times and drops it, unless it has its job by then. If there is no job,
    /// one is submitted while the claim waits.
    pub fn claim_next_async(
        &mut self,
        pick: Pick,
        polls: Polls,
        content: Content,
        after: &After,
    ) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let mut oldest = self.oldest_pending(name);
        let mut task = Task::new(graph.claim_next_async());
        let mut is_committed = false;
        for n in 0..polls.count {
            if let Poll::Ready(claimed) = task.poll() {
                return self.claimed(name, claimed.map(Some), oldest, after);
            }
            if oldest.is_none() {
                self.submit(pick, content, false)?;
                oldest = self.oldest_pending(name);
                if oldest.is_none() || self.disk.is_dead() {
                    return Ok(true);
                }
                if !task.is_woken() {
                    return Err("a waiting claim is not woken by a job".to_owned());
                }
            } else if polls.commits >> n & 1 == 1 {
                self.step(Step::Commit);
                is_committed = true;
                if !task.is_woken() {
                    return Err("a claim is committed, but its future is not woken".to_owned());
                }
            }
            if self.is_excused() {
                // The effect of a fault on a claim is visible only through its future.
                self.step(Step::Commit);
                let Poll::Ready(claimed) = task.poll() else {
                    continue;
                };
                return self.claimed(name, claimed.map(Some), oldest, after);
            }
        }
        if self.is_excused() && polls.count > 0 {
            return self.poll_to_the_end(name, task, oldest, after);
        }
        drop(task);
        self.handed_back(name, oldest.filter(|_| is_committed))
    }

    fn poll_to_the_end(
        &mut self,
        name: Name,
        mut task: Task<jobstore::ClaimNext>,
        oldest: Option<(u64, Job)>,
        after: &After,
    ) -> Ran {
        for _ in 0..4 {
            match task.poll() {
                Poll::Ready(claimed) => {
                    return self.claimed(name, claimed.map(Some), oldest, after);
                }
                Poll::Pending => self.step(Step::Commit),
            }
        }
        match oldest {
            None => Ok(true),
            Some(oldest) => Err(format!("a claim does not get {oldest:?}")),
        }
    }

    /// The future of a claim was dropped when its job was already running.
    fn handed_back(&mut self, name: Name, job: Option<(u64, Job)>) -> Ran {
        if let Some((sequence, _)) = job {
            self.acknowledge(Effect::Start(name, sequence));
        }
        self.step(Step::Commit);
        let Some((sequence, _)) = job else {
            return Ok(true);
        };
        let requeued = Effect::Requeued(name, sequence);
        if self.disk.is_dead() {
            self.in_doubt(requeued);
            return Ok(true);
        }
        match self.look(name, sequence)? {
            None => {
                self.in_doubt(requeued);
                self.is_unreadable = true;
            }
            Some((State::Pending, _)) => self.acknowledge(requeued),
            Some((State::Running, _)) if self.is_read_only() => self.in_doubt(requeued),
            Some((State::Running, _)) if self.is_excused() => {}
            Some((state, outcome)) => {
                return Err(format!(
                    "the job of a dropped claim is {state} with {outcome:?}"
                ));
            }
        }
        Ok(true)
    }

    /// Lets a run wait for its cancellation, which may or may not happen.
    pub fn cancelled(&mut self, pick: Pick, cancels: bool) -> Ran {
        let Some(n) = usize::from(pick).checked_rem(self.runs.len()) else {
            return Ok(false);
        };
        let kept = &self.runs[n];
        let (name, serial, sequence) = (kept.name, kept.serial, kept.sequence);
        let was_over = kept.run.is_over();
        let mut task = Task::new(kept.run.cancelled());
        let is_ready = task.poll().is_ready();
        let graph = self.model.graphs.get(&name);
        let graph = graph.filter(|graph| graph.serial == serial);
        let job = graph.and_then(|graph| graph.jobs.get(&sequence)).cloned();
        let Some(job) = job else {
            return expect(is_ready, true, "a run without a job");
        };
        if self.is_read_only() || self.is_excused() {
            return Ok(true);
        }
        if was_over || job.state != State::Running {
            return expect(is_ready, true, "a run that is over");
        }
        expect(is_ready, job.cancelling, "a run")?;
        let Some(handle) = self.handle(name).filter(|_| cancels && !is_ready) else {
            return Ok(true);
        };
        self.cancel_one(name, &handle, sequence, &job)?;
        let job = &self.model.graphs[&name].jobs[&sequence];
        if job.cancelling && !self.disk.is_dead() {
            expect(task.is_woken(), true, "the task of a canceled run")?;
            expect(task.poll().is_ready(), true, "a canceled run")?;
        }
        Ok(true)
    }
}

fn expect(is: bool, should: bool, what: &str) -> Result<bool, Finding> {
    match is == should {
        true => Ok(true),
        false => Err(format!("whether {what} sees its cancellation: {is}")),
    }
}
