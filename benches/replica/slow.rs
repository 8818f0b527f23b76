//! A backend in memory that is as slow as a real one.

use std::io::{Read, Write};
use std::ops::Range;
use std::time::Duration;

use jobstore::replica::{Created, MemoryReplica, Replica, ReplicaError};

/// A backend whose `create` takes a fixed time.
pub struct Slow {
    pub contents: MemoryReplica,
    pub time: Duration,
}

impl Replica for Slow {
    fn create(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        if !self.time.is_zero() {
            std::thread::sleep(self.time);
        }
        self.contents.create(number, chunk)
    }

    fn read(&self, number: u64, wait: Duration) -> Result<Option<Vec<u8>>, ReplicaError> {
        self.contents.read(number, wait)
    }

    fn numbers(&self, from: u64) -> Result<Vec<u64>, ReplicaError> {
        self.contents.numbers(from)
    }

    fn trim(&self, below: u64, keep: &[u64]) -> Result<(), ReplicaError> {
        self.contents.trim(below, keep)
    }

    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), ReplicaError> {
        self.contents.put(name, len, from)
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Result<(), ReplicaError> {
        self.contents.get(name, range, to)
    }

    fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, ReplicaError> {
        self.contents.names(prefix)
    }

    fn remove(&self, names: &[String]) -> Result<(), ReplicaError> {
        self.contents.remove(names)
    }

    fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError> {
        self.contents.scratch()
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}
