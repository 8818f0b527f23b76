//! The names of a store's files. The name alone determines what a file is.

use crate::base::codec::NUMBER_MAX;

/// Store id and format.
pub(crate) const STORE: &str = "STORE";
/// Records where the log ended at the last clean close. Does not exist while the store is open.
pub(crate) const CLOSED: &str = "CLOSED";
/// The file that becomes `CLOSED` at the next clean close. It is created in advance so that closing
/// needs no space.
pub(crate) const CLOSING: &str = "CLOSING";
/// Which keys are secret, if they were ever set to something other than the default.
pub(crate) const SECRET_KEYS: &str = "SECRET-KEYS";
/// This file is locked while the store is open.
pub(crate) const LOCK: &str = "LOCK";
/// Zeros: space in the log for the writes that must still be possible when the disk is full.
pub(crate) const RESERVE: &str = "RESERVE";
/// Space in which packs are rewritten when the disk is full.
pub(crate) const SCRATCH: &str = "SCRATCH";
/// Exists while the directory is being made the mirror of its replica.
pub(crate) const MIRRORING: &str = "MIRRORING";
/// Exists while a follower copies the log of its replica to the directory.
pub(crate) const FOLLOWING: &str = "FOLLOWING";
/// Which reign wrote to the directory last. Exists only if the store has a replica.
pub(crate) const REIGN: &str = "REIGN";
/// The directory of the index.
pub(crate) const INDEX: &str = "index";
/// The directory of an index that is being rewritten. Afterwards, it contains the index that the
/// rewritten one has replaced.
pub(crate) const INDEX_REWRITE: &str = "index-rewrite";
/// Exists while the index is being opened, so that an open that did not complete is detected.
pub(crate) const INDEX_OPENING: &str = "INDEX-OPENING";
/// The socket of [`JobStore::control`](crate::JobStore). Exists while the socket is open.
pub(crate) const CONTROL: &str = "control.sock";
/// The suffix of files that a repair has quarantined.
pub(crate) const DAMAGED: &str = ".damaged";
/// The suffix of unfinished files.
pub(crate) const ASIDE: &str = ".aside";

/// The name of the socket until it is ready.
pub(crate) const CONTROL_ASIDE: &str = "c.aside";
/// How many other names are tried for an unfinished file if its first name is taken.
pub(crate) const ASIDE_NUMBER_MAX: u32 = 9;

/// The `n`-th name of an unfinished file, used if the previous ones are taken.
pub(crate) fn aside(name: &str, n: u32) -> String {
    match n {
        0 => format!("{name}{ASIDE}"),
        n => format!("{name}.{n}{ASIDE}"),
    }
}

/// Returns whether this is the name of an unfinished file of a store.
pub(crate) fn is_aside(name: &str) -> bool {
    let is_finished = |name: &str| {
        [STORE, CLOSED, SECRET_KEYS, RESERVE, SCRATCH].contains(&name) || pack_range(name).is_some()
    };
    let Some(begun) = name.strip_suffix(ASIDE) else {
        return false;
    };
    let numbered = |(begun, n): (&str, &str)| {
        let is_one = matches!(n.as_bytes(), [b'1'..=b'9']);
        is_one && is_finished(begun)
    };
    name == CONTROL_ASIDE || is_finished(begun) || begun.rsplit_once('.').is_some_and(numbered)
}

/// Returns whether this is the name of a file that file systems or desktops create in any
/// directory.
pub(crate) fn is_of_the_system(name: &str) -> bool {
    [
        "lost+found",
        ".snapshot",
        ".snapshots",
        ".zfs",
        ".DS_Store",
        ".Spotlight-V100",
        ".Trashes",
        ".fseventsd",
    ]
    .contains(&name)
}

/// The name of a segment with this epoch.
pub(crate) fn segment(epoch: u64) -> String {
    format!("{epoch:016x}.segment")
}

/// Returns the epoch in a segment's name.
pub(crate) fn segment_epoch(name: &str) -> Option<u64> {
    hex16(name.strip_suffix(".segment")?).filter(|&epoch| epoch < NUMBER_MAX)
}

/// The name of a pack that contains these log sequence numbers and all between them.
pub(crate) fn pack(first_lsn: u64, last_lsn: u64) -> String {
    format!("{first_lsn:016x}-{last_lsn:016x}.pack")
}

/// Returns the first and last log sequence numbers in a pack's name.
pub(crate) fn pack_range(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_suffix(".pack")?.split_once('-')?;
    Some((hex16(first)?, hex16(last)?))
}

fn hex16(text: &str) -> Option<u64> {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let plain = text.len() == 16 && text.bytes().all(is_digit);
    plain.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// Returns whether a file of this name belongs to a store.
pub(crate) fn is_ours(name: &str) -> bool {
    [
        STORE,
        CLOSED,
        CLOSING,
        SECRET_KEYS,
        LOCK,
        RESERVE,
        SCRATCH,
        MIRRORING,
        FOLLOWING,
        REIGN,
        INDEX,
        INDEX_REWRITE,
        INDEX_OPENING,
        CONTROL,
    ]
    .contains(&name)
        || is_aside(name)
        || name.ends_with(DAMAGED)
        || segment_epoch(name).is_some()
        || pack_range(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_store_gives_are_those_of_unfinished_files() {
        let pack = pack(1, 2);
        for name in [STORE, CLOSED, SECRET_KEYS, RESERVE, SCRATCH, &pack] {
            for n in 0..=ASIDE_NUMBER_MAX {
                let aside = aside(name, n);
                assert!(is_aside(&aside) && is_ours(&aside), "{aside}");
            }
        }
        for name in [
            "aside",
            ".aside",
            "STORE",
            "notes.aside",
            "STORE.0.aside",
            "STORE.10.aside",
            "STORE.1.2.aside",
            "LOCK.aside",
            "CLOSING.aside",
            "store.aside",
            "STORE.aside.aside",
            "index.aside",
        ] {
            assert!(
                !is_aside(name) && (name == STORE || !is_ours(name)),
                "{name}"
            );
        }
    }
}
