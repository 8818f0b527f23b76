//! The operations of every store that is compared.
//!
//! Contains [`Store`] and its argument types. It is independent of any particular store.

use std::path::Path;

use anyhow::Result;
use jobstore::State;

use crate::requests::Parts;

/// Selects some of the jobs, oldest first: those after the first `offset` jobs of the list.
#[derive(Clone, Copy, Debug)]
pub struct List {
    pub offset: u64,
    pub limit: u64,
    /// If set, selects only jobs in this state.
    pub state: Option<State>,
}

/// A job to be recorded. While the stores are filled, jobstore generates its id.
pub struct Job {
    pub id: String,
    pub state: State,
    pub request: Parts,
}

/// A store under comparison. Every write except [`Store::fill`] is synced to disk when it returns.
pub trait Store: Send + Sync {
    /// Adds many jobs at once, in their states.
    fn fill(&self, jobs: &mut [Job]) -> Result<()>;

    /// Waits until everything is synced and no background work is left.
    fn rest(&self) -> Result<()>;

    /// Replaces the content of `out` with the document of the GES API.
    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()>;

    /// Returns the number of jobs in this state.
    fn count(&self, state: State) -> Result<u64>;

    /// Replaces the content of `out` with one job, as a page shows it.
    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()>;

    /// Records a request. Returns the id that was generated for it.
    fn submit(&self, request: &Parts) -> Result<String>;

    /// Records all requests in one transaction.
    fn submit_all(&self, requests: &[Parts]) -> Result<()>;

    /// Moves a job from pending to running.
    fn start(&self, id: &str) -> Result<()>;

    /// Moves a job from running to complete.
    fn complete(&self, id: &str) -> Result<()>;

    fn close(self: Box<Self>) -> Result<()>;
}

/// A kind of store. Each kind is a column of the tables.
pub struct Kind {
    pub name: &'static str,
    /// The name of the kind for `--only`, and of its directory.
    pub key: &'static str,
    /// Whether this is only another way to read the pages of an existing store.
    pub only_pages: bool,
    pub open: fn(&Path) -> Result<Box<dyn Store>>,
    pub version: fn() -> Result<String>,
}
