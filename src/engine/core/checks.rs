//! Which calls a store refuses, and when it stops all writes.

use std::sync::Arc;

use super::{Engine, Failure, INDEX_LAG_MAX};
use crate::base::sync::atomic::Ordering;
use crate::engine::state::follower::FollowerState;
use crate::model::error::{Error, Result};

/// The limit that applies instead once the index has failed and will not catch up.
const FAULTY_INDEX_LAG_MAX: u64 = 1 << 20;

impl Engine {
    /// Refuses calls in a forked child of the process that opened the store: the child has none
    /// of the store's threads, and its writes would be overwritten.
    pub(crate) fn check_process(&self) -> Result<()> {
        match self.opener == std::process::id() {
            true => Ok(()),
            false => Err(Error::Forked {
                opener: self.opener,
            }),
        }
    }

    /// Refuses calls to a closed store, and calls in a forked child.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check_process()?;
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Refuses writes if the store cannot accept them.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        self.check_may_write()?;
        self.check_sound()
    }

    /// Refuses changes to a store that was opened read-only or as a follower.
    pub(crate) fn check_may_write(&self) -> Result<()> {
        self.check_not_read_only()?;
        match self.follower {
            Some(_) => Err(Error::Follower),
            None => Ok(()),
        }
    }

    /// Refuses what needs a store that changes, by its own writes or by those that it follows.
    pub(crate) fn check_not_read_only(&self) -> Result<()> {
        match self.read_only {
            true => Err(Error::OpenedReadOnly),
            false => Ok(()),
        }
    }

    /// Whether the files of the log and the index may be changed.
    pub(crate) fn may_change_files(&self) -> bool {
        let is_sound = self.check_open().is_ok() && self.check_sound().is_ok();
        is_sound && !self.read_only && !self.is_restoring()
    }

    /// Whether the files of the log are being replaced by those of the replica.
    pub(crate) fn is_restoring(&self) -> bool {
        self.follower
            .as_ref()
            .is_some_and(FollowerState::is_restoring)
    }

    /// Refuses writes once a write has failed, whether the store is closed or not.
    pub(crate) fn check_sound(&self) -> Result<()> {
        match self.failure.get() {
            Some(Failure { error, .. }) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Stops all writes: a write or sync failed, and it is unknown how much of the data reached the
    /// disk.
    pub(crate) fn fail(&self, why: &Error) -> Arc<str> {
        tracing::error!(error = %why, "write failed; the store is read-only until it is reopened");
        let text: Arc<str> = why.to_string().into();
        let error = match why {
            Error::Deposed { .. } => why.clone(),
            _ => Error::ReadOnly { why: text.clone() },
        };
        // The committer is locked, so this uses an estimate instead of reading the host's clock.
        let since = self.options.clock.estimate();
        let why = text;
        self.failure
            .get_or_init(|| Failure { error, why, since })
            .why
            .clone()
    }

    /// Refuses new jobs while the index is so far behind that memory would grow without bound.
    pub(crate) fn check_index_lag(&self) -> Result<()> {
        let known = self.index_fault.lock().clone();
        let max = if known.is_some() {
            FAULTY_INDEX_LAG_MAX
        } else {
            INDEX_LAG_MAX
        };
        if self.index_lag.load(Ordering::Relaxed) < max {
            return Ok(());
        }
        Err(Error::IndexUnavailable {
            what: known.unwrap_or_else(|| "it has fallen too far behind".into()),
        })
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }
}
