//! Calls of a replica's backend, repeated until they succeed or the timeout expires.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::base::clock::bounded;
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::time::Instant;
use crate::base::sync::{Condvar, Mutex};
use crate::log::outbox::HEADER_ROOM;
use crate::model::error::{Error, Result};
use crate::model::replica::{Created, Replica, ReplicaError};
use crate::replica::chunk::{ChunkError, ChunkHeader, REPLICA_FORMAT};
use crate::replica::prove::ProveError;

/// The pause before the first repetition. It doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A replica, and how long to wait for it.
pub(crate) struct Calls<'r> {
    pub(crate) replica: &'r dyn Replica,
    pub(crate) timeout: Duration,
    /// Calls are not repeated once this is set.
    pub(crate) stop: Option<&'r AtomicBool>,
}

/// The pauses between repeated calls.
pub(crate) struct Pauses {
    deadline: Instant,
    next: Duration,
    /// How many more pauses a simulation makes, because no time passes in them.
    #[cfg(any(test, feature = "simulation"))]
    left: u32,
}

impl Pauses {
    pub(crate) fn until(timeout: Duration) -> Pauses {
        Pauses {
            deadline: Instant::now() + bounded(timeout),
            next: PAUSE_MIN,
            #[cfg(any(test, feature = "simulation"))]
            left: if timeout.is_zero() { 0 } else { 60 },
        }
    }

    /// Pauses, or returns `false` if the timeout expires.
    pub(crate) fn pause(&mut self) -> bool {
        #[cfg(any(test, feature = "simulation"))]
        if crate::base::simulated::is_simulated() {
            self.left = self.left.saturating_sub(1);
            return self.left > 0;
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        sleep(self.next.min(left));
        self.next = (2 * self.next).min(PAUSE_MAX);
        true
    }
}

pub(crate) fn sleep(time: Duration) {
    #[cfg(any(test, feature = "simulation"))]
    if crate::base::simulated::is_simulated() {
        return;
    }
    Condvar::new().wait_for(&mut Mutex::new(()).lock(), time);
}

impl Calls<'_> {
    /// Makes a call. If the host's implementation panics, the effect of the call is unknown. The
    /// panic must not end this thread, because others may wait for it.
    pub(crate) fn once<T>(
        &self,
        call: impl FnOnce(&dyn Replica) -> Result<T, ReplicaError>,
    ) -> Result<T, ReplicaError> {
        // A panic kills a simulated process.
        #[cfg(any(test, feature = "simulation"))]
        if crate::base::simulated::is_simulated() {
            return call(self.replica);
        }
        let made = catch_unwind(AssertUnwindSafe(|| call(self.replica)));
        made.unwrap_or_else(|_| {
            let what = "the implementation of the replica panicked".to_owned();
            Err(ReplicaError::Unknown { what })
        })
    }

    /// Repeats a call while its effect is unknown.
    pub(crate) fn repeat<T>(
        &self,
        mut call: impl FnMut(&dyn Replica) -> Result<T, ReplicaError>,
    ) -> Result<T> {
        let mut pauses = Pauses::until(self.timeout);
        loop {
            match self.once(&mut call) {
                Ok(done) => return Ok(done),
                Err(ReplicaError::Unknown { what }) => {
                    tracing::debug!(what, "the replica did not respond; retrying");
                    let is_over = self.stop.is_some_and(|stop| stop.load(Ordering::Acquire));
                    if is_over || !pauses.pause() {
                        return Err(self.unreachable(&what));
                    }
                }
                Err(ReplicaError::Refused { what }) => {
                    return Err(self.refused(&what));
                }
                Err(ReplicaError::Missing { name }) => {
                    return Err(self.damaged(&format!("blob {name} is missing")));
                }
            }
        }
    }

    /// Returns an error if the store is being closed.
    pub(crate) fn check_stop(&self) -> Result<()> {
        match self.stop {
            Some(stop) if stop.load(Ordering::Acquire) => Err(Error::Closed),
            _ => Ok(()),
        }
    }

    /// Creates a chunk. Returns `None` if this call, or an earlier one with the same contents, did
    /// so; otherwise, returns the chunk that has the number.
    pub(crate) fn create(&self, number: u64, chunk: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.repeat(|replica| replica.create(number, chunk))? {
            Created::Done => Ok(None),
            Created::Taken(there) => Ok((there != chunk).then_some(there)),
        }
    }

    /// Reads a chunk without retrying. `None` if it does not exist and is not created within `wait`.
    pub(crate) fn read_once(&self, number: u64, wait: Duration) -> Result<Option<Vec<u8>>> {
        let chunk = self.once(|replica| replica.read(number, wait));
        chunk.map_err(|error| self.unreachable(&error.to_string()))
    }

    /// Reads a chunk, and verifies it.
    pub(crate) fn chunk(&self, number: u64) -> Result<Option<(ChunkHeader, Vec<u8>)>> {
        let chunk = self.repeat(|replica| replica.read(number, Duration::ZERO))?;
        chunk
            .map(|chunk| Ok((self.parse(number, &chunk)?, chunk)))
            .transpose()
    }

    pub(crate) fn parse(&self, number: u64, chunk: &[u8]) -> Result<ChunkHeader> {
        ChunkHeader::parse(number, chunk).map_err(|error| match error {
            ChunkError::Newer(found) => self.newer(found),
            ChunkError::Damaged => self.damaged(&format!("chunk {number} is corrupt")),
        })
    }

    /// Reads a whole blob of at most `bytes_max` bytes. `None` if it does not exist.
    pub(crate) fn blob(&self, name: &str, len: u64) -> Result<Option<Vec<u8>>> {
        self.repeat(|replica| {
            let mut bytes = Vec::new();
            match replica.get(name, 0..len, &mut bytes) {
                Ok(()) => Ok(Some(bytes)),
                Err(ReplicaError::Missing { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    pub(crate) fn newer(&self, found: u32) -> Error {
        Error::NewerFormat {
            path: self.replica.place().into(),
            found,
            supported: REPLICA_FORMAT,
        }
    }

    pub(crate) fn damaged(&self, what: &str) -> Error {
        Error::ReplicaDamaged {
            place: self.replica.place(),
            what: what.into(),
        }
    }

    /// Returns the error for a backend that [`prove`](fn@crate::replica::prove) did not accept.
    pub(crate) fn unproven(&self, error: ProveError) -> Error {
        match error {
            ProveError::Unfit { place, what } => Error::ReplicaUnfit {
                place,
                what: what.into(),
            },
            ProveError::Failed(ReplicaError::Refused { what }) => self.refused(&what),
            ProveError::Failed(error) => self.unreachable(&error.to_string()),
        }
    }

    fn refused(&self, what: &str) -> Error {
        let place = self.replica.place();
        Error::ReplicaRefused {
            what: without_place(what, &place).into(),
            place,
        }
    }

    pub(crate) fn unreachable(&self, what: &str) -> Error {
        let place = self.replica.place();
        let what = without_place(what, &place);
        self.unavailable(&format!(
            "{what}; retry, or check the network and the server"
        ))
    }

    /// Returns the error for a replica that cannot be used now. `what` includes the remedy.
    pub(crate) fn unavailable(&self, what: &str) -> Error {
        Error::ReplicaUnreachable {
            place: self.replica.place(),
            what: what.into(),
        }
    }
}

/// Removes the location from the problem, because the error contains it already.
fn without_place<'w>(what: &'w str, place: &str) -> &'w str {
    let rest = what.strip_prefix(place);
    rest.and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(what)
}

/// The payload of a chunk.
pub(crate) fn payload(chunk: &[u8]) -> &[u8] {
    chunk.get(HEADER_ROOM..).unwrap_or_default()
}
