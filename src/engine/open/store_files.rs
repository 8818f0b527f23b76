//! The files of a store's log, sorted.
//!
//! Determines which packs and segments form the log, and which files are no longer needed. The log
//! has no gaps. A file that has been replaced by another is removed only if the replacement is
//! intact.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::engine::survey::check_pack;
use crate::log::disk::{Disk, File as _};
use crate::log::file_names;
use crate::log::identity::{self, Closed};
use crate::log::pack::Pack;
use crate::log::segment::{Segment, SegmentFile};
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// The sorted files of a store.
pub(crate) struct StoreFiles {
    pub(crate) packs: Vec<Arc<Pack>>,
    /// The segments that are not packed yet, in order.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) closed: Option<Closed>,
    /// Files that a crash left behind and that are not needed.
    pub(crate) useless: Vec<String>,
    pub(crate) next_epoch: u64,
}

impl StoreFiles {
    /// The total size, in bytes, of the packs and of the written parts of the segments.
    pub(crate) fn bytes(&self) -> u64 {
        let packs: u64 = self.packs.iter().map(|pack| pack.bytes).sum();
        let segments = self.segments.iter().map(|s| s.file.len().unwrap_or(0));
        packs + segments.sum::<u64>()
    }

    /// The last LSN that is known without reading events.
    pub(crate) fn known_lsn(&self) -> u64 {
        let packed = self.packs.last().map_or(0, |pack| pack.last_lsn);
        let begun = self.segments.last().map_or(0, |s| s.header.first_lsn - 1);
        packed.max(begun)
    }
}

pub(crate) fn read_files(disk: &dyn Disk, store: StoreId) -> Result<StoreFiles> {
    let names = disk
        .names()
        .map_err(|e| Error::io("read", disk.path(""), &e))?;
    let mut useless: Vec<String> = names
        .iter()
        .filter(|name| file_names::is_aside(name))
        .cloned()
        .collect();
    let mut packs = Vec::new();
    for name in names
        .iter()
        .filter(|name| file_names::pack_range(name).is_some())
    {
        packs.push(Pack::open(disk, name, store)?);
    }
    let (kept, replaced) = chain(packs)?;
    for pack in &kept {
        if replaced
            .iter()
            .any(|r| r.first_lsn <= pack.last_lsn && r.last_lsn >= pack.first_lsn)
        {
            check_replacement(pack)?;
        }
    }
    useless.extend(replaced.into_iter().map(|pack| pack.name));
    let next_lsn = kept.last().map_or(1, |pack| pack.last_lsn + 1);
    let epochs: BTreeSet<u64> = names
        .iter()
        .filter_map(|n| file_names::segment_epoch(n))
        .collect();
    let mut segments = Vec::new();
    for &epoch in &epochs {
        match Segment::open(disk, epoch, store)? {
            SegmentFile::Segment(segment) if segment.header.first_lsn >= next_lsn => {
                segments.push(Arc::new(segment));
            }
            // The segment is already packed.
            SegmentFile::Segment(segment) => {
                let lsn = segment.header.first_lsn;
                let pack = kept.partition_point(|pack| pack.last_lsn < lsn);
                kept.get(pack)
                    .map_or(Ok(()), |pack| check_replacement(pack))?;
                useless.push(segment.name);
            }
            // The segment was preallocated and never used.
            SegmentFile::Unused => useless.push(file_names::segment(epoch)),
        }
    }
    let closed = identity::read_closed(disk, store)?;
    let closed_epoch = closed.as_ref().map_or(0, |c| c.end.epoch);
    Ok(StoreFiles {
        packs: kept,
        segments,
        closed,
        useless,
        next_epoch: epochs.last().copied().unwrap_or(0).max(closed_epoch) + 1,
    })
}

/// After a crash, the files that a pack replaces are removed only if the whole pack is intact.
fn check_replacement(pack: &Pack) -> Result<()> {
    let checked = check_pack(pack, &mut |_| Ok(()))?;
    match checked.into_damage().into_iter().next() {
        None => Ok(()),
        Some((error, ..)) => Err(error),
    }
}

/// Returns the fewest packs that cover all LSNs from the first to the last without a gap, and the
/// packs that are not needed. Packs that are being merged stay until the larger pack is durable,
/// and a failed merge may leave a pack that overlaps others.
fn chain(mut packs: Vec<Pack>) -> Result<(Vec<Arc<Pack>>, Vec<Pack>)> {
    packs.sort_by_key(|pack| (pack.first_lsn, Reverse(pack.last_lsn)));
    // For each LSN that can be reached without a gap: how many packs are needed, and which of them
    // is the last.
    let mut reached: BTreeMap<u64, (usize, Option<usize>)> = BTreeMap::from([(1, (0, None))]);
    for (n, pack) in packs.iter().enumerate() {
        let Some(&(count, _)) = reached.get(&pack.first_lsn) else {
            continue;
        };
        let best = reached
            .entry(pack.last_lsn + 1)
            .or_insert((usize::MAX, None));
        if count + 1 < best.0 {
            *best = (count + 1, Some(n));
        }
    }
    let mut lsn = reached.keys().next_back().copied().unwrap_or(1);
    if let Some(beyond) = packs.iter().find(|pack| pack.last_lsn >= lsn) {
        return Err(gap(&beyond.path, lsn, beyond.first_lsn));
    }
    let mut needed = BTreeSet::new();
    while let Some(&(_, Some(n))) = reached.get(&lsn) {
        needed.insert(n);
        lsn = packs[n].first_lsn;
    }
    let (mut kept, mut replaced) = (Vec::new(), Vec::new());
    for (n, pack) in packs.into_iter().enumerate() {
        match needed.contains(&n) {
            true => kept.push(Arc::new(pack)),
            false => replaced.push(pack),
        }
    }
    Ok((kept, replaced))
}

pub(crate) fn gap(path: &Path, expected: u64, found: u64) -> Error {
    let what = format!(
        "it starts with log sequence number {found} instead of {expected}: a file of the log is \
         missing, or belongs to another store"
    );
    Error::damaged(path, 0, what)
}
