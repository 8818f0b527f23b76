//! Where the jobs of a graph go before they are purged.
//!
//! Owns: [`ArchiveState`], the archive that is open and what is wrong with it. Must not know: when
//! it is opened, which jobs go there.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::sync::time::Instant;
use crate::base::sync::{Mutex, OnceLock};
use crate::engine::state::watchdog::Watchdog;
use crate::log::archive::Archive;
use crate::model::retention::ArchiveTo;

/// The archive of a graph. Most graphs have none, and it takes a word then.
#[derive(Default)]
pub(crate) struct ArchiveSlot(OnceLock<Box<ArchiveState>>);

impl ArchiveSlot {
    /// What is known of it, made now if it was never used.
    pub(crate) fn state(&self) -> &ArchiveState {
        self.0.get_or_init(Box::default)
    }

    /// The same, if it was ever used.
    pub(crate) fn state_if_used(&self) -> Option<&ArchiveState> {
        self.0.get().map(|state| &**state)
    }
}

/// Where the jobs of a graph go.
#[derive(Default)]
pub(crate) struct ArchiveState {
    /// Held by who archives and purges.
    pub(crate) open: Mutex<Option<Box<OpenArchive>>>,
    /// Why it cannot be written, and when that was found.
    pub(crate) problem: Mutex<Option<(Arc<str>, Instant)>>,
    /// A file that somebody has taken away while it was written.
    pub(crate) lost: Mutex<Option<PathBuf>>,
    /// What it waits for: its directory may be on a file system that does not answer.
    pub(crate) watchdog: Watchdog,
}

/// An archive that was opened.
pub(crate) struct OpenArchive {
    pub(crate) archive: Archive,
    pub(crate) to: ArchiveTo,
    pub(crate) file_bytes_max: u64,
}

impl ArchiveState {
    /// Reports no more what was lost.
    pub(crate) fn forget_lost(&self) {
        *self.lost.lock() = None;
    }

    /// Has jobs go to this archive, as long as a policy names the same.
    #[cfg(test)]
    pub(crate) fn put_open(&self, archive: Archive, to: ArchiveTo, file_bytes_max: u64) {
        *self.open.lock() = Some(Box::new(OpenArchive {
            archive,
            to,
            file_bytes_max,
        }));
    }
}
