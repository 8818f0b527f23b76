//! Reads the log from its first file to its last frame, on top of the index.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::load_index::load_index;
use crate::engine::open::recover;
use crate::engine::open::store_files::{StoreFiles, gap};
use crate::engine::replay::{Replay, ReplayError};
use crate::engine::state::log_files::LogFiles;
use crate::engine::state::recovered::RecoveredJobs;
use crate::index::Index;
use crate::log::disk::Disk;
use crate::log::file_names;
use crate::log::segment::Segment;
use crate::model::error::{Error, Result};
use crate::model::options::Options;
use crate::model::states::States;
use crate::model::store_id::StoreId;

/// Whether the store may be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogAccess {
    Read,
    Repair,
}

/// Where a log ends.
#[derive(Clone, Copy)]
pub(crate) struct ReadEnd {
    /// The last segment's epoch; 0 if there is none.
    pub(crate) epoch: u64,
    /// The offset after its last frame.
    pub(crate) at: u64,
    /// Whether everything after that offset is known to be zeros on the disk.
    pub(crate) is_blank: bool,
}

/// The combined contents of the log and the index.
pub(crate) struct ReadLog {
    pub(crate) replay: Replay,
    pub(super) log_files: LogFiles,
    pub(super) end: ReadEnd,
    pub(super) found: Vec<RecoveredJobs>,
}

impl ReadLog {
    /// How many jobs each graph has.
    pub(crate) fn jobs(&self) -> BTreeMap<u32, u64> {
        let graphs = self.replay.graphs.by_number.iter();
        graphs
            .map(|(&number, graph)| (number, graph.state.read().status.total(States::ALL)))
            .collect()
    }
}

/// Reads the whole log, on top of the index.
pub(crate) fn read_log(
    disk: &dyn Disk,
    store: StoreId,
    files: &StoreFiles,
    options: &Options,
    index: Arc<dyn Index>,
    access: LogAccess,
) -> Result<ReadLog, ReplayError> {
    let closed = files.closed.as_ref().map(|closed| closed.end);
    let mut replay = load_index(index, store)?;
    replay.follow(options.on_replay.clone(), files.known_lsn());
    for pack in &files.packs {
        replay.pack(pack)?;
    }
    let mut end = ReadEnd {
        epoch: 0,
        at: 0,
        is_blank: false,
    };
    let mut last = disk.path(file_names::STORE);
    for (n, segment) in files.segments.iter().enumerate() {
        let header = segment.header;
        if header.first_lsn != replay.next_lsn {
            return Err(gap(&segment.path, replay.next_lsn, header.first_lsn).into());
        }
        let known_end = match files.segments.get(n + 1).map(|next| next.header) {
            Some(next) if next.previous_epoch == header.epoch => Some(next.previous_end),
            Some(next) => {
                let missing = disk.path(&file_names::segment(next.previous_epoch));
                let what = "the segment is missing, but a later one exists";
                return Err(Error::damaged(missing, 0, what).into());
            }
            None => closed.filter(|c| c.epoch == header.epoch).map(|c| c.offset),
        };
        let (end_at, is_blank) = read_segment(disk, &mut replay, segment, known_end, access)?;
        if n + 1 < files.segments.len() {
            segment.seal(end_at);
        }
        end = ReadEnd {
            epoch: header.epoch,
            at: end_at,
            is_blank,
        };
        last = segment.path.clone();
    }
    if let Some(closed) = closed {
        if closed.lsn >= replay.next_lsn && closed.epoch != end.epoch {
            let missing = disk.path(&file_names::segment(closed.epoch));
            let what = "the last segment of the log is missing";
            return Err(Error::damaged(missing, 0, what).into());
        }
        if closed.lsn != replay.next_lsn - 1 {
            let what = format!(
                "the log ends at log sequence number {}, but was closed at {}: a file of the log \
                 is missing or truncated",
                replay.next_lsn - 1,
                closed.lsn
            );
            return Err(Error::damaged(last, 0, what).into());
        }
    }
    // The store may have stayed open for a long time after its last write.
    let at_close = files.closed.as_ref().map(|closed| closed.clock);
    replay.clock = at_close.or(replay.clock);
    replay.check_whole(&last)?;
    replay.followed();
    let found = recover::find(&replay, options.recovery)?;
    let log_files = LogFiles {
        packs: files.packs.clone(),
        segments: files.segments.clone(),
    };
    Ok(ReadLog {
        replay,
        log_files,
        end,
        found,
    })
}

/// Reads a segment. Returns where it ends, and whether everything after that offset is known to be
/// zeros on the disk.
fn read_segment(
    disk: &dyn Disk,
    replay: &mut Replay,
    segment: &Arc<Segment>,
    known_end: Option<u64>,
    access: LogAccess,
) -> Result<(u64, bool), ReplayError> {
    // If a later segment or a clean close follows, everything in this segment was synced.
    let is_synced = known_end.is_some();
    let bytes = segment.read_all()?;
    if !is_synced && access == LogAccess::Repair {
        segment.make_durable(disk, &bytes)?;
    }
    let scanned = segment.scan_events(&bytes, known_end, |lsn, event, end| {
        replay.segment_event(lsn, &event, segment, end)
    })?;
    segment.note_frames(scanned.frames);
    replay.clock = scanned.clock.or(replay.clock);
    replay.next_lsn = scanned.next_lsn;
    // After a crash, zeros that are read are not necessarily on the disk.
    let rest = bytes.get(scanned.end as usize..).unwrap_or_default();
    let is_blank = is_synced && rest.iter().all(|&byte| byte == 0);
    Ok((scanned.end, is_blank))
}
