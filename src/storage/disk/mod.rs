//! The seam under the truth: a flat folder of files.
//!
//! Owns: the few file operations the truth is made of, on a real folder
//! ([`os::Folder`]) or in memory ([`memory::Memory`]). Must not know: formats.
//! Promise: whatever runs above behaves the same on both, so that crashes and
//! failing calls can be tried out in memory.

pub(crate) mod memory;
pub(crate) mod os;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};

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
    /// Takes a name away; who has the file open goes on reading it.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// All names.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Makes all creations, renames and removals durable.
    fn sync_names(&self) -> io::Result<()>;
    /// How many bytes files can still take up, where that is known. Only a hint: a
    /// quota may allow less, and others write too.
    fn free_bytes(&self) -> io::Result<Option<u64>>;
    /// Whether its path still leads to this folder.
    #[cfg_attr(not(feature = "archive"), allow(dead_code, reason = "for archives"))]
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
    #[cfg_attr(not(feature = "archive"), allow(dead_code, reason = "for archives"))]
    fn identity(&self) -> io::Result<(u64, u64)>;
    /// Locks the file for this handle until it is dropped; `false` where another has.
    #[cfg_attr(not(feature = "archive"), allow(dead_code, reason = "for archives"))]
    fn try_lock(&self) -> io::Result<bool>;
}

/// Whether a name still leads to this file.
#[cfg_attr(not(feature = "archive"), allow(dead_code, reason = "for archives"))]
pub(crate) fn leads_to(disk: &dyn Disk, name: &str, file: &dyn File) -> io::Result<bool> {
    match disk.open(name) {
        Ok(there) => Ok(there.identity()? == file.identity()?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
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
    let aside = format!("{name}{}", super::names::ASIDE);
    match disk.remove(&aside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = disk.create(&aside)?;
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
