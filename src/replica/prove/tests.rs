use std::collections::HashSet;
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Mutex;

use super::*;
use crate::replica::memory::{Faults, MemoryReplica};

/// How a backend violates the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    Overwrites,
    IgnoresSecondCreate,
    ChecksThenWrites,
    TakenWithNewBytes,
    TakenWithoutBytes,
    TakenWithoutBytesInRaces,
    NoWinner,
    LosesChunk,
    CutsLargeChunks,
    AltersChunks,
    ReadsMissingAsEmpty,
    NumbersAsText,
    NumbersFromStart,
    NumbersLag,
    TrimsKept,
    TrimsNothing,
    TrimsOneMore,
    TrimsOneLess,
    AltersBlobs,
    GetsAll,
    GetsLess,
    NamesInReverse,
    NamesWithoutLength,
    NamesOfDirectory,
    RemovesNothing,
    GetsMissingAsEmpty,
    MissingIsRefused,
    RemoveOfMissingIsRefused,
    ScratchIsNotSeparate,
    /// No violation: the result of the first create of each chunk in a race is unknown, and half of
    /// them take effect.
    Conflicts,
}

struct Backend {
    flaw: Flaw,
    objects: MemoryReplica,
    scratch: MemoryReplica,
    seen: Mutex<HashSet<Vec<u8>>>,
}

impl Backend {
    fn new(flaw: Flaw) -> Backend {
        Backend {
            flaw,
            objects: MemoryReplica::default(),
            scratch: MemoryReplica::default(),
            seen: Mutex::default(),
        }
    }

    fn overwrite(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        let mut others = self.objects.numbers(0)?;
        others.retain(|other| *other != number);
        self.objects.trim(u64::MAX, &others)?;
        self.objects.create(number, chunk)?;
        Ok(Created::Done)
    }

    fn refused<T>() -> Result<T, ReplicaError> {
        let what = "not allowed".to_owned();
        Err(ReplicaError::Refused { what })
    }
}

impl Replica for Backend {
    fn create(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        let is_race = RACES.contains(&number);
        match self.flaw {
            Flaw::Overwrites => return self.overwrite(number, chunk),
            Flaw::ChecksThenWrites => {
                if let Some(found) = self.objects.read(number, Duration::ZERO)? {
                    return Ok(Created::Taken(found));
                }
                thread::sleep(Duration::from_millis(1));
                return self.overwrite(number, chunk);
            }
            Flaw::LosesChunk if number == 9 => return Ok(Created::Done),
            Flaw::CutsLargeChunks => {
                let len = chunk.len().min(1 << 20);
                return self.objects.create(number, &chunk[..len]);
            }
            Flaw::NoWinner if is_race => return Ok(Created::Taken(b"none".to_vec())),
            Flaw::Conflicts if is_race => {
                let mut seen = self.seen.lock().unwrap();
                if seen.insert(chunk.to_vec()) {
                    if seen.len() % 2 == 0 {
                        self.objects.create(number, chunk)?;
                    }
                    let what = "conflict".to_owned();
                    return Err(ReplicaError::Unknown { what });
                }
            }
            _ => {}
        }
        let created = self.objects.create(number, chunk)?;
        let Created::Taken(_) = created else {
            return Ok(created);
        };
        Ok(match self.flaw {
            Flaw::IgnoresSecondCreate => Created::Done,
            Flaw::TakenWithNewBytes => Created::Taken(chunk.to_vec()),
            Flaw::TakenWithoutBytes => Created::Taken(Vec::new()),
            Flaw::TakenWithoutBytesInRaces if is_race => Created::Taken(Vec::new()),
            _ => created,
        })
    }

    fn read(&self, number: u64, wait: Duration) -> Result<Option<Vec<u8>>, ReplicaError> {
        let mut found = self.objects.read(number, wait)?;
        match self.flaw {
            Flaw::AltersChunks => {
                if let Some(last) = found.as_mut().and_then(|chunk| chunk.last_mut()) {
                    *last ^= 1;
                }
                Ok(found)
            }
            Flaw::ReadsMissingAsEmpty => Ok(Some(found.unwrap_or_default())),
            _ => Ok(found),
        }
    }

    fn numbers(&self, from: u64) -> Result<Vec<u64>, ReplicaError> {
        let mut found = match self.flaw {
            Flaw::NumbersFromStart => self.objects.numbers(0)?,
            _ => self.objects.numbers(from)?,
        };
        match self.flaw {
            Flaw::NumbersAsText => found.sort_by_key(u64::to_string),
            Flaw::NumbersLag => drop(found.pop()),
            _ => {}
        }
        Ok(found)
    }

    fn trim(&self, below: u64, keep: &[u64]) -> Result<(), ReplicaError> {
        match self.flaw {
            Flaw::TrimsKept => self.objects.trim(below, &[]),
            Flaw::TrimsNothing => Ok(()),
            Flaw::TrimsOneMore => self.objects.trim(below + 1, keep),
            Flaw::TrimsOneLess => {
                let mut keep: Vec<u64> = keep.iter().copied().chain([9]).collect();
                keep.sort_unstable();
                self.objects.trim(below, &keep)
            }
            _ => self.objects.trim(below, keep),
        }
    }

    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), ReplicaError> {
        match self.flaw {
            Flaw::AltersBlobs => self.objects.put(name, len, &mut std::io::repeat(0)),
            _ => self.objects.put(name, len, from),
        }
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Result<(), ReplicaError> {
        let range = match self.flaw {
            Flaw::GetsAll => 0..BLOB_BYTES as u64,
            Flaw::GetsLess => range.start..range.end.min(BLOB_BYTES as u64),
            _ => range,
        };
        match self.objects.get(name, range, to) {
            Err(ReplicaError::Missing { .. }) if self.flaw == Flaw::GetsMissingAsEmpty => Ok(()),
            Err(ReplicaError::Missing { .. }) if self.flaw == Flaw::MissingIsRefused => {
                Backend::refused()
            }
            result => result,
        }
    }

    fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, ReplicaError> {
        let mut found = self.objects.names(prefix)?;
        match self.flaw {
            Flaw::NamesInReverse => found.reverse(),
            Flaw::NamesWithoutLength => found.iter_mut().for_each(|(_, len)| *len = 0),
            Flaw::NamesOfDirectory if !prefix.is_empty() => {
                let directory = format!("{prefix}/");
                found.retain(|(name, _)| name.starts_with(&directory));
            }
            _ => {}
        }
        Ok(found)
    }

    fn remove(&self, names: &[String]) -> Result<(), ReplicaError> {
        match self.flaw {
            Flaw::RemovesNothing => Ok(()),
            Flaw::RemoveOfMissingIsRefused => Backend::refused(),
            _ => self.objects.remove(names),
        }
    }

    fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError> {
        let mut scratch = Backend::new(self.flaw);
        scratch.objects = match self.flaw {
            Flaw::ScratchIsNotSeparate => self.objects.clone(),
            _ => self.scratch.clone(),
        };
        Ok(Box::new(scratch))
    }

    fn place(&self) -> String {
        "test://backend".to_owned()
    }
}

/// A backend with something in it, so that a scratch place that is not separate is noticed.
fn used(flaw: Flaw) -> Backend {
    let backend = Backend::new(flaw);
    assert_eq!(backend.objects.create(1, b"a store's"), Ok(Created::Done));
    let put = backend.objects.put("prove/b", 1, &mut &b"x"[..]);
    assert_eq!(put, Ok(()));
    backend
}

fn assert_untouched(backend: &Backend) {
    assert_eq!(backend.objects.numbers(0), Ok(vec![1]));
    let names = vec![("prove/b".to_owned(), 1)];
    assert_eq!(backend.objects.names(""), Ok(names));
    assert_eq!(backend.scratch.numbers(0), Ok(Vec::new()), "left behind");
    assert_eq!(backend.scratch.names(""), Ok(Vec::new()), "left behind");
}

#[test]
fn a_backend_without_a_flaw_passes_and_nothing_is_left() {
    for flaw in [Flaw::None, Flaw::Conflicts] {
        let backend = used(flaw);
        assert_eq!(prove(&backend), Ok(()), "{flaw:?}");
        assert_untouched(&backend);
    }
    assert_eq!(prove(&MemoryReplica::default()), Ok(()));
}

#[test]
fn each_flaw_is_found() {
    for (flaw, expected) in [
        (
            Flaw::Overwrites,
            "chunk 1 was created twice. It does not create",
        ),
        (Flaw::IgnoresSecondCreate, "chunk 1 was created twice"),
        (
            Flaw::ChecksThenWrites,
            "of 8 concurrent callers created chunk",
        ),
        (Flaw::TakenWithNewBytes, "returned Taken with 13 bytes"),
        (Flaw::TakenWithoutBytes, "returned Taken with 0 bytes"),
        (
            Flaw::TakenWithoutBytesInRaces,
            "returned Taken with contents that differ from chunk 101",
        ),
        (
            Flaw::NoWinner,
            "0 of 8 concurrent callers created chunk 101",
        ),
        (Flaw::LosesChunk, "chunk 9 was created twice"),
        (
            Flaw::CutsLargeChunks,
            "creating chunk 100 again returned Taken with 1048576 bytes",
        ),
        (
            Flaw::AltersChunks,
            "reading chunk 1 returned 16384 bytes with other contents",
        ),
        (
            Flaw::ReadsMissingAsEmpty,
            "reading chunk 3 returned 0 bytes instead of no chunk",
        ),
        (Flaw::NumbersAsText, "numbers() returned [1, 10, 100, 2, 9]"),
        (Flaw::NumbersFromStart, "from 9 on are [9, 10, 100]"),
        (Flaw::NumbersLag, "numbers() returned [1, 2, 9, 10]"),
        (Flaw::TrimsKept, "numbers() returned [100]"),
        (Flaw::TrimsNothing, "are [2, 10, 100], but"),
        (Flaw::TrimsOneMore, "numbers() returned [2, 10]"),
        (Flaw::TrimsOneLess, "numbers() returned [2, 9, 10, 100]"),
        (Flaw::AltersBlobs, "of a blob returned 1000 bytes"),
        (Flaw::GetsAll, "of the bytes 10..20"),
        (Flaw::GetsLess, "past the end of a blob returned no error"),
        (Flaw::NamesInReverse, "names(\"\") returned"),
        (Flaw::NamesWithoutLength, "names(\"\") returned"),
        (Flaw::NamesOfDirectory, "names(\"prove/a\") returned"),
        (Flaw::RemovesNothing, "names(\"\") returned"),
        (Flaw::GetsMissingAsEmpty, "a blob that was removed"),
        (
            Flaw::ScratchIsNotSeparate,
            "scratch() must be empty, but contains 1 chunks",
        ),
    ] {
        let backend = used(flaw);
        let Err(ProveError::Unfit { place, what }) = prove(&backend) else {
            panic!("{flaw:?} is not found");
        };
        assert_eq!(place, "test://backend");
        assert!(what.contains(expected), "{flaw:?}: {what}");
        let has_no_winner = what.starts_with("0 of 8");
        assert_eq!(has_no_winner, flaw == Flaw::NoWinner, "{flaw:?}: {what}");
        let leaves = [Flaw::TrimsNothing, Flaw::TrimsOneLess, Flaw::RemovesNothing];
        if !leaves.contains(&flaw) {
            assert_untouched(&backend);
        }
    }
}

#[test]
fn a_call_that_fails_is_returned() {
    for flaw in [Flaw::MissingIsRefused, Flaw::RemoveOfMissingIsRefused] {
        let expected = Backend::refused().map_err(ProveError::Failed);
        assert_eq!(prove(&used(flaw)), expected, "{flaw:?}");
    }
}

fn unreliable(seed: u64, rate: f64) -> MemoryReplica {
    let replica = MemoryReplica::default();
    replica.set_faults(Faults {
        seed,
        lost_request: rate,
        lost_response: rate,
        late_request: rate,
        repeated_request: rate,
    });
    replica
}

#[test]
fn a_network_that_fails_does_not_make_a_backend_unfit() {
    let mut passed = 0;
    for seed in 0..40 {
        match prove(&unreliable(seed, seed as f64 / 1000.0)) {
            Ok(()) => passed += 1,
            Err(ProveError::Failed(ReplicaError::Unknown { .. })) => {}
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(passed > 0);
}

#[test]
fn creators_settle_results_that_are_unknown() {
    for seed in 0..4 {
        let replica = unreliable(seed, 0.02);
        let proof = Proof {
            scratch: &replica,
            place: String::new(),
        };
        assert_eq!(proof.races(), Ok(()), "seed {seed}");
    }
}
