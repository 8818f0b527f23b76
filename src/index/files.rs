//! Listing, creating, and removing the files and directories of an index.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// A file or directory below the index's directory.
#[derive(PartialEq, Eq)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    /// `None` for a directory.
    pub(crate) len: Option<u64>,
    pub(crate) mode: u32,
    changed: (i64, i64),
}

pub(crate) fn not_found_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Lists everything below a directory, sorted by name. Anything that is neither a file nor a
/// directory is an error.
pub(crate) fn files(root: &Path) -> io::Result<Vec<FileEntry>> {
    let mut found = Vec::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root.join(&directory))? {
            let entry = entry?;
            let plain = entry.file_name().into_string();
            let plain = plain.map_err(|_| io::Error::other("a file name is not valid UTF-8"))?;
            let name = match directory.as_str() {
                "" => plain,
                directory => format!("{directory}/{plain}"),
            };
            let known = fs::symlink_metadata(root.join(&name))?;
            if known.is_dir() {
                directories.push(name.clone());
            } else if !known.is_file() {
                return Err(io::Error::other(
                    "it is neither a regular file nor a directory",
                ));
            }
            found.push(FileEntry {
                name,
                len: known.is_file().then_some(known.len()),
                mode: known.mode() & 0o777,
                // The modification time of a directory is not needed: it changes with the
                // directory's entries, which are compared anyway.
                changed: match known.is_file() {
                    true => (known.mtime(), known.mtime_nsec()),
                    false => (0, 0),
                },
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Removes the directory of an index and everything in it.
pub(crate) fn remove(directory: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(directory) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(directory),
        Ok(_) => fs::remove_file(directory),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Creates the directory of an index so that only its owner can access it. An engine would create
/// it so that other users can access it, too.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// Returns whether this path is a directory, and not a symbolic link to one.
pub(crate) fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}
