//! A store's folder: whose it is, and who may open it.
//!
//! Owns: what a folder is taken for, its lock, the parts of a store that need a real
//! folder. Must not know: what its files hold.
//! Promise: no byte is changed before the folder is known to be a store, or empty, and
//! locked.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FlockOperation;

use crate::engine::open::{IndexHome, open, open_read_only};
use crate::engine::{Engine, check, exposure};
use crate::error::{Error, Result};
use crate::index::Index;
use crate::index::folder::{IndexFolder, Wanted};
use crate::options::Options;
use crate::storage::disk::Disk;
use crate::storage::disk::bounded::{Access, Bounded};
use crate::storage::disk::os::Folder;
use crate::storage::names;

/// The share of the cache budget that the index engine is told: it holds about as
/// much again besides, and the lookups' filters need some.
const INDEX_CACHE_SHARE: u64 = 4;

/// Opens the store in a folder; a damaged one, where that is wanted, after a repair.
pub(crate) fn open_folder(options: Options, path: &Path) -> Result<Arc<Engine>> {
    if options.read_only {
        return open_folder_read_only(&options, path);
    }
    let opened = open_sound_folder(options.clone(), path);
    if !options.tolerant || !matches!(opened, Err(Error::Damaged { .. })) {
        return opened;
    }
    let repaired = check::repair_folder(path)?;
    tracing::warn!(
        jobs = repaired.jobs,
        events = repaired.events,
        "the store was damaged; what was damaged is set aside"
    );
    let engine = open_sound_folder(options, path)?;
    // A fresh engine's is empty.
    engine.repaired.set(repaired).ok();
    Ok(engine)
}

fn open_sound_folder(options: Options, path: &Path) -> Result<Arc<Engine>> {
    if !options.create && matches!(kind_of(path)?, Kind::Empty) {
        return Err(Error::StoreMissing {
            path: path.to_path_buf(),
        });
    }
    check_folder(path)?;
    Folder::create(path).map_err(|e| Error::io("create", path, &e))?;
    let disk = directory(path, Access::ReadWrite)?;
    let lock = lock(&path.join(names::LOCK), path, Look::AndChange)?;
    let cache_bytes = options.cache_bytes / INDEX_CACHE_SHARE;
    let folder = IndexFolder::new(path, options.index, cache_bytes);
    let engine = open(
        options,
        Arc::new(disk),
        Some(lock),
        IndexHome::Folder(folder),
    )?;
    if let Some(what) = exposure::find(path) {
        tracing::warn!(%what, "others can read what the store keeps");
        *engine.exposure.lock() = Some(what);
    }
    Ok(engine)
}

fn directory(path: &Path, access: Access) -> Result<Bounded> {
    let disk = Folder::open(path).map_err(|e| Error::io("open", path, &e))?;
    Ok(Bounded::new(Arc::new(disk), access))
}

fn open_folder_read_only(options: &Options, path: &Path) -> Result<Arc<Engine>> {
    check_folder(path)?;
    let engine = read_at_rest(path, |disk| open_read_only(options.clone(), Arc::new(disk)))?;
    if let Some(what) = exposure::find(path) {
        tracing::warn!(%what, "others can read what the store keeps");
        *engine.exposure.lock() = Some(what);
    }
    Ok(engine)
}

/// How often files are read again that an engine has replaced meanwhile.
const READ_TRIES: usize = 5;

/// Reads a store that nobody has open, without keeping anybody from opening it: what was
/// read counts only if no engine had it open at the end either.
pub(crate) fn read_at_rest<T>(
    path: &Path,
    mut read: impl FnMut(Bounded) -> Result<T>,
) -> Result<T> {
    check_is_store(path)?;
    let mut tries = 1;
    loop {
        check_not_in_use(path)?;
        let disk = directory(path, Access::ReadOnly)?;
        let names = |disk: &Bounded| {
            let mut names = disk.names().map_err(|e| Error::io("read", path, &e))?;
            names.sort_unstable();
            Ok::<_, Error>(names)
        };
        let before = names(&disk)?;
        let done = read(disk);
        check_not_in_use(path)?;
        // An engine may have come and gone.
        if names(&directory(path, Access::ReadOnly)?)? == before || tries == READ_TRIES {
            return done;
        }
        tries += 1;
    }
}

/// Refuses a store that somebody has open. The lock is not kept.
fn check_not_in_use(folder: &Path) -> Result<()> {
    let path = folder.join(names::LOCK);
    match std::fs::File::open(&path) {
        Ok(file) => lock_file(file, folder, FlockOperation::NonBlockingLockShared).map(drop),
        // It was never opened, or is a copy.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io("open", &path, &e)),
    }
}

/// What a folder is.
enum Kind {
    Store,
    /// A store's files, but not its identity.
    Nameless,
    /// Nothing, or what a crash leaves while a store is being made.
    Empty,
    /// Something else, with one of its names.
    Foreign(String),
}

fn kind_of(path: &Path) -> Result<Kind> {
    let entries = match std::fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Kind::Empty),
        entries => entries.map_err(|e| Error::io("read", path, &e))?,
    };
    if path.join(names::STORE).exists() {
        return Ok(Kind::Store);
    }
    let mut kind = Kind::Empty;
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("read", path, &e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let harmless = name == names::LOCK || name.ends_with(names::ASIDE);
        if names::is_ours(&name) && !harmless {
            return Ok(Kind::Nameless);
        }
        if !harmless {
            kind = Kind::Foreign(name);
        }
    }
    Ok(kind)
}

impl Engine {
    /// Whether a path leads into the store's own folder, by whatever way.
    pub(crate) fn is_within(&self, path: &Path) -> bool {
        self.is_on_disk() && resolved(path).starts_with(resolved(&self.disk.path("")))
    }
}

/// Where a path leads that may not be there yet.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let there = path.ancestors().find_map(|above| {
        let found = above.canonicalize().ok()?;
        Some((found, path.strip_prefix(above).ok()?))
    });
    let Some((mut resolved, rest)) = there else {
        return path;
    };
    for part in rest {
        match part == ".." {
            true => drop(resolved.pop()),
            false => resolved.push(part),
        }
    }
    resolved
}

/// Refuses a folder that holds something else.
fn check_folder(path: &Path) -> Result<()> {
    match kind_of(path)? {
        Kind::Store | Kind::Empty => Ok(()),
        Kind::Nameless => {
            let what = "the file is missing, but the folder holds a store's files";
            Err(Error::damaged(path.join(names::STORE), 0, what))
        }
        Kind::Foreign(found) => Err(Error::NotAStore {
            path: path.to_path_buf(),
            found,
        }),
    }
}

/// The store's lock, while it lives.
pub(crate) struct StoreLock(std::fs::File);

impl Drop for StoreLock {
    fn drop(&mut self) {
        // Unlocked by name: a process that is just being started has a copy of the
        // handle, and closing ours would not let go of the lock.
        rustix::fs::flock(&self.0, FlockOperation::Unlock).ok();
    }
}

/// Takes the lock file, which names its holder for those that come later.
pub(super) fn lock(path: &Path, folder: &Path, look: Look) -> Result<StoreLock> {
    use std::fs::Permissions;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let failed = |e: io::Error| Error::io("lock", path, &e);
    let change = look == Look::AndChange;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(change)
        .create(change)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let lock = lock_file(file, folder, FlockOperation::NonBlockingLockExclusive)?;
    if !change {
        return Ok(lock);
    }
    let mut file = &lock.0;
    file.set_permissions(Permissions::from_mode(0o600))
        .map_err(failed)?;
    file.set_len(0).map_err(failed)?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
        .map_err(failed)?;
    Ok(lock)
}

/// How often an engine tries to get the lock: readers take it for a moment, to see whether
/// it is free.
const LOCK_TRIES: usize = 25;
const LOCK_REST: Duration = Duration::from_millis(2);

fn lock_file(file: std::fs::File, folder: &Path, how: FlockOperation) -> Result<StoreLock> {
    let tries = match how {
        FlockOperation::NonBlockingLockExclusive => LOCK_TRIES,
        _ => 1,
    };
    for tried in 1.. {
        match rustix::fs::flock(&file, how) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) if tried < tries => {
                std::thread::sleep(LOCK_REST);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                file.take(32).read_to_string(&mut holder).ok();
                return Err(Error::StoreInUse {
                    path: folder.to_path_buf(),
                    holder: holder.trim().parse().ok(),
                });
            }
            Err(e) => return Err(Error::io("lock", folder.join(names::LOCK), &e.into())),
        }
    }
    Ok(StoreLock(file))
}

/// Whether what is looked at may be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Only,
    AndChange,
}

/// A store's folder that nobody has open, and its lock, so that nobody opens it
/// meanwhile.
pub(crate) fn folder_at_rest(path: &Path) -> Result<(Bounded, StoreLock)> {
    check_is_store(path)?;
    let lock = lock(&path.join(names::LOCK), path, Look::AndChange)?;
    Ok((directory(path, Access::ReadWrite)?, lock))
}

/// Refuses a folder that is no store, sound or not.
fn check_is_store(path: &Path) -> Result<()> {
    let there = path.to_path_buf();
    match kind_of(path)? {
        Kind::Store | Kind::Nameless => Ok(()),
        Kind::Empty => Err(Error::StoreMissing { path: there }),
        Kind::Foreign(found) => Err(Error::NotAStore { path: there, found }),
    }
}

/// The index of a store that nobody has open.
pub(crate) fn index_at_rest(path: &Path, wanted: Wanted<'_>) -> Result<Option<Arc<dyn Index>>> {
    let cache_bytes = Options::default().cache_bytes / INDEX_CACHE_SHARE;
    IndexFolder::at_rest(path, cache_bytes, wanted).map_err(|e| Error::io("open", path, &e))
}
