//! Reports the health of an open store. Determines the order in which problems are reported, and
//! their messages.

use std::time::Duration;

use crate::base::sync::time::Instant;
#[cfg(feature = "archive")]
use crate::engine::background::archiving;
use crate::engine::core::{Engine, Failure};
use crate::engine::state::watchdog::HANG_TIMEOUT;
use crate::log::permissions;
use crate::model::health::Health;

/// A replica that has not responded for this long is reported.
const SLOW_REPLICA: Duration = Duration::from_secs(2);

/// For a follower, which waits for the replica's next chunk for some time.
const SILENT_REPLICA: Duration = Duration::from_secs(5);

impl Engine {
    pub(crate) fn health(&self) -> Health {
        self.health_at(Instant::now())
    }

    pub(crate) fn health_at(&self, now: Instant) -> Health {
        if self.check_open().is_err() {
            return Health::Closed;
        }
        // A problem found here stops writes.
        self.check_files().ok();
        if let Some(Failure { why, since, .. }) = self.failure.get() {
            let (why, since) = (why.clone(), *since);
            return Health::ReadOnly { why, since };
        }
        let index =
            self.index_fault.lock().as_ref().map(|why| {
                format!("the index is unavailable: {why}; reopen the store to rebuild it")
            });
        let in_memory = self.index_in_memory.lock().as_ref().map(|why| {
            format!("the index is kept in memory until there is enough disk space: {why}")
        });
        let busy = self.index_watchdog.busy(now);
        let stuck = busy
            .filter(|(_, time)| *time > HANG_TIMEOUT)
            .map(|(call, time)| {
                format!(
                    "the index does not respond: it has been in a {call} for {} s; close the \
                     store and end the process; the next open rebuilds the index",
                    time.as_secs()
                )
            });
        let packing = self.packing_problem.lock().clone();
        let packing = packing.map(|why| format!("packing failed and is being retried: {why}"));
        let archive = self.archive_problem(now);
        let damage = self.damage.lock().clone();
        let damage = damage.map(|what| format!("{what}; close the store and run `repair`"));
        let clock = self.waits_for_clock().then(|| {
            "the store was closed for more than a day, or the clock jumped; this time does not \
             count toward the age of jobs; call confirm_clock once the clock is correct"
                .to_owned()
        });
        let clock = clock.or_else(|| {
            self.options
                .clock
                .panics()
                .then(|| "the host's clock panics; times continue from its last value".to_owned())
        });
        match damage
            .or(index)
            .or(stuck)
            .or_else(|| self.purge_problem())
            .or(archive)
            .or(packing)
            .or_else(|| self.replica_problem())
            .or_else(|| self.following_problem(now))
            .or(in_memory)
            .or(clock)
            .or_else(|| self.permission_warning())
        {
            Some(why) => Health::Degraded { why: why.into() },
            None => Health::Ok,
        }
    }

    /// Why the replica is behind.
    fn replica_problem(&self) -> Option<String> {
        let replica = self.replica.as_ref()?;
        let status = replica.appender.status();
        let waiting = status.waiting.filter(|&waiting| waiting >= SLOW_REPLICA);
        if let Some(waiting) = waiting {
            let seconds = waiting.as_secs();
            let what = status
                .problem
                .map_or(String::new(), |what| format!(": {what}"));
            return Some(format!(
                "the replica has not responded for {seconds} s{what}"
            ));
        }
        let problem = replica.progress.lock().problem.clone()?;
        Some(format!(
            "files cannot be copied to the replica: {problem}; retrying"
        ))
    }

    /// Why the store does not show what the replica contains.
    fn following_problem(&self, now: Instant) -> Option<String> {
        let (silent, problem) = self.follower.as_ref()?.status(now);
        let what = problem.map_or(String::new(), |what| format!(": {what}"));
        if silent >= SILENT_REPLICA {
            let seconds = silent.as_secs();
            return Some(format!(
                "the replica has not responded for {seconds} s, so the store shows what had been \
                 written by then{what}"
            ));
        }
        (!what.is_empty()).then(|| format!("the replica cannot be followed{what}; retrying"))
    }

    /// Which other users may read the directory. If there is a warning, the permissions are checked
    /// again, because they may have been corrected.
    fn permission_warning(&self) -> Option<String> {
        let mut known = self.permission_warning.lock();
        if known.is_some() {
            *known = self.place.get().and_then(|place| permissions::find(place));
        }
        known.clone()
    }

    /// Why jobs that must be archived before they are purged cannot be purged.
    fn archive_problem(&self, _now: Instant) -> Option<String> {
        #[cfg(feature = "archive")]
        return archiving::problem(self, _now);
        #[cfg(not(feature = "archive"))]
        None
    }
}
