//! Reports the progress of a replay.

use crate::model::options::{OnReplay, ReplayProgress};

/// Progress is reported after about this many events.
const FOLLOW_EVENTS: u64 = 64 << 10;

/// Reports the progress of a replay to a callback.
pub(super) struct Follower {
    call: OnReplay,
    /// The first LSN to be replayed, and the last one, as far as it is known.
    first_lsn: u64,
    known_lsn: u64,
    /// The LSN of the last report.
    called_lsn: u64,
}

impl Follower {
    /// Follows a replay that starts at `first_lsn`; the log is known to extend to `known_lsn`.
    pub(super) fn new(call: OnReplay, first_lsn: u64, known_lsn: u64) -> Follower {
        Follower {
            call,
            first_lsn,
            known_lsn,
            called_lsn: first_lsn,
        }
    }

    pub(super) fn advance_to(&mut self, next_lsn: u64) {
        if next_lsn >= self.called_lsn + FOLLOW_EVENTS {
            self.call(next_lsn);
        }
    }

    /// Reports that everything was replayed.
    pub(super) fn finish(mut self, next_lsn: u64) {
        if next_lsn > self.first_lsn {
            self.call(next_lsn);
        }
    }

    fn call(&mut self, next_lsn: u64) {
        self.called_lsn = next_lsn;
        let events = next_lsn - self.first_lsn;
        (self.call)(&ReplayProgress {
            events,
            of: events.max((self.known_lsn + 1).saturating_sub(self.first_lsn)),
            rebuilding: self.first_lsn == 1,
        });
    }
}
