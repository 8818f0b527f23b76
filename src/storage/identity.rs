//! Which store this is, and where its log ended when it was closed.
//!
//! Owns: the files `STORE` and `CLOSED`, small texts with a checksum that people
//! can read. Must not know: segments.
//! Promise: a store is never taken for another one, nor a cut log for a whole one
//! after a clean close.

use std::io;

use crate::error::{Error, Result};
use crate::storage::disk::{self, Disk};
use crate::storage::names;

/// The format this release writes. Version 0 comes without an upgrade promise.
pub(crate) const FORMAT: u32 = 0;
const FILE_BYTES_MAX: u64 = 4096;

/// A store's identity: 128 random bits that stand in every file of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) u128);

/// Makes a new identity durable.
pub(crate) fn create(disk: &dyn Disk, id: StoreId) -> Result<()> {
    let text = format!("jobstore\nformat {FORMAT}\nid {:032x}\n", id.0);
    write(disk, names::STORE, &text)
}

/// The identity of the store in this folder; `None` when it holds none.
pub(crate) fn read(disk: &dyn Disk) -> Result<Option<StoreId>> {
    let Some(text) = read_checked(disk, names::STORE)? else {
        return Ok(None);
    };
    let path = disk.path(names::STORE);
    let mut lines = text.lines();
    let known = lines.next() == Some("jobstore");
    let format = field(lines.next(), "format").and_then(|text| text.parse::<u32>().ok());
    let (true, Some(found)) = (known, format) else {
        return Err(Error::damaged(path, 0, "it is no store's identity"));
    };
    if found > FORMAT {
        return Err(Error::NewerFormat {
            path: disk.path(""),
            found,
            supported: FORMAT,
        });
    }
    match field(lines.next(), "id").and_then(|text| u128::from_str_radix(text, 16).ok()) {
        Some(id) => Ok(Some(StoreId(id))),
        None => Err(Error::damaged(path, 0, "the store's id is not readable")),
    }
}

/// Where a cleanly closed log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The epoch of the last segment; 0 when all are packed.
    pub(crate) epoch: u64,
    /// The byte in it behind its last frame.
    pub(crate) offset: u64,
    /// The last log sequence number.
    pub(crate) lsn: u64,
}

pub(crate) fn write_closed(disk: &dyn Disk, id: StoreId, end: LogEnd) -> Result<()> {
    let text = format!(
        "closed\nid {:032x}\nepoch {}\noffset {}\nlsn {}\n",
        id.0, end.epoch, end.offset, end.lsn
    );
    write(disk, names::CLOSED, &text)
}

/// Where the log must end; `None` when the store was not closed.
pub(crate) fn read_closed(disk: &dyn Disk, id: StoreId) -> Result<Option<LogEnd>> {
    let Some(text) = read_checked(disk, names::CLOSED)? else {
        return Ok(None);
    };
    let mut lines = text.lines().skip(1);
    let found = field(lines.next(), "id").and_then(|text| u128::from_str_radix(text, 16).ok());
    let mut number = |name| field(lines.next(), name).and_then(|text| text.parse().ok());
    match (found, number("epoch"), number("offset"), number("lsn")) {
        (Some(found), Some(epoch), Some(offset), Some(lsn)) if found == id.0 => {
            Ok(Some(LogEnd { epoch, offset, lsn }))
        }
        _ => Err(Error::damaged(
            disk.path(names::CLOSED),
            0,
            "it is of another store or not readable",
        )),
    }
}

/// Takes the mark of a clean close away, durably, before anything is written.
pub(crate) fn remove_closed(disk: &dyn Disk) -> Result<()> {
    let removed = match disk.remove(names::CLOSED) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.and_then(|()| disk.sync_names()),
    };
    removed.map_err(|e| Error::io("remove", disk.path(names::CLOSED), &e))
}

fn field<'a>(line: Option<&'a str>, name: &str) -> Option<&'a str> {
    line?.strip_prefix(name)?.strip_prefix(' ')
}

fn write(disk: &dyn Disk, name: &str, text: &str) -> Result<()> {
    let crc = crc32fast::hash(text.as_bytes());
    let content = format!("{text}crc {crc:08x}\n");
    disk::write_whole(disk, name, content.as_bytes())
        .map_err(|e| Error::io("write", disk.path(name), &e))
}

fn read_checked(disk: &dyn Disk, name: &str) -> Result<Option<String>> {
    let path = disk.path(name);
    let content = match disk::read_whole(disk, name, FILE_BYTES_MAX) {
        Ok(content) => content,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            return Err(Error::damaged(path, FILE_BYTES_MAX, "it is too long"));
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
        None => Err(Error::damaged(path, 0, "the checksum does not match")),
    }
}
