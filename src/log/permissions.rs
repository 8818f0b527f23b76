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
const GROUP: u32 = 0o070;

/// The first of folder and files that others than the owner may read or change, in words
/// for who can mend it. What cannot be looked at is passed over: an open finds that out.
///
/// A folder that belongs to another user and is open to a group is a volume that whoever
/// manages it shares with that group, as Kubernetes does for an `fsGroup`. It cannot be
/// closed to the group from here, and need not be.
pub(crate) fn find(directory: &Path) -> Option<String> {
    let there = fs::metadata(directory).ok()?;
    let is_shared = there.uid() != rustix::process::geteuid().as_raw();
    let exposed = |found: &fs::Metadata| {
        let mode = found.mode() & 0o777;
        let others = match is_shared && found.gid() == there.gid() {
            true => OTHERS & !GROUP,
            false => OTHERS,
        };
        (mode & others != 0).then_some(mode)
    };
    if let Some(mode) = exposed(&there) {
        return Some(format!(
            "directory {} has mode {mode:04o}, so other users can access it; run: chmod 700 {0}",
            directory.display()
        ));
    }
    for entry in fs::read_dir(directory).ok()?.flatten() {
        let Some(file) = entry.metadata().ok().filter(|file| file.is_file()) else {
            continue;
        };
        if let Some(mode) = exposed(&file) {
            return Some(format!(
                "file {} has mode {mode:04o}, so other users can access it; run: chmod 600 {0}",
                entry.path().display()
            ));
        }
    }
    None
}
