//! Tests whether a backend does what a replica needs.

use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use crate::base::sync::RwLock;
use crate::model::replica::{Created, Replica, ReplicaError};

#[cfg(test)]
mod tests;

/// The numbers of chunks, in ascending order. Names that contain them unpadded have another order.
const NUMBERS: [u64; 5] = [1, 2, 9, 10, LARGE];
const KEPT: [u64; 2] = [2, 10];
const LARGE: u64 = 100;
/// More than servers and proxies often allow by default.
const LARGE_BYTES: usize = 2 << 20;
/// The names of blobs, in ascending order. Directories would have another order.
const BLOBS: [&str; 3] = ["prove/a-2", "prove/a/1", "prove/b"];
const BLOB_BYTES: usize = 1000;

/// The numbers of chunks that several callers create at once. A server that checks whether the
/// object exists before it writes the object does not fail every time.
const RACES: std::ops::Range<u64> = 101..133;
const CREATORS: usize = 8;
/// Large enough that it takes time to receive.
const RACE_BYTES: usize = 16 << 10;
/// Some servers abort conflicting writes.
const ATTEMPTS: u32 = 8;
/// The pause after the first attempt. It grows with each attempt.
const PAUSE: Duration = Duration::from_millis(10);

const NOT_ATOMIC: &str = "It does not create objects atomically (for S3, it does not honor \
    If-None-Match): use another server, or etcd for the log";
const CONTRACT: &str = "Use another server, or fix the implementation of Replica";

/// Why [`prove`] failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The backend does not do what a [`Replica`] must do: writes could be lost.
    #[error("{place} cannot be used for a replica: {what}")]
    Unfit {
        /// Where the backend is.
        place: String,
        /// What it did instead, and the remedy.
        what: String,
    },
    /// A call failed, so the result is unknown.
    #[error(transparent)]
    Failed(#[from] ReplicaError),
}

/// Tests whether a backend does what a [`Replica`] must do; above all, whether
/// [`create`](Replica::create) is atomic.
///
/// Makes about 330 calls (600 requests to an S3 server) and transfers about 16 MiB. It works in a
/// [`scratch`](Replica::scratch) location, and removes everything that it creates there. A backend
/// that misbehaves only sometimes can pass.
///
/// # Errors
/// [`ProveError::Unfit`] if a property is violated. [`ProveError::Failed`] if a call failed; some of
/// what was created may not have been removed.
pub fn prove(replica: &dyn Replica) -> Result<(), ProveError> {
    let scratch = replica.scratch()?;
    let proof = Proof {
        scratch: scratch.as_ref(),
        place: replica.place(),
    };
    // The location might contain a store. Therefore, nothing is created or removed before this.
    proof.is_empty()?;
    let result = proof
        .log()
        .and_then(|()| proof.blobs())
        .and_then(|()| proof.races());
    let removed = proof.remove_all();
    result?;
    Ok(removed?)
}

struct Proof<'r> {
    scratch: &'r dyn Replica,
    place: String,
}

impl Proof<'_> {
    fn unfit(&self, what: &str, remedy: &str) -> ProveError {
        ProveError::Unfit {
            place: self.place.clone(),
            what: format!("{what}. {remedy}"),
        }
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) -> Result<(), ProveError> {
        match holds {
            true => Ok(()),
            false => Err(self.unfit(&what(), CONTRACT)),
        }
    }

    fn is_empty(&self) -> Result<(), ProveError> {
        let numbers = self.scratch.numbers(1)?;
        let names = self.scratch.names("")?;
        self.check(numbers.is_empty() && names.is_empty(), || {
            let (chunks, blobs) = (numbers.len(), names.len());
            format!("scratch() must be empty, but contains {chunks} chunks and {blobs} blobs")
        })
    }

    fn remove_all(&self) -> Result<(), ReplicaError> {
        self.scratch.trim(RACES.end, &[])?;
        self.scratch.remove(&BLOBS.map(str::to_owned))
    }

    fn log(&self) -> Result<(), ProveError> {
        let chunks = NUMBERS.map(|number| {
            let len = if number == LARGE {
                LARGE_BYTES
            } else {
                RACE_BYTES
            };
            (number, contents(&number.to_string(), len))
        });
        // In the reverse order, so that the order of creation is not the order of the numbers.
        for (number, chunk) in chunks.iter().rev() {
            let created = self.scratch.create(*number, chunk)?;
            // An implementation may settle an unclear result by reading the chunk back.
            let is_created = match &created {
                Created::Done => true,
                Created::Taken(found) => found == chunk,
            };
            self.check(is_created, || {
                format!("creating chunk {number}, which did not exist, returned {created:?}")
            })?;
        }
        for (number, chunk) in &chunks {
            match self.scratch.create(*number, b"another chunk")? {
                Created::Done => {
                    let what = format!("chunk {number} was created twice");
                    return Err(self.unfit(&what, NOT_ATOMIC));
                }
                Created::Taken(found) => self.check(found == *chunk, || {
                    let (len, expected) = (found.len(), chunk.len());
                    format!(
                        "creating chunk {number} again returned Taken with {len} bytes, which are \
                         not the {expected} bytes of the chunk"
                    )
                })?,
            }
            self.reads(*number, Some(chunk))?;
        }
        self.reads(NUMBERS[1] + 1, None)?;
        for from in [1, NUMBERS[2], LARGE + 1] {
            let expected = NUMBERS.into_iter().filter(|number| *number >= from);
            self.lists(from, &expected.collect::<Vec<_>>())?;
        }

        self.scratch.trim(LARGE, &KEPT)?;
        self.lists(1, &[KEPT[0], KEPT[1], LARGE])?;
        for (number, chunk) in &chunks {
            let is_kept = *number >= LARGE || KEPT.contains(number);
            self.reads(*number, is_kept.then_some(chunk.as_slice()))?;
        }
        Ok(())
    }

    fn reads(&self, number: u64, expected: Option<&[u8]>) -> Result<(), ProveError> {
        let found = settle(|| self.scratch.read(number, Duration::ZERO))?;
        self.check(found.as_deref() == expected, || {
            let describe = |chunk: Option<&[u8]>| match chunk {
                Some(chunk) => format!("{} bytes", chunk.len()),
                None => "no chunk".to_owned(),
            };
            match (describe(found.as_deref()), describe(expected)) {
                (found, expected) if found == expected => {
                    format!("reading chunk {number} returned {found} with other contents")
                }
                (found, expected) => {
                    format!("reading chunk {number} returned {found} instead of {expected}")
                }
            }
        })
    }

    fn lists(&self, from: u64, expected: &[u64]) -> Result<(), ProveError> {
        let found = self.scratch.numbers(from)?;
        self.check(found == expected, || {
            format!("the chunks from {from} on are {expected:?}, but numbers() returned {found:?}")
        })
    }

    fn blobs(&self) -> Result<(), ProveError> {
        let [first, second, third] = BLOBS;
        for name in [third, first, second] {
            let blob = contents(name, BLOB_BYTES);
            self.scratch
                .put(name, BLOB_BYTES as u64, &mut blob.as_slice())?;
        }
        for (prefix, expected) in [
            ("", &BLOBS[..]),
            ("prove/a", &[first, second]),
            ("prove/a-", &[first]),
            ("prove/c", &[]),
        ] {
            self.names(prefix, expected)?;
        }
        for range in [0..BLOB_BYTES, 10..20, BLOB_BYTES - 1..BLOB_BYTES] {
            let mut found = Vec::new();
            let bytes = range.start as u64..range.end as u64;
            self.scratch.get(first, bytes.clone(), &mut found)?;
            let is_right = found == contents(first, BLOB_BYTES)[range];
            self.check(is_right, || {
                let len = found.len();
                format!(
                    "get() of the bytes {bytes:?} of a blob returned {len} bytes with other contents"
                )
            })?;
        }
        let beyond = 10..BLOB_BYTES as u64 + 1;
        let read = self.scratch.get(first, beyond, &mut std::io::sink());
        self.check(read.is_err(), || {
            "get() of a range that extends past the end of a blob returned no error".to_owned()
        })?;

        self.scratch
            .remove(&[second, "prove/absent"].map(str::to_owned))?;
        self.names("", &[first, third])?;
        let whole = 0..BLOB_BYTES as u64;
        match self.scratch.get(second, whole, &mut std::io::sink()) {
            Err(ReplicaError::Missing { .. }) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(()) => self.check(false, || {
                "get() returned a blob that was removed".to_owned()
            }),
        }
    }

    fn names(&self, prefix: &str, expected: &[&str]) -> Result<(), ProveError> {
        let found = self.scratch.names(prefix)?;
        let expected = expected
            .iter()
            .map(|name| ((*name).to_owned(), BLOB_BYTES as u64));
        let expected: Vec<_> = expected.collect();
        self.check(found == expected, || {
            format!("names({prefix:?}) returned {found:?} instead of {expected:?}")
        })
    }

    fn races(&self) -> Result<(), ProveError> {
        for number in RACES {
            let results = race(self.scratch, number);
            let is_winner = |n: usize| match &results[n] {
                Ok(Created::Done) => true,
                Ok(Created::Taken(found)) => *found == entry(number, n),
                Err(_) => false,
            };
            let winners: Vec<usize> = (0..CREATORS).filter(|&n| is_winner(n)).collect();
            let failed = results.iter().find_map(|result| result.as_ref().err());
            let winner = match (&winners[..], failed) {
                ([winner], None) => *winner,
                ([] | [_], Some(error)) => return Err(error.clone().into()),
                _ => {
                    let count = winners.len();
                    let what =
                        format!("{count} of {CREATORS} concurrent callers created chunk {number}");
                    return Err(self.unfit(&what, NOT_ATOMIC));
                }
            };
            let chunk = entry(number, winner);
            for (n, result) in results.iter().enumerate() {
                let is_told = n == winner || *result == Ok(Created::Taken(chunk.clone()));
                self.check(is_told, || {
                    format!("create() returned Taken with contents that differ from chunk {number}")
                })?;
            }
            self.reads(number, Some(&chunk))?;
        }
        Ok(())
    }
}

/// Several callers create a chunk at once.
fn race(replica: &dyn Replica, number: u64) -> Vec<Result<Created, ReplicaError>> {
    let gate = RwLock::new(());
    let closed = gate.write();
    thread::scope(|scope| {
        let creators: Vec<_> = (0..CREATORS)
            .map(|n| {
                let chunk = entry(number, n);
                let builder = thread::Builder::new().name("jobstore-prove".to_owned());
                let gate = &gate;
                builder.spawn_scoped(scope, move || {
                    drop(gate.read());
                    settle(|| replica.create(number, &chunk))
                })
            })
            .collect();
        drop(closed);
        let results = creators.into_iter().map(|creator| match creator {
            Ok(creator) => creator.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(e) => Err(ReplicaError::Unknown {
                what: format!("cannot start a thread: {e}"),
            }),
        });
        results.collect()
    })
}

/// Repeats a call while its result is unknown.
fn settle<T>(call: impl Fn() -> Result<T, ReplicaError>) -> Result<T, ReplicaError> {
    for attempt in 1..ATTEMPTS {
        match call() {
            Err(ReplicaError::Unknown { .. }) => thread::sleep(PAUSE * attempt),
            result => return result,
        }
    }
    call()
}

fn entry(number: u64, creator: usize) -> Vec<u8> {
    contents(&format!("{number} by {creator}"), RACE_BYTES)
}

/// Returns `len` bytes that begin with the label and contain all values of a byte.
fn contents(label: &str, len: usize) -> Vec<u8> {
    let values: Vec<u8> = (0..=u8::MAX).collect();
    let mut contents = label.as_bytes().to_vec();
    while contents.len() < len {
        contents.extend_from_slice(&values);
    }
    contents.truncate(len);
    contents
}
