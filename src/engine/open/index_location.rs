//! Where the index is kept: on disk, or in memory if there is no space for it.

use std::sync::Arc;

use super::read_log::ReadLog;
use crate::engine::open::store_files::StoreFiles;
use crate::engine::replay::ReplayError;
use crate::index::Index;
use crate::index::directory::IndexDirectory;
use crate::index::memory::MemoryIndex;
use crate::log::disk;
use crate::log::identity::IndexSeal;
use crate::model::error::{Error, Result};

/// The result of reading the log. If the index is in memory because of a problem, includes the
/// reason.
pub(super) type ReadResult = (Result<ReadLog, ReplayError>, Option<Arc<str>>);

/// An index is considered too large if it is larger than this many bytes plus twice the size of the
/// log.
const INDEX_BYTES_FREE: u64 = 32 << 20;

/// Where the index is.
pub(crate) enum IndexLocation<'a> {
    Directory(IndexDirectory),
    /// In memory. The function returns the index; its argument is whether to rebuild it.
    Memory(&'a dyn Fn(bool) -> Arc<dyn Index>),
}

impl IndexLocation<'_> {
    /// Opens the index and reads the log on top of it. Rebuilds the index if it does not match the
    /// log, or if asked to. If there is no space for it on disk, keeps it in memory and returns the
    /// reason.
    pub(super) fn read(
        &self,
        mut rebuild: bool,
        seal: Option<&IndexSeal>,
        read: &dyn Fn(Arc<dyn Index>) -> Result<ReadLog, ReplayError>,
    ) -> Result<ReadResult> {
        let in_memory = |why: String| {
            tracing::warn!(
                why,
                "not enough disk space for the index; keeping it in memory"
            );
            if let IndexLocation::Directory(directory) = self {
                if let Err(error) = directory.discard() {
                    tracing::warn!(%error, "cannot remove the index");
                }
            }
            let index = Arc::new(MemoryIndex::default());
            Ok((read(index), Some(why.into())))
        };
        if !self.has_room() {
            return in_memory("the disk is nearly full".to_owned());
        }
        loop {
            let index = match self.open(rebuild, seal.filter(|_| !rebuild)) {
                Err(error) if disk::is_full(&error) || !self.has_room() => {
                    return in_memory(error.to_string());
                }
                index => index?,
            };
            match read(index) {
                Err(ReplayError::Index(fault)) if !rebuild => {
                    tracing::warn!(fault = %fault.0, "the index does not match the log");
                    rebuild = true;
                }
                Err(ReplayError::Index(fault)) => return in_memory(fault.0),
                read => {
                    self.opened()?;
                    return Ok((read, None));
                }
            }
        }
    }

    /// Where the index is on disk, if it is not in memory.
    pub(super) fn into_directory(self) -> Option<IndexDirectory> {
        match self {
            IndexLocation::Directory(directory) => Some(directory),
            IndexLocation::Memory(_) => None,
        }
    }

    fn has_room(&self) -> bool {
        match self {
            IndexLocation::Directory(directory) => directory.has_room(),
            IndexLocation::Memory(_) => true,
        }
    }

    fn open(&self, rebuild: bool, seal: Option<&IndexSeal>) -> Result<Arc<dyn Index>> {
        match self {
            IndexLocation::Directory(directory) => directory
                .open(rebuild, seal)
                .map_err(|e| Error::io("open", directory.path(), &e)),
            IndexLocation::Memory(open) => Ok(open(rebuild)),
        }
    }

    /// Whether the index's files are much larger than an index of this log needs to be. The index
    /// engine keeps garbage for some time; a rebuilt index contains none.
    pub(super) fn is_overgrown(&self, files: &StoreFiles) -> bool {
        let IndexLocation::Directory(directory) = self else {
            return false;
        };
        let bound = INDEX_BYTES_FREE + 2 * files.bytes();
        let overgrown = directory.bytes().is_ok_and(|bytes| bytes > bound);
        if overgrown {
            tracing::info!(bound, "the index exceeds its maximum size; rebuilding it");
        }
        overgrown
    }

    /// Must be called after an attempt to read the index, whether it succeeded or not.
    fn opened(&self) -> Result<()> {
        match self {
            IndexLocation::Directory(directory) => directory
                .opened()
                .map_err(|e| Error::io("open", directory.path(), &e)),
            IndexLocation::Memory(_) => Ok(()),
        }
    }
}
