//! What an engine must implement to be a store of jobs, and what all of them share.
//!
//! Contains [`Engine`] and [`Peer`], which generates the ids and batches callers. It is independent
//! of any engine.
//!
//! Less is required of peers than of jobstore: they do not check that a body is JSON, and rely on
//! each job being handled by one caller at a time.

use anyhow::Result;
use jobstore::State;

use crate::batch::Batch;
use crate::ids::Ids;
use crate::requests::Parts;
use crate::store::{Job, List, Store};

/// A write of one caller.
pub enum Write<R> {
    /// Submits new jobs, which are adjacent to each other.
    Submit(Vec<New<R>>),
    Step(Step),
}

pub struct New<R> {
    pub id: String,
    pub state: State,
    pub record: R,
}

/// A transition of a job to its next state.
pub struct Step {
    pub id: String,
    pub from: State,
    pub to: State,
}

pub trait Engine: Send + Sync {
    /// What the engine stores of a job. It is built before the transaction.
    type Record: Send;

    fn record(id: &str, state: State, request: &Parts) -> Result<Self::Record>;

    /// Executes the writes in one transaction, which is synced when this returns. The benchmark
    /// makes no invalid writes, so a refused write ends the run.
    fn commit(&self, writes: &[Write<Self::Record>]) -> Result<()>;

    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()>;

    fn count(&self, state: State) -> Result<u64>;

    /// Writes the job to `out`, which is empty.
    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()>;

    /// Like [`Store::rest`].
    fn rest(&self) -> Result<()>;

    fn close(self) -> Result<()>;
}

pub struct Peer<E: Engine> {
    engine: E,
    /// Batches the writes of callers. `None` for an engine that commits each write separately.
    batch: Option<Batch<Write<E::Record>>>,
    ids: Ids,
}

impl<E: Engine> Peer<E> {
    /// Creates a peer in which concurrent callers share a transaction.
    pub fn in_batches(engine: E) -> Peer<E> {
        Peer {
            engine,
            batch: Some(Batch::new()),
            ids: Ids::new(),
        }
    }

    pub fn one_by_one(engine: E) -> Peer<E> {
        Peer {
            engine,
            batch: None,
            ids: Ids::new(),
        }
    }

    fn carry_out(&self, write: Write<E::Record>) -> Result<()> {
        match &self.batch {
            Some(batch) => batch.carry_out(write, |writes| self.engine.commit(writes)),
            None => self.engine.commit(&[write]),
        }
    }

    fn step(&self, id: &str, from: State, to: State) -> Result<()> {
        let id = id.to_owned();
        self.carry_out(Write::Step(Step { id, from, to }))
    }

    fn pending(&self, request: &Parts) -> Result<New<E::Record>> {
        new::<E>(self.ids.make(), State::Pending, request)
    }
}

fn new<E: Engine>(id: String, state: State, request: &Parts) -> Result<New<E::Record>> {
    Ok(New {
        record: E::record(&id, state, request)?,
        id,
        state,
    })
}

impl<E: Engine> Store for Peer<E> {
    fn fill(&self, jobs: &mut [Job]) -> Result<()> {
        let jobs = jobs.iter();
        let new = jobs.map(|job| new::<E>(job.id.clone(), job.state, &job.request));
        self.engine
            .commit(&[Write::Submit(new.collect::<Result<_>>()?)])
    }

    fn rest(&self) -> Result<()> {
        self.engine.rest()
    }

    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()> {
        self.engine.page(list, out)
    }

    fn count(&self, state: State) -> Result<u64> {
        self.engine.count(state)
    }

    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        self.engine.job(id, out)
    }

    fn submit(&self, request: &Parts) -> Result<String> {
        let job = self.pending(request)?;
        let id = job.id.clone();
        self.carry_out(Write::Submit(vec![job]))?;
        Ok(id)
    }

    fn submit_all(&self, requests: &[Parts]) -> Result<()> {
        let jobs = requests.iter().map(|request| self.pending(request));
        self.carry_out(Write::Submit(jobs.collect::<Result<_>>()?))
    }

    fn start(&self, id: &str) -> Result<()> {
        self.step(id, State::Pending, State::Running)
    }

    fn complete(&self, id: &str) -> Result<()> {
        self.step(id, State::Running, State::Complete)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.engine.close()
    }
}
