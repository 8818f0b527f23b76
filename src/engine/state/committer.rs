//! What the committer holds from one round to the next.
//!
//! Owns: [`Committer`]. Must not know: what a round does.

use std::sync::Arc;

use crate::base::sync::time::Instant;
use crate::engine::state::backlog::Backlog;
use crate::engine::state::waiters::Waiter;
use crate::log::frame::Builder;
use crate::log::identity::LogEnd;
use crate::log::writer::LogWriter;

pub(crate) struct Committer {
    pub(crate) log: LogWriter,
    pub(crate) frame: Builder,
    /// Since when something is written and not synced.
    pub(crate) unsynced_since: Option<Instant>,
    pub(crate) changes_since_index: u64,
    /// The time of the round.
    pub(crate) now_ms: u64,
    /// What the index lacks.
    pub(crate) backlog: Backlog,
    /// Who waited for what this round made visible.
    pub(crate) waiters: Vec<Arc<Waiter>>,
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
