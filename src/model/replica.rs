// The interface to the backend that keeps a replica of a store's log.

use std::fmt;
use std::io::{Read, Write};
use std::ops::Range;
use std::time::Duration;

/// A backend that keeps a second copy of a store: a log of numbered, immutable chunks, and blobs
/// (named, immutable objects). See [`Options::replica`](crate::Options::replica).
///
/// The essential requirement is that [`Replica::create`] is atomic: among any number of callers
/// that create the same number, exactly one succeeds.
/// [`prove`](crate::replica::prove) tests whether an implementation does this.
///
/// # Contract
/// - A chunk that was created stays as it is until [`Replica::trim`] removes it. A store never
///   creates a trimmed number again, except by a delayed claim request.
/// - When a call has returned `Ok`, its effect is durable, and every later call sees it.
/// - A call that returned [`ReplicaError::Unknown`] may have taken effect, or may still take
///   effect later.
/// - Blobs have unique names. A blob is never overwritten with other contents.
///
/// The calls block, and are made from several threads at once. They must return eventually: use
/// timeouts, and return [`ReplicaError::Unknown`]. They must not retry a `create` by themselves
/// unless they settle an unclear response by reading the chunk back; the store retries.
pub trait Replica: Send + Sync {
    /// Creates chunk `number`, unless it exists. If it does, returns its contents, which may be
    /// the same as `chunk` if an earlier call took effect although its response was lost.
    ///
    /// # Errors
    /// [`ReplicaError`].
    fn create(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError>;

    /// Returns the contents of chunk `number`, or `None` if it does not exist. If it does not
    /// exist, waits up to `wait` for it to be created.
    ///
    /// # Errors
    /// [`ReplicaError`].
    fn read(&self, number: u64, wait: Duration) -> Result<Option<Vec<u8>>, ReplicaError>;

    /// Returns the numbers of all chunks from `from` on, in ascending order.
    ///
    /// # Errors
    /// [`ReplicaError`].
    fn numbers(&self, from: u64) -> Result<Vec<u64>, ReplicaError>;

    /// Removes all chunks whose numbers are less than `below`, except those in `keep`, which is in
    /// ascending order.
    ///
    /// # Errors
    /// [`ReplicaError`]. Some of the chunks may have been removed.
    fn trim(&self, below: u64, keep: &[u64]) -> Result<(), ReplicaError>;

    /// Stores a blob of `len` bytes. Names consist of ASCII letters, digits, and `/.-_`.
    ///
    /// # Errors
    /// [`ReplicaError`].
    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), ReplicaError>;

    /// Writes these bytes of a blob to `to`. A range that extends past the end of the blob is an
    /// error. After an error, some of the bytes may have been written.
    ///
    /// # Errors
    /// [`ReplicaError::Missing`] if there is no such blob; [`ReplicaError`].
    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Result<(), ReplicaError>;

    /// Returns the names and lengths of all blobs whose names begin with `prefix`, in ascending
    /// order of the names.
    ///
    /// # Errors
    /// [`ReplicaError`].
    fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, ReplicaError>;

    /// Removes blobs. Names that do not exist are ignored.
    ///
    /// # Errors
    /// [`ReplicaError`]. Some of the blobs may have been removed.
    fn remove(&self, names: &[String]) -> Result<(), ReplicaError>;

    /// Returns an empty replica at a separate location in the same backend, where
    /// [`prove`](crate::replica::prove) can test the calls without touching this replica's chunks
    /// and blobs.
    ///
    /// # Errors
    /// [`ReplicaError`].
    fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError>;

    /// Returns where the replica is, for messages: a URL without credentials.
    fn place(&self) -> String;
}

/// The result of [`Replica::create`].
#[derive(Clone, PartialEq, Eq)]
pub enum Created {
    /// This call, and no other, created the chunk.
    Done,
    /// The chunk already existed, with these contents.
    Taken(Vec<u8>),
}

// Chunks contain requests.
impl fmt::Debug for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Created::Done => f.write_str("Done"),
            Created::Taken(chunk) => write!(f, "Taken({} bytes)", chunk.len()),
        }
    }
}

/// Why a call of a [`Replica`] failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// There was no response from the backend, or the response does not show whether the call took
    /// effect: the backend cannot be reached, has timed out, or has an internal error. The store
    /// retries.
    #[error("{what}")]
    Unknown {
        /// The problem, without credentials.
        what: String,
    },
    /// The backend refused the call, which had no effect: there is no such bucket, or the
    /// credentials are missing, wrong, or lack a permission.
    #[error("{what}")]
    Refused {
        /// The problem and its remedy, without credentials.
        what: String,
    },
    /// There is no blob with this name.
    #[error("there is no blob {name}")]
    Missing {
        /// The name.
        name: String,
    },
}

/// When an open may take over a replica from the store that wrote to it last. Without a replica,
/// this has no effect.
///
/// It is always safe to take over: from then on, the other store can acknowledge no writes
/// ([`Error::Deposed`](crate::Error::Deposed)). Whatever starts the engines, such as
/// Kubernetes or Pacemaker, decides which of two engines should have the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TakeOver {
    /// Immediately.
    Now,
    /// Only if nothing is written to the replica during this time, which begins when `open` is
    /// called. Otherwise, the open returns [`Error::ReplicaInUse`](crate::Error::ReplicaInUse).
    /// This does not protect a store that is open but idle.
    IfQuiet(Duration),
}
