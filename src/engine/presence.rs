//! Whether the store is where it was opened, and in the process that opened it.
//!
//! Owns: which files count, when they are looked for, what follows if one is gone. Must
//! not know: formats.
//! Promise: a store whose directory or log is deleted, moved or replaced says so, and
//! acknowledges nothing that an open would not find. (A commit itself makes sure of the
//! directory and the segment that it is in: see [`crate::storage::log`].)

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::storage::disk::{File, check_file, check_in_place};
use crate::storage::names;

/// A file that stays the same as long as the store is open. It is kept open, so that no
/// other can be taken for it.
pub(crate) type Fixed = (&'static str, Arc<dyn File>);

impl Engine {
    /// Refuses calls in a fork of the process that opened the store: of the store's
    /// threads it has none, and what it wrote would be written over.
    pub(crate) fn check_process(&self) -> Result<()> {
        match self.opener == std::process::id() {
            true => Ok(()),
            false => Err(Error::Forked {
                opener: self.opener,
            }),
        }
    }

    /// Notes the files that are not to change from here on.
    pub(crate) fn note_fixed_files(&self) {
        let lock = self.lock.lock();
        let is_needed = lock.as_ref().is_some_and(|lock| lock.needs_its_file());
        let lock = is_needed.then_some(names::LOCK);
        let names = [names::STORE, names::SECRET_KEYS].into_iter().chain(lock);
        let fixed = names.filter_map(|name| Some((name, self.disk.open(name).ok()?)));
        self.fixed.set(fixed.collect()).ok();
    }

    /// Looks for the directory and every file of the log, and ends all writes if one is
    /// not where it was. An engine may replace the files of a store that is only read here.
    pub(crate) fn check_files(&self) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        self.find_removed().inspect_err(|error| {
            if !self.has_failed() {
                self.fail(error);
                self.call_all_waiters();
            }
        })
    }

    fn find_removed(&self) -> Result<()> {
        check_in_place(&*self.disk)?;
        for (name, file) in self.fixed.get().into_iter().flatten() {
            check_file(&*self.disk, name, &**file)?;
        }
        let truth = self.truth.read().clone();
        for segment in &truth.segments {
            if let Err(removed) = check_file(&*self.disk, &segment.name, &*segment.file) {
                // It goes once a pack has replaced it.
                let still = self.truth.read().clone();
                if still.segments.iter().any(|s| Arc::ptr_eq(s, segment)) {
                    return Err(removed);
                }
            }
        }
        let check_packs = || {
            let truth = self.truth.read().clone();
            let mut packs = truth.packs.iter();
            // One that was replaced and taken away from its readers has no identity.
            packs.try_for_each(|pack| check_file(&*self.disk, &pack.name, &*pack.file))
        };
        match check_packs() {
            Ok(()) => Ok(()),
            // One may just be replaced; if not, it is found out at the next look.
            Err(_) => match self.files.try_lock() {
                Some(_nobody_replaces) => check_packs(),
                None => Ok(()),
            },
        }
    }
}
