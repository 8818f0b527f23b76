//! Continues the log in its last segment, or begins a new one.

use std::sync::Arc;

use super::read_log::ReadEnd;
use crate::engine::state::log_files::LogFiles;
use crate::log::disk::Disk;
use crate::log::identity;
use crate::log::outbox::RemoteLog;
use crate::log::preallocation::{Preallocation, Room};
use crate::log::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::log::writer::{LogWriter, Resume};
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// The maximum number of bytes after the log's end that an open zeroes. If there are more, it
/// begins a new segment.
const ZEROS_MAX: u64 = 1 << 20;

/// A replica to which the log is also written.
pub(crate) struct Remote {
    pub(crate) log: Arc<dyn RemoteLog>,
    /// Whether the last segment may be continued.
    pub(crate) continues: bool,
}

/// Continues the log in its last segment, unless that segment is full, so that opens do not create
/// more and more files. After a crash, everything after the log's end has to be zeroed first. If
/// there is too much to zero, or if there is no segment, a new segment is begun. If there is no
/// space for a new segment, the last one is continued regardless. The clean-close mark stays until
/// it is certain that the log can be continued.
pub(crate) fn begin_log(
    disk: &Arc<dyn Disk>,
    store: StoreId,
    preallocation: &Arc<Preallocation>,
    next_lsn: u64,
    (log_files, end): (&LogFiles, &ReadEnd),
    remote: Option<Remote>,
) -> Result<LogWriter> {
    let may_resume = remote.as_ref().is_none_or(|remote| remote.continues);
    let remote = remote.map(|remote| remote.log);
    let resume = |zeros_max, capacity_max| match log_files.segments.split_last() {
        Some((last, before)) => {
            let place = Resume {
                next_lsn,
                end: end.at,
                is_blank: end.is_blank,
                zeros_max,
                capacity_max,
            };
            let (disk, preallocation) = (disk.clone(), preallocation.clone());
            let last = last.clone();
            let log = LogWriter::resume(disk, store, preallocation, last, place, remote.clone())?;
            Ok(log.map(|mut log| {
                if end.at == SEGMENT_HEADER_BYTES as u64 {
                    log.send_unused(unused(before));
                }
                log
            }))
        }
        None => Ok(None),
    };
    // Where the log is continued, another writer that saw a later checkpoint may have packed the
    // segment already. Therefore, a writer with a replica begins a segment of its own, unless this
    // directory's previous writer was the last one.
    let resumed = match may_resume {
        false => None,
        true => match resume(ZEROS_MAX, preallocation.segment_bytes()) {
            // On file systems that need new space to overwrite data, there may not be enough space.
            Err(Error::DiskFull { .. }) => None,
            resumed => resumed?,
        },
    };
    let log = match resumed {
        Some(log) => log,
        None => match preallocation.take(&**disk, 0, Room::Freeing) {
            Ok(prepared) => {
                identity::remove_closed(&**disk)?;
                if let Some(last) = log_files.segments.last() {
                    last.seal(end.at);
                }
                let previous = (end.epoch, end.at);
                let (disk, preallocation) = (disk.clone(), preallocation.clone());
                let mut log = LogWriter::begin(
                    disk,
                    store,
                    preallocation,
                    prepared,
                    next_lsn,
                    previous,
                    remote,
                )?;
                log.send_unused(unused(&log_files.segments));
                return Ok(log);
            }
            Err(refused @ Error::DiskFull { .. }) if may_resume => {
                resume(u64::MAX, u64::MAX)?.ok_or(refused)?
            }
            Err(error) => return Err(error),
        },
    };
    identity::remove_closed(&**disk)?;
    Ok(log)
}

/// The last segments, if they have no frame.
fn unused(segments: &[Arc<Segment>]) -> &[Arc<Segment>] {
    let is_used = |segment: &Arc<Segment>| {
        let header_only = SEGMENT_HEADER_BYTES as u64;
        segment.end().is_none_or(|end| end > header_only)
    };
    let used = segments.iter().rposition(is_used).map_or(0, |n| n + 1);
    &segments[used..]
}
