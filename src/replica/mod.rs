//! A second copy of a store's log in a backend (an object store or etcd), so that acknowledged
//! writes survive the loss of the machine.
//!
//! The backend stores a log of numbered chunks, and blobs. It must be able to create a chunk
//! atomically if the chunk does not exist: see [`Replica`]. Each open for writing begins with a
//! **claim**, a chunk that prevents the previous writer from writing. Section "Replica" of
//! [`format`](crate::format) describes the objects and the rules.

pub(crate) mod appender;
pub(crate) mod at_once;
pub(crate) mod calls;
pub(crate) mod checkpoint;
pub(crate) mod chunk;
pub(crate) mod claim;
mod connect;
#[cfg(any(feature = "replica-etcd", feature = "replica-s3"))]
mod error_chain;
#[cfg(feature = "replica-etcd")]
mod etcd;
pub(crate) mod following;
pub(crate) mod holder;
mod large_chunk;
pub(crate) mod local;
mod memory;
pub(crate) mod mirror;
pub(crate) mod owner;
mod pair;
mod prove;
pub(crate) mod read_ahead;
#[cfg(any(feature = "replica-etcd", feature = "replica-s3"))]
mod runtime;
#[cfg(feature = "replica-s3")]
mod s3;
mod status;
#[cfg(any(feature = "replica-etcd", feature = "replica-s3"))]
mod tls;
pub(crate) mod uploads;
mod url;

pub use self::connect::connect;
#[cfg(feature = "replica-etcd")]
pub use self::etcd::EtcdReplica;
pub use self::memory::{Call, Faults, MemoryReplica, Traffic};
pub use self::pair::Pair;
pub use self::prove::{ProveError, prove};
#[cfg(feature = "replica-s3")]
pub use self::s3::{S3Replica, S3ReplicaBuilder};
pub use self::status::{ReplicaStatus, status};
pub use crate::model::replica::{Created, Replica, ReplicaError, TakeOver};
