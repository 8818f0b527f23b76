//! Finds the process that has locked a file.
//!
//! A process is returned only if it has the file open and the system reports that it holds the
//! lock.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

/// The process on this system that has locked one of these files.
pub(crate) fn find(files: &[&File]) -> Option<u32> {
    let identities: Vec<(u64, u64)> = files
        .iter()
        .filter_map(|file| Some(identity(&file.metadata().ok()?)))
        .collect();
    // This file lists processes in other containers only if they are visible from this container.
    // The ids in the file are those that the processes have in this container.
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let holders = locks
        .lines()
        .filter_map(parse)
        .filter(|(_, inode)| identities.iter().any(|(_, ino)| ino == inode));
    let mut holders = holders.map(|(pid, _)| pid);
    holders.find(|&pid| has_open(pid, &identities))
}

/// Returns the process and the inode from a line of `/proc/locks`, if the line describes an
/// exclusive lock: `1: FLOCK  ADVISORY  WRITE 7 fe:00:5497389 0 EOF`.
fn parse(line: &str) -> Option<(u32, u64)> {
    let mut words = line.split_whitespace().skip(1);
    // In the line of a lock that is waited for, an arrow is in this position.
    let is_lock = matches!(words.next()?, "FLOCK" | "POSIX" | "OFDLCK");
    let is_to_write = words.nth(1)? == "WRITE";
    let pid = words.next()?.parse().ok()?;
    let inode = words.next()?.rsplit(':').next()?.parse().ok()?;
    (is_lock && is_to_write).then_some((pid, inode))
}

/// Whether a process has one of these files open, as far as this process is permitted to see that.
fn has_open(pid: u32, identities: &[(u64, u64)]) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let mut open = open.flatten();
    open.any(|file| {
        let found = fs::metadata(file.path());
        found.is_ok_and(|found| identities.contains(&identity(&found)))
    })
}

fn identity(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_locks_for_writing_that_are_held_count() {
        let of = |line: &str| parse(line);
        let held = "1: FLOCK  ADVISORY  WRITE 7 fe:00:5497389 0 EOF";
        assert_eq!(of(held), Some((7, 5_497_389)));
        for line in [
            "1: FLOCK  ADVISORY  READ 7 fe:00:5497389 0 EOF",
            "1: -> FLOCK  ADVISORY  WRITE 7 fe:00:5497389 0 EOF",
            "1: LEASE  ACTIVE    WRITE 7 fe:00:5497389 0 EOF",
            "1: FLOCK  ADVISORY  WRITE",
            "",
        ] {
            assert_eq!(of(line), None, "{line:?}");
        }
    }
}
