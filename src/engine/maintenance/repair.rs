//! Repairs a damaged store so that it opens: damaged parts are quarantined.
//!
//! A repair loses nothing that is intact. Quarantined files stay unchanged in the store's
//! directory. An interrupted repair can be repeated.
//!
//! A damaged stretch of the log becomes a pack. The pack contains the intact events and blocks, one
//! event that records the number of lost events, and places without a block for the lost jobs. Some
//! of the lost events are necessary. These are written again, before the other lost events are
//! counted: the creation of each graph that other events refer to, and the drop of each graph whose
//! jobs the files omit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use crate::engine::background::packed_events::{Jobs, packed_events};
use crate::engine::survey::{LogRange, RangeSource, SegmentSurvey, Survey, each_request};
use crate::index::rows::GraphRow;
use crate::log::block::Block;
use crate::log::disk::Disk;
use crate::log::event::Event;
use crate::log::file_names;
use crate::log::fingerprint::Fingerprint;
use crate::log::identity::{self, Closed, LogEnd};
use crate::log::pack_writer::{JobsWriter, PackWriter, PackedJob};
use crate::log::secret_keys;
use crate::model::error::{Error, Result};

/// What a repair did.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) quarantined: Vec<PathBuf>,
    pub(crate) jobs: u64,
    pub(crate) events: u64,
}

/// The project to which graphs are assigned if their names are lost.
const LOST_PROJECT: &str = "lost";

/// A substitute for the creation of a graph if neither the log nor the index records the creation.
/// Because the graph's key is lost, all ids of its jobs have to be looked up.
pub(crate) fn nameless(graph: u32, id_number: u64) -> GraphRow {
    GraphRow {
        number: id_number,
        key: [0; 2],
        project: LOST_PROJECT.to_owned(),
        name: format!("graph-{graph}"),
        created_ms: 0,
        forgotten_lsn: 0,
    }
}

/// Rewrites the damaged parts. `created` contains the graphs whose creation is lost.
pub(crate) fn repair(
    disk: &dyn Disk,
    survey: &Survey,
    created: Vec<(u32, GraphRow)>,
) -> Result<Done> {
    let mut repair = Repair {
        disk,
        survey,
        ends: BTreeMap::new(),
        known: BTreeSet::new(),
        begun: BTreeSet::new(),
        created: created.into(),
        dropped: survey.lost_drops.clone(),
        lost_left: survey.lost_events(),
        done: Done::default(),
    };
    if survey.identity_is_damaged {
        repair.keep(file_names::STORE)?;
        identity::create(disk, survey.store)?;
    }
    if survey.secret_keys_are_damaged {
        repair.keep(file_names::SECRET_KEYS)?;
        secret_keys::replace_damaged(disk, survey.store)?;
    }
    for name in &survey.unreadable {
        repair.keep(name)?;
    }
    let log_ranges = &survey.log_ranges;
    let last_bad = log_ranges.iter().rposition(|log_range| !log_range.is_sound);
    let is_rewritten = |n: usize| {
        // In the log, all packs come before all segments, so the segments before a damaged one
        // become packs, too.
        let is_segment = matches!(log_ranges[n].source, RangeSource::Segment(_));
        !log_ranges[n].is_sound || (is_segment && last_bad.is_some_and(|last| n < last))
    };
    for (n, log_range) in log_ranges.iter().enumerate() {
        match is_rewritten(n) {
            true => repair.rewrite(n)?,
            false => repair.pass(log_range),
        }
    }
    // Rewritten files are removed once all replacements are durable.
    for name in &survey.unreadable {
        let mut rewritten = (0..log_ranges.len()).filter(|&n| is_rewritten(n));
        let is_written = rewritten.any(|n| {
            let log_range = &log_ranges[n];
            file_names::pack(log_range.first_lsn, log_range.last_lsn) == *name
        });
        if !is_written {
            repair.remove(name)?;
        }
    }
    for (n, log_range) in log_ranges.iter().enumerate() {
        if let RangeSource::Segment(segment) = &log_range.source {
            if is_rewritten(n) {
                if !log_range.is_sound {
                    repair.keep(&segment.name)?;
                }
                repair.remove(&segment.name)?;
            }
        }
    }
    repair.closed()?;
    match repair.created.front() {
        None => Ok(repair.done),
        Some((graph, _)) => {
            let what = format!("it refers to graph {graph}, which was never created");
            Err(Error::damaged(disk.path(""), 0, what))
        }
    }
}

struct Repair<'r> {
    disk: &'r dyn Disk,
    survey: &'r Survey,
    /// For each graph, the sequence number after the last job so far.
    ends: BTreeMap<u32, u64>,
    /// Graphs created so far. Only the jobs of these graphs have places.
    known: BTreeSet<u32>,
    /// Graphs whose creation still has to be written in place of a lost event.
    created: VecDeque<(u32, GraphRow)>,
    /// Graphs whose creation has been written or found so far.
    begun: BTreeSet<u32>,
    /// Graphs whose drop still has to be written in place of a lost event.
    dropped: BTreeSet<u32>,
    /// How many lost events are still to be written.
    lost_left: u64,
    done: Done,
}

impl<'r> Repair<'r> {
    fn pass(&mut self, log_range: &LogRange) {
        self.known.extend(&log_range.created);
        self.begun.extend(&log_range.created);
        for (&graph, runs) in &log_range.spans {
            if let Some(&(_, end)) = runs.last() {
                self.ends.insert(graph, end);
            }
        }
    }

    fn rewrite(&mut self, n: usize) -> Result<()> {
        let log_range = &self.survey.log_ranges[n];
        self.known.extend(&log_range.created);
        if let RangeSource::Pack { pack, .. } = &log_range.source {
            self.keep(&pack.name)?;
        }
        let store = self.survey.store;
        let (first_lsn, last_lsn) = (log_range.first_lsn, log_range.last_lsn);
        let clock = match &log_range.source {
            RangeSource::Pack { pack, .. } => pack.clock,
            RangeSource::Segment(segment) => segment.frames.last().map(|frame| frame.clock),
            _ => None,
        };
        let writer = PackWriter::begin(self.disk, store, first_lsn, last_lsn)?;
        let mut writer = writer.at_clock(clock);
        let bytes = match &log_range.source {
            RangeSource::Segment(segment) => segment.read(self.disk)?,
            _ => Vec::new(),
        };
        let mut jobs: Jobs<'_> = BTreeMap::new();
        match &log_range.source {
            RangeSource::Missing => self.lost(&mut writer, last_lsn - first_lsn + 1)?,
            RangeSource::Pack {
                pack, bad_chunks, ..
            } => {
                let mut buffer = Vec::new();
                for (n, (_, first_lsn, last_lsn)) in pack.chunks().enumerate() {
                    if bad_chunks.contains(&n) {
                        self.lost(&mut writer, last_lsn - first_lsn + 1)?;
                        continue;
                    }
                    pack.chunk_events(n, &mut buffer, |_, event| self.event(&mut writer, event))?;
                }
            }
            RangeSource::Segment(segment) => {
                jobs = self.segment_events(&mut writer, log_range, segment, &bytes)?;
            }
        }
        let mut graphs: Vec<u32> = self.survey.graphs.keys().copied().collect();
        graphs.retain(|graph| self.known.contains(graph) && !self.survey.graphs[graph].is_dropped);
        for graph in graphs {
            // The job at which the graph continues in later files. The jobs before it must exist
            // before later events refer to them.
            let log_ranges = &self.survey.log_ranges;
            let mut later = log_ranges[n + 1..].iter();
            let next = later.find_map(|later| Some(later.spans.get(&graph)?.first()?.0));
            // Otherwise, the end of the jobs that events refer to but that have no request.
            let mentioned = |s: &LogRange| s.mentioned.get(&graph).copied();
            let next = next.or_else(|| log_ranges[n..].iter().filter_map(mentioned).max());
            self.jobs(&mut writer, log_range, graph, jobs.remove(&graph), next)?;
        }
        writer.finish().map(|_| ())
    }

    /// Keeps an intact event.
    fn event(&mut self, writer: &mut PackWriter<'_>, event: &Event<'_>) -> Result<()> {
        if let Event::GraphCreated { graph, .. } = event {
            self.begun.insert(*graph);
        }
        writer.event(event)
    }

    /// Writes replacements for `count` lost events: the creations of graphs whose creation was
    /// lost, the drops of graphs whose drop was lost, and one event for all others.
    fn lost(&mut self, writer: &mut PackWriter<'_>, count: u64) -> Result<()> {
        self.lost_left = self.lost_left.saturating_sub(count);
        let mut left = count;
        while left > 0 {
            let Some((graph, row)) = self.created.pop_front() else {
                break;
            };
            self.known.insert(graph);
            self.event(
                writer,
                &Event::GraphCreated {
                    graph,
                    number: row.number,
                    key: row.key,
                    time_ms: row.created_ms,
                    project: &row.project,
                    name: &row.name,
                },
            )?;
            left -= 1;
        }
        // At least one of the lost events has to be recorded as lost, unless the drops that remain
        // to be written need every LSN that is left.
        let mut begun = self.dropped.intersection(&self.begun).copied();
        let mut dropped = Vec::new();
        while left > 1
            || (left == 1 && (self.dropped.len() - dropped.len()) as u64 > self.lost_left)
        {
            let Some(graph) = begun.next() else { break };
            dropped.push(graph);
            left -= 1;
        }
        for graph in dropped {
            self.dropped.remove(&graph);
            // The time of the drop is unknown.
            writer.event(&Event::GraphDropped { graph, time_ms: 0 })?;
        }
        self.done.events += left;
        match left {
            0 => Ok(()),
            count => writer.event(&Event::Lost { count }),
        }
    }

    /// Writes the events of a segment; returns the jobs submitted in it, by graph.
    fn segment_events<'b>(
        &mut self,
        writer: &mut PackWriter<'_>,
        log_range: &LogRange,
        segment: &SegmentSurvey,
        bytes: &'b [u8],
    ) -> Result<Jobs<'b>> {
        let mut jobs: Jobs<'b> = BTreeMap::new();
        let store = self.survey.store;
        let mut lsn = log_range.first_lsn;
        for frame in &segment.frames {
            if frame.first_lsn > lsn {
                self.lost(writer, frame.first_lsn - lsn)?;
            }
            let events = segment.events(frame, bytes)?;
            let submitted = packed_events(&events, |_, event| self.event(writer, event))?;
            for (graph, submitted) in submitted {
                let repacked = submitted.into_iter().map(|job| PackedJob {
                    fingerprint: Fingerprint::of_json(store, job.texts.request),
                    ..job
                });
                jobs.entry(graph).or_default().extend(repacked);
            }
            lsn = events.last().map_or(lsn, |(at, _)| at + 1);
        }
        if lsn <= log_range.last_lsn {
            self.lost(writer, log_range.last_lsn + 1 - lsn)?;
        }
        Ok(jobs)
    }

    /// Writes the jobs of a graph in a stretch: the existing ones, and places for the missing ones,
    /// up to `next`, the job at which the graph continues in a later stretch.
    fn jobs(
        &mut self,
        writer: &mut PackWriter<'_>,
        log_range: &LogRange,
        graph: u32,
        jobs: Option<Vec<PackedJob<'_>>>,
        next: Option<u64>,
    ) -> Result<()> {
        let mut at = self.ends.get(&graph).copied().unwrap_or(0);
        let mut end = at.max(next.unwrap_or(0));
        let part = match &log_range.source {
            RangeSource::Pack { pack, .. } => pack.parts.iter().find(|part| part.graph == graph),
            _ => None,
        };
        end = part.map_or(end, |part| end.max(part.end_sequence));
        let jobs = jobs.unwrap_or_default();
        if jobs.is_empty() && end == at {
            return Ok(());
        }
        let mut quarantined = 0;
        if let (Some(part), RangeSource::Pack { bad_blocks, .. }) = (part, &log_range.source) {
            writer.begin_graph(graph);
            // The fingerprints are rebuilt, because the fingerprints of damaged jobs must be
            // removed.
            let store = self.survey.store;
            let mut fingerprints = Vec::new();
            let (mut block, mut piece) = (Block::default(), Vec::new());
            for (n, place) in part.blocks.iter().enumerate() {
                if bad_blocks.contains(&(graph, n)) {
                    continue;
                }
                quarantined += place.first_sequence.saturating_sub(at);
                writer.quarantine(at, place.first_sequence);
                writer.copy_block(part, place)?;
                each_request(part, n, (&mut block, &mut piece), |sequence, request| {
                    fingerprints.push((Fingerprint::of_json(store, request), sequence));
                })?;
                at = place.end_sequence();
            }
            quarantined += end - at;
            writer.quarantine(at, end);
            writer.fingerprints(fingerprints)?;
        } else {
            let mut written = JobsWriter::begin(writer, graph);
            for job in jobs {
                let sequence = job.sequence;
                // A store never writes the same sequence number twice. If it occurs twice
                // nevertheless, keep the first job that has it.
                if sequence < at {
                    continue;
                }
                quarantined += sequence.saturating_sub(at);
                if sequence > at {
                    written.quarantine(at, sequence)?;
                }
                // Whether the graph generated the id is not checked here. Therefore, the id is
                // treated as external; an unnecessary lookup costs little.
                written.push(&job, true)?;
                at = sequence + 1;
            }
            end = end.max(at);
            quarantined += end - at;
            written.quarantine(at, end)?;
            written.finish()?;
        }
        self.ends.insert(graph, end);
        self.done.jobs += quarantined;
        Ok(())
    }

    /// Durably renames a file to a name that the store ignores. The file itself is never written to
    /// again, because its replacement is a different file.
    fn keep(&mut self, name: &str) -> Result<()> {
        let failed = |e| Error::io("quarantine", self.disk.path(name), &e);
        let there = self.disk.names().map_err(failed)?;
        if !there.iter().any(|found| found == name) {
            return Ok(());
        }
        let kept = (1u32..)
            .map(|n| format!("{name}.{n}{}", file_names::DAMAGED))
            .find(|kept| !there.contains(kept));
        let kept = kept.unwrap_or_default();
        self.disk
            .link(name, &kept)
            .and_then(|()| self.disk.sync_names())
            .map_err(failed)?;
        self.done.quarantined.push(self.disk.path(&kept));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.disk
            .remove(name)
            .and_then(|()| self.disk.sync_names())
            .map_err(|e| Error::io("remove", self.disk.path(name), &e))
    }

    /// If the log was closed cleanly, records where it ends now.
    fn closed(&mut self) -> Result<()> {
        if self.survey.closed_is_damaged {
            self.keep(file_names::CLOSED)?;
            return identity::remove_closed(self.disk);
        }
        let Some(closed) = &self.survey.closed else {
            return Ok(());
        };
        let end = LogEnd {
            lsn: self.survey.next_lsn() - 1,
            ..closed.end
        };
        // The index is removed, so no checksum of it is recorded.
        let closed = Closed {
            end,
            clock: closed.clock,
            index: None,
        };
        identity::write_closed(self.disk, self.survey.store, &closed)
    }
}
