//! Time that a store does not count until its clock is confirmed.
//!
//! Contains [`Gaps`]. No more time may be excluded than this computes: if several gaps are
//! confirmed together, they count for jobs that completed before the first of them.

use crate::life::DAY_MS;

/// The periods, in simulated time, for which the store may lack a record of the time for over a
/// day.
#[derive(Default)]
pub struct Gaps {
    /// When the store last recorded something.
    recorded_ms: u64,
    /// The same for the state after a power failure.
    durable_ms: u64,
    /// The end of the first gap that is not confirmed yet.
    waiting_since_ms: Option<u64>,
    /// The same before a confirmation that a power failure may undo.
    may_wait_since_ms: Option<u64>,
    /// Later gaps that had to be confirmed together with an earlier one.
    uncounted: Vec<Uncounted>,
}

/// A gap that does not count for what happened in this period before it.
struct Uncounted {
    from_ms: u64,
    until_ms: u64,
    gap_ms: u64,
}

impl Gaps {
    pub fn recorded(&mut self, now_ms: u64) {
        self.recorded_ms = now_ms;
    }

    pub fn synced(&mut self) {
        self.durable_ms = self.recorded_ms;
        self.may_wait_since_ms = None;
    }

    /// Called when the store is opened, which records the time.
    pub fn opened(&mut self, now_ms: u64) {
        let gap_ms = now_ms - self.durable_ms;
        (self.recorded_ms, self.durable_ms) = (now_ms, now_ms);
        if let Some(since_ms) = self.may_wait_since_ms.take() {
            self.waiting_since_ms = Some(since_ms);
        }
        if gap_ms <= DAY_MS {
            return;
        }
        match self.waiting_since_ms {
            None => self.waiting_since_ms = Some(now_ms),
            Some(from_ms) => self.uncounted.push(Uncounted {
                from_ms,
                until_ms: now_ms,
                gap_ms,
            }),
        }
    }

    pub fn confirmed(&mut self) {
        let since_ms = self.waiting_since_ms.take();
        self.may_wait_since_ms = self.may_wait_since_ms.or(since_ms);
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting_since_ms.is_some()
    }

    /// How much of the time since then the store may exclude after all confirmations.
    pub fn uncounted(&self, since_ms: u64) -> u64 {
        let gaps = self.uncounted.iter();
        let gaps = gaps.filter(|gap| (gap.from_ms..gap.until_ms).contains(&since_ms));
        gaps.map(|gap| gap.gap_ms).sum()
    }
}
