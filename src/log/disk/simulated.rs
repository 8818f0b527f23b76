//! The paths of simulated directories, and the function that finds simulated archives.

#[cfg(feature = "archive")]
use std::cell::Cell;
#[cfg(feature = "archive")]
use std::io;
use std::path::Path;
#[cfg(feature = "archive")]
use std::sync::Arc;

#[cfg(feature = "archive")]
use crate::log::disk::Disk;

/// The prefix of the paths of all simulated stores.
pub(crate) const PATH: &str = "/simulated";
/// The prefix of the paths of all simulated archives.
#[cfg(feature = "archive")]
const ARCHIVES: &str = "/simulated-archives";

/// Finds the directory with this path.
#[cfg(feature = "archive")]
pub(crate) type Find = fn(&Path) -> Option<Arc<dyn Disk>>;

#[cfg(feature = "archive")]
thread_local! {
    static FIND: Cell<Option<Find>> = const { Cell::new(None) };
}

/// Returns whether a path belongs to a simulated store.
pub(crate) fn is_simulated(path: &Path) -> bool {
    path.starts_with(PATH)
}

/// Sets the function that finds the archives of this thread.
#[cfg(feature = "archive")]
pub(crate) fn find_archives_by(find: Find) {
    FIND.set(Some(find));
}

/// Returns the directory at a simulated path. `None` for all other paths.
#[cfg(feature = "archive")]
pub(crate) fn archive_at(path: &Path) -> Option<io::Result<Arc<dyn Disk>>> {
    if !path.starts_with(ARCHIVES) {
        return None;
    }
    let found = FIND.get().and_then(|find| find(path));
    Some(found.ok_or_else(|| io::ErrorKind::NotFound.into()))
}
