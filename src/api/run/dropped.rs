// Dropping a run that was neither completed, requeued, nor detached.

use std::time::Duration;

use super::{FAILED, Run, SETTLED};
use crate::api::pending_write::PendingWrite;
use crate::api::write::done;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::thread;
use crate::model::error::Error;
use crate::model::options::Recovery;

/// The maximum time for which dropping a run waits for its write to be durable. The write is queued
/// in any case.
const DROP_WAIT: Duration = Duration::from_secs(1);

impl Drop for Run {
    fn drop(&mut self) {
        let end = self.end.load(Ordering::Relaxed);
        // If the store is closed, the next open settles the job.
        let is_closed = self.graph.engine().check_open().is_err();
        // A forked process leaves its parent's jobs alone.
        let is_external = self.graph.engine().check_process().is_err();
        if end == SETTLED || self.is_over() || is_closed || is_external {
            return;
        }
        if end == FAILED {
            tracing::warn!(
                job = %self.id,
                "a run was dropped after its outcome could not be recorded; the job stays running \
                 until it is completed by its id"
            );
            return;
        }
        let requeue = match (self.graph.engine().options.recovery, thread::panicking()) {
            (_, true) | (Recovery::Interrupt, false) => false,
            (Recovery::Requeue, false) => !self.secrets_lost,
            (Recovery::Leave, false) => return,
        };
        let mut write = PendingWrite::new(&self.graph.handle, self.give_up(requeue, done));
        match write.wait_timeout(DROP_WAIT) {
            // Either the next open settles the job, or it has already been settled. There is
            // nothing to report.
            Some(Err(Error::Closed | Error::GraphDropped { .. } | Error::InvalidUse { .. })) => {}
            Some(Err(error)) => tracing::warn!(
                job = %self.id,
                %error,
                "cannot record that a run was dropped; the job stays running"
            ),
            Some(Ok(())) | None => {}
        }
        write.detach();
    }
}
