//! Changes to a store's directory between two opens.
//!
//! Contains the copying of directories, the loss of an index, and the location of trial stores. A
//! trial leaves nothing behind unless it failed.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

/// The index, which is derived from the rest of the store and may be lost at any time.
pub const INDEX: &str = "index";

/// Creates a directory, in memory if the system has space for it there.
///
/// # Errors
/// Any error of the file system or of the process.
pub fn fast() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let made = tempfile::Builder::new()
        .prefix("jobstore-trial-")
        .tempdir_in(memory);
    made.or_else(|_| on_disk())
}

/// Creates a directory in the location for temporary files.
///
/// # Errors
/// Any error of the file system or of the process.
pub fn on_disk() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("jobstore-trial-").tempdir()
}

/// Copies a directory recursively. Files that are removed during the copy are omitted.
///
/// # Errors
/// Any error of the file system or of the process.
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

/// Deletes the whole index of a closed store.
///
/// # Errors
/// Any error of the file system or of the process.
pub fn lose_index(store: &Path) -> io::Result<()> {
    match fs::remove_dir_all(store.join(INDEX)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
