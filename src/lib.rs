//! An embedded, durable store for the asynchronous jobs of a graph engine.
//!
//! A graph engine answers a long-running request with a job id and executes the request in the
//! background. This crate records each request (command, URL, JSON body) durably, with its id and
//! state, and lists the jobs in order: even among millions of jobs, listing a page of up to 100,000
//! takes milliseconds.
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
//! Start with [`JobStore`], which opens a store, and [`Graph`], which provides the calls for jobs.
//! [`Options`] configures a store. [`Durability`] describes what a crash can lose. [`Recovery`]
//! describes what happens to jobs that were running. [`Run`] describes how many times a job can run
//! and how to shut down gracefully.
//!
//! # Calls by task
//!
//! | task | calls |
//! |---|---|
//! | submit | [`Graph::submit`]; a batch with [`submit_all`](Graph::submit_all); under your own id with [`submit_as`](Graph::submit_as); once per idempotency key with [`submit_once`](Graph::submit_once) |
//! | claim | [`claim_next`](Graph::claim_next) and [`claim`](Graph::claim) return a [`Run`]; to wait for a job, [`claim_next_timeout`](Graph::claim_next_timeout) and the future [`claim_next_async`](Graph::claim_next_async) |
//! | complete | [`Run::complete`] with an [`Outcome`]; by id, [`start`](Graph::start) and [`complete`](Graph::complete) |
//! | cancel | [`Graph::cancel`]; all that match a query with [`cancel_all`](Graph::cancel_all); a worker sees the cancel request with [`Run::cancel_requested`], [`Run::wait_cancelled`], or the future [`Run::cancelled`] |
//! | get | [`job`](Graph::job), [`count`](Graph::count), [`tombstone`](Graph::tombstone) |
//! | list | [`list`](Graph::list) with a [`JobQuery`], or [`list_requested`](Graph::list_requested) with a client's query string, returns a [`Page`] of jobs or JSON; filter by state, outcome, command, origin, time, URL, and body; over several graphs, [`JobStore::list`] |
//! | find | [`find`](Graph::find) returns the jobs of a request |
//! | count | [`tally`](Graph::tally) by a property, such as the outcome; [`history`](Graph::history) over time; over several graphs, [`JobStore::tally`] |
//! | wait | [`wait`](Graph::wait) and [`wait_async`](Graph::wait_async) for the completion of a job |
//! | follow | [`changes`](Graph::changes) returns the change feed of a graph |
//! | retain | [`set_retention`](Graph::set_retention) with a [`Retention`]; manually with [`purge`](Graph::purge) |
//! | export, import | [`export`](Graph::export) and [`import`](Graph::import), as JSON lines |
//! | back up | [`JobStore::backup`], while the store is in use |
//! | replicate | [`Options::replica`]; read a replica with [`JobStore::follow`] |
//! | maintain | [`health`](JobStore::health), [`stats`](JobStore::stats), [`verify`](JobStore::verify), [`scrub`](JobStore::scrub), [`repair`](JobStore::repair) |
//!
//! Each of these pages describes one topic completely:
//!
//! | topic | page |
//! |---|---|
//! | delivery, graceful shutdown | [`Run`] |
//! | retention and archives | [`Retention`] |
//! | secrets | [`Secrets`] |
//! | search and its cost | [`JobQuery`] |
//! | change feed | [`Changes`] |
//! | export and import | [`Export`] |
//! | async code | [`NonBlocking`] |
//! | errors, by who has to act | [`Error`] |
//!
//! Writes block until they are durable. [`Graph::nonblocking`] offers the same writes as futures
//! ([`PendingWrite`]) for any async runtime. `examples/async_service.rs` is a service with async
//! workers. No call panics, whatever its input is and whatever the files contain.
//!
//! ```
//! use jobstore::{Body, JobQuery, JobStore, Request, Retention, State};
//! use std::time::Duration;
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let store = JobStore::open(dir.join("jobs"))?;
//! let movie = store.get_or_create_graph("10001", "movie")?;
//! let month = Duration::from_secs(30 * 24 * 3600);
//! movie.set_retention(Some(Retention::new().max_age(month)))?; // by default, all jobs are kept
//! let request = || Request::new("clear_graph", "/ges", Body::empty());
//! let id = movie.submit_once("click 17", request()?)?.id().clone(); // can be retried
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
//! # The GES job-list API
//!
//! [`Page::write_json`] and the HTTP routes of the feature `http` return the documents of the
//! job-list API of the Graph Engine Service (GES): `{"jobs":[..],"result":"success"}` for a list,
//! and [`Error::api_error`] for a failure. `docs/http-api.md` describes the API.
//!
//! # Features
//!
//! No feature is enabled by default.
//!
//! | feature | adds |
//! |---|---|
//! | `archive` | `Retention::archive_to`, which archives jobs to compressed files before they are purged |
//! | `http` | the job list over HTTP, metrics, and a control socket: the module `http`, `JobStore::control` |
//! | `console` | a web page for operators: `http::Console` |
//! | `cli` | the `jobstore` CLI for operators |
//! | `replica-s3` | replicas in S3-compatible object storage: [`replica`] |
//! | `replica-etcd` | replicas in etcd |
//!
//! # Files
//!
//! The log, in which every frame has a checksum, is the only source of truth. The index is derived
//! from it, and can be deleted while the store is closed. The module `format` describes each file
//! byte by byte.

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
pub mod replica;
#[cfg(any(test, fuzzing, feature = "simulation"))]
mod testing;

pub use crate::api::backup::BackupReport;
pub use crate::api::cancel_all::CancelReport;
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
pub use crate::api::store_list::{StoreJobs, StorePage};
pub use crate::api::submit::Submitted;
pub use crate::api::wait::JobCompletion;
pub use crate::base::clock::Clock;
pub use crate::model::api_error::ApiError;
pub use crate::model::change::ChangeKind;
pub use crate::model::cursor::Cursor;
pub use crate::model::error::{Error, JsonProblem, Result};
pub use crate::model::health::Health;
pub use crate::model::history::HistoryPoint;
pub use crate::model::history_request::HistoryRequest;
pub use crate::model::id::JobId;
pub use crate::model::job::{Job, Progress};
pub use crate::model::job_counts::{JobCounts, JobHistogram};
pub use crate::model::job_query::{JobQuery, ScanProgress};
pub use crate::model::list_request::ListRequest;
pub use crate::model::options::{Durability, Options, Recovery, ReplayProgress};
pub use crate::model::outcome::{Outcome, OutcomeKind};
pub use crate::model::report::{Damage, GraphReport, RepairReport, VerifyProgress, VerifyReport};
pub use crate::model::request::{Body, Request};
pub use crate::model::retention::{PurgeReason, PurgeReport, Retention, Tombstone};
pub use crate::model::secrets::Secrets;
pub use crate::model::states::State;
pub use crate::model::stats::{FollowerStats, GraphStats, Histogram, ReplicaStats, Stats, Totals};
pub use crate::model::store_cursor::StoreCursor;
pub use crate::model::tally::{Tally, TallyBy, TallyKey};
pub use crate::model::tally_request::TallyRequest;

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
#[cfg(all(doctest, feature = "console"))]
#[doc = include_str!("../docs/console.md")]
struct Console;
#[cfg(doctest)]
#[doc = include_str!("../docs/bindings.md")]
struct Bindings;
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
#[cfg(doctest)]
#[doc = include_str!("../docs/replication.md")]
struct Replication;
