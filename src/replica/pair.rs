//! A replica in two backends: one for the log, one for blobs.

use std::fmt;
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128;

use super::large_chunk::{self, Reference};
use crate::base::random::random_number;
use crate::model::replica::{Created, Replica, ReplicaError};

/// Larger chunks are stored as blobs.
const MAX_LOG_BYTES: usize = 1 << 20;

/// A replica whose log is in one backend, and whose blobs are in another: for example, in etcd,
/// which acknowledges a chunk within milliseconds but cannot store blobs, and in object storage.
///
/// A chunk of more than 1 MiB is stored as a blob whose name begins with `large/`, and then a small
/// chunk that names it is created. [`Replica::read`] returns the large chunk, whose length and hash
/// it verifies, and [`Replica::trim`] removes the blobs of chunks that it removes. Names that begin
/// with `large/` are not visible to the caller, and cannot be used.
///
/// # Durability
/// A chunk is durable once the log's backend has it, and a large chunk once both backends have it.
///
/// # Examples
/// ```no_run
/// use jobstore::replica::{Pair, Replica, connect};
///
/// let log = connect("etcd://a:2379,b:2379,c:2379/jobs")?;
/// let packs = connect("s3://bucket/jobs")?;
/// let replica = Pair::new(log, packs);
///
/// // The same, with one URL.
/// let url = "log=etcd://a:2379,b:2379,c:2379/jobs,packs=s3://bucket/jobs";
/// assert_eq!(connect(url)?.place(), replica.place());
/// # Ok::<(), jobstore::replica::ReplicaError>(())
/// ```
pub struct Pair {
    log: Arc<dyn Replica>,
    blobs: Arc<dyn Replica>,
    /// The large chunk whose creation may have failed. It is not stored again if the call is
    /// repeated.
    unsettled: Mutex<Option<(u64, Reference)>>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Pair");
        debug.field("place", &self.place()).finish_non_exhaustive()
    }
}

impl Pair {
    /// Combines two backends. The blob calls of `log` and the log calls of `blobs` are never used.
    pub fn new(log: Arc<dyn Replica>, blobs: Arc<dyn Replica>) -> Pair {
        Pair {
            log,
            blobs,
            unsettled: Mutex::new(None),
        }
    }

    /// Stores a large chunk as a blob.
    fn store(&self, number: u64, chunk: &[u8]) -> Result<Reference, ReplicaError> {
        let (len, hash) = (chunk.len() as u64, xxh3_128(chunk));
        if let Some((earlier, reference)) = *self.unsettled.lock() {
            if (earlier, reference.len, reference.hash) == (number, len, hash) {
                return Ok(reference);
            }
        }
        let random =
            random_number().map_err(|problem| self.unknown(number, &problem.to_string()))?;
        let reference = Reference { len, hash, random };
        self.blobs.put(&reference.name(number), len, &mut &*chunk)?;
        Ok(reference)
    }

    fn create_large(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        let reference = self.store(number, chunk)?;
        *self.unsettled.lock() = Some((number, reference));
        // After an error, this chunk may still be created later, so its blob is kept.
        let created = self.log.create(number, &reference.encode())?;
        *self.unsettled.lock() = None;
        let Created::Taken(found) = created else {
            return Ok(Created::Done);
        };
        if found != reference.encode() {
            // No chunk will ever name the blob. A trim removes it if this fails.
            let _ = self.blobs.remove(&[reference.name(number)]);
        }
        self.taken(number, found)
    }

    fn taken(&self, number: u64, found: Vec<u8>) -> Result<Created, ReplicaError> {
        match self.resolve(number, found) {
            Ok(chunk) => Ok(Created::Taken(chunk)),
            Err(ReplicaError::Missing { name }) => Err(self.missing(number, &name)),
            Err(error) => Err(error),
        }
    }

    /// Returns the chunk itself if the log's backend has only a reference to it.
    fn resolve(&self, number: u64, found: Vec<u8>) -> Result<Vec<u8>, ReplicaError> {
        if !large_chunk::is_reference(&found) {
            return Ok(found);
        }
        let reference = Reference::decode(&found).ok_or_else(|| {
            self.unknown(
                number,
                "its reference to a blob is damaged, or has a newer format",
            )
        })?;
        let (name, mut chunk) = (reference.name(number), Vec::new());
        self.blobs.get(&name, 0..reference.len, &mut chunk)?;
        if chunk.len() as u64 != reference.len || xxh3_128(&chunk) != reference.hash {
            return Err(self.unknown(number, &format!("the blob {name} is damaged")));
        }
        Ok(chunk)
    }

    /// Whether the chunk may refer to the blob with these random bits.
    fn may_refer(&self, number: u64, random: u128) -> Result<bool, ReplicaError> {
        let Some(chunk) = self.log.read(number, Duration::ZERO)? else {
            return Ok(true);
        };
        if !large_chunk::is_reference(&chunk) {
            return Ok(false);
        }
        Ok(Reference::decode(&chunk).is_none_or(|reference| reference.random == random))
    }

    fn unknown(&self, number: u64, problem: &str) -> ReplicaError {
        ReplicaError::Unknown {
            what: format!("{}: chunk {number}: {problem}", self.place()),
        }
    }

    fn missing(&self, number: u64, name: &str) -> ReplicaError {
        let problem = format!("its blob {name} is missing; restore it from a backup of the blobs");
        self.unknown(number, &problem)
    }
}

impl Replica for Pair {
    fn create(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        if chunk.len() > MAX_LOG_BYTES || large_chunk::is_reference(chunk) {
            return self.create_large(number, chunk);
        }
        match self.log.create(number, chunk)? {
            Created::Done => Ok(Created::Done),
            Created::Taken(found) => self.taken(number, found),
        }
    }

    fn read(&self, number: u64, wait: Duration) -> Result<Option<Vec<u8>>, ReplicaError> {
        let Some(found) = self.log.read(number, wait)? else {
            return Ok(None);
        };
        match self.resolve(number, found) {
            // If the chunk is gone now, it was trimmed in the meantime.
            Err(ReplicaError::Missing { name }) => match self.log.read(number, Duration::ZERO)? {
                None => Ok(None),
                Some(_) => Err(self.missing(number, &name)),
            },
            result => result.map(Some),
        }
    }

    fn numbers(&self, from: u64) -> Result<Vec<u64>, ReplicaError> {
        self.log.numbers(from)
    }

    fn trim(&self, below: u64, keep: &[u64]) -> Result<(), ReplicaError> {
        // A chunk is removed before its blob, so that every existing chunk can be read.
        self.log.trim(below, keep)?;
        let mut unused = Vec::new();
        for (name, _) in self.blobs.names(large_chunk::PREFIX)? {
            let Some((number, random)) = large_chunk::parse_name(&name) else {
                continue;
            };
            // A blob may also be left over from a writer whose number was taken by a chunk that is
            // kept.
            let is_kept = keep.binary_search(&number).is_ok();
            if number < below && !(is_kept && self.may_refer(number, random)?) {
                unused.push(name);
            }
        }
        match unused.is_empty() {
            true => Ok(()),
            false => self.blobs.remove(&unused),
        }
    }

    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), ReplicaError> {
        if name.starts_with(large_chunk::PREFIX) {
            let what = format!("{name}: names that begin with large/ are reserved for chunks");
            return Err(ReplicaError::Refused { what });
        }
        self.blobs.put(name, len, from)
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Result<(), ReplicaError> {
        self.blobs.get(name, range, to)
    }

    fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, ReplicaError> {
        let mut names = self.blobs.names(prefix)?;
        names.retain(|(name, _)| !name.starts_with(large_chunk::PREFIX));
        Ok(names)
    }

    fn remove(&self, names: &[String]) -> Result<(), ReplicaError> {
        self.blobs.remove(names)
    }

    fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError> {
        let (log, blobs) = (self.log.scratch()?, self.blobs.scratch()?);
        Ok(Box::new(Pair::new(Arc::from(log), Arc::from(blobs))))
    }

    fn place(&self) -> String {
        format!("log={},packs={}", self.log.place(), self.blobs.place())
    }
}

#[cfg(test)]
mod tests;
