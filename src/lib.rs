#![doc = "An embedded, durable store for the asynchronous jobs of a graph engine."]
#![warn(missing_docs, rust_2018_idioms, unreachable_pub)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod clock;
mod core;
mod document;
mod error;
mod graph;
mod id;
mod index;
mod job;
mod json;
mod list;
mod options;
mod outcome;
mod page;
mod recovered;
mod request;
mod run;
mod storage;
mod store;
mod ticket;

pub use crate::clock::Clock;
pub use crate::error::{Error, Failure, Result};
pub use crate::graph::{Cancellation, Completion, Graph, Queue, Submitted};
pub use crate::id::JobId;
pub use crate::job::{Job, Progress, State};
pub use crate::list::{Cursor, List};
pub use crate::options::{Durability, Options, Recovery};
pub use crate::outcome::{Outcome, OutcomeKind};
pub use crate::page::{Chunks, Jobs, Page};
pub use crate::recovered::{Recovered, RecoveredJob, RecoveryAction};
pub use crate::request::{Body, Request};
pub use crate::run::Run;
pub use crate::store::JobStore;
pub use crate::ticket::Ticket;
