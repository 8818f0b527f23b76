//! Checks, from the modes of a store's directory and files, whether other users can access the
//! store.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The permissions of group and others.
const OTHERS: u32 = 0o077;
const GROUP: u32 = 0o070;

/// Checks whether users other than the owner can read or modify the directory or a file in it.
/// Returns a message to the operator about the first directory or file to which this applies. Files
/// that cannot be checked are skipped, because an open reports them.
///
/// If the directory belongs to another user and is accessible to a group, it is treated as a volume
/// that its administrator shares with that group, as Kubernetes does for an `fsGroup`. This process
/// cannot change the modes of such a directory, and does not need to.
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
