//! The replica as a follower reaches it: with failures of its own, and without waiting.

use std::io::{Read, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jobstore::replica::{Created, MemoryReplica, Replica, ReplicaError};
use jobstore_trials::random::Random;

/// The connection of a follower to the replica.
#[derive(Clone)]
pub struct Line {
    replica: MemoryReplica,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// If set, calls fail at random: on average, one in this number.
    faults: Option<(u64, Random)>,
    /// The first call that would have changed the replica.
    change: Option<String>,
}

type Called<T> = Result<T, ReplicaError>;

impl Line {
    pub fn to(replica: &MemoryReplica) -> Line {
        Line {
            replica: replica.clone(),
            state: Arc::default(),
        }
    }

    /// From now on, one call in `times` fails.
    pub fn fail(&self, times: u64, seed: u64) {
        self.state().faults = Some((times, Random::from_seed(seed)));
    }

    pub fn heal(&self) {
        self.state().faults = None;
    }

    pub fn is_failing(&self) -> bool {
        self.state().faults.is_some()
    }

    /// Returns a call that would have changed the replica. A follower makes none.
    pub fn change(&self) -> Option<String> {
        self.state().change.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn there(&self) -> Called<&MemoryReplica> {
        let faults = &mut self.state().faults;
        let fails = |(times, random): &mut (u64, Random)| random.one_in(*times);
        match faults.as_mut().is_some_and(fails) {
            true => Err(ReplicaError::Unknown {
                what: "the follower is cut off".to_owned(),
            }),
            false => Ok(&self.replica),
        }
    }

    fn refuse<T>(&self, what: String) -> Called<T> {
        self.state().change.get_or_insert(what.clone());
        Err(ReplicaError::Refused { what })
    }
}

impl Replica for Line {
    fn create(&self, number: u64, _: &[u8]) -> Called<Created> {
        self.refuse(format!("create chunk {number}"))
    }

    fn read(&self, number: u64, _: Duration) -> Called<Option<Vec<u8>>> {
        self.there()?.read(number, Duration::ZERO)
    }

    fn numbers(&self, from: u64) -> Called<Vec<u64>> {
        self.there()?.numbers(from)
    }

    fn trim(&self, below: u64, _: &[u64]) -> Called<()> {
        self.refuse(format!("trim below {below}"))
    }

    fn put(&self, name: &str, _: u64, _: &mut dyn Read) -> Called<()> {
        self.refuse(format!("put {name}"))
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Called<()> {
        self.there()?.get(name, range, to)
    }

    fn names(&self, prefix: &str) -> Called<Vec<(String, u64)>> {
        self.there()?.names(prefix)
    }

    fn remove(&self, names: &[String]) -> Called<()> {
        self.refuse(format!("remove {names:?}"))
    }

    fn scratch(&self) -> Called<Box<dyn Replica>> {
        self.refuse("prove the replica".to_owned())
    }

    fn place(&self) -> String {
        self.replica.place()
    }
}
