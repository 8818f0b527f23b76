//! What the store contained at earlier moments, for a follower that is behind.

use std::collections::VecDeque;

use crate::model::Model;

/// The maximum number of moments that are remembered.
const MOMENTS_MAX: usize = 32;

/// The expected content after each operation, by the LSN of the last event.
#[derive(Default)]
pub struct History {
    moments: VecDeque<(u64, Model)>,
}

impl History {
    /// Records the content after an operation.
    pub fn record(&mut self, lsn: u64, model: &Model) {
        if self.moments.back().is_some_and(|(known, _)| *known >= lsn) {
            return;
        }
        if self.moments.len() == MOMENTS_MAX {
            self.moments.pop_front();
        }
        self.moments.push_back((lsn, model.clone()));
    }

    /// Forgets the moments from an LSN on. An open gives the LSNs of lost events to others.
    pub fn forget_from(&mut self, lsn: u64) {
        self.moments.retain(|(known, _)| *known < lsn);
    }

    /// Forgets the moments before an LSN.
    pub fn forget_before(&mut self, lsn: u64) {
        self.moments.retain(|(known, _)| *known >= lsn);
    }

    /// Returns the content as of an LSN. `None` if that is in the middle of an operation, or if the
    /// moment is forgotten.
    pub fn at(&self, lsn: u64) -> Option<&Model> {
        let moment = self.moments.iter().find(|(known, _)| *known == lsn);
        moment.map(|(_, model)| model)
    }
}
