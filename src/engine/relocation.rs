//! Checks whether the store is still where it was opened, and whether it is used by the process
//! that opened it.
//!
//! If a store's directory or log is deleted, moved, or replaced, the store reports this, and
//! acknowledges no write that a later open would not find. (A commit itself checks the directory
//! and its segment: see [`crate::log::writer`].)

use std::sync::{Arc, OnceLock};

use crate::engine::core::Engine;
use crate::engine::state::follower::FollowerState;
use crate::log::disk::{check_file, check_in_place};
use crate::log::file_names;
use crate::model::error::{Error, Result};

/// Refuses to open a store for writing in a forked child of a process that has opened a store. The
/// child lacks the threads that all indexes of a process share, and the open would wait for these
/// threads forever.
pub(crate) fn check_not_forked() -> Result<()> {
    static OPENER: OnceLock<u32> = OnceLock::new();
    let opener = *OPENER.get_or_init(std::process::id);
    match opener == std::process::id() {
        true => Ok(()),
        false => Err(Error::Forked { opener }),
    }
}

impl Engine {
    /// Records the files that must not change from here on.
    pub(crate) fn note_fixed_files(&self) {
        let lock = self.lock.lock();
        let is_needed = lock.as_ref().is_some_and(|lock| lock.needs_its_file());
        let lock = is_needed.then_some(file_names::LOCK);
        // A follower replaces the secret keys if they change.
        let keys = self.follower.is_none().then_some(file_names::SECRET_KEYS);
        let names = [file_names::STORE].into_iter().chain(keys).chain(lock);
        let open = |name| {
            let file = self.disk.open(name).ok()?;
            file.keep_open().ok()?;
            Some((name, file))
        };
        let pinned_files = names.filter_map(open);
        self.pinned_files.set(pinned_files.collect()).ok();
    }

    /// Checks that the directory and every file of the log are still in place, and stops all
    /// writes if one is not. In a read-only store, another process may replace files.
    pub(crate) fn check_files(&self) -> Result<()> {
        let restores = || self.follower.as_ref().map(FollowerState::restores_begun);
        let before = restores();
        if self.read_only || self.is_restoring() {
            return Ok(());
        }
        let found = self.find_removed();
        // Files that were replaced during the check were replaced on purpose.
        if restores() != before {
            return Ok(());
        }
        found.inspect_err(|error| {
            if !self.has_failed() {
                self.fail(error);
                self.wake_all_waiters();
            }
        })
    }

    fn find_removed(&self) -> Result<()> {
        check_in_place(&*self.disk)?;
        for (name, file) in self.pinned_files.get().into_iter().flatten() {
            check_file(&*self.disk, name, &**file)?;
        }
        let log_files = self.log_files.read().clone();
        for segment in &log_files.segments {
            if let Err(removed) = check_file(&*self.disk, &segment.name, &*segment.file) {
                // If a pack has replaced the segment by now, the segment was removed on purpose.
                let still = self.log_files.read().clone();
                if still.segments.iter().any(|s| Arc::ptr_eq(s, segment)) {
                    return Err(removed);
                }
            }
        }
        let check_packs = || {
            let log_files = self.log_files.read().clone();
            let mut packs = log_files.packs.iter();
            // A pack that was replaced and then taken away from its readers no longer has an
            // identity.
            packs.try_for_each(|pack| check_file(&*self.disk, &pack.name, &*pack.file))
        };
        match check_packs() {
            Ok(()) => Ok(()),
            // Another thread may be replacing a pack; if not, the next check finds the problem.
            Err(_) => match self.files_lock.try_lock() {
                Some(_nobody_replaces) => check_packs(),
                None => Ok(()),
            },
        }
    }
}

#[cfg(all(test, target_os = "linux", not(jobstore_shuttle)))]
mod tests {
    use std::fs;

    use crate::api::store::JobStore;
    use crate::log::disk::bounded::pool::OPEN_MAX;
    use crate::log::file_names;

    #[test]
    fn files_that_must_not_change_stay_open_however_many_others_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("store");
        let options = JobStore::options().secret_keys(["password"]);
        let store = options.open(&path).unwrap();
        let disk = &store.engine().disk;
        let others: Vec<_> = (0..3 * OPEN_MAX)
            .map(|n| disk.create(&format!("{n}")).unwrap())
            .collect();
        let open: Vec<_> = fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|file| fs::read_link(file.unwrap().path()).ok())
            .collect();
        let others_open = (0..others.len()).filter(|n| open.contains(&path.join(n.to_string())));
        assert!(others_open.count() <= OPEN_MAX);
        for name in [file_names::STORE, file_names::SECRET_KEYS] {
            assert!(open.contains(&path.join(name)), "{name} was closed");
        }
    }
}
