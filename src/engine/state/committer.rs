//! [`Committer`]: the state that the committer keeps from one round to the next.

use std::sync::Arc;

use crate::base::sync::time::Instant;
use crate::engine::state::backlog::Backlog;
use crate::engine::state::nearby_jobs::NearbyJobs;
use crate::engine::state::waiters::Waiter;
use crate::log::frame::Builder;
use crate::log::identity::LogEnd;
use crate::log::writer::LogWriter;

pub(crate) struct Committer {
    pub(crate) log: LogWriter,
    pub(crate) frame: Builder,
    /// When the first of the unsynced writes was written.
    pub(crate) unsynced_since: Option<Instant>,
    pub(crate) changes_since_index: u64,
    /// The time of the round.
    pub(crate) now_ms: u64,
    /// The changes that the index lacks.
    pub(crate) backlog: Backlog,
    /// Waiters for changes that this round made visible.
    pub(crate) waiters: Vec<Arc<Waiter>>,
    pub(crate) nearby_jobs: NearbyJobs,
}

impl Committer {
    pub(crate) fn new(log: LogWriter, backlog: Backlog) -> Committer {
        Committer {
            log,
            frame: Builder::default(),
            unsynced_since: None,
            changes_since_index: 0,
            now_ms: 0,
            backlog,
            waiters: Vec::new(),
            nearby_jobs: NearbyJobs::default(),
        }
    }

    /// Where the log ends.
    pub(crate) fn log_end(&self) -> LogEnd {
        LogEnd {
            epoch: self.log.active().header.epoch,
            offset: self.log.end(),
            lsn: self.log.next_lsn() - 1,
        }
    }
}
