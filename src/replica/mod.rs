//! A second copy of a store's log on another engine, so that acknowledged writes survive the loss
//! of the machine.
//!
//! The engine keeps a log of numbered chunks, and blobs. It needs no more than an atomic
//! create-if-absent: see [`Replica`]. Each open for writing begins with a **claim**, a chunk that
//! ends the previous writer's ability to write. Section "Replica" of [`format`](crate::format)
//! describes the objects and the rules.

mod chunk;
#[cfg(feature = "replica-etcd")]
mod etcd;
mod large_chunk;
mod pair;

pub use crate::model::replica::{Created, Replica, ReplicaError, TakeOver};
#[cfg(feature = "replica-etcd")]
pub use etcd::EtcdReplica;
pub use pair::Pair;
