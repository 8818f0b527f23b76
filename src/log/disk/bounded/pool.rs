//! Tracks which files are open, and closes those that were not read recently.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Weak};

use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::{Mutex, RwLock};
use crate::log::disk::{Disk, File};
use crate::model::error::Revoked;

/// The maximum number of files that are open at a time.
pub(crate) const OPEN_MAX: usize = 40;

/// Whether the directory may be modified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileAccess {
    ReadWrite,
    /// This process changes nothing, but other processes may.
    ReadOnly,
}

pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) access: FileAccess,
    pub(super) pool: Mutex<Pool>,
}

#[derive(Default)]
pub(super) struct Pool {
    /// The open files that can be closed, in the order in which they are considered for closing.
    pub(super) open: VecDeque<Arc<OnDemand>>,
    /// The files that have a handle, by name.
    pub(super) by_name: HashMap<String, Vec<Weak<OnDemand>>>,
    /// The number of entries in `by_name` after entries without open handles were last removed.
    swept: usize,
}

pub(super) struct OnDemand {
    pub(super) shared: Weak<Shared>,
    pub(super) state: RwLock<State>,
    /// Whether the file was used since the pool last checked.
    pub(super) is_used: AtomicBool,
    /// Whether the file has unsynced writes. Such a file must stay open so that the error of a
    /// later sync is not lost.
    pub(super) is_dirty: AtomicBool,
}

/// What tells whether a file still has the contents with which it was opened.
pub(super) struct Original {
    version: u64,
    head: Vec<u8>,
}

impl Original {
    pub(super) fn of(file: &dyn File) -> io::Result<Original> {
        Ok(Original {
            version: file.version()?,
            head: head_of(file, HEAD_BYTES)?,
        })
    }
}

/// How many bytes identify a file of the log.
const HEAD_BYTES: usize = 64;

fn head_of(file: &dyn File, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; bytes_max.min(file.len()? as usize)];
    file.read_exact_at(&mut head, 0)?;
    Ok(head)
}

pub(super) struct State {
    pub(super) name: String,
    pub(super) file: Option<Arc<dyn File>>,
    pub(super) is_writable: bool,
    /// The file's identity when it was first opened.
    pub(super) identity: (u64, u64),
    /// What the file was when it was first opened, if another process may write to it.
    pub(super) original: Option<Original>,
    /// The file's length when it was first opened, if nobody writes to it.
    pub(super) len: Option<u64>,
    /// Whether the file must stay open: it has lost its name, is locked, or must keep its identity.
    pub(super) is_pinned: bool,
}

impl Pool {
    pub(super) fn name(&mut self, name: &str, file: Weak<OnDemand>) {
        let there = self.by_name.entry(name.to_owned()).or_default();
        there.retain(|file| file.strong_count() > 0);
        there.push(file);
        if self.by_name.len() > 2 * self.swept + OPEN_MAX {
            self.by_name.retain(|_, files| {
                files.retain(|file| file.strong_count() > 0);
                !files.is_empty()
            });
            self.swept = self.by_name.len();
        }
    }

    /// Closes files until another one can be opened, as far as files can be closed.
    pub(super) fn make_room(&mut self) {
        // Each file is skipped once if it was used since the last check.
        let mut looks = 2 * self.open.len();
        while self.open.len() >= OPEN_MAX && looks > 0 {
            looks -= 1;
            let Some(next) = self.open.pop_front() else {
                return;
            };
            if next.is_used.swap(false, Ordering::Relaxed) {
                self.open.push_back(next);
                continue;
            }
            let mut state = next.state.write();
            if state.is_pinned {
                continue;
            }
            // A writer sets this flag before it looks up the file.
            if next.is_dirty.load(Ordering::Acquire) {
                drop(state);
                self.open.push_back(next);
                continue;
            }
            state.file = None;
        }
    }

    /// Keeps files open that have this name and a handle, because the name is about to change.
    pub(super) fn pin(&mut self, shared: &Shared, name: &str) -> io::Result<()> {
        let files = self.by_name.get(name).into_iter().flatten();
        let files: Vec<Arc<OnDemand>> = files.filter_map(Weak::upgrade).collect();
        for file in files {
            match file.open_again(shared, self) {
                // Another process removed the file.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                opened => drop(opened?),
            }
            file.state.write().is_pinned = true;
        }
        Ok(())
    }
}

impl OnDemand {
    pub(super) fn file(self: &Arc<OnDemand>) -> io::Result<Arc<dyn File>> {
        if let Some(file) = &self.state.read().file {
            // Many threads read the same file, so avoid writing to the flag if it is already set.
            if !self.is_used.load(Ordering::Relaxed) {
                self.is_used.store(true, Ordering::Relaxed);
            }
            return Ok(file.clone());
        }
        let gone = || io::Error::other("the directory is no longer open");
        let shared = self.shared.upgrade().ok_or_else(gone)?;
        let mut pool = shared.pool.lock();
        self.open_again(&shared, &mut pool)
    }

    /// Returns an error if another process has used the space of the file for other data. Whatever
    /// else happens to a file, it can still be read: it may have been appended to, and then removed.
    pub(super) fn check_not_reused(&self, file: &dyn File) -> io::Result<()> {
        let state = self.state.read();
        let Some(original) = &state.original else {
            return Ok(());
        };
        if file.version()? == original.version {
            return Ok(());
        }
        let gone = || io::Error::other("the directory is no longer open");
        let shared = self.shared.upgrade().ok_or_else(gone)?;
        if shared.disk.identity(&state.name)? == Some(state.identity) {
            return Ok(());
        }
        // Before a file is used for other data, it gets another name, and its head is overwritten
        // last.
        let head = head_of(file, original.head.len())?;
        match file.links()? == 0 && head == original.head {
            true => Ok(()),
            false => Err(io::Error::other(Revoked)),
        }
    }

    /// Reopens a closed file by its name, unless the name now leads to another file.
    fn open_again(
        self: &Arc<OnDemand>,
        shared: &Shared,
        pool: &mut Pool,
    ) -> io::Result<Arc<dyn File>> {
        let (name, is_writable, identity, len) = {
            let state = self.state.read();
            if let Some(file) = &state.file {
                return Ok(file.clone());
            }
            (
                state.name.clone(),
                state.is_writable,
                state.identity,
                state.len,
            )
        };
        pool.make_room();
        let opened = match is_writable {
            true => shared.disk.open_to_write(&name),
            false => shared.disk.open(&name),
        };
        let is_other = |file: &Arc<dyn File>| -> io::Result<bool> {
            Ok(file.identity()? != identity || len.is_some_and(|len| file.len().ok() != Some(len)))
        };
        let file = match opened {
            Ok(file) if !is_other(&file)? => file,
            Ok(_) => return Err(shared.replaced(None)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(shared.replaced(Some(e)));
            }
            Err(e) => return Err(e),
        };
        self.state.write().file = Some(file.clone());
        self.is_used.store(true, Ordering::Relaxed);
        pool.open.push_back(self.clone());
        Ok(file)
    }
}

impl Shared {
    /// The error for a file that cannot be reopened. A writer may replace files while another
    /// process reads the store.
    fn replaced(&self, error: Option<io::Error>) -> io::Error {
        match self.access {
            FileAccess::ReadOnly => io::Error::other(Revoked),
            FileAccess::ReadWrite => error.unwrap_or_else(|| {
                let what = "the file was replaced by another process";
                io::Error::new(io::ErrorKind::NotFound, what)
            }),
        }
    }
}
