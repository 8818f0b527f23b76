//! What a rewritten pack keeps.
//!
//! Owns: the one rule for events, blocks and the places of purged jobs, and the check
//! that a replay accepts what was written by it. Must not know: which packs are worth
//! rewriting, how files replace each other.
//! Promise: what is left out is only what tells of dropped graphs, or of jobs that were
//! purged, durably; log sequence numbers do not change; a pack that a replay would not
//! accept never replaces another.
//!
//! The rule is decided for each graph once, before any of it is written:
//! - Of a dropped graph, nothing is kept but that its number was used.
//! - Of any other, jobs that are gone keep a place without a block, which neighbors
//!   share, and an `Erased` for their events, which others share too. An event that tells
//!   of many jobs is kept as long as any of them is there.
//!
//! An index that ends within a pack whose events were left out would not know what it
//! lacks, so only events that the index has are left out; should it come back older, it is
//! rebuilt. Blocks of dropped graphs are left out always.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::engine::core::Engine;
use crate::engine::replay::{Problem, Replay};
use crate::engine::state::catalog::Graphs;
use crate::engine::state::gone::Gone;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::status::StatusColumn;
use crate::log::block::Block;
use crate::log::event::{Event, pack_sequences, unpack_sequences};
use crate::log::pack::{Pack, Part};
use crate::log::pack_writer::{JobsWriter, PackWriter, PackedJob};
use crate::log::purged_jobs::{self, PurgedJob};
use crate::log::told::Needs;
use crate::model::error::{Error, Result};

/// What is kept of some neighboring packs.
pub(crate) struct Kept<'e> {
    engine: &'e Engine,
    /// Whether events are left out, and jobs of graphs that were not dropped.
    leaves_out: bool,
    /// By graph, in order.
    parts: BTreeMap<u32, Vec<Arc<Part>>>,
    /// The jobs of each graph in those parts, from the first to the last.
    jobs: BTreeMap<u32, Range<u64>>,
    /// Those of them that are gone.
    gone: BTreeMap<u32, Gone>,
    /// The graphs that were asked for, as they were then; none that was dropped.
    graphs: RefCell<HashMap<u32, Option<Known>>>,
}

/// A graph, and how many of its jobs were gone when it was first asked for.
type Known = (Arc<GraphCore>, u64);

impl<'e> Kept<'e> {
    fn new(engine: &'e Engine, leaves_out: bool) -> Kept<'e> {
        Kept {
            engine,
            leaves_out,
            parts: BTreeMap::new(),
            jobs: BTreeMap::new(),
            gone: BTreeMap::new(),
            graphs: RefCell::default(),
        }
    }

    pub(crate) fn decide(engine: &'e Engine, packs: &[Arc<Pack>], leaves_out: bool) -> Kept<'e> {
        let mut kept = Kept::new(engine, leaves_out);
        for part in packs.iter().flat_map(|pack| &pack.parts) {
            kept.parts.entry(part.graph).or_default().push(part.clone());
            let jobs = kept.jobs.entry(part.graph);
            jobs.or_insert(part.first_sequence..part.end_sequence).end = part.end_sequence;
        }
        kept.decide_jobs();
        kept
    }

    /// What is kept of the events of a segment.
    pub(crate) fn decide_segment(engine: &'e Engine, events: &[(u64, Event<'_>)]) -> Kept<'e> {
        let mut kept = Kept::new(engine, true);
        for (_, event) in events {
            if let Event::Submitted {
                graph, sequence, ..
            } = *event
            {
                let jobs = kept.jobs.entry(graph);
                jobs.or_insert(sequence..sequence).end = sequence + 1;
            }
        }
        kept.decide_jobs();
        kept
    }

    fn decide_jobs(&mut self) {
        let mut decided = BTreeMap::new();
        for (&number, jobs) in self.jobs.iter().filter(|_| self.leaves_out) {
            let Some(graph) = self.graph(number) else {
                continue;
            };
            let mut gone = graph.state.read().status.gone(jobs.clone());
            // Those that a repair set aside stay so.
            let parts = self.parts.get(&number).into_iter().flatten();
            let places = parts.flat_map(|part| &part.blocks);
            for place in places.filter(|place| place.is_set_aside()) {
                gone.clear(place.first_sequence..place.end_sequence());
            }
            decided.insert(number, gone);
        }
        self.gone = decided;
    }

    /// A graph, or none when it was dropped by the time it was first asked for.
    fn graph(&self, number: u32) -> Option<Arc<GraphCore>> {
        let mut graphs = self.graphs.borrow_mut();
        let known = graphs.entry(number).or_insert_with(|| {
            let graph = self.engine.graph(number)?;
            let gone = graph.state.read().status.gone_total();
            Some((graph, gone))
        });
        known.as_ref().map(|(graph, _)| graph.clone())
    }

    fn is_dropped(&self, number: u32) -> bool {
        self.graph(number).is_none()
    }

    fn is_gone(&self, number: u32, sequence: u64) -> bool {
        let is_gone = |graph: Arc<GraphCore>| graph.state.read().status.is_gone(sequence);
        self.graph(number).is_none_or(is_gone)
    }

    /// How many jobs of a range were gone before anything was written, at least.
    fn gone_before(&self, number: u32, range: Range<u64>) -> u64 {
        let graphs = self.graphs.borrow();
        let Some((graph, gone)) = graphs.get(&number).and_then(Option::as_ref) else {
            return 0;
        };
        let state = graph.state.read();
        match self.leaves_out && state.status.gone_total() == *gone {
            true => state.status.gone_in(range),
            false => 0,
        }
    }

    /// An index that cannot answer keeps no pack from being rewritten: what may have a
    /// tombstone is kept.
    fn tombstone_of(&self, graph: &GraphCore, sequence: u64) -> Result<Option<u64>> {
        match self.engine.tombstone_lsn(graph, sequence) {
            Err(Error::IndexUnavailable { .. }) => Ok(Some(u64::MAX)),
            known => known,
        }
    }

    /// Whether the blocks as they are written say of this job that it was purged, or the
    /// blocks of packs that are not rewritten do.
    fn is_purged_in_blocks(&self, graph: &GraphCore, sequence: u64) -> bool {
        let here = self.gone.get(&graph.number);
        here.is_some_and(|gone| gone.contains(sequence))
            || graph.state.read().is_purged_in_packs(sequence)
    }

    /// Writes what is kept of the packs' events and blocks.
    pub(crate) fn write(&self, packs: &[Arc<Pack>], writer: &mut PackWriter<'_>) -> Result<()> {
        let mut events = Events {
            kept: self,
            writer,
            erased: 0,
        };
        for pack in packs {
            pack.events(pack.first_lsn, |lsn, event| events.event(lsn, event))?;
        }
        events.end()?;
        writer.end_events(|number, first, end| self.gone_before(number, first..end));
        let nothing = Gone::default();
        for (&number, parts) in &self.parts {
            if self.is_dropped(number) {
                continue;
            }
            let gone = self.gone.get(&number).unwrap_or(&nothing);
            let mut jobs = JobsWriter::begin(writer, number);
            for part in parts {
                self.copy_part(&mut jobs, part, gone)?;
            }
            jobs.finish_blocks()?;
            writer.copy_fingerprints(parts, |sequence| gone.contains(sequence))?;
        }
        Ok(())
    }

    /// Writes what is kept of a segment's events, and blocks of its jobs.
    pub(crate) fn write_segment(
        &self,
        all: &[(u64, Event<'_>)],
        writer: &mut PackWriter<'_>,
    ) -> Result<()> {
        let mut jobs: BTreeMap<u32, Vec<PackedJob<'_>>> = BTreeMap::new();
        let mut events = Events {
            kept: self,
            writer,
            erased: 0,
        };
        let mut row: Option<(u64, u32, Range<u64>)> = None;
        for (lsn, event) in all {
            if let &Event::Submitted {
                graph,
                sequence,
                time_ms,
                fingerprint,
                texts,
            } = event
            {
                jobs.entry(graph).or_default().push(PackedJob {
                    sequence,
                    texts,
                    time_ms,
                    fingerprint,
                });
                match &mut row {
                    Some((_, of, range)) if *of == graph && range.end == sequence => range.end += 1,
                    _ => {
                        events.end_row(row.take())?;
                        row = Some((*lsn, graph, sequence..sequence + 1));
                    }
                }
            } else {
                events.end_row(row.take())?;
                events.event(*lsn, event)?;
            }
        }
        events.end_row(row)?;
        events.end()?;
        writer.end_events(|number, first, end| self.gone_before(number, first..end));
        let nothing = Gone::default();
        for (number, jobs) in jobs {
            let Some(graph) = self.graph(number) else {
                continue;
            };
            let gone = self.gone.get(&number).unwrap_or(&nothing);
            let mut written = JobsWriter::begin(writer, number);
            for job in jobs {
                match gone.contains(job.sequence) {
                    true => written.purged(job.sequence, job.sequence + 1)?,
                    false => written.push(&job, graph.is_foreign(job.texts.id, job.sequence))?,
                }
            }
            written.finish()?;
        }
        Ok(())
    }

    /// Copies the blocks of a part; those with purged jobs are put together again.
    fn copy_part(&self, jobs: &mut JobsWriter<'_, '_>, part: &Part, gone: &Gone) -> Result<()> {
        let is_foreign = |id: &str, sequence| {
            let graph = self.graph(part.graph);
            graph.is_none_or(|graph| graph.is_foreign(id, sequence))
        };
        let (mut block, mut piece) = (Block::default(), Vec::new());
        for place in &part.blocks {
            let range = place.first_sequence..place.end_sequence();
            match range.clone().filter(|&s| gone.contains(s)).count() as u64 {
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
                            fingerprint: crate::log::fingerprint::Fingerprint(0),
                        };
                        jobs.push(&job, is_foreign(texts.id, sequence))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Replays a pack that was written by this rule, before it replaces what it was made
    /// of: as an open without an index would, from where its graphs stood before it.
    pub(crate) fn check(&self, pack: &Pack) -> Result<()> {
        let refused = |why: &str| {
            let what = format!("the rewritten pack would fail verification at open: {why}");
            Error::damaged(&pack.path, 0, what)
        };
        let mut graphs = Graphs::after(self.engine.graphs.read().created);
        let known = self.graphs.borrow();
        let live = || known.iter().filter_map(|(&n, g)| Some((n, &g.as_ref()?.0)));
        for (number, graph) in live() {
            let part = pack.part_of(number);
            graphs.insert(Arc::new(graph.as_before(part)));
        }
        let mut replay = Replay::of_one(graphs, pack);
        replay.pack(pack).map_err(|problem| match problem {
            Problem::Truth(error) => refused(&error.to_string()),
            Problem::Index(fault) => refused(&fault.0),
        })?;
        for (number, _) in live() {
            if let Err(error) = replay.check_graph(number) {
                return Err(refused(&error.to_string()));
            }
            let before = self.jobs.get(&number).cloned();
            let written = pack.part_of(number);
            let written = written.map(|part| part.first_sequence..part.end_sequence);
            if before != written {
                return Err(refused(&format!(
                    "it contains jobs {written:?} of graph {number} instead of {before:?}"
                )));
            }
        }
        Ok(())
    }
}

impl GraphCore {
    /// The graph as a replay finds it in front of a pack that holds this part of it: its
    /// earlier jobs are of no concern. Where there is none, all its jobs are earlier.
    fn as_before(&self, part: Option<&Arc<Part>>) -> GraphCore {
        let names = (self.project.clone(), &*self.name);
        let ids = (self.ids.number(), self.ids.key());
        let graph = GraphCore::new(self.number, names, ids, self.created_ms);
        {
            let mut state = graph.state.write();
            let first = match part {
                Some(part) => part.first_sequence,
                None => self.state.read().status.len(),
            };
            state.status = StatusColumn::all_gone(first);
            if let Some(part) = part.filter(|_| first > 0) {
                let before = Part {
                    graph: self.number,
                    first_sequence: 0,
                    end_sequence: first,
                    set_aside: 0,
                    purged: 0,
                    blocks: Box::default(),
                    fingerprints: Box::default(),
                    pack: part.pack.clone(),
                    gone: Default::default(),
                };
                state.add_part(Arc::new(before));
            }
        }
        graph
    }
}

/// The events of packs that are rewritten.
struct Events<'k, 'e, 'w, 'd> {
    kept: &'k Kept<'e>,
    writer: &'w mut PackWriter<'d>,
    /// Events left out since the last one that was kept.
    erased: u64,
}

impl Events<'_, '_, '_, '_> {
    fn event(&mut self, lsn: u64, event: &Event<'_>) -> Result<()> {
        let kept = self.kept;
        if !kept.leaves_out {
            return self.keep(event);
        }
        let of_dropped = event.of_graph().is_some_and(|graph| kept.is_dropped(graph));
        if of_dropped {
            return match event {
                // That the number was used.
                Event::GraphCreated { .. } | Event::GraphDropped { .. } => self.keep(event),
                _ => self.erase(event.lsns()),
            };
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
            } if kept.is_gone(graph, sequence) => self.erase(1),
            // A key stays taken as long as its job has a tombstone.
            Event::Keyed {
                graph, sequence, ..
            } if kept.is_gone(graph, sequence) => {
                let core = kept.graph(graph);
                let tombstone = core.map(|core| kept.tombstone_of(&core, sequence));
                match tombstone.transpose()?.flatten() {
                    Some(lsn) => {
                        self.end()?;
                        let needs = Some((graph, Needs::Tombstones(lsn)));
                        self.writer.event_that(event, needs)
                    }
                    None => self.erase(1),
                }
            }
            Event::Submits {
                graph,
                first_sequence,
                count,
            } => self.submits(graph, first_sequence..first_sequence + count),
            // Kept whole as long as any of its jobs is there: a list that lacks some does
            // not say so, and a follower would miss them without notice.
            Event::Recovered {
                graph, sequences, ..
            } => {
                let all = unpack_sequences(sequences).unwrap_or_default();
                match all.into_iter().all(|job| kept.is_gone(graph, job)) {
                    true => self.erase(1),
                    false => self.keep(event),
                }
            }
            Event::Purged {
                graph,
                time_ms,
                age_shift_ms,
                why,
                jobs,
            } => self.purged(lsn, (graph, time_ms, age_shift_ms, why), jobs),
            Event::Forgotten {
                graph,
                through_lsn,
                sequences,
            } => self.forgotten((graph, through_lsn), sequences),
            Event::Erased { count } => self.erase(count),
            // A pack has the clocks in its footer.
            Event::Clock => self.erase(1),
            _ => self.keep(event),
        }
    }

    fn submits(&mut self, graph: u32, range: Range<u64>) -> Result<()> {
        let nothing = Gone::default();
        let gone = self.kept.gone.get(&graph).unwrap_or(&nothing);
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
    /// even that where blocks say it. References to results go with the tombstones:
    /// their bounds are how late whoever deletes results may be, and what they cost
    /// stays bounded.
    fn purged(&mut self, lsn: u64, head: (u32, u64, i64, u8), jobs: &[u8]) -> Result<()> {
        let (graph, time_ms, age_shift_ms, why) = head;
        let whole = Event::Purged {
            graph,
            time_ms,
            age_shift_ms,
            why,
            jobs,
        };
        let (Some(core), Some(gone)) = (self.kept.graph(graph), purged_jobs::unpack(jobs)) else {
            return self.keep(&whole);
        };
        if core.state.read().forgotten_lsn < lsn {
            return self.keep(&whole);
        }
        let left: Vec<PurgedJob> = gone
            .into_iter()
            .filter(|job| !self.kept.is_purged_in_blocks(&core, job.sequence))
            .map(|job| PurgedJob {
                id: None,
                result_ref: None,
                ..job
            })
            .collect();
        match left.is_empty() {
            true => self.erase(1),
            false => self.keep(&Event::Purged {
                graph,
                time_ms,
                age_shift_ms,
                why,
                jobs: &purged_jobs::pack(&left),
            }),
        }
    }

    /// The index has forgotten the jobs that are named. They stay named as long as no
    /// block says that they were purged: the event of the purge may be lost.
    fn forgotten(&mut self, head: (u32, u64), sequences: &[u8]) -> Result<()> {
        let (graph, through_lsn) = head;
        let mut left = Vec::new();
        let mut is_last = true;
        if let Some(core) = self.kept.graph(graph) {
            left = unpack_sequences(sequences).unwrap_or_default();
            left.retain(|&job| !self.kept.is_purged_in_blocks(&core, job));
            is_last = core.state.read().forgotten_lsn <= through_lsn;
        }
        if left.is_empty() && !is_last {
            return self.erase(1);
        }
        self.end()?;
        let event = Event::Forgotten {
            graph,
            through_lsn,
            sequences: &pack_sequences(&left),
        };
        self.writer.event_that(&event, Some((graph, Needs::Graph)))
    }

    /// Ends a row of submissions of a segment.
    fn end_row(&mut self, row: Option<(u64, u32, Range<u64>)>) -> Result<()> {
        match row {
            None => Ok(()),
            Some((lsn, graph, jobs)) => {
                let submits = Event::Submits {
                    graph,
                    first_sequence: jobs.start,
                    count: jobs.end - jobs.start,
                };
                self.event(lsn, &submits)
            }
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
