//! The file `FOLLOWING`: marks a directory to which a follower copies the log.
//!
//! A follower does not sync each chunk, because what it copies is in the replica. So after a power
//! failure, any of the last bytes of the last segment may be missing, even those that later frames
//! record as synced. They are read from the replica again.

use std::io::ErrorKind;

use crate::log::disk::Disk;
use crate::log::file_names;
use crate::log::segment::{Segment, SegmentFile};
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// Durably marks the directory.
pub(crate) fn begin(disk: &dyn Disk) -> Result<()> {
    let name = file_names::FOLLOWING;
    let made = match disk.create(name) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    };
    made.and_then(|()| disk.sync_names())
        .map_err(|e| Error::io("create", disk.path(name), &e))
}

/// Returns whether the directory is marked.
pub(crate) fn is_marked(disk: &dyn Disk) -> Result<bool> {
    let name = file_names::FOLLOWING;
    let found = disk.identity(name);
    let found = found.map_err(|e| Error::io("inspect", disk.path(name), &e))?;
    Ok(found.is_some())
}

/// Makes the last segment durable, and removes the mark.
///
/// The segment is written again, because a sync alone is not enough: after an earlier failed sync,
/// the system may treat bytes as written that are not.
pub(crate) fn end(disk: &dyn Disk, store: StoreId) -> Result<()> {
    if !is_marked(disk)? {
        return Ok(());
    }
    let names = disk
        .names()
        .map_err(|e| Error::io("read", disk.path(""), &e))?;
    let epochs = names
        .iter()
        .filter_map(|name| file_names::segment_epoch(name));
    if let Some(epoch) = epochs.max() {
        if let SegmentFile::Segment(last) = Segment::open(disk, epoch, store)? {
            let bytes = last.read_all()?;
            let rewritten = disk.open_to_write(&last.name).and_then(|file| {
                file.write_all_at(&bytes, 0)?;
                file.sync()
            });
            rewritten.map_err(|e| Error::io("write", &last.path, &e))?;
        }
    }
    remove(disk)
}

/// Removes the mark, once the log is durable.
pub(crate) fn remove(disk: &dyn Disk) -> Result<()> {
    let name = file_names::FOLLOWING;
    let removed = match disk.remove(name) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    removed
        .and_then(|()| disk.sync_names())
        .map_err(|e| Error::io("remove", disk.path(name), &e))
}
