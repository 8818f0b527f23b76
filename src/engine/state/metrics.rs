//! The metrics of an open store: the counters and histograms for [`Stats`](crate::Stats).
//!
//! Counting takes only a few relaxed atomic additions and never waits for a reader.

use std::time::Duration;

use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::model::job_counts::JobCounts;
use crate::model::stats::{BOUNDS, Histogram};

/// Counts durations.
pub(crate) struct DurationHistogram {
    /// The number of durations for each upper bound; the last number is for durations above all
    /// bounds.
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

impl Default for DurationHistogram {
    fn default() -> DurationHistogram {
        DurationHistogram {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_ns: AtomicU64::new(0),
        }
    }
}

impl DurationHistogram {
    pub(crate) fn record(&self, time: Duration) {
        let bucket = BOUNDS.partition_point(|&bound| bound < time);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Histogram {
        let counts = self.counts.each_ref().map(|n| n.load(Ordering::Relaxed));
        let sum = Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed));
        Histogram { counts, sum }
    }
}

#[derive(Default)]
pub(crate) struct Metrics {
    pub(crate) frames: Counter,
    pub(crate) frame_bytes: Counter,
    pub(crate) events: Counter,
    pub(crate) busy: Counter,
    pub(crate) purged: Counter,
    /// The number of graphs that background threads have checked. They check only graphs that have
    /// changed or in which something is due.
    pub(crate) visits: Counter,
    /// The number of stretches of the log that feeds have read.
    pub(crate) feed_reads: Counter,
    pub(crate) syncs: DurationHistogram,
    pub(crate) waits: DurationHistogram,
    /// What happened to the jobs of graphs that have been dropped.
    pub(crate) dropped_jobs: Mutex<JobCounts>,
}

pub(crate) struct Counter(AtomicU64);

impl Default for Counter {
    fn default() -> Counter {
        Counter(AtomicU64::new(0))
    }
}

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
