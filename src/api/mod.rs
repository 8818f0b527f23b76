//! The public handles: stores, graphs, pages, runs and everything that they return.
//!
//! Names every layer below, and none of `http`.
//!
//! `store` has the handle of a store, `catalog` its graphs, `maintenance` what operators call.
//! `graph` has the handle of a graph; each call stands with what it gives. `submit`,
//! `lifecycle`, `claim` and `idempotent` have what a blocking call and its twin in `queue` share.
//! No two files name each other.

pub(crate) mod backup;
pub(crate) mod catalog;
pub(crate) mod changes;
pub(crate) mod claim;
pub(crate) mod detailed;
pub(crate) mod export;
pub(crate) mod find;
pub(crate) mod graph;
pub(crate) mod idempotent;
pub(crate) mod import;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod maintenance;
pub(crate) mod page;
pub(crate) mod queue;
pub(crate) mod recovered;
pub(crate) mod retention;
pub(crate) mod run;
pub(crate) mod spans;
pub(crate) mod stats;
pub(crate) mod store;
pub(crate) mod store_queue;
pub(crate) mod submit;
pub(crate) mod ticket;
pub(crate) mod totals;
pub(crate) mod wait;
pub(crate) mod write;
