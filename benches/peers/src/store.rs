//! The operations of every compared store.
//!
//! Contains [`Store`] and its argument types. Independent of any store.

use std::path::Path;

use anyhow::Result;
use jobstore::State;

use crate::requests::Parts;

/// Some of the jobs, oldest first: those after the first `offset` of the list.
#[derive(Clone, Copy, Debug)]
pub struct List {
    pub offset: u64,
    pub limit: u64,
    /// Only jobs in this state.
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

    /// Replaces the content of `out` by the document of the GES API.
    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()>;

    /// The number of jobs in this state.
    fn count(&self, state: State) -> Result<u64>;

    /// Replaces the content of `out` by one job, as a page shows it.
    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()>;

    /// Records a request and returns the id generated for it.
    fn submit(&self, request: &Parts) -> Result<String>;

    /// Records all of them in one transaction.
    fn submit_all(&self, requests: &[Parts]) -> Result<()>;

    /// From pending to running.
    fn start(&self, id: &str) -> Result<()>;

    /// From running to complete.
    fn complete(&self, id: &str) -> Result<()>;

    fn close(self: Box<Self>) -> Result<()>;
}

/// A kind of store: a column of the tables.
pub struct Kind {
    pub name: &'static str,
    /// Its name for `--only`, and of its directory.
    pub key: &'static str,
    /// Another way to read the pages of an existing store.
    pub only_pages: bool,
    pub open: fn(&Path) -> Result<Box<dyn Store>>,
    pub version: fn() -> Result<String>,
}
