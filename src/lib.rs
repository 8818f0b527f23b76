//! An embedded, durable store for the asynchronous jobs of a graph engine.
//!
//! A graph engine answers long requests with a job id and works on. This crate is
//! its memory of them: it records each request (command, url, JSON body) with its
//! id and state, durably, and lists them in order, in pages of up to 100000, out of
//! millions, at memory speed.
//!
//! ```
//! use jobstore::{Body, JobQuery, JobStore, Outcome, Request};
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let store = JobStore::open(dir)?;
//! let movie = store.get_or_create_graph("10001", "movie")?;
//!
//! let url = "/ges/v1.0/10001/graphs/movie/action?action_id=execute-algorithm";
//! let body = Body::from_json(r#"{"algorithmName": "pagerank", "alpha": 0.85}"#)?;
//! let id = movie.submit(Request::new("execute_algorithm", url, body)?)?;
//!
//! let run = movie.claim(&id)?; // pending -> running
//! run.progress(50, "iterating");
//! run.complete(Outcome::succeeded())?; // running -> complete
//!
//! let page = movie.list(JobQuery::new().offset(0).limit(100_000))?;
//! page.write_json(std::io::stdout().lock())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Start at [`JobStore`] (open, graphs, close) and [`Graph`] (all that is done with jobs).
//! [`Options`] says how a store is opened, [`Durability`] what a crash can take,
//! [`Recovery`] what becomes of jobs that were running. [`Run`] says how often a job can run,
//! and how to shut down gracefully.
//!
//! # From a request to its end
//!
//! | what | calls |
//! |---|---|
//! | submit | [`Graph::submit`]; many at once [`submit_all`](Graph::submit_all); under an id of your own [`submit_as`](Graph::submit_as); once for a key [`submit_once`](Graph::submit_once) |
//! | work | [`claim_next`](Graph::claim_next) and [`claim`](Graph::claim) give a [`Run`]; or [`start`](Graph::start), [`complete`](Graph::complete) with an [`Outcome`]; [`cancel`](Graph::cancel) |
//! | wait for work | [`claim_next_timeout`](Graph::claim_next_timeout), or the future [`claim_next_async`](Graph::claim_next_async); for a cancellation, [`Run::wait_cancelled`] and the future [`Run::cancelled`] |
//! | look | [`job`](Graph::job), [`count`](Graph::count), [`tombstone`](Graph::tombstone) |
//! | list | [`list`](Graph::list) with a [`JobQuery`] gives a [`Page`]: jobs, or the contract's JSON |
//! | find | [`find`](Graph::find) by the request; [`JobQuery`] by state, outcome, command, time, url and body |
//! | follow | [`wait`](Graph::wait) and [`wait_async`](Graph::wait_async) for one job's end; [`changes`](Graph::changes) for all that happens |
//! | forget | [`set_retention`](Graph::set_retention) with a [`Retention`]; by hand [`purge`](Graph::purge) |
//! | move | [`export`](Graph::export) and [`import`](Graph::import), lines of JSON |
//! | back up | [`JobStore::backup`], of a store at work |
//! | look after | [`health`](JobStore::health), [`stats`](JobStore::stats), [`verify`](JobStore::verify), [`scrub`](JobStore::scrub), [`repair`](JobStore::repair) |
//!
//! Writes block until they are durable. In an async engine, [`Graph::nonblocking`] has the same
//! writes as futures, each a [`PendingWrite`]; no runtime is named. `examples/async_service.rs` is a
//! service with async workers. What goes wrong is an
//! [`Error`], and [`Error::api_error`] is what a client is told. No call panics, whatever it
//! is given and whatever the files hold.
//!
//! ```
//! use jobstore::{Body, JobQuery, JobStore, Request, Retention, State};
//! use std::time::Duration;
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let store = JobStore::open(dir.join("jobs"))?;
//! let movie = store.get_or_create_graph("10001", "movie")?;
//! let month = Duration::from_secs(30 * 24 * 3600);
//! movie.set_retention(Some(Retention::new().max_age(month)))?; // else all is kept
//! let request = || Request::new("clear_graph", "/ges", Body::empty());
//! let id = movie.submit_once("click 17", request()?)?.id().clone(); // however often
//!
//! let page = movie.list(JobQuery::new().state(State::Pending).newest_first().limit(20))?;
//! println!("{} of {:?}", page.len(), page.total());
//! if let Some(job) = movie.find(&request()?)?.next().transpose()? {
//!     assert_eq!(*job.id(), id); // the newest job of that request
//! }
//!
//! movie.cancel(&id)?;
//! let ended = movie.wait(&id, Duration::from_secs(1))?;
//! println!("{:?}", ended.map(|job| job.outcome().cloned()));
//! for change in movie.changes(None)? {
//!     println!("{:?}", change?.kind); // Submitted, Completed(..)
//! }
//!
//! store.backup(dir.join("backup"))?; // opens as a store
//! store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | what comes with it |
//! |---|---|
//! | `archive` | purged jobs go to compressed lines first: `Retention::archive_to` |
//! | `http` | the list over HTTP, metrics, a control socket: the module `http`, `JobStore::control` |
//! | `cli` | the program `jobstore`, for the people who run an engine |
//!
//! # What is kept where
//!
//! The log of checked frames is the truth; the index is derived from it and may be
//! thrown away. The files are described byte by byte in the module `format`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_docs, rust_2018_idioms, unreachable_pub)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod api;
mod base;
mod engine;
#[cfg(feature = "http")]
pub mod http;
mod index;
mod log;
mod model;
#[cfg(any(test, fuzzing, feature = "simulation"))]
mod testing;

pub use crate::api::backup::BackupReport;
pub use crate::api::cancelled::Cancelled;
pub use crate::api::changes::{Change, Changes, Position};
pub use crate::api::claim_next::ClaimNext;
pub use crate::api::detailed::DetailedChunks;
pub use crate::api::export::Export;
pub use crate::api::find::Matches;
pub use crate::api::graph::Graph;
pub use crate::api::import::{ImportReport, OnBadLine};
pub use crate::api::lifecycle::{Cancellation, Completion};
pub use crate::api::nonblocking::NonBlocking;
pub use crate::api::nonblocking_store::NonBlockingStore;
pub use crate::api::page::{Chunks, Jobs, Page};
pub use crate::api::pending_write::PendingWrite;
pub use crate::api::recovered::{Recovered, RecoveredJob, RecoveryAction};
pub use crate::api::run::{Requeued, Run};
pub use crate::api::store::JobStore;
pub use crate::api::submit::Submitted;
pub use crate::api::wait::JobCompletion;
pub use crate::base::clock::Clock;
pub use crate::model::api_error::ApiError;
pub use crate::model::change::ChangeKind;
pub use crate::model::cursor::Cursor;
pub use crate::model::error::{Error, JsonProblem, Result};
pub use crate::model::health::Health;
pub use crate::model::id::JobId;
pub use crate::model::job::{Job, Progress};
pub use crate::model::job_query::{JobQuery, ScanProgress};
pub use crate::model::options::{Durability, Options, Recovery, ReplayProgress};
pub use crate::model::outcome::{Outcome, OutcomeKind};
pub use crate::model::report::{Damage, GraphReport, RepairReport, VerifyProgress, VerifyReport};
pub use crate::model::request::{Body, Request};
pub use crate::model::retention::{PurgeReason, PurgeReport, Retention, Tombstone};
pub use crate::model::secrets::Secrets;
pub use crate::model::states::State;
pub use crate::model::stats::{GraphStats, Histogram, Stats, Totals};

#[cfg(fuzzing)]
#[doc(hidden)]
pub use crate::testing::fuzzing;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub use crate::testing::simulation;

#[cfg(doc)]
#[doc = include_str!("log/FORMAT.md")]
pub mod format {}

// The Rust examples of these documents are doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
#[cfg(doctest)]
#[doc = include_str!("../docs/architecture.md")]
struct Architecture;
#[cfg(doctest)]
#[doc = include_str!("../docs/benchmarks.md")]
struct Benchmarks;
#[cfg(doctest)]
#[doc = include_str!("../docs/guarantees.md")]
struct Guarantees;
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
struct Guide;
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../docs/http-api.md")]
struct HttpApi;
#[cfg(doctest)]
#[doc = include_str!("../docs/operations.md")]
struct Operations;
