//! The archive of a graph, and what is wrong with it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::sync::time::Instant;
use crate::base::sync::{Mutex, OnceLock};
use crate::engine::state::watchdog::Watch;
use crate::log::archive::Archive;
use crate::model::retention::ArchiveTo;

/// The archive of a graph. Most graphs have none; then it takes one word.
#[derive(Default)]
pub(crate) struct Place(OnceLock<Box<Home>>);

impl Place {
    /// Returns its state, creating it on first use.
    pub(crate) fn home(&self) -> &Home {
        self.0.get_or_init(Box::default)
    }

    /// The same, if it was ever used.
    pub(crate) fn used(&self) -> Option<&Home> {
        self.0.get().map(|home| &**home)
    }
}

/// The state of a graph's archive.
#[derive(Default)]
pub(crate) struct Home {
    /// Locked while jobs are archived and purged.
    pub(crate) open: Mutex<Option<Box<Open>>>,
    /// Why it cannot be written, and since when.
    pub(crate) problem: Mutex<Option<(Arc<str>, Instant)>>,
    /// An archive file that was removed while it was being written.
    pub(crate) lost: Mutex<Option<PathBuf>>,
    /// Monitors calls to the archive: its directory may be on a file system that hangs.
    pub(crate) watch: Watch,
}

/// An open archive.
pub(crate) struct Open {
    pub(crate) archive: Archive,
    pub(crate) to: ArchiveTo,
    pub(crate) file_bytes_max: u64,
}

impl Home {
    /// Stops reporting the lost file.
    pub(crate) fn forget_lost(&self) {
        *self.lost.lock() = None;
    }

    /// Uses this archive until the policy names a different one.
    #[cfg(test)]
    pub(crate) fn put_open(&self, archive: Archive, to: ArchiveTo, file_bytes_max: u64) {
        *self.open.lock() = Some(Box::new(Open {
            archive,
            to,
            file_bytes_max,
        }));
    }
}
