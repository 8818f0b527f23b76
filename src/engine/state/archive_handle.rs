//! Where the jobs of a graph go before they are purged.
//!
//! Owns: [`Home`], the archive that is open and what is wrong with it. Must not know: when
//! it is opened, which jobs go there.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::sync::time::Instant;
use crate::base::sync::{Mutex, OnceLock};
use crate::engine::state::watchdog::Watch;
use crate::log::archive::Archive;
use crate::model::retention::ArchiveTo;

/// The archive of a graph. Most graphs have none, and it takes a word then.
#[derive(Default)]
pub(crate) struct Place(OnceLock<Box<Home>>);

impl Place {
    /// What is known of it, made now if it was never used.
    pub(crate) fn home(&self) -> &Home {
        self.0.get_or_init(Box::default)
    }

    /// The same, if it was ever used.
    pub(crate) fn used(&self) -> Option<&Home> {
        self.0.get().map(|home| &**home)
    }
}

/// Where the jobs of a graph go.
#[derive(Default)]
pub(crate) struct Home {
    /// Held by who archives and purges.
    pub(crate) open: Mutex<Option<Box<Open>>>,
    /// Why it cannot be written, and when that was found.
    pub(crate) problem: Mutex<Option<(Arc<str>, Instant)>>,
    /// A file that somebody has taken away while it was written.
    pub(crate) lost: Mutex<Option<PathBuf>>,
    /// What it waits for: its directory may be on a file system that does not answer.
    pub(crate) watch: Watch,
}

/// An archive that was opened.
pub(crate) struct Open {
    pub(crate) archive: Archive,
    pub(crate) to: ArchiveTo,
    pub(crate) file_bytes_max: u64,
}

impl Home {
    /// Reports no more what was lost.
    pub(crate) fn forget_lost(&self) {
        *self.lost.lock() = None;
    }

    /// Has jobs go to this archive, as long as a policy names the same.
    #[cfg(test)]
    pub(crate) fn put_open(&self, archive: Archive, to: ArchiveTo, file_bytes_max: u64) {
        *self.open.lock() = Some(Box::new(Open {
            archive,
            to,
            file_bytes_max,
        }));
    }
}
