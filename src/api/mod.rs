// The public handles: stores, graphs, pages, runs, and the values they return.
//
// `store` contains the handle of a store, `catalog` the calls for its graphs, `maintenance` the
// calls for operators, and `graph` the handle of a graph. Each call is in the file of the type that
// it returns. A blocking call and its counterpart in `nonblocking` share the code in `submit`,
// `lifecycle`, `claim`, and `idempotent`.
//
// rustdoc shows the methods of a type in the order of these modules: the order of a job's life.

// Stores.
pub(crate) mod store;

pub(crate) mod catalog;

pub(crate) mod nonblocking_store;

pub(crate) mod recovered;

pub(crate) mod stats;
pub(crate) mod totals;

pub(crate) mod backup;

pub(crate) mod maintenance;

// The life of a job.
pub(crate) mod submit;

pub(crate) mod idempotent;

pub(crate) mod nonblocking;
pub(crate) mod pending_write;

pub(crate) mod claim;
pub(crate) mod claim_next;

pub(crate) mod run;

pub(crate) mod cancelled;

pub(crate) mod lifecycle;

pub(crate) mod cancel_all;

pub(crate) mod wait;

// Reading jobs.
pub(crate) mod graph;

pub(crate) mod graph_stats;

pub(crate) mod list;
pub(crate) mod page;
#[cfg(feature = "http")]
pub(crate) mod page_parts;

pub(crate) mod detailed;

pub(crate) mod store_list;

pub(crate) mod find;

pub(crate) mod change_json;
pub(crate) mod changes;

pub(crate) mod history;
pub(crate) mod tally;

// Retaining and moving jobs.
pub(crate) mod retention;

pub(crate) mod export;
pub(crate) mod import;

// Shared code.
pub(crate) mod registration;
pub(crate) mod spans;
pub(crate) mod write;
