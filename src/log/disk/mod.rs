//! The interface between the log and its storage: a flat directory of files, on a file system
//! ([`os::OsDirectory`]) or in memory ([`memory::MemoryDisk`]).
//!
//! Both behave the same, so that crashes and failing calls can be simulated in memory.

pub(crate) mod bounded;
pub(crate) mod memory;
pub(crate) mod os;
#[cfg(feature = "simulation")]
pub(crate) mod simulated;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::log::file_names;
use crate::model::error::{Error, Result};

/// What happens to space that this process frees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FreedSpace {
    /// It can be used.
    Usable,
    /// It goes to other users first: they have used space that the file system reserves for them.
    Reserved,
    /// Either of the two. No space is free, so this is not known yet.
    Unknown,
}

impl FreedSpace {
    /// Concludes it from the space that this process can use, and all free space.
    pub(crate) fn of(usable: u64, free: u64) -> FreedSpace {
        match (usable, free) {
            (0, 0) => FreedSpace::Unknown,
            (0, _) => FreedSpace::Reserved,
            _ => FreedSpace::Usable,
        }
    }
}

/// A directory of files, which are identified by name, without a path.
pub(crate) trait Disk: Send + Sync {
    /// Creates an empty file for reading and writing. The name must not exist yet.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Opens a file for reading.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Opens a file for reading and writing.
    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Renames a file, replacing any file that has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Gives a file an additional name, which must not exist yet.
    fn link(&self, name: &str, further: &str) -> io::Result<()>;
    /// Gives a file an additional name in another directory of the same file system.
    fn link_out(&self, name: &str, to: &Path) -> io::Result<()>;
    /// Removes a name. Open handles to the file stay valid.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Lists all names.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Makes all creations, renames, and removals durable.
    fn sync_names(&self) -> io::Result<()>;
    /// Returns how many more bytes files can take up, if known. This is only a hint: a quota may be
    /// lower, and other processes also write.
    fn free_bytes(&self) -> io::Result<Option<u64>>;
    /// Returns whether this process can use the space that it frees.
    fn freed_space(&self) -> FreedSpace;
    /// Returns the identity of the file with this name, as [`File::identity`] does. `None` if there
    /// is no such file.
    fn identity(&self, name: &str) -> io::Result<Option<(u64, u64)>>;
    /// Returns how many names the file with this name has, in any directory. 0 if there is no such
    /// file.
    fn links(&self, name: &str) -> io::Result<u64>;
    /// Returns whether the directory's path still leads to it.
    fn is_in_place(&self) -> io::Result<bool>;
    /// Returns the path of a file, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// A file in such a directory.
pub(crate) trait File: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset` on. It is an error if the file is too short.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Truncates the file to this length.
    fn cut(&self, len: u64) -> io::Result<()>;
    /// Makes the contents durable, and the length if it changed.
    fn sync(&self) -> io::Result<()>;
    /// Returns a value that distinguishes the file from all other existing files.
    fn identity(&self) -> io::Result<(u64, u64)>;
    /// Returns a value that changes if the file is written to or truncated, by any process.
    fn version(&self) -> io::Result<u64>;
    /// Returns how many names the file has, in any directory.
    fn links(&self) -> io::Result<u64>;
    /// Locks the file until this handle is dropped. Returns `false` if another handle has locked
    /// it.
    #[cfg_attr(not(feature = "archive"), allow(dead_code, reason = "for archives"))]
    fn try_lock(&self) -> io::Result<bool>;
    /// Keeps the file open until this handle is dropped, so that no other file can get its
    /// identity.
    fn keep_open(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns whether a name still leads to this file.
pub(crate) fn leads_to(disk: &dyn Disk, name: &str, file: &dyn File) -> io::Result<bool> {
    Ok(disk.identity(name)? == Some(file.identity()?))
}

/// Returns an error if the path leads to another directory, or to none. If this cannot be
/// determined (this process may not have access to the directories above), it is not an error.
pub(crate) fn check_in_place(disk: &dyn Disk) -> Result<()> {
    match disk.is_in_place() {
        Ok(false) => Err(Error::Removed {
            what: "directory",
            path: disk.path(""),
        }),
        Ok(true) | Err(_) => Ok(()),
    }
}

/// Returns an error if the name leads to another file, or to none.
pub(crate) fn check_file(disk: &dyn Disk, name: &str, file: &dyn File) -> Result<()> {
    match leads_to(disk, name, file) {
        Ok(false) => Err(Error::Removed {
            what: "file",
            path: disk.path(name),
        }),
        Ok(true) | Err(_) => Ok(()),
    }
}

/// Creates an empty file that is going to be renamed to `name`, and returns its temporary name.
/// Replaces a file that a crash left under the temporary name. If that name belongs to anything
/// else, such as a directory, another name is used.
pub(crate) fn create_aside(disk: &dyn Disk, name: &str) -> io::Result<(String, Arc<dyn File>)> {
    take_aside(name, |aside| {
        match disk.remove(aside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        disk.create(aside)
    })
}

/// Renames a file to the temporary name of a file that is going to be renamed to `name`, and
/// returns the temporary name.
pub(crate) fn rename_aside(disk: &dyn Disk, from: &str, name: &str) -> io::Result<String> {
    take_aside(name, |aside| disk.rename(from, aside)).map(|(aside, ())| aside)
}

/// Uses the first temporary name that does not belong to a directory.
fn take_aside<T>(
    name: &str,
    mut take: impl FnMut(&str) -> io::Result<T>,
) -> io::Result<(String, T)> {
    let mut last = None;
    for n in 0..=file_names::ASIDE_NUMBER_MAX {
        let aside = file_names::aside(name, n);
        match take(&aside) {
            Err(e) if is_directory(&e) => last = Some(e),
            taken => return taken.map(|taken| (aside, taken)),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()))
}

/// Returns whether a name could not be removed because it is a directory.
pub(crate) fn is_directory(error: &io::Error) -> bool {
    // Some systems report "operation not permitted", as specified by POSIX.
    let denied = io::ErrorKind::PermissionDenied;
    error.kind() == io::ErrorKind::IsADirectory
        || (cfg!(not(target_os = "linux")) && error.kind() == denied)
}

/// Fails early if there is known to be too little space. This is cheaper than writing until the
/// system fails, and leaves the last bytes to others.
pub(crate) fn check_room(
    disk: &dyn Disk,
    bytes: u64,
    operation: &'static str,
    name: &str,
) -> Result<()> {
    match disk.free_bytes() {
        Ok(Some(free)) if free < bytes => Err(Error::DiskFull {
            operation,
            path: disk.path(name),
        }),
        _ => Ok(()),
    }
}

/// Writes a small file atomically: after a crash, the file is either complete or does not exist.
pub(crate) fn write_whole(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<()> {
    let (aside, file) = create_aside(disk, name)?;
    finish_whole(disk, &*file, (&aside, name), content)
}

/// Like [`write_whole`], but writes to an existing file named `aside` that is at least as long,
/// which needs no additional space.
pub(crate) fn finish_whole(
    disk: &dyn Disk,
    file: &dyn File,
    (aside, name): (&str, &str),
    content: &[u8],
) -> io::Result<()> {
    file.write_all_at(content, 0)?;
    file.cut(content.len() as u64)?;
    file.sync()?;
    disk.rename(aside, name)?;
    disk.sync_names()
}

/// Returns whether an error means that there is no space for more data or more files.
pub(crate) fn is_full(error: &Error) -> bool {
    matches!(error, Error::DiskFull { .. })
}

/// Reads a small file. Returns an error if the file is larger than `bytes_max`, without allocating
/// memory for it.
pub(crate) fn read_whole(disk: &dyn Disk, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(name)?;
    let len = file.len()?;
    if len > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "file too long"));
    }
    let mut content = vec![0; len as usize];
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}
