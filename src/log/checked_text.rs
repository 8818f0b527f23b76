//! Small texts with a checksum, which people can read.
//!
//! Owns: how one is written and read whole. Must not know: what it says.
//! Promise: a text comes back as it was written, or is told as damage.

use std::io;

use crate::log::disk::{self, Disk};
use crate::log::preallocation::Preallocation;
use crate::model::error::{Error, Result};

/// Makes a text durable, in place of the one that had the name.
pub(super) fn write(disk: &dyn Disk, name: &str, text: &str) -> Result<()> {
    write_in(disk, (None, None), name, text)
}

/// The same, in a file that is prepared already; without one, and without room for
/// another, in the scratch file.
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

/// A text with its checksum, as it stands in a file.
pub(super) fn sealed(text: &str) -> String {
    let crc = crc32fast::hash(text.as_bytes());
    format!("{text}crc {crc:08x}\n")
}

/// The text without its checksum; `None` when there is none of the name.
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

/// What follows a name on a line.
pub(super) fn field<'a>(line: Option<&'a str>, name: &str) -> Option<&'a str> {
    line?.strip_prefix(name)?.strip_prefix(' ')
}
