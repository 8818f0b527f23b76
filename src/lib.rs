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
//! | work | [`run_next`](Graph::run_next) and [`run`](Graph::run) give a [`Run`]; or [`start`](Graph::start), [`complete`](Graph::complete) with an [`Outcome`]; [`cancel`](Graph::cancel) |
//! | look | [`job`](Graph::job), [`count`](Graph::count), [`tombstone`](Graph::tombstone) |
//! | list | [`list`](Graph::list) with a [`List`] gives a [`Page`]: jobs, or the contract's JSON |
//! | find | [`find`](Graph::find) by the request; [`List`] by state, outcome, command, time, url and body |
//! | follow | [`wait`](Graph::wait) and [`ended`](Graph::ended) for one job's end; [`changes`](Graph::changes) for all that happens |
//! | forget | [`set_retention`](Graph::set_retention) with a [`Retention`]; by hand [`purge`](Graph::purge) |
//! | move | [`export`](Graph::export) and [`import`](Graph::import), lines of JSON |
//! | back up | [`JobStore::backup`], of a store at work |
//! | look after | [`health`](JobStore::health), [`stats`](JobStore::stats), [`verify`](JobStore::verify), [`scrub`](JobStore::scrub), [`repair`](JobStore::repair) |
//!
//! Writes block until they are durable. In an async engine, [`Graph::queue`] has the same
//! writes as futures, each a [`Ticket`]; no runtime is named. What goes wrong is an
//! [`Error`], and [`Error::failure`] is what a client is told. No call panics, whatever it
//! is given and whatever the files hold.
//!
//! ```
//! use jobstore::{Body, JobStore, List, Request, Retention, State};
//! use std::time::Duration;
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let store = JobStore::open(dir.join("jobs"))?;
//! let movie = store.graph_or_create("10001", "movie")?;
//! let month = Duration::from_secs(30 * 24 * 3600);
//! movie.set_retention(Some(Retention::new().keep_for(month)))?; // else all is kept
//! let request = || Request::new("clear_graph", "/ges", Body::empty());
//! let id = movie.submit_once("click 17", request()?)?.id().clone(); // however often
//!
//! let page = movie.list(List::new().state(State::Pending).newest_first().limit(20))?;
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

pub use crate::api::backup::BackedUp;
pub use crate::api::changes::{Change, Changes, Position};
pub use crate::api::detailed::DetailedChunks;
pub use crate::api::export::Export;
pub use crate::api::find::Matches;
pub use crate::api::graph::Graph;
pub use crate::api::import::{ImportReport, OnBadLine};
pub use crate::api::lifecycle::{Cancellation, Completion};
pub use crate::api::page::{Chunks, Jobs, Page};
pub use crate::api::queue::Queue;
pub use crate::api::recovered::{Recovered, RecoveredJob, RecoveryAction};
pub use crate::api::run::{Requeued, Run};
pub use crate::api::store::JobStore;
pub use crate::api::store_queue::StoreQueue;
pub use crate::api::submit::Submitted;
pub use crate::api::ticket::Ticket;
pub use crate::api::wait::Waiting;
pub use crate::base::clock::Clock;
pub use crate::model::change::ChangeKind;
pub use crate::model::cursor::Cursor;
pub use crate::model::error::{Error, JsonProblem, Result};
pub use crate::model::failure::Failure;
pub use crate::model::health::Health;
pub use crate::model::id::JobId;
pub use crate::model::job::{Job, Progress};
pub use crate::model::list::{List, Searched};
pub use crate::model::options::{Durability, Options, Recovery, Replayed};
pub use crate::model::outcome::{Outcome, OutcomeKind};
pub use crate::model::report::{Damage, GraphReport, Repaired, Report, Verified};
pub use crate::model::request::{Body, Request};
pub use crate::model::retention::{PurgeReason, Purged, Retention, Tombstone};
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
