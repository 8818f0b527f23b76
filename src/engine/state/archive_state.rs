//! The archive of a graph, and what is wrong with it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::sync::time::Instant;
use crate::base::sync::{Mutex, OnceLock};
use crate::engine::state::watchdog::Watchdog;
use crate::log::archive::Archive;
use crate::model::retention::ArchiveTo;

/// The archive of a graph. Most graphs have no archive; for these, this takes only one word of
/// memory.
#[derive(Default)]
pub(crate) struct ArchiveSlot(OnceLock<Box<ArchiveState>>);

impl ArchiveSlot {
    /// Returns the archive's state, which is created when it is first used.
    pub(crate) fn state(&self) -> &ArchiveState {
        self.0.get_or_init(Box::default)
    }

    /// Returns the archive's state if it has been used.
    pub(crate) fn state_if_used(&self) -> Option<&ArchiveState> {
        self.0.get().map(|state| &**state)
    }
}

/// The state of a graph's archive.
#[derive(Default)]
pub(crate) struct ArchiveState {
    /// Locked while jobs are archived and purged.
    pub(crate) open: Mutex<Option<Box<OpenArchive>>>,
    /// Why the archive cannot be written to, and since when.
    pub(crate) problem: Mutex<Option<(Arc<str>, Instant)>>,
    /// An archive file that was removed while it was being written.
    pub(crate) lost: Mutex<Option<PathBuf>>,
    /// Monitors calls to the archive, because its directory may be on a file system that hangs.
    pub(crate) watchdog: Watchdog,
}

/// An open archive.
pub(crate) struct OpenArchive {
    pub(crate) archive: Archive,
    pub(crate) to: ArchiveTo,
    pub(crate) file_bytes_max: u64,
}

impl ArchiveState {
    /// Stops reporting the lost file.
    pub(crate) fn forget_lost(&self) {
        *self.lost.lock() = None;
    }

    /// Uses this archive until the policy names a different one.
    #[cfg(test)]
    pub(crate) fn put_open(&self, archive: Archive, to: ArchiveTo, file_bytes_max: u64) {
        *self.open.lock() = Some(Box::new(OpenArchive {
            archive,
            to,
            file_bytes_max,
        }));
    }
}
