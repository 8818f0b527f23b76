//! A store that follows its replica as fast as a simulator determines.

use super::{Disk, Index, open};
use crate::api::store::JobStore;
use crate::engine::background::following::{self, Reading};
use crate::model::error::Result;
use crate::model::options::Options;
use crate::model::stats::FollowerStats;

/// A follower, and what its thread would remember.
pub struct Follower {
    store: JobStore,
    reading: Reading,
}

impl Follower {
    /// Opens the store on a disk as a follower of its replica.
    ///
    /// # Errors
    /// The errors of [`Options::follow`].
    pub fn open(
        mut options: Options,
        disk: &Disk,
        index: &Index,
        segment_bytes: u64,
    ) -> Result<Follower> {
        options.is_follower = true;
        Ok(Follower {
            store: open(options, disk, index, segment_bytes)?,
            reading: Reading::default(),
        })
    }

    #[must_use]
    pub fn store(&self) -> &JobStore {
        &self.store
    }

    /// Returns how far it follows its replica, without any call to the disk.
    #[must_use]
    pub fn stats(&self) -> Option<FollowerStats> {
        let engine = self.store.engine();
        let follower = engine.follower.as_ref()?;
        let as_of_lsn = super::visible_lsn(&self.store);
        Some(follower.stats(as_of_lsn, engine.options.clock.now()))
    }

    /// Reads the next chunk, if there is one, and applies it. A failure is recorded in the store's
    /// health. Returns `false` if the thread would have ended, because the store is closed or has
    /// failed.
    pub fn step(&mut self) -> bool {
        let engine = self.store.engine();
        match &engine.follower {
            Some(follower) if following::is_running(engine) => {
                following::advance(engine, follower, &mut self.reading);
                true
            }
            _ => false,
        }
    }
}
