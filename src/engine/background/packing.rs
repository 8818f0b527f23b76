//! Packs sealed segments and merges small packs into larger ones, in the background.
//!
//! The log's files contain every event at every moment: a file is removed only after its
//! replacement is durable.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::base::sync::atomic::Ordering;
use crate::base::sync::channel::{Receiver, RecvTimeoutError};
use crate::base::sync::time::Instant;

use crate::engine::background::compaction;
use crate::engine::background::pack_files::{check_room, is_among};
use crate::engine::background::packed_events::packed_events;
use crate::engine::background::retention;
use crate::engine::core::Engine;
use crate::engine::state::retired::Retired;
use crate::log::clock_mark::ClockMark;
use crate::log::disk::{self, File as _};
use crate::log::event::Event;
use crate::log::pack::Pack;
use crate::log::pack_writer::{JobsWriter, PackWriter};
use crate::log::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::model::error::{Error, Result};

/// How long to wait before failed work is retried.
const RETRY: Duration = Duration::from_secs(5);
/// How many neighboring packs of about the same size are merged at once. Tests of thread schedules
/// create few packs, so they merge fewer at once.
const MERGE_PACKS: usize = if cfg!(jobstore_shuttle) { 2 } else { 8 };
/// All packs below this size are in one size class; the limit of each further class is eight times
/// that of the class before it.
const SMALLEST_BYTES: u64 = 64 << 10;
/// Merging creates no pack larger than this.
const PACK_BYTES_MAX: u64 = 256 << 20;

/// Runs the packer thread: works whenever it is woken, until the store closes.
pub(crate) fn run(engine: &Engine, calls: &Receiver<()>) {
    loop {
        work_noted(engine);
        match calls.recv_timeout(RETRY) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Does all pending work, and records whether it succeeded.
pub(crate) fn work_noted(engine: &Engine) {
    // A problem found here stops writes.
    engine.check_files().ok();
    let problem = work(engine).err();
    if let Some(error) = &problem {
        // Jobs that could not be packed are read from their segment.
        tracing::warn!(%error, "packing failed; retrying later");
    }
    engine.expire_retired(Instant::now());
    engine.wake_uploader();
    retry_hand_backs(engine);
    *engine.packing_problem.lock() = problem.map(|error| error.to_string().into());
}

/// Prepares the next segment, packs everything that can be packed, and purges what is due. A
/// step that fails is left for the next call, and the others continue; the first error is
/// returned.
fn work(engine: &Engine) -> Result<()> {
    let mut done = Ok(());
    let mut can_pack = true;
    let (mut not_merged, mut not_compacted, mut not_gathered) =
        (Vec::new(), Vec::new(), Vec::new());
    while engine.may_change_files() {
        // First, free the space taken up by replaced files that are no longer read.
        engine.expire_retired(Instant::now());
        // If there is no space for the next segment, packing may free some.
        let mut refilled = refill(engine);
        if refilled.as_ref().is_err_and(disk::is_full)
            && engine.expire_retired_on_full_disk(Instant::now())
        {
            refilled = refill(engine);
        }
        let is_full = refilled.as_ref().is_err_and(disk::is_full);
        let sealed = {
            let log_files = engine.log_files.read();
            log_files
                .segments
                .first()
                .filter(|segment| can_be_packed(engine, segment))
                .cloned()
        };
        // Segments are packed in order: if one cannot be packed, those after it wait, too.
        if let Some(segment) = sealed.filter(|_| can_pack) {
            let packed = pack(engine, segment);
            can_pack = packed.is_ok();
            done = done.and(packed);
            continue;
        }
        let to_compact = || compaction::to_compact(engine, &not_compacted, is_full);
        // On a full disk, garbage is removed first, because this frees the most space.
        let garbage = if is_full { to_compact() } else { None };
        let merging = match garbage {
            Some(_) => None,
            None => to_merge(&engine.log_files.read().packs, &not_merged),
        };
        if let Some(merging) = merging {
            let merged = compaction::rewrite(engine, merging, "merge", &mut not_merged);
            done = done.and(merged);
        } else if let Some(pack) = garbage.or_else(to_compact) {
            let compacted = compaction::rewrite(engine, vec![pack], "compact", &mut not_compacted);
            match &compacted {
                // Work that failed for lack of space may succeed now.
                Ok(()) if done.as_ref().is_err_and(disk::is_full) => {
                    can_pack = true;
                    done = Ok(());
                    not_compacted.clear();
                    not_merged.clear();
                    not_gathered.clear();
                }
                _ => {}
            }
            done = done.and(compacted);
        } else if let Some(packs) = refilled
            .as_ref()
            .err()
            .filter(|error| disk::is_full(error))
            .and_then(|_| {
                let packs = &engine.log_files.read().packs;
                // Fewer packs may fit into the scratch file than could not be merged.
                to_gather(packs, &not_gathered, engine.preallocation.reserve_bytes())
            })
        {
            let gathered = compaction::rewrite(engine, packs, "merge", &mut not_gathered);
            done = done.and(gathered);
        } else if !retention::step(engine) {
            let left = match refilled {
                Ok(()) => leave_oversized_segment(engine),
                Err(error) => Err(error),
            };
            match left {
                Ok(true) => {}
                Ok(false) => return done,
                Err(error) => return done.and(Err(error)),
            }
        }
    }
    done
}

/// Creates the next segment and the reserves if they are missing.
fn refill(engine: &Engine) -> Result<()> {
    match engine.follower {
        None => engine.preallocation.refill(&*engine.disk),
        // The store that the follower follows chooses the epochs of segments.
        Some(_) => engine.preallocation.make_reserves(&*engine.disk, false),
    }
}

/// Tries again to hand back the jobs of dropped claims, after this failed because the disk was full
/// or for another reason.
fn retry_hand_backs(engine: &Engine) {
    if engine.owed_hand_backs.lock().is_empty() || engine.check_writable().is_err() {
        return;
    }
    let now_ms = engine.read_clock_for_queue();
    let waiters = engine.lock_committer().retry_hand_backs(engine, now_ms);
    waiters.iter().for_each(|waiter| waiter.wake());
}

/// After a large write, makes the log continue in a segment of ordinary size; returns whether it
/// did.
fn leave_oversized_segment(engine: &Engine) -> Result<bool> {
    let is_larger = |segment: &Arc<Segment>| {
        let bytes = segment.file.len().unwrap_or_default();
        bytes > engine.preallocation.segment_bytes()
    };
    if !engine
        .log_files
        .read()
        .segments
        .last()
        .is_some_and(is_larger)
    {
        return Ok(false);
    }
    let left = engine.lock_committer().leave_oversized_segment(engine);
    if engine.has_failed() {
        engine.wake_all_waiters();
    }
    left
}

/// Whether nothing is left to pack, merge, or rewrite, as far as the index has progressed.
#[cfg(test)]
#[cfg_attr(jobstore_shuttle, allow(dead_code))]
pub(crate) fn is_settled(engine: &Engine) -> bool {
    // While this is locked, no pack is being written.
    let _names = engine.files_lock.lock();
    let (packs, segments) = {
        let log_files = engine.log_files.read();
        (log_files.packs.clone(), log_files.segments.clone())
    };
    segments.len() <= 1
        && to_merge(&packs, &[]).is_none()
        && compaction::to_compact(engine, &[], false).is_none()
}

/// Whether a segment is sealed, and the replica has its header. If the segment has no frame, the
/// header is sent together with the next frame of the log, and the next segment refers to it.
fn can_be_packed(engine: &Engine, segment: &Segment) -> bool {
    let is_sent = |end| {
        let durable_lsn = engine.durable_lsn.load(Ordering::Acquire);
        end > SEGMENT_HEADER_BYTES as u64 || durable_lsn >= segment.header.first_lsn
    };
    segment.end().is_some_and(is_sent)
}

/// Rewrites a sealed segment as a pack. The caller must hold no other reference to the segment, so
/// that its space is freed at the end.
fn pack(engine: &Engine, segment: Arc<Segment>) -> Result<()> {
    let _span = tracing::debug_span!("pack", segment = segment.header.epoch).entered();
    let _names = engine.files_lock.lock();
    let needed = segment.end().unwrap_or_default() + engine.preallocation.pack_overhead();
    let room = check_room(engine, needed, "pack", &segment.name);
    let bytes = segment.read_all()?;
    let mut events: Vec<(u64, Event<'_>)> = Vec::new();
    let scanned = segment.scan_events(&bytes, segment.end(), |lsn, event, _| {
        events.push((lsn, event));
        Ok::<(), Error>(())
    })?;
    let pack = if events.is_empty() {
        None
    } else {
        let range = (segment.header.first_lsn, scanned.next_lsn);
        let written = room.and_then(|()| write_pack(engine, range, scanned.clock, &events));
        let pack = match written {
            Err(error) if disk::is_full(&error) => {
                let replaced = segment.file.len();
                let replaced = replaced.map_err(|e| Error::io("read", &segment.path, &e))?;
                let clock = scanned.clock;
                let in_scratch =
                    compaction::pack_in_scratch(engine, replaced, range, clock, &events);
                // If neither location has space, report the original error.
                in_scratch.map_err(|tried| if disk::is_full(&tried) { error } else { tried })?
            }
            written => written?,
        };
        Some(Arc::new(pack))
    };
    {
        let mut log_files = engine.log_files.write();
        let log_files = Arc::make_mut(&mut log_files);
        log_files.segments.retain(|s| !Arc::ptr_eq(s, &segment));
        log_files.packs.extend(pack.clone());
    }
    engine.retired.lock().push(Retired::now(&segment.file));
    engine.preallocation.note_packed(segment.header.epoch);
    let submitted = events.iter().filter_map(|(_, event)| match event {
        Event::Submitted { graph, .. } => Some(*graph),
        _ => None,
    });
    // Only these graphs have requests in the segment.
    for number in submitted.collect::<BTreeSet<u32>>() {
        if let Some(graph) = engine.graph(number) {
            let part = pack.as_ref().and_then(|pack| pack.part_of(number));
            graph.state.write().pack(&segment, part.cloned());
            engine.metrics.visits.add(1);
            // Policies that limit bytes are based on the packed size, which is known only now.
            engine.note_changed(&graph, false);
        }
    }
    // Remove the segment durably, so that segments disappear from the disk in order, the oldest
    // first.
    let removed = engine
        .preallocation
        .remove(&*engine.disk, &segment.name, &segment.file)
        .and_then(|()| engine.disk.sync_names());
    removed.map_err(|e| Error::io("remove", &segment.path, &e))?;
    drop((events, segment));
    engine.preallocation.replace_scratch(&*engine.disk);
    Ok(())
}

fn write_pack(
    engine: &Engine,
    (first_lsn, next_lsn): (u64, u64),
    clock: Option<ClockMark>,
    events: &[(u64, Event<'_>)],
) -> Result<Pack> {
    let writer = PackWriter::begin(&*engine.disk, engine.store, first_lsn, next_lsn - 1)?;
    let mut writer = writer.at_clock(clock);
    let jobs = packed_events(events, |_, event| writer.event(event))?;
    for (number, jobs) in jobs {
        let Some(graph) = engine.graph(number) else {
            // The graph was dropped: its requests are no longer needed.
            continue;
        };
        let mut written = JobsWriter::begin(&mut writer, number);
        for job in jobs {
            written.push(&job, graph.is_external(job.texts.id, job.sequence))?;
        }
        written.finish()?;
    }
    writer.finish()
}

/// The newest neighboring packs of about the same size, if there are enough of them that are not in
/// `beside`.
fn to_merge(packs: &[Arc<Pack>], beside: &[Arc<Pack>]) -> Option<Vec<Arc<Pack>>> {
    let mut runs = packs.rsplit(|pack| is_among(beside, pack));
    runs.find_map(of_one_size)
}

/// Finds at least two neighboring packs that fit into the scratch file together. On a full disk,
/// merging them helps, because each removed file frees an inode and the unused part of its last
/// block.
fn to_gather(packs: &[Arc<Pack>], beside: &[Arc<Pack>], bytes_max: u64) -> Option<Vec<Arc<Pack>>> {
    let mut runs = packs.split(|pack| is_among(beside, pack));
    runs.find_map(|run| {
        (0..run.len()).find_map(|start| {
            let mut bytes = 0;
            let fits = run[start..].iter().take_while(|pack| {
                bytes += pack.bytes;
                bytes <= bytes_max
            });
            let count = fits.count();
            (count > 1).then(|| run[start..start + count].to_vec())
        })
    })
}

fn of_one_size(packs: &[Arc<Pack>]) -> Option<Vec<Arc<Pack>>> {
    let mut end = packs.len();
    while end >= MERGE_PACKS {
        let size = size_class(packs[end - 1].bytes);
        let mut start = end - 1;
        while start > 0 && size_class(packs[start - 1].bytes) <= size && end - start < MERGE_PACKS {
            start -= 1;
        }
        let bytes: u64 = packs[start..end].iter().map(|pack| pack.bytes).sum();
        if end - start == MERGE_PACKS && bytes <= PACK_BYTES_MAX {
            return Some(packs[start..end].to_vec());
        }
        end = start.min(end - 1);
    }
    None
}

fn size_class(bytes: u64) -> u32 {
    (bytes / SMALLEST_BYTES)
        .checked_ilog2()
        .map_or(0, |log| 1 + log / 3)
}
