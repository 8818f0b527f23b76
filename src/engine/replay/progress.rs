//! Reports how far a replay has come.

use crate::model::options::{OnReplay, ReplayProgress};

/// Who follows a replay is told after about so many events.
const FOLLOW_EVENTS: u64 = 64 << 10;

/// Who is told how far the replay has come.
pub(super) struct Follower {
    call: OnReplay,
    /// The first LSN that is taken in, and the last, as far as is known.
    first_lsn: u64,
    known_lsn: u64,
    /// Where it was last called.
    called_lsn: u64,
}

impl Follower {
    /// The log sequence numbers from `first_lsn` on are read; it is known to go up to
    /// `known_lsn`.
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

    /// Says that all is taken in.
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
