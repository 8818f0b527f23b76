//! Reports how far a scan has come, and whether it is to stop.

use std::ops::ControlFlow;

use super::matches::ScanMatches;
use crate::model::job_query::{OnProgress, ScanProgress};

/// What who waits is told, and when.
pub(crate) struct ProgressReporter<'s> {
    call: Option<&'s OnProgress>,
    of: u64,
    pub(super) looked_at: u64,
    reported: u64,
}

impl<'s> ProgressReporter<'s> {
    /// Of so many jobs.
    pub(crate) fn new(call: Option<&'s OnProgress>, of: u64) -> ProgressReporter<'s> {
        ProgressReporter {
            call,
            of,
            looked_at: 0,
            reported: 0,
        }
    }

    /// Says how far the scan is; whether it is to end there. Each word is of jobs that were
    /// looked at since the last, so that who ends it at any word comes on.
    pub(super) fn report(&mut self, matches: &ScanMatches, after: u64) -> bool {
        let Some(call) = self.call.filter(|_| self.looked_at > self.reported) else {
            return false;
        };
        if self.looked_at - self.reported < after && self.looked_at < self.of {
            return false;
        }
        self.reported = self.looked_at;
        let searched = ScanProgress {
            looked_at: self.looked_at,
            matched: matches.matched,
            of: self.of,
        };
        (call.0)(&searched) == ControlFlow::Break(())
    }
}
