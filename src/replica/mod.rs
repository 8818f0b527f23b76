//! A second copy of a store's log on another engine, so that acknowledged writes survive the loss
//! of the machine.
//!
//! The engine keeps a log of numbered chunks, and blobs. It needs no more than an atomic
//! create-if-absent: see [`Replica`]. Each open for writing begins with a **claim**, a chunk that
//! ends the previous writer's ability to write. Section "Replica" of [`format`](crate::format)
//! describes the objects and the rules.

mod chunk;
mod connect;
#[cfg(feature = "replica-s3")]
mod s3;
pub(crate) mod url;

pub use crate::model::replica::{Created, Replica, ReplicaError, TakeOver};
pub use connect::connect;
#[cfg(feature = "replica-s3")]
pub use s3::{S3Replica, S3ReplicaBuilder};
