//! The shared state of the threads: when to stop, what was attempted and acknowledged, and how much
//! was checked.
//!
//! `attempted` counts a write before it is made, and `acknowledged` counts it afterward. What a
//! reader sees must therefore be between the two.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jobstore::Graph;

/// The graphs that are never dropped.
pub(crate) struct Graphs {
    /// The graph whose jobs come in pairs, which are submitted in one commit.
    pub(crate) pairs: Graph,
    /// The graph whose jobs have external ids. Some ids are used twice at the same time.
    pub(crate) brought: Graph,
    /// The graph whose jobs are claimed by workers.
    pub(crate) work: Graph,
}

#[derive(Default)]
pub(crate) struct Span {
    pub(crate) attempted: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
}

impl Span {
    pub(crate) fn attempt(&self, count: u64) {
        self.attempted.fetch_add(count, Ordering::SeqCst);
    }

    pub(crate) fn acknowledge(&self, count: u64) {
        self.acknowledged.fetch_add(count, Ordering::SeqCst);
    }

    /// Returns the minimum number. Must be called before a check.
    pub(crate) fn least(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Returns the maximum number. Must be called after a check.
    pub(crate) fn most(&self) -> u64 {
        self.attempted.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) stop: AtomicBool,
    /// The jobs of the pairs. The next two fields count the jobs that have started and completed.
    pub(crate) submits: Span,
    pub(crate) starts: Span,
    pub(crate) ends: Span,
    /// Calls with an external id. The next field counts those that created a job.
    pub(crate) brought: AtomicU64,
    pub(crate) created: AtomicU64,
    pub(crate) claimed: Mutex<HashSet<String>>,
    pub(crate) writes: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) pages: AtomicU64,
    pub(crate) jobs: AtomicU64,
    pub(crate) looked_up: AtomicU64,
    pub(crate) walks: AtomicU64,
    pub(crate) packs: AtomicU64,
    pub(crate) merged: AtomicU64,
}

impl Tally {
    pub(crate) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    pub(crate) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    fn lines(&self) -> [(&'static str, u64); 10] {
        let claimed = self.claimed.lock().map_or(0, |claimed| claimed.len());
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        [
            ("writes acknowledged", read(&self.writes)),
            ("jobs of pairs", read(&self.submits.acknowledged)),
            ("jobs with external ids", read(&self.created)),
            ("jobs claimed", claimed as u64),
            ("graphs dropped and recreated", read(&self.dropped)),
            ("pages checked", read(&self.pages)),
            ("jobs seen", read(&self.jobs)),
            ("ids looked up", read(&self.looked_up)),
            ("walks by cursor", read(&self.walks)),
            ("packs seen", read(&self.packs)),
        ]
    }

    pub(crate) fn print(&self) {
        for (what, count) in self.lines() {
            println!("{count:>12} {what}");
        }
        println!(
            "{:>12} packs merged into others",
            self.merged.load(Ordering::SeqCst)
        );
    }

    /// Asserts that all kinds of work were done, because a run that did nothing proves nothing.
    /// Merging is not required, because it takes longer than a short run.
    pub(crate) fn assert_all_was_done(&self) {
        for (what, count) in self.lines() {
            assert!(count > 0, "never done: {what}");
        }
    }
}

/// Pseudorandom numbers, determined by the seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}
