//! Packs written anew: several as one, or without what was purged.
//!
//! Owns: what of a pack's events and blocks is kept, and which packs are worth it. Must
//! not know: why jobs were purged.
//! Promise: what is left out is only what tells of jobs that were purged, durably; the
//! log's numbers stay what they were; a file goes once what replaces it is durable.
//!
//! A purged job leaves nothing but a place without a block, which neighbouring ones
//! share, and an `Erased` for its events, which others share too; one that tells of many
//! jobs stays as it is as long as any of them is there. An index that ends
//! within a stretch that was rewritten would not know what it lacks, so only what the
//! index has is rewritten so; should it come back older, it is made anew.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::engine::graph_state::GraphCore;
use crate::engine::packing::{check_room, is_among};
use crate::error::{Error, Result};
use crate::storage::block::Block;
use crate::storage::event::{Event, unpack_sequences};
use crate::storage::pack::{Pack, Part};
use crate::storage::pack_writer::{JobsWriter, PackWriter, PackedJob};
use crate::storage::purged::{self, PurgedJob};
use crate::storage::revocable::Revocable;
use crate::sync::time::Instant;

/// A pack that was replaced, which pages may still read.
pub(crate) struct Retired {
    file: Arc<Revocable>,
    since: Instant,
}

impl Engine {
    /// Takes retired packs away from pages that were not let go of in time.
    pub(crate) fn expire_retired(&self, now: Instant) {
        let lifetime = self.options.page_lifetime;
        self.retired.lock().retain(|retired| {
            let is_read = Arc::strong_count(&retired.file) > 1;
            if is_read && now.saturating_duration_since(retired.since) >= lifetime {
                retired.file.revoke();
                return false;
            }
            is_read
        });
    }
}

impl Engine {
    /// For how long the eldest page has kept a file that was replaced.
    pub(crate) fn oldest_pin(&self, now: Instant) -> Option<Duration> {
        let retired = self.retired.lock();
        let pinned = retired.iter().filter(|r| Arc::strong_count(&r.file) > 1);
        pinned.map(|r| now.saturating_duration_since(r.since)).max()
    }
}

/// A pack, beside some, of which at least half is of purged jobs or dropped graphs. Looks
/// at new packs and at what purges and drops have changed since, and at nothing else.
pub(crate) fn to_compact(engine: &Engine, beside: &[Arc<Pack>]) -> Option<Arc<Pack>> {
    let applied_lsn = engine.indexer.try_lock()?.applied_lsn;
    let packs = engine.truth.read().packs.clone();
    let shrunk = std::mem::take(&mut engine.noted.lock().shrunk);
    for number in shrunk {
        let graph = engine.graph(number);
        for pack in packs.iter().filter(|pack| pack.gone.is_known()) {
            if let Some(part) = pack.part_of(number) {
                engine.meters.visits.add(1);
                pack.gone
                    .change(&part.gone, gone_in_part(graph.as_deref(), part));
            }
        }
    }
    for pack in packs.iter().filter(|pack| !pack.gone.is_known()) {
        for part in &pack.parts {
            engine.meters.visits.add(1);
            let graph = engine.graph(part.graph);
            let bytes = gone_in_part(graph.as_deref(), part);
            pack.gone.change(&part.gone, bytes);
        }
        pack.gone.set_known();
    }
    let is_worth = |pack: &Arc<Pack>| {
        let gone = pack.gone.bytes();
        gone > 0 && 2 * gone >= pack.block_bytes
    };
    packs
        .into_iter()
        .take_while(|pack| pack.last_lsn <= applied_lsn)
        .filter(|pack| !is_among(beside, pack))
        .find(is_worth)
}

/// What a part holds of purged jobs, or of a graph that was dropped, about.
fn gone_in_part(graph: Option<&GraphCore>, part: &Part) -> u64 {
    match graph {
        None => part.block_bytes(),
        Some(graph) if graph.state.read().has_gone_in_blocks() => gone_bytes(graph, part),
        Some(_) => 0,
    }
}

/// What blocks hold of purged jobs, about.
fn gone_bytes(graph: &GraphCore, part: &Part) -> u64 {
    let state = graph.state.read();
    let blocks = part.blocks.iter().filter(|place| !place.is_empty());
    blocks
        .map(|place| {
            let gone = state
                .status
                .gone_in(place.first_sequence..place.end_sequence());
            u64::from(place.len) * gone / u64::from(place.jobs)
        })
        .sum()
}

/// Makes one pack of neighbouring ones, without what was purged as far as the index
/// knows of it.
pub(crate) fn rewrite(engine: &Engine, packs: &[Arc<Pack>], operation: &'static str) -> Result<()> {
    let (Some(first), Some(last)) = (packs.first(), packs.last()) else {
        return Ok(());
    };
    let _names = engine.files.lock();
    let bytes: u64 = packs.iter().map(|pack| pack.bytes).sum();
    let needed = bytes + 2 * engine.options.segment_bytes;
    check_room(engine, needed, operation, &first.name)?;
    let indexer = engine.indexer.try_lock();
    let applied_lsn = indexer.map_or(0, |indexer| indexer.applied_lsn);
    let rewritten = write(engine, packs, last.last_lsn <= applied_lsn)?;
    let rewritten = Arc::new(rewritten);
    {
        let mut truth = engine.truth.write();
        let truth = Arc::make_mut(&mut truth);
        let at = truth
            .packs
            .partition_point(|pack| pack.last_lsn < rewritten.first_lsn);
        truth
            .packs
            .splice(at..at + packs.len(), [rewritten.clone()]);
    }
    for part in &rewritten.parts {
        if let Some(graph) = engine.graph(part.graph) {
            graph.state.write().merge(part);
        }
    }
    let since = Instant::now();
    engine
        .retired
        .lock()
        .extend(packs.iter().map(|pack| Retired {
            file: pack.file.clone(),
            since,
        }));
    for pack in packs.iter().filter(|pack| pack.name != rewritten.name) {
        engine
            .disk
            .remove(&pack.name)
            .map_err(|e| Error::io("remove", &pack.path, &e))?;
    }
    Ok(())
}

fn write(engine: &Engine, packs: &[Arc<Pack>], leave_out: bool) -> Result<Pack> {
    let mut parts: BTreeMap<u32, Vec<Arc<Part>>> = BTreeMap::new();
    for part in packs.iter().flat_map(|pack| &pack.parts) {
        parts.entry(part.graph).or_default().push(part.clone());
    }
    let mut graphs = BTreeMap::new();
    for (&number, parts) in &parts {
        if let (Some(graph), [first, .., last] | [first @ last]) =
            (engine.graph(number), parts.as_slice())
        {
            let range = first.first_sequence..last.end_sequence;
            let gone = match leave_out {
                true => {
                    let mut gone = graph.state.read().status.gone(range);
                    let places = parts.iter().flat_map(|part| &part.blocks);
                    for place in places.filter(|place| place.is_set_aside()) {
                        gone.clear(place.first_sequence..place.end_sequence());
                    }
                    gone
                }
                false => Gone::default(),
            };
            graphs.insert(number, (graph, gone));
        }
    }
    let (first_lsn, last_lsn) = match packs {
        [first, .., last] | [first @ last] => (first.first_lsn, last.last_lsn),
        [] => (1, 0),
    };
    let mut writer = PackWriter::begin(&*engine.disk, engine.store, first_lsn, last_lsn)?;
    if let [_] = packs {
        writer = writer.replacing();
    }
    let mut events = Events {
        engine,
        writer: &mut writer,
        graphs: &graphs,
        erased: 0,
        leave_out,
    };
    for pack in packs {
        pack.events(pack.first_lsn, |lsn, event| events.event(lsn, event))?;
    }
    events.end()?;
    for (number, parts) in &parts {
        if let Some((graph, gone)) = graphs.get(number) {
            let mut jobs = JobsWriter::begin(&mut writer, *number);
            for part in parts {
                copy_part(&mut jobs, graph, part, gone)?;
            }
            jobs.finish_blocks()?;
            writer.copy_fingerprints(parts, |sequence| gone.contains(sequence))?;
        }
    }
    writer.finish()
}

/// The events of packs that are rewritten.
struct Events<'e, 'w, 'd> {
    engine: &'e Engine,
    writer: &'w mut PackWriter<'d>,
    graphs: &'e BTreeMap<u32, (Arc<GraphCore>, Gone)>,
    /// Events left out since the last one that was kept.
    erased: u64,
    leave_out: bool,
}

impl Events<'_, '_, '_> {
    fn event(&mut self, lsn: u64, event: &Event<'_>) -> Result<()> {
        if !self.leave_out {
            return self.keep(event);
        }
        match *event {
            Event::Started {
                graph, sequence, ..
            }
            | Event::CancelRequested {
                graph, sequence, ..
            }
            | Event::Completed {
                graph, sequence, ..
            } if self.is_gone(graph, sequence) => self.erase(1),
            // A key stays taken as long as its job has a tombstone.
            Event::Keyed {
                graph, sequence, ..
            } if self.is_gone(graph, sequence) => match self.engine.graph(graph) {
                Some(core) if self.engine.has_tombstone(&core, sequence)? => self.keep(event),
                _ => self.erase(1),
            },
            Event::Submits {
                graph,
                first_sequence,
                count,
            } => self.submits(graph, first_sequence..first_sequence + count),
            // Kept whole as long as any of its jobs is there: a list that lacks some does
            // not say so, and who follows would miss them in silence.
            Event::Recovered {
                graph, sequences, ..
            } => {
                let all = unpack_sequences(sequences).unwrap_or_default();
                match all.into_iter().all(|job| self.is_gone(graph, job)) {
                    true => self.erase(1),
                    false => self.keep(event),
                }
            }
            Event::Purged {
                graph,
                time_ms,
                why,
                jobs,
            } => self.purged(lsn, (graph, time_ms, why), jobs),
            Event::Forgotten {
                graph, through_lsn, ..
            } => match self.engine.graph(graph) {
                Some(core) if core.state.read().forgotten_lsn > through_lsn => self.erase(1),
                // The index has forgotten those it names.
                _ => self.keep(&Event::Forgotten {
                    graph,
                    through_lsn,
                    sequences: &[],
                }),
            },
            Event::Erased { count } => self.erase(count),
            _ => self.keep(event),
        }
    }

    fn is_gone(&self, graph: u32, sequence: u64) -> bool {
        let graph = self.engine.graph(graph);
        graph.is_some_and(|graph| graph.state.read().status.is_gone(sequence))
    }

    fn submits(&mut self, graph: u32, range: Range<u64>) -> Result<()> {
        let nothing = Gone::default();
        let gone = self.graphs.get(&graph).map_or(&nothing, |(_, gone)| gone);
        let mut from = range.start;
        while from < range.end {
            let is_gone = gone.contains(from);
            let run = (from..range.end).take_while(|&s| gone.contains(s) == is_gone);
            let count = run.count() as u64;
            if is_gone {
                self.erase(count)?;
            } else {
                self.keep(&Event::Submits {
                    graph,
                    first_sequence: from,
                    count,
                })?;
            }
            from += count;
        }
        Ok(())
    }

    /// A purge whose tombstones are forgotten says only which jobs are gone, and not
    /// even that where the packs say it. References to results go with the tombstones:
    /// their bounds are how far behind who deletes results may be, and what they cost
    /// stays bounded.
    fn purged(&mut self, lsn: u64, head: (u32, u64, u8), jobs: &[u8]) -> Result<()> {
        let (graph, time_ms, why) = head;
        let whole = Event::Purged {
            graph,
            time_ms,
            why,
            jobs,
        };
        let (Some(core), Some(gone)) = (self.engine.graph(graph), purged::unpack(jobs)) else {
            return self.keep(&whole);
        };
        let state = core.state.read();
        if state.forgotten_lsn < lsn {
            drop(state);
            return self.keep(&whole);
        }
        let left: Vec<PurgedJob> = gone
            .into_iter()
            .filter(|job| !state.is_purged_in_packs(job.sequence))
            .map(|job| PurgedJob {
                id: None,
                result_ref: None,
                ..job
            })
            .collect();
        drop(state);
        match left.is_empty() {
            true => self.erase(1),
            false => self.keep(&Event::Purged {
                graph,
                time_ms,
                why,
                jobs: &purged::pack(&left),
            }),
        }
    }

    fn erase(&mut self, count: u64) -> Result<()> {
        self.erased += count;
        Ok(())
    }

    fn keep(&mut self, event: &Event<'_>) -> Result<()> {
        self.end()?;
        self.writer.event(event)
    }

    fn end(&mut self) -> Result<()> {
        match std::mem::take(&mut self.erased) {
            0 => Ok(()),
            count => self.writer.event(&Event::Erased { count }),
        }
    }
}

/// Jobs of a range that are listed no more, as they were at one moment.
#[derive(Default)]
pub(crate) struct Gone {
    pub(crate) first: u64,
    /// A bit for each job.
    pub(crate) words: Vec<u64>,
}

impl Gone {
    fn clear(&mut self, range: Range<u64>) {
        for at in range.start - self.first..range.end - self.first {
            if let Some(word) = self.words.get_mut((at / 64) as usize) {
                *word &= !(1 << (at % 64));
            }
        }
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        let at = sequence.wrapping_sub(self.first);
        let word = usize::try_from(at / 64)
            .ok()
            .and_then(|n| self.words.get(n));
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

/// Copies the blocks of a part; those with purged jobs are put together anew.
fn copy_part(
    jobs: &mut JobsWriter<'_, '_>,
    graph: &GraphCore,
    part: &Part,
    gone: &Gone,
) -> Result<()> {
    let (mut block, mut piece) = (Block::default(), Vec::new());
    for place in &part.blocks {
        let range = place.first_sequence..place.end_sequence();
        // Those that a repair set aside stay so.
        let is_gone = |sequence: &u64| !place.is_set_aside() && gone.contains(*sequence);
        match range.clone().filter(is_gone).count() as u64 {
            0 => jobs.copy_block(part, place)?,
            all if all == u64::from(place.jobs) => jobs.purged(range.start, range.end)?,
            _ => {
                part.read_block(place, (&mut block, &mut piece))?;
                for (n, sequence) in range.enumerate() {
                    if gone.contains(sequence) {
                        jobs.purged(sequence, sequence + 1)?;
                        continue;
                    }
                    let texts = block.texts(n).ok_or_else(|| part.not_valid(place))?;
                    let job = PackedJob {
                        sequence,
                        texts,
                        time_ms: block.rows[n].submitted_ms,
                        // They are copied apart.
                        fingerprint: crate::fingerprint::Fingerprint(0),
                    };
                    jobs.push(&job, graph.is_foreign(texts.id, sequence))?;
                }
            }
        }
    }
    Ok(())
}
