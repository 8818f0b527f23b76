//! The files `STORE` and `CLOSED`: which store this is, and where its log ended at a clean close.
//!
//! The store id ensures that files of another store are not accepted. `CLOSED` ensures that, after
//! a clean close, a truncated log is detected.

use std::io;

use crate::base::codec::NUMBER_MAX;
use crate::log::checked_text::{self, field};
use crate::log::clock_mark::ClockMark;
use crate::log::disk::{Disk, is_directory};
use crate::log::file_names;
use crate::log::format::{self, FORMAT};
use crate::log::preallocation::Preallocation;
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// The incompatible feature of a store that must be opened together with its replica.
const REPLICA: u32 = 1;
/// The incompatible features that this release supports, one bit each.
const INCOMPATIBLE_KNOWN: u32 = REPLICA;
const FILE_BYTES_MAX: u64 = 4096;
/// The upper bound for the size of `CLOSED`.
const MARK_BYTES: u64 = 512;

/// Durably creates the identity of a store.
pub(crate) fn create(disk: &dyn Disk, id: StoreId) -> Result<()> {
    checked_text::write(disk, file_names::STORE, &text(FORMAT, (0, 0), id))
}

/// Returns the text of `STORE`: the format, the compatible and incompatible features, and the id.
pub(crate) fn text(format: u32, (compatible, incompatible): (u32, u32), id: StoreId) -> String {
    format!(
        "jobstore\nformat {format}\ncompatible {compatible:08x}\nincompatible \
         {incompatible:08x}\nid {:032x}\n",
        id.0
    )
}

/// What `STORE` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) store: StoreId,
    /// Whether the store must be opened together with its replica.
    pub(crate) has_replica: bool,
    compatible: u32,
}

/// Reads the identity of the store in this directory. `None` if there is no store. A directory that
/// is being made the mirror of a replica is an error.
pub(crate) fn read(disk: &dyn Disk) -> Result<Option<StoreId>> {
    if is_mirroring(disk)? {
        return Err(Error::ReplicaNeeded {
            path: disk.path(""),
        });
    }
    Ok(read_any(disk)?.map(|identity| identity.store))
}

/// Returns whether this directory is being made the mirror of a replica: what it contains is
/// incomplete.
pub(crate) fn is_mirroring(disk: &dyn Disk) -> Result<bool> {
    let found = disk.identity(file_names::MIRRORING);
    let found = found.map_err(|e| Error::io("inspect", disk.path(file_names::MIRRORING), &e))?;
    Ok(found.is_some())
}

/// Durably records whether the store must be opened together with its replica. Creates the identity
/// if there is none.
pub(crate) fn set_replica(disk: &dyn Disk, store: StoreId, has_replica: bool) -> Result<()> {
    let known = read_any(disk)?;
    if known.is_some_and(|k| k.has_replica == has_replica && k.store == store) {
        return Ok(());
    }
    let compatible = known.map_or(0, |identity| identity.compatible);
    let incompatible = if has_replica { REPLICA } else { 0 };
    let text = text(FORMAT, (compatible, incompatible), store);
    checked_text::write(disk, file_names::STORE, &text)
}

/// Returns the contents of `STORE` in a copy of this store that has no replica.
pub(crate) fn text_without_replica(disk: &dyn Disk, store: StoreId) -> Result<String> {
    let compatible = read_any(disk)?.map_or(0, |identity| identity.compatible);
    Ok(checked_text::sealed(&text(FORMAT, (compatible, 0), store)))
}

/// Reads the identity of the store in this directory, even if the directory is incomplete. `None`
/// if there is no store.
pub(crate) fn read_any(disk: &dyn Disk) -> Result<Option<Identity>> {
    let Some(found_text) = checked_text::read(disk, file_names::STORE, FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    let path = disk.path(file_names::STORE);
    let mut lines = found_text.lines();
    let known = lines.next() == Some("jobstore");
    let format = field(lines.next(), "format").and_then(|text| text.parse::<u32>().ok());
    let (true, Some(found)) = (known, format) else {
        return Err(Error::damaged(path, 0, "not a valid STORE file"));
    };
    format::check(found, &disk.path(""))?;
    let hex = |line, name| field(line, name).and_then(|text| u128::from_str_radix(text, 16).ok());
    let compatible = hex(lines.next(), "compatible").and_then(|bits| u32::try_from(bits).ok());
    let incompatible = hex(lines.next(), "incompatible").and_then(|bits| u32::try_from(bits).ok());
    let id = hex(lines.next(), "id").map(StoreId);
    let (Some(compatible), Some(incompatible), Some(id)) = (compatible, incompatible, id) else {
        return Err(Error::damaged(path, 0, "invalid store id"));
    };
    if found_text != text(found, (compatible, incompatible), id) {
        return Err(Error::damaged(path, 0, "not a valid STORE file"));
    }
    // Compatible features can be ignored. Their bits are preserved if the file is rewritten.
    match incompatible & !INCOMPATIBLE_KNOWN {
        0 => Ok(Some(Identity {
            store: id,
            has_replica: incompatible & REPLICA != 0,
            compatible,
        })),
        features => Err(Error::UnknownFeatures {
            path: disk.path(""),
            features,
        }),
    }
}

/// The end of a cleanly closed log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The epoch of the last segment; 0 if all segments are packed.
    pub(crate) epoch: u64,
    /// The offset in that segment after its last frame.
    pub(crate) offset: u64,
    /// The last log sequence number.
    pub(crate) lsn: u64,
}

/// The seal of a closed store's index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexSeal {
    /// The engine that wrote the index.
    pub(crate) engine: String,
    /// The hash of the names and contents of all files of the index.
    pub(crate) hash: u128,
}

/// The contents of `CLOSED`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) end: LogEnd,
    pub(crate) clock: ClockMark,
    /// `None` if the index may have changed since it was sealed.
    pub(crate) index: Option<IndexSeal>,
}

impl Closed {
    fn text(&self, id: StoreId) -> String {
        let LogEnd { epoch, offset, lsn } = self.end;
        let id = id.0;
        let mut text = format!("closed\nid {id:032x}\nepoch {epoch}\noffset {offset}\nlsn {lsn}\n");
        let ClockMark {
            age_ms,
            wall_ms,
            drift_ms,
            doubted_ms,
            jumped_at_ms,
        } = self.clock;
        text += &format!("clock {age_ms} {wall_ms} {drift_ms} {doubted_ms} {jumped_at_ms}\n");
        if let Some(IndexSeal { engine, hash }) = &self.index {
            text += &format!("index {engine} {hash:032x}\n");
        }
        text
    }

    fn parse(text: &str) -> Option<Closed> {
        let mut lines = text.lines().skip(2);
        let mut number = |name| field(lines.next(), name).and_then(|text| text.parse().ok());
        let end = LogEnd {
            epoch: number("epoch")?,
            offset: number("offset")?,
            lsn: number("lsn")?,
        };
        let mut clock = field(lines.next(), "clock")?.split(' ');
        let clock = ClockMark {
            age_ms: clock.next()?.parse().ok()?,
            wall_ms: clock.next()?.parse().ok()?,
            drift_ms: clock.next()?.parse().ok()?,
            doubted_ms: clock.next()?.parse().ok()?,
            jumped_at_ms: clock.next()?.parse().ok()?,
        };
        let index = match lines.next() {
            None => None,
            line => {
                let (engine, hash) = field(line, "index")?.split_once(' ')?;
                Some(IndexSeal {
                    engine: engine.to_owned(),
                    hash: u128::from_str_radix(hash, 16).ok()?,
                })
            }
        };
        Some(Closed { end, clock, index })
    }
}

/// Returns the text of `CLOSED`.
pub(crate) fn closed_text(id: StoreId, closed: &Closed) -> String {
    checked_text::sealed(&closed.text(id))
}

pub(crate) fn write_closed(disk: &dyn Disk, id: StoreId, closed: &Closed) -> Result<()> {
    checked_text::write(disk, file_names::CLOSED, &closed.text(id))
}

/// Writes `CLOSED` to the file that was created when the store was opened. If there is none, and
/// the disk is full, uses the scratch file.
pub(crate) fn write_closed_in(
    (disk, preallocation): (&dyn Disk, &Preallocation),
    id: StoreId,
    closed: &Closed,
) -> Result<()> {
    let place = (Some(file_names::CLOSING), Some(preallocation));
    checked_text::write_in(disk, place, file_names::CLOSED, &closed.text(id))
}

/// Reads the recorded end of the log and the seal of the index. `None` if the store was not closed
/// cleanly.
pub(crate) fn read_closed(disk: &dyn Disk, id: StoreId) -> Result<Option<Closed>> {
    let Some(text) = checked_text::read(disk, file_names::CLOSED, FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    // Anything but the exact text that would be written is treated as unreadable.
    match Closed::parse(&text).filter(|closed| {
        let LogEnd { epoch, lsn, .. } = closed.end;
        let is_possible = epoch < NUMBER_MAX && lsn < NUMBER_MAX && closed.clock.is_possible();
        is_possible && closed.text(id) == text
    }) {
        Some(closed) => Ok(Some(closed)),
        None => Err(Error::damaged(
            disk.path(file_names::CLOSED),
            0,
            "invalid contents, or the file belongs to another store",
        )),
    }
}

/// Durably removes `CLOSED` before anything else is written. Renames the file so that the next
/// close can use it, and then needs no space.
pub(crate) fn remove_closed(disk: &dyn Disk) -> Result<()> {
    let removed = match disk.rename(file_names::CLOSED, file_names::CLOSING) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        // The name belongs to something other than a file.
        Err(e) if is_directory(&e) => disk
            .remove(file_names::CLOSED)
            .and_then(|()| disk.sync_names()),
        renamed => renamed.and_then(|()| disk.sync_names()),
    };
    removed.map_err(|e| Error::io("remove", disk.path(file_names::CLOSED), &e))?;
    let prepared = disk
        .open_to_write(file_names::CLOSING)
        .or_else(|_| disk.create(file_names::CLOSING))
        .and_then(|file| match file.len()? {
            MARK_BYTES.. => Ok(()),
            len => file.write_all_at(&vec![0; (MARK_BYTES - len) as usize], len),
        });
    if let Err(error) = prepared {
        tracing::debug!(%error, "cannot preallocate the CLOSED file for the next close");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::memory::MemoryDisk;

    #[test]
    fn how_a_store_was_closed_comes_back_and_nothing_else_is_taken_for_it() {
        let (id, disk) = (StoreId(7), MemoryDisk::default());
        let end = LogEnd {
            epoch: 1,
            offset: 2,
            lsn: 3,
        };
        let clock = ClockMark {
            age_ms: 4,
            wall_ms: 5,
            drift_ms: -6,
            doubted_ms: 7,
            jumped_at_ms: 8,
        };
        let seal = IndexSeal {
            engine: "sled".to_owned(),
            hash: 5,
        };
        for index in [None, Some(seal)] {
            let closed = Closed { end, clock, index };
            write_closed(&disk, id, &closed).unwrap();
            assert_eq!(read_closed(&disk, id).unwrap(), Some(closed.clone()));
            assert!(read_closed(&disk, StoreId(8)).is_err(), "another store's");
            let text = closed.text(id);
            for (from, to) in [
                ("closed\n", "open\n"),
                ("epoch 1", "epoch +1"),
                ("epoch 1", "epoch 01"),
                ("lsn 3\n", ""),
                ("-6", "--6"),
                ("clock 4 5 -6 7 8\n", ""),
                ("lsn 3\n", "lsn 3\nmore\n"),
                ("lsn 3\n", "lsn 3\nindex sled\n"),
                ("lsn 3\n", "lsn 3\n\n"),
                ("lsn 3\n", "lsn 3\r\n"),
            ] {
                // The altered text gets a valid checksum.
                checked_text::write(&disk, file_names::CLOSED, &text.replace(from, to)).unwrap();
                assert!(read_closed(&disk, id).is_err(), "{from:?} as {to:?}");
            }
        }
    }
}
