//! A second copy of a store's log on another engine, so that acknowledged writes survive the loss
//! of the machine.
//!
//! The engine keeps a log of numbered chunks, and blobs. It needs no more than an atomic
//! create-if-absent: see [`Replica`]. Each open for writing begins with a **claim**, a chunk that
//! ends the previous writer's ability to write. Section "Replica" of [`format`](crate::format)
//! describes the objects and the rules.

pub(crate) mod appender;
pub(crate) mod calls;
pub(crate) mod checkpoint;
pub(crate) mod chunk;
pub(crate) mod claim;
pub(crate) mod following;
pub(crate) mod holder;
pub(crate) mod local;
mod memory;
pub(crate) mod mirror;
mod prove;
pub(crate) mod uploads;

pub use self::memory::{Call, Faults, MemoryReplica, Traffic};
pub use self::prove::{ProveError, prove};
pub use crate::model::replica::{Created, Replica, ReplicaError, TakeOver};
