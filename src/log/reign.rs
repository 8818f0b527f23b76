//! The file `REIGN`: which reign wrote to this directory last.
//!
//! A writer is one open for writing; it is identified by 128 random bits (its reign). If the
//! recorded reign also wrote to the replica last, then no other store can have packed the last
//! segment, and the log may be continued there.

use crate::log::checked_text;
use crate::log::disk::{self, Disk, File};
use crate::log::file_names;
use crate::model::error::{Error, Result};

const FILE_BYTES_MAX: u64 = 4096;

/// Records the reign. The text names the file that it is in, so a copy of the directory does not
/// have it. If the disk is full, nothing is recorded.
pub(crate) fn write(disk: &dyn Disk, reign: u128) -> Result<()> {
    let name = file_names::REIGN;
    let written = disk
        .open_to_write(name)
        .or_else(|_| disk.create(name))
        .and_then(|file| {
            let text = text(&*file, reign)?;
            file.write_all_at(text.as_bytes(), 0)?;
            file.cut(text.len() as u64)?;
            file.sync()?;
            disk.sync_names()
        });
    match written.map_err(|e| Error::io("write", disk.path(name), &e)) {
        // A torn text is not valid.
        Err(error) if disk::is_full(&error) => Ok(()),
        written => written,
    }
}

/// Returns whether this reign was recorded here.
pub(crate) fn is_recorded(disk: &dyn Disk, reign: u128) -> bool {
    let found = disk::read_whole(disk, file_names::REIGN, FILE_BYTES_MAX);
    let expected = disk
        .open(file_names::REIGN)
        .and_then(|file| text(&*file, reign));
    matches!((found, expected), (Ok(found), Ok(expected)) if found == expected.as_bytes())
}

fn text(file: &dyn File, reign: u128) -> std::io::Result<String> {
    let (device, inode) = file.identity()?;
    Ok(checked_text::sealed(&format!(
        "reign {reign:032x}\nfile {device} {inode}\n"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::memory::MemoryDisk;

    #[test]
    fn only_the_recorded_reign_in_its_own_file_counts() {
        let disk = MemoryDisk::default();
        assert!(!is_recorded(&disk, 7));
        write(&disk, 7).unwrap();
        assert!(is_recorded(&disk, 7) && !is_recorded(&disk, 8));
        write(&disk, 8).unwrap();
        assert!(is_recorded(&disk, 8) && !is_recorded(&disk, 7));
        let copy = MemoryDisk::default();
        let text = disk::read_whole(&disk, file_names::REIGN, FILE_BYTES_MAX).unwrap();
        // The first file of another disk may have the same number.
        copy.create("other").unwrap();
        disk::write_whole(&copy, file_names::REIGN, &text).unwrap();
        assert!(!is_recorded(&copy, 8));
    }
}
