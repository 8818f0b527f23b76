//! The log of an open store, in the form in which a close would leave it.

use std::sync::Arc;

use crate::engine::core::Engine;
use crate::log::identity::Closed;
use crate::log::pack::Pack;
use crate::log::segment::Segment;
use crate::model::error::Result;

/// Packs, segments, and the clean-close mark that a close would write for them.
type Files = (Vec<Arc<Pack>>, Vec<Arc<Segment>>, Closed);

impl Engine {
    /// The files of the log, and the clean-close mark that a close would write for them, at a
    /// moment when the whole log is durable.
    pub(crate) fn at_rest(&self) -> Result<Files> {
        let now_ms = self.now_ms();
        let mut committer = self.lock_committer();
        committer.sync(self)?;
        self.check_sound()?;
        let mut end = committer.log_end();
        // In a read-only store, the log ends in the last segment.
        let log_files = self.log_files.read();
        if let (true, Some(last)) = (self.read_only, log_files.segments.last()) {
            end.epoch = last.header.epoch;
            end.offset = last.end().unwrap_or(end.offset);
        }
        let closed = Closed {
            end,
            clock: self.clock_mark_at(now_ms),
            index: None,
        };
        let files = (log_files.packs.clone(), log_files.segments.clone(), closed);
        Ok(files)
    }
}
