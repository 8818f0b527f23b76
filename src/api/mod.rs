//! The public handles: stores, graphs, pages, runs and everything that they return.
//!
//! Names every layer below, and none of `http`.
//!
//! `store` has the handle of a store, `catalog` its graphs, `maintenance` what operators call.
//! `graph` has the handle of a graph; each call stands with what it gives. `submit`,
//! `lifecycle`, `claim` and `idempotent` have what a blocking call and its twin in
//! `nonblocking` share.
//! No two files name each other.
//!
//! rustdoc shows the methods of a type in the order of these modules: that of a job's life.

// A store.
pub(crate) mod store;

pub(crate) mod nonblocking_store;

pub(crate) mod recovered;

pub(crate) mod stats;
pub(crate) mod totals;

pub(crate) mod backup;

// The life of a job.
pub(crate) mod submit;

pub(crate) mod idempotent;

pub(crate) mod nonblocking;
pub(crate) mod pending_write;

pub(crate) mod claim;

pub(crate) mod run;

pub(crate) mod lifecycle;

pub(crate) mod wait;

// Looking at jobs.
pub(crate) mod graph;

pub(crate) mod list;
pub(crate) mod page;

pub(crate) mod detailed;

pub(crate) mod find;

pub(crate) mod changes;

// Keeping and moving jobs.
pub(crate) mod retention;

pub(crate) mod export;
pub(crate) mod import;

// What these share.
pub(crate) mod spans;
pub(crate) mod write;

pub(crate) mod cancelled;
pub(crate) mod catalog;
pub(crate) mod claim_next;
pub(crate) mod maintenance;
