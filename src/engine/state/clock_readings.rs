//! Determines which reading of the host's clock is the time of a commit.
//!
//! As long as the clock is not set back, the time of a commit is no earlier than any call that the
//! commit includes, and no earlier than the previous commit.
//!
//! Reading the host's clock may block. Therefore, it is read only while no lock is held, and never
//! by a call that must not block. A reading applies only to the writes that were in the queue when
//! the reading began; later writes wait for the next reading.

/// A reading that has begun.
#[must_use]
pub(crate) struct ClockReading {
    /// How many writes had been queued when it began.
    writes: u64,
    /// How many readings had ended when it began.
    ended: u64,
}

/// The results of the readings.
#[derive(Default)]
pub(crate) struct ClockReadings {
    now_ms: u64,
    /// The number of the reading that returned `now_ms`.
    of: u64,
    /// How many readings have ended.
    ended: u64,
    /// Of all writes ever queued, how many were queued before a completed reading began.
    writes: u64,
}

impl ClockReadings {
    /// Begins a reading after `writes` writes were queued.
    pub(crate) fn begin(&self, writes: u64) -> ClockReading {
        ClockReading {
            writes,
            ended: self.ended,
        }
    }

    pub(crate) fn end(&mut self, begun: &ClockReading, ms: u64) {
        self.ended += 1;
        // The order of concurrent readings is unknown, so such readings never move the time back.
        // Only a reading that began after the last one had ended can show that the clock was set
        // back.
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

    /// Of all writes ever queued, how many may be included in a commit that is made now.
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
        // The clock may have been read before the seventh write was queued.
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
        // This reading begins after the one that returned 20 has ended.
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
