//! Small text files that end with a checksum. Damage is reported as an error.

use std::io;

use crate::log::disk::{self, Disk};
use crate::log::preallocation::Preallocation;
use crate::model::error::{Error, Result};

/// Durably replaces the file of this name.
pub(super) fn write(disk: &dyn Disk, name: &str, text: &str) -> Result<()> {
    write_in(disk, (None, None), name, text)
}

/// Durably replaces the file of this name, using a file that was created in advance, if there is
/// one. If that fails and the disk is full, the scratch file is used.
pub(super) fn write_in(
    disk: &dyn Disk,
    (prepared, preallocation): (Option<&str>, Option<&Preallocation>),
    name: &str,
    text: &str,
) -> Result<()> {
    let content = sealed(text);
    let failed = |e: io::Error| Error::io("write", disk.path(name), &e);
    if let Some(aside) = prepared {
        let in_prepared = disk
            .open_to_write(aside)
            .and_then(|file| disk::finish_whole(disk, &*file, (aside, name), content.as_bytes()));
        if in_prepared.is_ok() {
            return Ok(());
        }
    }
    let written = disk::write_whole(disk, name, content.as_bytes()).map_err(failed);
    let (Err(full), Some(preallocation)) = (&written, preallocation) else {
        return written;
    };
    if !disk::is_full(full) {
        return written;
    }
    match preallocation.lend_scratch(disk, name).map_err(failed)? {
        None => written,
        Some(scratch) => {
            let (file, aside) = (&*scratch.file, &*scratch.aside);
            disk::finish_whole(disk, file, (aside, name), content.as_bytes())
                .inspect_err(|_| preallocation.return_scratch(disk, &scratch))
                .map_err(failed)
        }
    }
}

/// Returns a string followed by its checksum, as it is stored in a file.
pub(super) fn sealed(text: &str) -> String {
    let crc = crc32fast::hash(text.as_bytes());
    format!("{text}crc {crc:08x}\n")
}

/// Reads a text and verifies its checksum. `None` if there is no such file.
pub(super) fn read(disk: &dyn Disk, name: &str, bytes_max: u64) -> Result<Option<String>> {
    let path = disk.path(name);
    let content = match disk::read_whole(disk, name, bytes_max) {
        Ok(content) => content,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            return Err(Error::damaged(path, bytes_max, "the file is too long"));
        }
        Err(e) => return Err(Error::io("read", path, &e)),
    };
    let checked = String::from_utf8(content).ok().and_then(|content| {
        let at = content.rfind("crc ")?;
        let (text, crc) = content.split_at(at);
        let expected = format!("crc {:08x}\n", crc32fast::hash(text.as_bytes()));
        (crc == expected).then(|| text.to_owned())
    });
    match checked {
        Some(text) => Ok(Some(text)),
        None => Err(Error::damaged(path, 0, "checksum mismatch")),
    }
}

/// Returns the value after this name on a line.
pub(super) fn field<'a>(line: Option<&'a str>, name: &str) -> Option<&'a str> {
    line?.strip_prefix(name)?.strip_prefix(' ')
}
