//! Faults between a store and a replica in memory.

use std::sync::Arc;

use super::place::{Change, Place};
use crate::base::sync::Mutex;
use crate::model::id::mix;
#[cfg(doc)]
use crate::model::replica::Replica;
use crate::model::replica::ReplicaError;

/// A request that is late arrives after up to two to this power further calls.
const LATEST_POWER: u64 = 10;

/// A call of a [`Replica`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Replica::create`]
    Create,
    /// [`Replica::read`]
    Read,
    /// [`Replica::numbers`]
    Numbers,
    /// [`Replica::trim`]
    Trim,
    /// [`Replica::put`]
    Put,
    /// [`Replica::get`]
    Get,
    /// [`Replica::names`]
    Names,
    /// [`Replica::remove`]
    Remove,
}

/// The calls of one kind that a [`MemoryReplica`](crate::replica::MemoryReplica) has received,
/// including those that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// The number of calls.
    pub calls: u64,
    /// The bytes of chunks and blobs in the requests.
    pub bytes_sent: u64,
    /// The bytes of chunks and blobs in the responses.
    pub bytes_received: u64,
}

/// How often the calls of a [`MemoryReplica`](crate::replica::MemoryReplica) fail. By default, none
/// do.
///
/// For each fault, this is its probability from 0 to 1; a call has at most one fault. The seed and
/// the order of the calls determine which calls fail.
///
/// A call with a fault other than `repeated` returns [`ReplicaError::Unknown`]. A `trim` or
/// `remove` that is lost or late may immediately remove some of what it is to remove.
///
/// ```
/// use jobstore::replica::{Faults, MemoryReplica, Replica};
///
/// let mut faults = Faults::default();
/// faults.late_request = 1.0;
/// let replica = MemoryReplica::default();
/// replica.set_faults(faults);
/// assert!(replica.create(1, b"chunk").is_err());
///
/// replica.set_faults(Faults::default());
/// replica.deliver_late();
/// assert_eq!(replica.numbers(1), Ok(vec![1]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Faults {
    /// Determines the random numbers.
    pub seed: u64,
    /// The request is lost: the call has no effect.
    pub lost_request: f64,
    /// The response is lost: the call has taken effect.
    pub lost_response: f64,
    /// The request is delayed: the call takes effect during one of the next 1024 calls, or on
    /// [`deliver_late`](crate::replica::MemoryReplica::deliver_late).
    pub late_request: f64,
    /// The request is received twice, and the second response is returned.
    pub repeated_request: f64,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Normal,
    Repeated,
    Late,
    RequestLost,
    ResponseLost,
}

impl Fate {
    /// Whether the caller gets no response.
    pub(super) fn is_lost(self) -> bool {
        !matches!(self, Fate::Normal | Fate::Repeated)
    }
}

pub(super) type Delay = Arc<dyn Fn(Call) + Send + Sync>;

/// What is between all the clones of a replica and their contents.
#[derive(Default)]
pub(super) struct Network {
    state: Mutex<State>,
    /// Called without any lock.
    delay: Mutex<Option<Delay>>,
}

#[derive(Default)]
struct State {
    faults: Faults,
    random: u64,
    failure: Option<ReplicaError>,
    late: Vec<Late>,
    traffic: [Traffic; 8],
    calls: u64,
}

struct Late {
    place: Arc<Place>,
    change: Change,
    /// The number of calls at which this arrives.
    due: u64,
}

impl State {
    /// Returns a random number below `end`, or 0 if there is none.
    fn draw(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random).checked_rem(end).unwrap_or(0)
    }

    fn fate(&mut self) -> Fate {
        let faults = self.faults;
        let mut drawn = self.draw(1 << 32) as f64 / (1_u64 << 32) as f64;
        for (probability, fate) in [
            (faults.lost_request, Fate::RequestLost),
            (faults.lost_response, Fate::ResponseLost),
            (faults.late_request, Fate::Late),
            (faults.repeated_request, Fate::Repeated),
        ] {
            if drawn < probability {
                return fate;
            }
            drawn -= probability;
        }
        Fate::Normal
    }
}

impl Network {
    pub(super) fn set_faults(&self, faults: Faults) {
        let mut state = self.state.lock();
        state.faults = faults;
        state.random = faults.seed;
    }

    pub(super) fn set_failure(&self, failure: Option<ReplicaError>) {
        self.state.lock().failure = failure;
    }

    pub(super) fn set_delay(&self, delay: Delay) {
        *self.delay.lock() = Some(delay);
    }

    pub(super) fn has_delay(&self) -> bool {
        self.delay.lock().is_some()
    }

    /// Runs the closure that delays calls.
    pub(super) fn delay(&self, call: Call) {
        let delay = self.delay.lock().clone();
        if let Some(delay) = delay {
            delay(call);
        }
    }

    /// Begins a call with a request of `bytes` bytes, and applies the late requests that are due.
    pub(super) fn send(&self, call: Call, bytes: usize) -> Result<Fate, ReplicaError> {
        let mut state = self.state.lock();
        state.calls += 1;
        let traffic = &mut state.traffic[call as usize];
        traffic.calls += 1;
        traffic.bytes_sent += bytes as u64;
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let fate = state.fate();
        let calls = state.calls;
        drop(state);
        self.deliver(calls);
        Ok(fate)
    }

    pub(super) fn received(&self, call: Call, bytes: usize) {
        self.state.lock().traffic[call as usize].bytes_received += bytes as u64;
    }

    pub(super) fn traffic(&self, call: Call) -> Traffic {
        self.state.lock().traffic[call as usize]
    }

    pub(super) fn draw(&self, end: u64) -> u64 {
        self.state.lock().draw(end)
    }

    pub(super) fn postpone(&self, place: Arc<Place>, change: Change) {
        let mut state = self.state.lock();
        let power = state.draw(LATEST_POWER + 1);
        let due = state.calls + 1 + state.draw(1 << power);
        state.late.push(Late { place, change, due });
    }

    /// Applies the late requests that are due after this many calls, and returns their number.
    pub(super) fn deliver(&self, calls: u64) -> usize {
        let mut due = Vec::new();
        let mut state = self.state.lock();
        for late in std::mem::take(&mut state.late) {
            match late.due <= calls {
                true => due.push(late),
                false => state.late.push(late),
            }
        }
        drop(state);
        due.sort_by_key(|late| late.due);
        let count = due.len();
        for late in due {
            late.place.change(late.change);
        }
        count
    }

    /// Forgets all late requests.
    pub(super) fn clear(&self) {
        self.state.lock().late.clear();
    }
}
