//! Reports the progress of a scan, and asks the caller whether to stop it.

use std::ops::ControlFlow;

use super::matches::ScanMatches;
use crate::model::job_query::{OnProgress, ScanProgress};

/// What to report to the caller, and when.
pub(crate) struct ProgressReporter<'s> {
    call: Option<&'s OnProgress>,
    of: u64,
    pub(super) looked_at: u64,
    reported: u64,
}

impl<'s> ProgressReporter<'s> {
    /// Creates a reporter for a scan of `of` jobs.
    pub(crate) fn new(call: Option<&'s OnProgress>, of: u64) -> ProgressReporter<'s> {
        ProgressReporter {
            call,
            of,
            looked_at: 0,
            reported: 0,
        }
    }

    /// Reports progress; returns whether to stop the scan here. Each report is made only after
    /// further jobs have been checked, so a caller that stops each of its scans at the first report
    /// still makes progress.
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
