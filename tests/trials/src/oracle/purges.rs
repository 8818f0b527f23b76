//! What purges do.
//!
//! No other call on the graph is in progress during a purge. So every job that is certain to be
//! complete is purged, and no job that cannot be complete.

use super::{Graph, Job};

impl Job {
    fn may_be_complete(&self) -> bool {
        let ended = self.complete || !self.ends_tried.is_empty() || self.may_be_recovered;
        ended || self.started || self.start_tried || self.cancel_tried || self.abandon_tried
    }
}

impl Graph {
    pub(super) fn purge_tried(&mut self) {
        for job in self.jobs.values_mut() {
            job.purge_tried |= job.may_be_complete();
        }
    }

    pub(super) fn purged(&mut self) {
        for job in self.jobs.values_mut() {
            job.purged |= job.there && job.complete;
        }
    }
}
