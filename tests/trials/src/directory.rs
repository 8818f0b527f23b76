//! What can happen to a store's folder between two looks at it.
//!
//! Owns: copies of folders, the loss of an index, where trials put their stores.
//! Promise: a trial leaves nothing behind unless it failed.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

/// The derived part of a store, which may be lost at any time.
pub const INDEX: &str = "index";

/// A folder of its own, in memory where the system has room for that.
///
/// # Errors
/// Those of the system.
pub fn fast() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let made = tempfile::Builder::new()
        .prefix("jobstore-trial-")
        .tempdir_in(memory);
    made.or_else(|_| on_disk())
}

/// A folder of its own, where temporary files are.
///
/// # Errors
/// Those of the system.
pub fn on_disk() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("jobstore-trial-").tempdir()
}

/// Copies a folder with all that is in it. What goes away meanwhile is left out.
///
/// # Errors
/// Those of the system.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let copied = match from.is_dir() {
            true => copy(&from, &to),
            false => fs::copy(&from, &to).map(|_| ()),
        };
        match copied {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            copied => copied?,
        }
    }
    Ok(())
}

/// Takes the whole index away from a store that is closed.
///
/// # Errors
/// Those of the system.
pub fn lose_index(store: &Path) -> io::Result<()> {
    match fs::remove_dir_all(store.join(INDEX)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
