//! [`FollowerState`]: how far a follower has read the log of its replica.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::base::clock;
use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::sync::time::Instant;
use crate::model::replica::Replica;
use crate::model::stats::FollowerStats;
use crate::replica::calls::Calls;

pub(crate) struct FollowerState {
    replica: Arc<dyn Replica>,
    timeout: Duration,
    progress: Mutex<FollowerProgress>,
    /// Whether the files of the log are being replaced, or were replaced in part. Meanwhile, the
    /// store shows its earlier state.
    is_restoring: AtomicBool,
    restores_begun: AtomicU64,
    /// Whether the store is being closed.
    is_closing: AtomicBool,
}

struct FollowerProgress {
    /// The number of the next chunk to read.
    next: u64,
    /// The time of the last commit that was applied, by the clock of its writer.
    as_of_ms: Option<u64>,
    /// When the replica last responded.
    responded: Instant,
    /// Whether the replica then had no further chunk.
    is_current: bool,
    /// Why nothing can be read or applied.
    problem: Option<Arc<str>>,
    /// How many bytes of chunks were read.
    bytes: u64,
    /// How many times the store was restored from a checkpoint since the open.
    restores: u64,
}

impl FollowerState {
    pub(crate) fn new(
        replica: Arc<dyn Replica>,
        timeout: Duration,
        next: u64,
        as_of_ms: Option<u64>,
    ) -> FollowerState {
        FollowerState {
            replica,
            timeout,
            progress: Mutex::new(FollowerProgress {
                next,
                as_of_ms,
                responded: Instant::now(),
                is_current: false,
                problem: None,
                bytes: 0,
                restores: 0,
            }),
            is_restoring: AtomicBool::new(false),
            restores_begun: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
        }
    }

    pub(crate) fn calls(&self) -> Calls<'_> {
        Calls {
            replica: &*self.replica,
            timeout: self.timeout,
            stop: Some(&self.is_closing),
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.progress.lock().next
    }

    /// Records that the replica responded, and whether it has no further chunk.
    pub(crate) fn responded(&self, is_current: bool) {
        let mut progress = self.progress.lock();
        progress.responded = Instant::now();
        progress.is_current = is_current;
    }

    /// Records that a chunk of this many bytes was applied, and the time of its last commit.
    pub(crate) fn applied(&self, bytes: usize, as_of_ms: Option<u64>) {
        let mut progress = self.progress.lock();
        progress.next += 1;
        progress.bytes += bytes as u64;
        progress.as_of_ms = as_of_ms.or(progress.as_of_ms);
        progress.problem = None;
    }

    /// Records that the store was restored from a checkpoint.
    pub(crate) fn restored(&self, next: u64, as_of_ms: Option<u64>) {
        let mut progress = self.progress.lock();
        progress.next = next;
        progress.as_of_ms = as_of_ms;
        progress.problem = None;
        progress.restores += 1;
        self.is_restoring.store(false, Ordering::Release);
    }

    /// Records that the files of the log are going to be replaced.
    pub(crate) fn begin_restore(&self) {
        self.restores_begun.fetch_add(1, Ordering::AcqRel);
        self.is_restoring.store(true, Ordering::Release);
    }

    /// How often the files of the log have begun to be replaced.
    pub(crate) fn restores_begun(&self) -> u64 {
        self.restores_begun.load(Ordering::Acquire)
    }

    pub(crate) fn is_restoring(&self) -> bool {
        self.is_restoring.load(Ordering::Acquire)
    }

    /// From now on, no call is begun.
    pub(crate) fn begin_close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    pub(crate) fn set_problem(&self, problem: Option<Arc<str>>) {
        self.progress.lock().problem = problem;
    }

    /// For how long the replica has not responded, and the current problem.
    pub(crate) fn status(&self, now: Instant) -> (Duration, Option<Arc<str>>) {
        let progress = self.progress.lock();
        let silent = now.saturating_duration_since(progress.responded);
        (silent, progress.problem.clone())
    }

    /// How far the store may be behind: the time since the replica was last known to have nothing
    /// further or, while it has, since the last commit that was applied.
    pub(crate) fn lag(&self, now: SystemTime) -> Duration {
        let progress = self.progress.lock();
        if progress.is_current {
            return Instant::now().saturating_duration_since(progress.responded);
        }
        let as_of = progress.as_of_ms.map(clock::from_ms);
        let passed = as_of.and_then(|as_of| now.duration_since(as_of).ok());
        passed.unwrap_or_default()
    }

    pub(crate) fn stats(&self, as_of_lsn: u64, now: SystemTime) -> FollowerStats {
        let lag = self.lag(now);
        let progress = self.progress.lock();
        FollowerStats {
            place: self.replica.place(),
            as_of_lsn,
            as_of: progress.as_of_ms.map(clock::from_ms),
            lag,
            last_chunk: progress.next - 1,
            bytes: progress.bytes,
            silent: Instant::now().saturating_duration_since(progress.responded),
            is_current: progress.is_current,
            restores: progress.restores,
        }
    }
}
