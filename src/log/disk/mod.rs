//! The seam under the truth: a flat folder of files.
//!
//! Owns: the few file operations the truth is made of, on a real folder
//! ([`os::OsDirectory`]) or in memory ([`memory::MemoryDisk`]). Must not know: formats.
//! Promise: whatever runs above behaves the same on both, so that crashes and
//! failing calls can be tried out in memory.

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

/// A folder of files, named without any path.
pub(crate) trait Disk: Send + Sync {
    /// Makes an empty file, which must not be there yet, for reading and writing.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Opens a file for reading.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Opens a file for reading and writing.
    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Gives a file another name, over whatever had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Gives a file a further name, which must not be there yet.
    fn link(&self, name: &str, further: &str) -> io::Result<()>;
    /// Gives a file a further name in another directory of the same file system.
    fn link_out(&self, name: &str, to: &Path) -> io::Result<()>;
    /// Takes a name away; who has the file open goes on reading it.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// All names.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Makes all creations, renames and removals durable.
    fn sync_names(&self) -> io::Result<()>;
    /// How many bytes files can still take up, where that is known. Only a hint: a
    /// quota may allow less, and others write too.
    fn free_bytes(&self) -> io::Result<Option<u64>>;
    /// What tells the file of this name from all others, as [`File::identity`] does;
    /// `None` if there is no file of the name.
    fn identity(&self, name: &str) -> io::Result<Option<(u64, u64)>>;
    /// Whether its path still leads to this folder.
    fn is_in_place(&self) -> io::Result<bool>;
    /// How a file is called in messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// A file of such a folder.
pub(crate) trait File: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`; the file must reach that far.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file to this length.
    fn cut(&self, len: u64) -> io::Result<()>;
    /// Makes the content durable, and the length if it changed.
    fn sync(&self) -> io::Result<()>;
    /// What tells the file from all others that are there.
    fn identity(&self) -> io::Result<(u64, u64)>;
    /// Locks the file for this handle until it is dropped; `false` where another has.
    #[cfg_attr(not(feature = "archive"), allow(dead_code, reason = "for archives"))]
    fn try_lock(&self) -> io::Result<bool>;
    /// Keeps the file open until this handle is dropped: meanwhile no other file can get its
    /// identity.
    fn keep_open(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a name still leads to this file.
pub(crate) fn leads_to(disk: &dyn Disk, name: &str, file: &dyn File) -> io::Result<bool> {
    Ok(disk.identity(name)? == Some(file.identity()?))
}

/// Refuses to go on if the path leads to another directory, or to none. Whether it does
/// may be unknown (the directories above may be closed to this process); that is no
/// reason to stop.
pub(crate) fn check_in_place(disk: &dyn Disk) -> Result<()> {
    match disk.is_in_place() {
        Ok(false) => Err(Error::Removed {
            what: "directory",
            path: disk.path(""),
        }),
        Ok(true) | Err(_) => Ok(()),
    }
}

/// Refuses to go on if the name leads to another file than this one, or to none.
pub(crate) fn check_file(disk: &dyn Disk, name: &str, file: &dyn File) -> Result<()> {
    match leads_to(disk, name, file) {
        Ok(false) => Err(Error::Removed {
            what: "file",
            path: disk.path(name),
        }),
        Ok(true) | Err(_) => Ok(()),
    }
}

/// Makes an empty file that is to get this name once it is finished, and returns the
/// name it has until then. One left by a crash is replaced; anything else of that name,
/// such as a directory, is left alone, and another name is taken.
pub(crate) fn create_aside(disk: &dyn Disk, name: &str) -> io::Result<(String, Arc<dyn File>)> {
    take_aside(name, |aside| {
        match disk.remove(aside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        disk.create(aside)
    })
}

/// Gives a file the name of an unfinished one that is to get this name, and returns it.
pub(crate) fn rename_aside(disk: &dyn Disk, from: &str, name: &str) -> io::Result<String> {
    take_aside(name, |aside| disk.rename(from, aside)).map(|(aside, ())| aside)
}

/// Takes the first name of an unfinished file that is not a directory's.
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

/// Whether a name could not be removed because it is a directory's.
pub(crate) fn is_directory(error: &io::Error) -> bool {
    // Some systems say that this is not permitted, as POSIX does.
    let denied = io::ErrorKind::PermissionDenied;
    error.kind() == io::ErrorKind::IsADirectory
        || (cfg!(not(target_os = "linux")) && error.kind() == denied)
}

/// Refuses at once what there is no room for, where that is known: cheaper than to
/// write until the system refuses, and without taking the last bytes from others.
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

/// Writes a small file so that after a crash it is there wholly or not at all.
pub(crate) fn write_whole(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<()> {
    let (aside, file) = create_aside(disk, name)?;
    finish_whole(disk, &*file, (&aside, name), content)
}

/// Does the same in a file that already exists under the name `aside`, and is at least as
/// long: this needs no room.
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

/// Whether an error says that there is no room, be it for bytes or for files.
pub(crate) fn is_full(error: &Error) -> bool {
    matches!(error, Error::DiskFull { .. })
}

/// Reads a small file; more than `bytes_max` is an error, before anything is
/// allocated.
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
