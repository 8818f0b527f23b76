//! An in-memory replica, for tests.

use std::fmt;
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::model::replica::{Created, Replica, ReplicaError};

mod faults;
mod place;
#[cfg(test)]
mod tests;

pub use self::faults::{Call, Faults, Traffic};
use self::faults::{Fate, Network};
use self::place::{Change, Objects, Place};

/// An in-memory [`Replica`] for testing programs whose stores have replicas, including how they
/// behave if the backend fails.
///
/// All clones share their contents and settings. [`scratch`](Replica::scratch) returns a replica
/// with contents of its own and the same settings.
///
/// ```
/// use jobstore::replica::{Created, MemoryReplica, Replica, ReplicaError};
///
/// let replica = MemoryReplica::default();
/// assert_eq!(replica.create(1, b"first"), Ok(Created::Done));
/// assert_eq!(replica.create(1, b"second"), Ok(Created::Taken(b"first".to_vec())));
///
/// let what = "the backend cannot be reached".to_owned();
/// replica.set_failure(Some(ReplicaError::Unknown { what }));
/// assert!(replica.numbers(1).is_err());
/// ```
#[derive(Clone, Default)]
pub struct MemoryReplica {
    place: Arc<Place>,
    network: Arc<Network>,
}

impl MemoryReplica {
    /// Sets how often calls fail, and restarts the random numbers.
    pub fn set_faults(&self, faults: Faults) {
        self.network.set_faults(faults);
    }

    /// Makes all further calls fail with this error, without any effect. `None` ends this.
    pub fn set_failure(&self, failure: Option<ReplicaError>) {
        self.network.set_failure(failure);
    }

    /// Sets a closure that delays calls. It runs in each call twice: before the call takes effect,
    /// and before the call returns. With a closure, [`read`](Replica::read) does not wait by
    /// itself.
    pub fn set_delay(&self, delay: impl Fn(Call) + Send + Sync + 'static) {
        self.network.set_delay(Arc::new(delay));
    }

    /// Lets all late requests take effect now, and returns their number.
    pub fn deliver_late(&self) -> usize {
        self.network.deliver(u64::MAX)
    }

    /// Removes the last `count` chunks, as a backend that was restored from an older backup would.
    pub fn lose_last_chunks(&self, count: usize) {
        self.place.modify(|objects| {
            for _ in 0..count {
                objects.chunks.pop_last();
            }
        });
    }

    /// Returns a replica that has the same contents and is independent of this one.
    #[must_use]
    pub fn copy(&self) -> MemoryReplica {
        let copy = MemoryReplica::default();
        let contents = self.place.modify(|objects| objects.clone());
        copy.place.modify(|objects| *objects = contents);
        copy
    }

    /// Removes all chunks and blobs. Late requests are lost, too.
    pub fn wipe(&self) {
        self.network.clear();
        self.place.modify(|objects| *objects = Objects::default());
    }

    /// Returns the number of calls of this kind, and their bytes.
    pub fn traffic(&self, call: Call) -> Traffic {
        self.network.traffic(call)
    }

    /// Executes a call, which sends `bytes` bytes.
    fn call<T>(
        &self,
        call: Call,
        bytes: usize,
        run: impl FnOnce(Fate) -> Result<T, ReplicaError>,
    ) -> Result<T, ReplicaError> {
        self.network.delay(call);
        let result = self.network.send(call, bytes).and_then(run);
        self.network.delay(call);
        result
    }

    /// Executes a call that changes the contents.
    fn change(
        &self,
        call: Call,
        bytes: usize,
        change: Change,
    ) -> Result<Option<Arc<[u8]>>, ReplicaError> {
        self.call(call, bytes, |fate| {
            match fate {
                Fate::Normal => return Ok(self.place.change(change)),
                Fate::Repeated => {
                    self.place.change(change.clone());
                    return Ok(self.place.change(change));
                }
                Fate::ResponseLost => {
                    self.place.change(change);
                }
                Fate::RequestLost | Fate::Late => {
                    if let Some(part) = change.part(|end| self.network.draw(end)) {
                        self.place.change(part);
                    }
                    if fate == Fate::Late {
                        self.network.postpone(self.place.clone(), change);
                    }
                }
            }
            Err(no_response(call))
        })
    }

    /// Executes a call that returns something about the contents.
    fn look<T>(&self, call: Call, look: impl FnOnce(&Objects) -> T) -> Result<T, ReplicaError> {
        self.call(call, 0, |fate| match fate.is_lost() {
            false => Ok(self.place.modify(|objects| look(objects))),
            true => Err(no_response(call)),
        })
    }
}

impl Replica for MemoryReplica {
    fn create(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        let bytes = chunk.len();
        let chunk = Arc::from(chunk);
        match self.change(Call::Create, bytes, Change::Create { number, chunk })? {
            None => Ok(Created::Done),
            Some(taken) => {
                self.network.received(Call::Create, taken.len());
                Ok(Created::Taken(taken.to_vec()))
            }
        }
    }

    fn read(&self, number: u64, wait: Duration) -> Result<Option<Vec<u8>>, ReplicaError> {
        let wait = match self.network.has_delay() {
            true => Duration::ZERO,
            false => wait,
        };
        self.call(Call::Read, 0, |fate| {
            let found = self.place.wait_for(number, wait);
            if fate.is_lost() {
                return Err(no_response(Call::Read));
            }
            let chunk = found.map(|chunk| chunk.to_vec());
            self.network
                .received(Call::Read, chunk.as_ref().map_or(0, Vec::len));
            Ok(chunk)
        })
    }

    fn numbers(&self, from: u64) -> Result<Vec<u64>, ReplicaError> {
        self.look(Call::Numbers, |objects| {
            let numbers = objects.chunks.range(from..);
            numbers.map(|(number, _)| *number).collect()
        })
    }

    fn trim(&self, below: u64, keep: &[u64]) -> Result<(), ReplicaError> {
        let keep = keep.to_vec();
        self.change(Call::Trim, 0, Change::Trim { below, keep })?;
        Ok(())
    }

    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), ReplicaError> {
        let mut blob = Vec::new();
        let read = Read::take(from, len).read_to_end(&mut blob);
        if let Err(e) = read {
            let what = format!("cannot read the contents of blob {name}: {e}");
            return Err(ReplicaError::Unknown { what });
        }
        if blob.len() as u64 != len {
            let found = blob.len();
            let what = format!("the contents of blob {name} end after {found} of {len} bytes");
            return Err(ReplicaError::Unknown { what });
        }
        let (name, blob) = (name.to_owned(), Arc::from(blob));
        self.change(Call::Put, len as usize, Change::Put { name, blob })?;
        Ok(())
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Result<(), ReplicaError> {
        self.call(Call::Get, 0, |fate| {
            let found = self
                .place
                .modify(|objects| objects.blobs.get(name).cloned());
            if fate.is_lost() {
                // Some of the bytes may have been received.
                let received = found.as_deref().and_then(|blob| section(blob, &range));
                let received = received.unwrap_or_default();
                let received = &received[..self.network.draw(received.len() as u64) as usize];
                self.network.received(Call::Get, received.len());
                to.write_all(received).ok();
                return Err(no_response(Call::Get));
            }
            let blob = found.ok_or_else(|| ReplicaError::Missing {
                name: name.to_owned(),
            })?;
            let bytes = section(&blob, &range).ok_or_else(|| ReplicaError::Refused {
                what: format!(
                    "cannot return bytes {} to {} of blob {name}, which has {} bytes",
                    range.start,
                    range.end,
                    blob.len()
                ),
            })?;
            self.network.received(Call::Get, bytes.len());
            to.write_all(bytes).map_err(|e| ReplicaError::Unknown {
                what: format!("cannot write the bytes of blob {name}: {e}"),
            })
        })
    }

    fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, ReplicaError> {
        self.look(Call::Names, |objects| {
            let blobs = objects.blobs.range(prefix.to_owned()..);
            let blobs = blobs.take_while(|(name, _)| name.starts_with(prefix));
            blobs
                .map(|(name, blob)| (name.clone(), blob.len() as u64))
                .collect()
        })
    }

    fn remove(&self, names: &[String]) -> Result<(), ReplicaError> {
        let names = names.to_vec();
        self.change(Call::Remove, 0, Change::Remove { names })?;
        Ok(())
    }

    fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError> {
        Ok(Box::new(MemoryReplica {
            place: Arc::default(),
            network: self.network.clone(),
        }))
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

// Chunks contain requests.
impl fmt::Debug for MemoryReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = |objects: &mut Objects| (objects.chunks.len(), objects.blobs.len());
        let (chunks, blobs) = self.place.modify(counts);
        write!(f, "MemoryReplica({chunks} chunks, {blobs} blobs)")
    }
}

fn no_response(call: Call) -> ReplicaError {
    ReplicaError::Unknown {
        what: format!("no response to {call:?}"),
    }
}

fn section<'b>(blob: &'b [u8], range: &Range<u64>) -> Option<&'b [u8]> {
    let start = usize::try_from(range.start).ok()?;
    blob.get(start..usize::try_from(range.end).ok()?)
}
