//! An embedded, durable store for the asynchronous jobs of a graph engine.
//!
//! A graph engine answers long requests with a job id and works on. This crate is
//! its memory of them: it records each request (command, url, JSON body) with its
//! id and state, durably, and lists them in order, in pages of up to 100000, out of
//! millions, at memory speed.
//!
//! ```
//! use jobstore::{Body, JobStore, List, Outcome, Request};
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let store = JobStore::open(dir)?;
//! let movie = store.graph_or_create("10001", "movie")?;
//!
//! let url = "/ges/v1.0/10001/graphs/movie/action?action_id=execute-algorithm";
//! let body = Body::from_json(r#"{"algorithmName": "pagerank", "alpha": 0.85}"#)?;
//! let id = movie.submit(Request::new("execute_algorithm", url, body)?)?;
//!
//! let run = movie.run(&id)?; // pending -> running
//! run.progress(50, "iterating");
//! run.complete(Outcome::succeeded())?; // running -> complete
//!
//! let page = movie.list(List::new().offset(0).limit(100_000))?;
//! page.write_json(std::io::stdout().lock())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Start at [`JobStore`] (open, graphs, close) and [`Graph`] (submit, start,
//! complete, cancel, list). [`Options`] says how a store is opened, [`Durability`]
//! what a crash can take, [`Recovery`] what becomes of jobs that were running.
//!
//! The log of checked frames is the truth; the index is derived from it and may be
//! thrown away. The files are described byte by byte in the module `format`.

#![warn(missing_docs, rust_2018_idioms, unreachable_pub)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(feature = "archive")]
mod archive;
mod backup;
mod changes;
mod clock;
mod detailed;
mod document;
mod engine;
mod error;
mod export;
mod find;
mod fingerprint;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(test, not(fuzzing), not(jobstore_shuttle)))]
mod fuzzing;
mod graph;
mod health;
#[cfg(feature = "http")]
pub mod http;
mod id;
mod import;
mod index;
mod job;
mod json;
mod list;
mod once;
mod options;
mod outcome;
mod page;
mod parallel;
mod pointer;
mod queue;
mod recovered;
mod report;
mod request;
mod retention;
mod run;
mod secrets;
mod spans;
mod stats;
mod storage;
mod store;
mod sync;
mod ticket;
mod wait;

pub use crate::backup::BackedUp;
pub use crate::changes::{Change, ChangeKind, Changes, Position};
pub use crate::clock::Clock;
pub use crate::detailed::DetailedChunks;
pub use crate::error::{Error, Failure, Result};
pub use crate::export::Export;
pub use crate::find::Matches;
pub use crate::graph::{Cancellation, Completion, Graph, Submitted};
pub use crate::health::Health;
pub use crate::id::JobId;
pub use crate::import::{ImportOptions, ImportReport, OnBadLine};
pub use crate::job::{Job, Progress, State};
pub use crate::list::{Cursor, List, Searched};
pub use crate::options::{Durability, IndexEngine, Options, Recovery, Replayed};
pub use crate::outcome::{Outcome, OutcomeKind};
pub use crate::page::{Chunks, Jobs, Page};
pub use crate::queue::{Queue, StoreQueue};
pub use crate::recovered::{Recovered, RecoveredJob, RecoveryAction};
pub use crate::report::{Damage, GraphReport, Repaired, Report, Verified};
pub use crate::request::{Body, Request};
pub use crate::retention::{PurgeReason, Purged, Retention, Tombstone};
pub use crate::run::Run;
pub use crate::secrets::Secrets;
pub use crate::stats::{GraphStats, Histogram, Stats};
pub use crate::store::JobStore;
pub use crate::ticket::Ticket;
pub use crate::wait::Waiting;

#[cfg(doc)]
#[doc = include_str!("storage/FORMAT.md")]
pub mod format {}

/// The README's examples, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
