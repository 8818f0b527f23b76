//! The times of commits.
//!
//! Owns: which reading of the host's clock dates a commit. Must not know: the clock, the
//! writes.
//! Promise: no commit is dated before a call that it carries out, nor before the commit
//! before it, as long as the clock is not set back.
//!
//! A clock may do anything, so it is read while nothing is held, and never by a call that
//! must not wait. A reading therefore only dates the writes that were in the queue when it
//! began; those that came later wait for the next one.

/// A reading that has begun.
#[must_use]
pub(crate) struct ClockReading {
    /// Writes that had been put into the queue.
    writes: u64,
    /// Readings that had ended.
    ended: u64,
}

/// What the readings came to.
#[derive(Default)]
pub(crate) struct ClockReadings {
    now_ms: u64,
    /// The number of the reading that `now_ms` is of.
    of: u64,
    /// Readings that have ended.
    ended: u64,
    /// How many writes can be dated, of all that were ever put into the queue.
    writes: u64,
}

impl ClockReadings {
    /// Begins a reading once this many writes were put into the queue.
    pub(crate) fn begin(&self, writes: u64) -> ClockReading {
        ClockReading {
            writes,
            ended: self.ended,
        }
    }

    pub(crate) fn end(&mut self, begun: &ClockReading, ms: u64) {
        self.ended += 1;
        // Of readings at the same time nobody knows which is later, so time does not go
        // back; one that began after the last ended may find that the clock was set back.
        if begun.ended >= self.of || ms > self.now_ms {
            self.now_ms = ms;
            self.of = self.ended;
        }
        self.writes = self.writes.max(begun.writes);
    }

    /// The time of a commit now.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// How many writes can be in it, of all that were ever put into the queue.
    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_dates_what_was_queued_before_it_began() {
        let mut clock_readings = ClockReadings::default();
        assert_eq!(clock_readings.writes(), 0);
        let early = clock_readings.begin(5);
        let late = clock_readings.begin(7);
        clock_readings.end(&late, 20);
        assert_eq!((clock_readings.writes(), clock_readings.now_ms()), (7, 20));
        // It may have been read before the seventh came.
        clock_readings.end(&early, 10);
        assert_eq!((clock_readings.writes(), clock_readings.now_ms()), (7, 20));
    }

    #[test]
    fn time_goes_back_only_when_the_clock_was_set_back() {
        let mut clock_readings = ClockReadings::default();
        let (one, two, three) = (
            clock_readings.begin(1),
            clock_readings.begin(1),
            clock_readings.begin(1),
        );
        clock_readings.end(&two, 20);
        clock_readings.end(&one, 10);
        assert_eq!(clock_readings.now_ms(), 20);
        // Begins after the reading of 20 has ended.
        let back = clock_readings.begin(1);
        clock_readings.end(&three, 30);
        clock_readings.end(&back, 5);
        assert_eq!(
            clock_readings.now_ms(),
            30,
            "at the same time as the reading of 30"
        );
        let back = clock_readings.begin(1);
        clock_readings.end(&back, 5);
        assert_eq!(clock_readings.now_ms(), 5);
    }
}
