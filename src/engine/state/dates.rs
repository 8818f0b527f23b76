//! The times of commits: decides which reading of the host's clock dates a commit.
//!
//! As long as the clock is not set back, no commit is dated before a call that it includes, or
//! before the previous commit.
//!
//! A clock may block, so it is read without holding locks, and never by a call that must not
//! block. Therefore, a reading dates only the writes that were in the queue when it began;
//! later ones wait for the next reading.

/// A reading that has begun.
#[must_use]
pub(crate) struct Begun {
    /// How many writes had been queued.
    writes: u64,
    /// How many readings had ended.
    ended: u64,
}

/// The results of the readings.
#[derive(Default)]
pub(crate) struct Dates {
    now_ms: u64,
    /// The number of the reading that returned `now_ms`.
    of: u64,
    /// How many readings have ended.
    ended: u64,
    /// How many of the writes ever queued can be dated.
    writes: u64,
}

impl Dates {
    /// Begins a reading after `writes` writes were queued.
    pub(crate) fn begin(&self, writes: u64) -> Begun {
        Begun {
            writes,
            ended: self.ended,
        }
    }

    pub(crate) fn end(&mut self, begun: &Begun, ms: u64) {
        self.ended += 1;
        // The order of concurrent readings is unknown, so they never move time back; a reading
        // that began after the last one ended may show that the clock was set back.
        if begun.ended >= self.of || ms > self.now_ms {
            self.now_ms = ms;
            self.of = self.ended;
        }
        self.writes = self.writes.max(begun.writes);
    }

    /// The time of a commit made now.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// How many of the writes ever queued can be in it.
    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_dates_what_was_queued_before_it_began() {
        let mut dates = Dates::default();
        assert_eq!(dates.writes(), 0);
        let early = dates.begin(5);
        let late = dates.begin(7);
        dates.end(&late, 20);
        assert_eq!((dates.writes(), dates.now_ms()), (7, 20));
        // It may have been read before the seventh was queued.
        dates.end(&early, 10);
        assert_eq!((dates.writes(), dates.now_ms()), (7, 20));
    }

    #[test]
    fn time_goes_back_only_when_the_clock_was_set_back() {
        let mut dates = Dates::default();
        let (one, two, three) = (dates.begin(1), dates.begin(1), dates.begin(1));
        dates.end(&two, 20);
        dates.end(&one, 10);
        assert_eq!(dates.now_ms(), 20);
        // Begins after the reading of 20 has ended.
        let back = dates.begin(1);
        dates.end(&three, 30);
        dates.end(&back, 5);
        assert_eq!(dates.now_ms(), 30, "at the same time as the reading of 30");
        let back = dates.begin(1);
        dates.end(&back, 5);
        assert_eq!(dates.now_ms(), 5);
    }
}
