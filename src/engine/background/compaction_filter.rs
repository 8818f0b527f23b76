//! Decides which events, blocks, and places of purged jobs a rewritten pack keeps, and checks
//! that a replay accepts the result.
//!
//! Only events and blocks of dropped graphs, or of durably purged jobs, are omitted. Log sequence
//! numbers do not change. A pack that a replay would not accept never replaces another pack.
//!
//! The rule for each graph is chosen before any part of the graph is written:
//! - Of a dropped graph, only the fact that its number was used is kept.
//! - In any other graph, jobs that are gone keep a place without a block. Neighboring jobs share
//!   such a place. The events of these jobs are replaced by `Erased` events; one `Erased` can
//!   replace several neighboring events. An event about many jobs is kept as long as any of them
//!   exists.
//!
//! Events are omitted only if the index contains them. Otherwise, if an index ended within the
//! pack, the events that the index lacks could not be determined. If an older index is restored
//! from a backup, it is rebuilt. Blocks of dropped graphs are always omitted.

mod check;
mod events;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use self::events::Events;
use crate::engine::background::packed_events::packed_events;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::removed_jobs::RemovedJobs;
use crate::log::block::Block;
use crate::log::event::Event;
use crate::log::pack::{Pack, Part};
use crate::log::pack_writer::{JobsWriter, PackWriter, PackedJob};
use crate::model::error::{Error, Result};

/// Which contents of some neighboring packs are kept.
pub(crate) struct CompactionFilter<'e> {
    engine: &'e Engine,
    /// Whether to omit events of all graphs, and jobs of graphs that were not dropped.
    leaves_out: bool,
    /// For each graph, the parts that these packs contain, in order.
    parts: BTreeMap<u32, Vec<Arc<Part>>>,
    /// The range of each graph's jobs in those parts.
    jobs: BTreeMap<u32, Range<u64>>,
    /// Which of those jobs are gone.
    removed: BTreeMap<u32, RemovedJobs>,
    /// The graphs that were looked up, in their state at the time of the lookup; `None` for a
    /// dropped graph.
    graphs: RefCell<HashMap<u32, Option<Known>>>,
}

/// A graph, and how many of its jobs were gone when it was first looked up.
type Known = (Arc<GraphCore>, u64);

impl<'e> CompactionFilter<'e> {
    fn new(engine: &'e Engine, leaves_out: bool) -> CompactionFilter<'e> {
        CompactionFilter {
            engine,
            leaves_out,
            parts: BTreeMap::new(),
            jobs: BTreeMap::new(),
            removed: BTreeMap::new(),
            graphs: RefCell::default(),
        }
    }

    pub(crate) fn decide(
        engine: &'e Engine,
        packs: &[Arc<Pack>],
        leaves_out: bool,
    ) -> CompactionFilter<'e> {
        let mut filter = CompactionFilter::new(engine, leaves_out);
        for part in packs.iter().flat_map(|pack| &pack.parts) {
            filter
                .parts
                .entry(part.graph)
                .or_default()
                .push(part.clone());
            let jobs = filter.jobs.entry(part.graph);
            jobs.or_insert(part.first_sequence..part.end_sequence).end = part.end_sequence;
        }
        filter.decide_jobs();
        filter
    }

    /// Decides which events of a segment are kept.
    pub(crate) fn decide_segment(
        engine: &'e Engine,
        events: &[(u64, Event<'_>)],
    ) -> CompactionFilter<'e> {
        let mut filter = CompactionFilter::new(engine, true);
        for (_, event) in events {
            if let Event::Submitted {
                graph, sequence, ..
            } = *event
            {
                let jobs = filter.jobs.entry(graph);
                jobs.or_insert(sequence..sequence).end = sequence + 1;
            }
        }
        filter.decide_jobs();
        filter
    }

    fn decide_jobs(&mut self) {
        let mut decided = BTreeMap::new();
        for (&number, jobs) in self.jobs.iter().filter(|_| self.leaves_out) {
            let Some(graph) = self.graph(number) else {
                continue;
            };
            let mut removed = graph.state.read().status.removed(jobs.clone());
            // Quarantined jobs stay quarantined.
            let parts = self.parts.get(&number).into_iter().flatten();
            let places = parts.flat_map(|part| &part.blocks);
            for place in places.filter(|place| place.is_quarantined()) {
                removed.clear(place.first_sequence..place.end_sequence());
            }
            decided.insert(number, removed);
        }
        self.removed = decided;
    }

    /// Returns a graph, or `None` if it was dropped before its first lookup.
    fn graph(&self, number: u32) -> Option<Arc<GraphCore>> {
        let mut graphs = self.graphs.borrow_mut();
        let known = graphs.entry(number).or_insert_with(|| {
            let graph = self.engine.graph(number)?;
            let removed = graph.state.read().status.removed_total();
            Some((graph, removed))
        });
        known.as_ref().map(|(graph, _)| graph.clone())
    }

    fn is_dropped(&self, number: u32) -> bool {
        self.graph(number).is_none()
    }

    fn is_removed(&self, number: u32, sequence: u64) -> bool {
        let is_removed = |graph: Arc<GraphCore>| graph.state.read().status.is_removed(sequence);
        self.graph(number).is_none_or(is_removed)
    }

    /// A lower bound on how many jobs of a range were gone before anything was written.
    fn removed_before(&self, number: u32, range: Range<u64>) -> u64 {
        let graphs = self.graphs.borrow();
        let Some((graph, removed)) = graphs.get(&number).and_then(Option::as_ref) else {
            return 0;
        };
        let state = graph.state.read();
        match self.leaves_out && state.status.removed_total() == *removed {
            true => state.status.removed_in(range),
            false => 0,
        }
    }

    /// If the index cannot be read, the pack is still rewritten, but jobs that may have a tombstone
    /// are kept.
    fn tombstone_of(&self, graph: &GraphCore, sequence: u64) -> Result<Option<u64>> {
        match self.engine.tombstone_lsn(graph, sequence) {
            Err(Error::IndexUnavailable { .. }) => Ok(Some(u64::MAX)),
            known => known,
        }
    }

    /// Whether a block will record that this job was purged: either a block that is being written,
    /// or a block of a pack that is not being rewritten.
    fn is_purged_in_blocks(&self, graph: &GraphCore, sequence: u64) -> bool {
        let here = self.removed.get(&graph.number);
        here.is_some_and(|removed| removed.contains(sequence))
            || graph.state.read().is_purged_in_packs(sequence)
    }

    /// Writes those events and blocks of the packs that are kept.
    pub(crate) fn write(&self, packs: &[Arc<Pack>], writer: &mut PackWriter<'_>) -> Result<()> {
        let mut events = Events::new(self, writer);
        for pack in packs {
            pack.events(pack.first_lsn, |lsn, event| events.event(lsn, event))?;
        }
        events.end()?;
        writer.end_events(|number, first, end| self.removed_before(number, first..end));
        let nothing = RemovedJobs::default();
        for (&number, parts) in &self.parts {
            if self.is_dropped(number) {
                continue;
            }
            let removed = self.removed.get(&number).unwrap_or(&nothing);
            let mut jobs = JobsWriter::begin(writer, number);
            for part in parts {
                self.copy_part(&mut jobs, part, removed)?;
            }
            jobs.finish_blocks()?;
            writer.copy_fingerprints(parts, |sequence| removed.contains(sequence))?;
        }
        Ok(())
    }

    /// Writes those events of a segment that are kept, and the blocks of its jobs.
    pub(crate) fn write_segment(
        &self,
        all: &[(u64, Event<'_>)],
        writer: &mut PackWriter<'_>,
    ) -> Result<()> {
        let mut events = Events::new(self, writer);
        let jobs = packed_events(all, |lsn, event| events.event(lsn, event))?;
        events.end()?;
        writer.end_events(|number, first, end| self.removed_before(number, first..end));
        let nothing = RemovedJobs::default();
        for (number, jobs) in jobs {
            let Some(graph) = self.graph(number) else {
                continue;
            };
            let removed = self.removed.get(&number).unwrap_or(&nothing);
            let mut written = JobsWriter::begin(writer, number);
            for job in jobs {
                match removed.contains(job.sequence) {
                    true => written.purged(job.sequence, job.sequence + 1)?,
                    false => written.push(&job, graph.is_external(job.texts.id, job.sequence))?,
                }
            }
            written.finish()?;
        }
        Ok(())
    }

    /// Copies the blocks of a part; rebuilds blocks that contain purged jobs.
    fn copy_part(
        &self,
        jobs: &mut JobsWriter<'_, '_>,
        part: &Part,
        removed: &RemovedJobs,
    ) -> Result<()> {
        let is_external = |id: &str, sequence| {
            let graph = self.graph(part.graph);
            graph.is_none_or(|graph| graph.is_external(id, sequence))
        };
        let (mut block, mut piece) = (Block::default(), Vec::new());
        for place in &part.blocks {
            let range = place.first_sequence..place.end_sequence();
            match range.clone().filter(|&s| removed.contains(s)).count() as u64 {
                0 => jobs.copy_block(part, place)?,
                all if all == u64::from(place.jobs) => jobs.purged(range.start, range.end)?,
                _ => {
                    part.read_block(place, (&mut block, &mut piece))?;
                    for (n, sequence) in range.enumerate() {
                        if removed.contains(sequence) {
                            jobs.purged(sequence, sequence + 1)?;
                            continue;
                        }
                        let texts = block.texts(n).ok_or_else(|| part.not_valid(place))?;
                        let job = PackedJob {
                            sequence,
                            texts,
                            time_ms: block.rows[n].submitted_ms,
                            // Fingerprints are copied separately.
                            fingerprint: crate::log::fingerprint::Fingerprint(0),
                        };
                        jobs.push(&job, is_external(texts.id, sequence))?;
                    }
                }
            }
        }
        Ok(())
    }
}
