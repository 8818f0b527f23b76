//! Who else may read a store's folder.
//!
//! Owns: the look at the modes of the folder and of the files in it. Must not know: what
//! is in them.
//! Promise: a store whose credentials others can read says so, until they cannot.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What group and others may do.
const OTHERS: u32 = 0o077;

/// The first of folder and files that others than the owner may read or change, in words
/// for who can mend it. What cannot be looked at is passed over: an open finds that out.
pub(crate) fn find(folder: &Path) -> Option<String> {
    let mode = fs::metadata(folder).ok()?.mode() & 0o777;
    if mode & OTHERS != 0 {
        return Some(format!(
            "the folder {} has mode {mode:04o}, so others than its owner can look into it; \
             run: chmod 700 {0}",
            folder.display()
        ));
    }
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let Some(file) = entry.metadata().ok().filter(|file| file.is_file()) else {
            continue;
        };
        let mode = file.mode() & 0o777;
        if mode & OTHERS != 0 {
            return Some(format!(
                "the file {} has mode {mode:04o}; run: chmod 600 {0}",
                entry.path().display()
            ));
        }
    }
    None
}
