//! What a replica contains, for operators.

use std::time::SystemTime;

use crate::model::error::Result;
use crate::model::replica::Replica;
use crate::replica::calls::Calls;
use crate::replica::claim::{self, existing_chunk};

/// What a replica contains: returned by [`status`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaStatus {
    /// The id of the store.
    pub store: u128,
    /// The process that claimed the replica last.
    pub holder: String,
    /// When it claimed the replica, by its own clock.
    pub held_since: SystemTime,
    /// The fencing token of that claim, which is its number:
    /// [`JobStore::reign`](crate::JobStore::reign).
    pub reign: u64,
    /// The number of the last chunk.
    pub last_chunk: u64,
    /// The last log sequence number; 0 if there is none.
    pub last_lsn: u64,
    /// The number of chunks that a restore reads.
    pub chunks: u64,
    /// The number of claims. They are never removed.
    pub claims: u64,
    /// The number of blobs: packs, parts of segments, and checkpoints.
    pub blobs: u64,
    /// The size of the blobs, in bytes.
    pub blob_bytes: u64,
}

/// Reads what a replica contains; `None` if it is empty. Nothing is changed, and a store that uses
/// the replica is not affected.
///
/// `timeout` is how long to wait for a backend that does not respond.
///
/// # Errors
/// [`Error::ReplicaUnreachable`](crate::Error::ReplicaUnreachable),
/// [`Error::ReplicaRefused`](crate::Error::ReplicaRefused),
/// [`Error::ReplicaDamaged`](crate::Error::ReplicaDamaged),
/// [`Error::NewerFormat`](crate::Error::NewerFormat).
///
/// # Examples
/// ```
/// use jobstore::replica::{MemoryReplica, status};
/// use std::time::Duration;
///
/// let replica = MemoryReplica::default();
/// assert!(status(&replica, Duration::from_secs(5))?.is_none());
/// # Ok::<(), jobstore::Error>(())
/// ```
pub fn status(
    replica: &dyn Replica,
    timeout: std::time::Duration,
) -> Result<Option<ReplicaStatus>> {
    let calls = Calls {
        replica,
        timeout,
        stop: None,
    };
    loop {
        let Some(store) = claim::store_of(&calls, false)? else {
            return Ok(None);
        };
        let end = claim::end(&calls)?;
        // A log that was trimmed meanwhile is read again.
        let Some(contents) = claim::contents(&calls, store, end)? else {
            continue;
        };
        let reign = contents.claims.last().copied().unwrap_or(1);
        let (header, _) = existing_chunk(&calls, reign)?;
        let holder = claim::holder(&calls, &header)?;
        let blobs = calls.repeat(|replica| replica.names(""))?;
        let numbers = contents.numbers();
        return Ok(Some(ReplicaStatus {
            store: store.0,
            holder: holder.to_string(),
            held_since: holder.since(),
            reign,
            last_chunk: end - 1,
            last_lsn: contents.end_lsn - 1,
            chunks: numbers.end - numbers.start,
            claims: contents.claims.len() as u64,
            blobs: blobs.len() as u64,
            blob_bytes: blobs.iter().map(|(_, len)| len).sum(),
        }));
    }
}
