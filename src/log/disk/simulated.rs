//! The paths of simulated folders.
//!
//! Owns: which paths these are, and what finds the archives among them.

#[cfg(feature = "archive")]
use std::cell::Cell;
#[cfg(feature = "archive")]
use std::io;
use std::path::Path;
#[cfg(feature = "archive")]
use std::sync::Arc;

#[cfg(feature = "archive")]
use crate::log::disk::Disk;

/// What the path of every simulated store begins with.
pub(crate) const PATH: &str = "/simulated";
/// What the path of every simulated archive begins with.
#[cfg(feature = "archive")]
const ARCHIVES: &str = "/simulated-archives";

/// Finds the directory at a path.
#[cfg(feature = "archive")]
pub(crate) type Find = fn(&Path) -> Option<Arc<dyn Disk>>;

#[cfg(feature = "archive")]
thread_local! {
    static FIND: Cell<Option<Find>> = const { Cell::new(None) };
}

/// Whether a path belongs to a simulated store.
pub(crate) fn is_simulated(path: &Path) -> bool {
    path.starts_with(PATH)
}

/// Has the archives of this thread found by this.
#[cfg(feature = "archive")]
pub(crate) fn find_archives_by(find: Find) {
    FIND.set(Some(find));
}

/// The directory at a simulated path; `None` for all other paths.
#[cfg(feature = "archive")]
pub(crate) fn archive_at(path: &Path) -> Option<io::Result<Arc<dyn Disk>>> {
    if !path.starts_with(ARCHIVES) {
        return None;
    }
    let found = FIND.get().and_then(|find| find(path));
    Some(found.ok_or_else(|| io::ErrorKind::NotFound.into()))
}
