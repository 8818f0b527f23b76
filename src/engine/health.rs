//! How an open store is.
//!
//! Owns: the order in which problems are reported, and their words. Must not know: how they are
//! found.

use crate::base::sync::time::Instant;
#[cfg(feature = "archive")]
use crate::engine::archiving;
use crate::engine::core::Engine;
use crate::engine::state::watchdog::PATIENCE;
use crate::log::permissions;
use crate::model::health::Health;

impl Engine {
    pub(crate) fn health(&self) -> Health {
        self.health_at(Instant::now())
    }

    pub(crate) fn health_at(&self, now: Instant) -> Health {
        if self.check_open().is_err() {
            return Health::Closed;
        }
        // What it finds ends the writes.
        self.check_files().ok();
        if let Some((why, since)) = self.failure.get() {
            let (why, since) = (why.clone(), *since);
            return Health::ReadOnly { why, since };
        }
        let index = self
            .index_fault
            .lock()
            .as_ref()
            .map(|why| format!("the index cannot answer: {why}"));
        let in_memory = self.index_in_memory.lock().as_ref().map(|why| {
            format!("the index is kept in memory until there is room for it on disk: {why}")
        });
        let busy = self.index_watch.busy(now);
        let stuck = busy
            .filter(|(_, time)| *time > PATIENCE)
            .map(|(call, time)| {
                format!(
                    "the index is stuck in a {call} since {} s; close the store and end the \
                 process, the next open makes the index anew",
                    time.as_secs()
                )
            });
        let packing = self.packing_problem.lock().clone();
        let packing = packing.map(|why| format!("packing does not succeed: {why}"));
        let archive = self.archive_problem(now);
        let damage = self.damage.lock().clone();
        let damage = damage.map(|what| format!("{what}; close the store and repair it"));
        let clock = self.waits_for_clock().then(|| {
            "the store was closed for more than a day, or its clock jumped, so that time does not \
             count for purging by age; call confirm_clock once the clock is right"
                .to_owned()
        });
        let clock = clock.or_else(|| {
            self.options.clock.panics().then(|| {
                "the host's clock panics; times continue from what it last said".to_owned()
            })
        });
        match damage
            .or(index)
            .or(stuck)
            .or_else(|| self.purge_problem())
            .or(archive)
            .or(packing)
            .or(in_memory)
            .or(clock)
            .or_else(|| self.exposure())
        {
            Some(why) => Health::Degraded { why: why.into() },
            None => Health::Ok,
        }
    }

    /// Who else may read the directory; checked again, as it may have been fixed.
    fn exposure(&self) -> Option<String> {
        let mut known = self.exposure.lock();
        if known.is_some() {
            *known = self.place.get().and_then(|place| permissions::find(place));
        }
        known.clone()
    }

    /// Why jobs are not purged that are to be archived first.
    fn archive_problem(&self, _now: Instant) -> Option<String> {
        #[cfg(feature = "archive")]
        return archiving::problem(self, _now);
        #[cfg(not(feature = "archive"))]
        None
    }
}
