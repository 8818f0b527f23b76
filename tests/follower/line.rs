//! A replica that is slow for one of its users, or can be cut off from it.

use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jobstore::replica::{Created, MemoryReplica, Replica, ReplicaError};

/// A replica that is slow for one of its users, or can be cut off from it.
pub struct Line {
    pub replica: MemoryReplica,
    pub is_cut: Arc<AtomicBool>,
    /// How many milliseconds a chunk that was found takes to arrive.
    pub delay_ms: Arc<AtomicU64>,
}

impl Line {
    fn there(&self) -> std::result::Result<&MemoryReplica, ReplicaError> {
        match self.is_cut.load(Ordering::Acquire) {
            false => Ok(&self.replica),
            true => Err(ReplicaError::Unknown {
                what: "unplugged".to_owned(),
            }),
        }
    }
}

type Called<T> = std::result::Result<T, ReplicaError>;

impl Replica for Line {
    fn create(&self, number: u64, chunk: &[u8]) -> Called<Created> {
        self.there()?.create(number, chunk)
    }

    fn read(&self, number: u64, wait: Duration) -> Called<Option<Vec<u8>>> {
        let read = self.there()?.read(number, wait);
        if let Ok(Some(_)) = &read {
            let delay = self.delay_ms.load(Ordering::Acquire);
            std::thread::sleep(Duration::from_millis(delay));
        }
        self.there()?;
        read
    }

    fn numbers(&self, from: u64) -> Called<Vec<u64>> {
        self.there()?.numbers(from)
    }

    fn trim(&self, below: u64, keep: &[u64]) -> Called<()> {
        self.there()?.trim(below, keep)
    }

    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Called<()> {
        self.there()?.put(name, len, from)
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Called<()> {
        self.there()?.get(name, range, to)
    }

    fn names(&self, prefix: &str) -> Called<Vec<(String, u64)>> {
        self.there()?.names(prefix)
    }

    fn remove(&self, names: &[String]) -> Called<()> {
        self.there()?.remove(names)
    }

    fn scratch(&self) -> Called<Box<dyn Replica>> {
        self.there()?.scratch()
    }

    fn place(&self) -> String {
        self.replica.place()
    }
}
