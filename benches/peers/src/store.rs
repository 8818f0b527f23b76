//! What is asked of every store that is compared.
//!
//! Owns: [`Store`] and the words for its questions. Knows no store.

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

/// A job to be recorded. When the stores are filled, jobstore gives it its id.
pub struct Job {
    pub id: String,
    pub state: State,
    pub request: Parts,
}

/// A store under comparison. Every write but [`Store::fill`] is on the disk, synced,
/// when it returns.
pub trait Store: Send + Sync {
    /// Takes in many jobs at once, in the state they are in.
    fn fill(&self, jobs: &mut [Job]) -> Result<()>;

    /// Waits until all is synced and nothing is left to be done in the background.
    fn rest(&self) -> Result<()>;

    /// Puts the contract's document into `out`, in place of what is there.
    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()>;

    /// How many jobs are in this state.
    fn count(&self, state: State) -> Result<u64>;

    /// Puts one job, as a page shows it, into `out`, in place of what is there.
    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()>;

    /// Records a request and answers with the id made for it.
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
    /// Its name for `--only`, and of its folder.
    pub key: &'static str,
    /// Another way to read the pages of a store that is there already.
    pub only_pages: bool,
    pub open: fn(&Path) -> Result<Box<dyn Store>>,
    pub version: fn() -> Result<String>,
}
