//! Rewrites packs: merges several into one, or omits what was purged.
//!
//! A file is removed only after its replacement is durable.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use crate::base::sync::atomic::Ordering;
use crate::base::sync::time::Instant;
use crate::engine::background::compaction_filter::CompactionFilter;
use crate::engine::background::garbage;
use crate::engine::background::pack_files::{check_room, is_among};
use crate::engine::core::Engine;
use crate::engine::state::retired::Retired;
use crate::log::clock_mark::ClockMark;
use crate::log::disk::is_full;
use crate::log::event::Event;
use crate::log::pack::Pack;
use crate::log::pack_writer::PackWriter;
use crate::log::preallocation::Replaced;
use crate::model::error::{Error, Result};

/// On a full disk, pages keep replaced files for at most this long, so that a purge frees space
/// even while pages are being read.
const SNAPSHOT_TIMEOUT_ON_FULL_DISK: Duration = Duration::from_secs(5);

/// While this exists, replaced files do not expire.
pub(crate) struct Unexpiring<'e>(&'e Engine);

impl Drop for Unexpiring<'_> {
    fn drop(&mut self) {
        self.0.unexpiring.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Engine {
    /// Keeps replaced files for operations that have to read all files to the end, however long
    /// that takes. Call this before the files are looked up.
    pub(crate) fn keep_retired(&self) -> Unexpiring<'_> {
        self.unexpiring.fetch_add(1, Ordering::AcqRel);
        Unexpiring(self)
    }

    /// Takes retired files away from pages that were not dropped in time.
    pub(crate) fn expire_retired(&self, now: Instant) {
        self.expire_retired_after(self.options.snapshot_timeout, now);
    }

    /// Like [`Engine::expire_retired`], but with the shorter timeout for a full disk. Returns
    /// whether a file was taken away.
    pub(crate) fn expire_retired_on_full_disk(&self, now: Instant) -> bool {
        let lifetime = self
            .options
            .snapshot_timeout
            .min(SNAPSHOT_TIMEOUT_ON_FULL_DISK);
        self.expire_retired_after(lifetime, now)
    }

    fn expire_retired_after(&self, lifetime: Duration, now: Instant) -> bool {
        let expires = self.unexpiring.load(Ordering::Acquire) == 0;
        let mut is_any = false;
        self.retired.lock().retain(|retired| {
            let Some(file) = retired.file.upgrade() else {
                return false;
            };
            let age = now.saturating_duration_since(retired.since);
            let is_over = expires && age >= lifetime;
            if is_over {
                file.revoke();
                is_any = true;
            }
            !is_over
        });
        is_any
    }

    /// How long the oldest page has kept a replaced file.
    pub(crate) fn oldest_pin(&self, now: Instant) -> Option<Duration> {
        let retired = self.retired.lock();
        let pinned = retired.iter().filter(|r| r.file.strong_count() > 0);
        pinned.map(|r| now.saturating_duration_since(r.since)).max()
    }
}

/// Finds a pack, other than those in `beside`, that is mostly garbage: the largest on a full disk,
/// where it may become the scratch file for the others, and the oldest otherwise. Weighs only packs
/// that are new, or that may have gained garbage through purges or drops since the last call.
pub(crate) fn to_compact(
    engine: &Engine,
    beside: &[Arc<Pack>],
    is_full: bool,
) -> Option<Arc<Pack>> {
    let applied_lsn = erasable_lsn(engine)?;
    let packs = engine.log_files.read().packs.clone();
    garbage::count(engine, &packs);
    let mut garbage = packs
        .into_iter()
        .take_while(|pack| pack.last_lsn <= applied_lsn)
        .filter(|pack| !is_among(beside, pack))
        .filter(|pack| garbage::counted(pack).is_mostly_garbage());
    match is_full {
        true => garbage.max_by_key(|pack| pack.bytes),
        false => garbage.next(),
    }
}

/// Writes one pack from neighboring ones. Omits purged jobs if the index already records their
/// purges. Adds packs that cannot be rewritten to `failed`. The caller must hold no other reference
/// to the packs, so that their space is freed at the end.
pub(crate) fn rewrite(
    engine: &Engine,
    packs: Vec<Arc<Pack>>,
    operation: &'static str,
    failed: &mut Vec<Arc<Pack>>,
) -> Result<()> {
    let _names = engine.files_lock.lock();
    let rewritten = replace(engine, &packs, operation);
    match rewritten {
        Ok(()) => {
            drop(packs);
            engine.preallocation.replace_scratch(&*engine.disk);
        }
        Err(_) => failed.extend(packs),
    }
    rewritten
}

fn replace(engine: &Engine, packs: &[Arc<Pack>], operation: &'static str) -> Result<()> {
    let (Some(first), Some(last)) = (packs.first(), packs.last()) else {
        return Ok(());
    };
    let leave_out = erasable_lsn(engine).is_some_and(|lsn| last.last_lsn <= lsn);
    let bytes: u64 = packs.iter().map(|pack| pack.bytes).sum();
    let needed = match packs {
        // The new pack needs additional space only until it replaces the old one, and the
        // replacement then frees more space than the new pack takes. Therefore, the new pack may
        // also use space that is needed to create missing reserves.
        [pack] => {
            let garbage = garbage::counted(pack).garbage;
            bytes.saturating_sub(garbage)
        }
        _ => bytes + 2 * engine.options.segment_bytes,
    };
    if packs.len() == 1 && !leave_out {
        // While the index is being written, nothing can be omitted, so a rewrite would free no
        // space.
        return Ok(());
    }
    let written = check_room(engine, needed, operation, &first.name)
        .and_then(|()| write(engine, packs, leave_out, PackTarget::Ordinary));
    let rewritten = match written {
        Err(error) if is_full(&error) => {
            let target = PackTarget::Scratch(replaced_in_scratch(engine, packs));
            let in_scratch = write(engine, packs, leave_out, target);
            // If neither location has space, report the original error.
            in_scratch.map_err(|tried| if is_full(&tried) { error } else { tried })?
        }
        written => written?,
    };
    let rewritten = Arc::new(rewritten);
    {
        let mut log_files = engine.log_files.write();
        let log_files = Arc::make_mut(&mut log_files);
        let at = log_files
            .packs
            .partition_point(|pack| pack.last_lsn < rewritten.first_lsn);
        log_files
            .packs
            .splice(at..at + packs.len(), [rewritten.clone()]);
    }
    for part in &rewritten.parts {
        if let Some(graph) = engine.graph(part.graph) {
            graph.state.write().merge(part);
        }
    }
    let replaced = packs.iter().map(|pack| Retired::now(&pack.file));
    engine.retired.lock().extend(replaced);
    let removed = packs.iter().filter(|pack| pack.name != rewritten.name);
    let mut removed: Vec<_> = removed.collect();
    // If reserves are missing, the largest files become the reserves.
    removed.sort_by_key(|pack| Reverse(pack.bytes));
    for pack in removed {
        engine
            .preallocation
            .remove(&*engine.disk, &pack.name, &pack.file)
            .map_err(|e| Error::io("remove", &pack.path, &e))?;
    }
    let synced = match packs {
        // After a power failure, either of the two files may exist. Both are complete.
        [_] => engine.disk.sync_names(),
        _ => Ok(()),
    };
    synced.map_err(|e| Error::io("finish", &rewritten.path, &e))
}

/// Describes what a pack in the scratch file replaces. Merging must not make the scratch file
/// smaller, because it frees little. After garbage was removed from a single pack, the scratch file
/// must be large enough to pack the sealed segments and to rewrite the other packs.
fn replaced_in_scratch(engine: &Engine, packs: &[Arc<Pack>]) -> Replaced {
    let next_packs = match packs {
        [pack] => {
            let log_files = engine.log_files.read();
            let others = log_files.packs.iter().filter(|p| !Arc::ptr_eq(p, pack));
            // A pack is rewritten only once at least half of it is garbage.
            let left =
                |p: &Arc<Pack>| p.bytes - garbage::counted(p).garbage.clamp(p.bytes / 2, p.bytes);
            let live = others.map(left);
            let overhead = engine.preallocation.pack_overhead();
            let sealed = log_files.segments.iter().filter_map(|s| s.end());
            Some(live.chain(sealed.map(|end| end + overhead)).collect())
        }
        _ => None,
    };
    Replaced {
        bytes: packs.iter().map(|pack| pack.bytes).sum(),
        largest_bytes: packs.iter().map(|pack| pack.bytes).max().unwrap_or(0),
        next_packs,
    }
}

/// The LSN up to which packs may be rewritten without purged jobs: the last LSN of the index or, if
/// the next open rebuilds the index anyway, the last durable LSN. `None` while the index is being
/// written.
fn erasable_lsn(engine: &Engine) -> Option<u64> {
    match engine.index_is_sound() {
        true => Some(engine.indexer.try_lock()?.applied_lsn),
        false => Some(engine.durable_lsn.load(Ordering::Acquire)),
    }
}

/// The location to which a pack is written.
enum PackTarget {
    Ordinary,
    /// In the scratch file.
    Scratch(Replaced),
}

fn begin(
    engine: &Engine,
    target: PackTarget,
    first_lsn: u64,
    last_lsn: u64,
) -> Result<PackWriter<'_>> {
    let (disk, store) = (&*engine.disk, engine.store);
    match target {
        PackTarget::Ordinary => PackWriter::begin(disk, store, first_lsn, last_lsn),
        PackTarget::Scratch(replaced) => {
            let target = (disk, &*engine.preallocation);
            PackWriter::begin_in_scratch(target, store, (first_lsn, last_lsn), &replaced)
        }
    }
}

/// Packs the events of a sealed segment in the scratch file, and omits what was purged. The
/// segment's file is `replaced_bytes` bytes long.
pub(crate) fn pack_in_scratch(
    engine: &Engine,
    replaced_bytes: u64,
    (first_lsn, next_lsn): (u64, u64),
    clock: Option<ClockMark>,
    events: &[(u64, Event<'_>)],
) -> Result<Pack> {
    let filter = CompactionFilter::decide_segment(engine, events);
    let target = PackTarget::Scratch(Replaced {
        bytes: replaced_bytes,
        largest_bytes: replaced_bytes,
        // Nothing else can be packed before this segment.
        next_packs: Some(Vec::new()),
    });
    let writer = begin(engine, target, first_lsn, next_lsn - 1)?;
    let mut writer = writer.at_clock(clock);
    filter.write_segment(events, &mut writer)?;
    writer.finish_with(|written| filter.check(written))
}

fn write(
    engine: &Engine,
    packs: &[Arc<Pack>],
    leave_out: bool,
    target: PackTarget,
) -> Result<Pack> {
    let (first_lsn, last_lsn) = match packs {
        [first, .., last] | [first @ last] => (first.first_lsn, last.last_lsn),
        [] => (1, 0),
    };
    let filter = CompactionFilter::decide(engine, packs, leave_out);
    let writer = begin(engine, target, first_lsn, last_lsn)?;
    let mut writer = writer.at_clock(packs.iter().rev().find_map(|pack| pack.clock));
    if let [replaced] = packs {
        writer = writer.replacing(&replaced.file);
    }
    filter.write(packs, &mut writer)?;
    writer.finish_with(|written| filter.check(written))
}
