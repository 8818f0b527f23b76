//! Finds graphs that were dropped although their drop event is lost.
//!
//! Only graphs that were certainly dropped are reported. If the drop leaves no trace in the files,
//! the whole graph still exists, so it becomes available again.
//!
//! Two things are possible only after a drop: a pack omits jobs without leaving places for them, or
//! a graph's name is reused. Files in which this occurs are intact as long as the log records later
//! that the graph was dropped. Without that event, a replay would find jobs without a request, or
//! two graphs with the same name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{LogRange, RangeSource, Survey};
use crate::index::rows::GraphRow;

impl Survey {
    /// Records which graphs were dropped although their drop event is lost. `created` contains the
    /// graphs whose creation is lost.
    pub(crate) fn note_lost_drops(&mut self, created: &[(u32, GraphRow)]) {
        let mut dropped = self.left_out();
        dropped.extend(self.reused_names(created));
        dropped.retain(|graph| self.graphs.get(graph).is_none_or(|g| !g.is_dropped));
        if dropped.len() as u64 > self.lost_events() {
            return;
        }
        for &graph in &dropped {
            self.graphs.entry(graph).or_default().is_dropped = true;
        }
        self.lost_drops = dropped;
    }

    /// How many events of the log are not in any file.
    pub(crate) fn lost_events(&self) -> u64 {
        self.log_ranges.iter().map(LogRange::lost_events).sum()
    }

    /// Of the graphs that share a name, all but the one created last.
    fn reused_names(&self, created: &[(u32, GraphRow)]) -> Vec<u32> {
        let sound = self.graphs.iter().filter_map(|(&number, found)| {
            let (project, name) = found.names.as_ref()?;
            Some((number, (project.as_str(), name.as_str())))
        });
        let created = created.iter();
        let created = created.map(|(number, row)| (*number, (&*row.project, &*row.name)));
        let named: Vec<(u32, (&str, &str))> = sound.chain(created).collect();
        let mut last: HashMap<(&str, &str), u32> = HashMap::new();
        for &(number, name) in &named {
            let newest = last.entry(name).or_insert(number);
            *newest = number.max(*newest);
        }
        let older = named.iter().filter(|(number, name)| last[name] > *number);
        older.map(|&(number, _)| number).collect()
    }

    /// The graphs whose jobs were omitted, if no damaged file can have contained these jobs.
    fn left_out(&self) -> BTreeSet<u32> {
        let mut places = Places::default();
        for (n, log_range) in self.log_ranges.iter().enumerate() {
            for (&graph, &jobs) in &log_range.required {
                places.require_jobs(graph, jobs);
            }
            if log_range.may_have_held_others() {
                places.unknown = Some(n);
            }
            for &graph in &log_range.created {
                places.ends.entry(graph).or_insert((0, n));
            }
            for (graph, first, end) in log_range.places() {
                places.require_jobs(graph, first);
                let known = places.ends.entry(graph).or_default();
                *known = (end.max(known.0), n);
            }
            for (&graph, &jobs) in &log_range.mentioned {
                places.require_jobs(graph, jobs);
            }
            for (&graph, &jobs) in &log_range.submitted {
                // Earlier files do not matter: the places of these jobs would be in this pack.
                if jobs > places.end(graph) {
                    places.left_out.insert(graph);
                }
            }
        }
        places.left_out
    }
}

/// Which jobs have places, up to and including the current stretch.
#[derive(Default)]
struct Places {
    /// For each graph, the sequence number after the last job that has a place, and the last
    /// stretch that contains such a place or creates the graph.
    ends: BTreeMap<u32, (u64, usize)>,
    /// The last stretch in which events are lost. It may therefore have contained any jobs.
    unknown: Option<usize>,
    /// The graphs whose jobs cannot have been in any stretch.
    left_out: BTreeSet<u32>,
}

impl Places {
    fn end(&self, graph: u32) -> u64 {
        self.ends.get(&graph).map_or(0, |&(end, _)| end)
    }

    /// Requires that this many jobs have places, or may have had places in a lost part.
    fn require_jobs(&mut self, graph: u32, jobs: u64) {
        let since = self.ends.get(&graph).map(|&(_, at)| at);
        let may_be_lost = self.unknown.is_some() && self.unknown >= since;
        if jobs > self.end(graph) && !may_be_lost {
            self.left_out.insert(graph);
        }
    }
}

impl LogRange {
    /// The jobs that have a place in this range, even if it is damaged: graph, first job, and the
    /// sequence number after the last job.
    fn places(&self) -> Vec<(u32, u64, u64)> {
        match &self.source {
            RangeSource::Pack { pack, .. } => {
                let parts = pack.parts.iter();
                let places = parts.map(|p| (p.graph, p.first_sequence, p.end_sequence));
                places.collect()
            }
            _ => {
                let runs = self.spans.iter().flat_map(|(&graph, runs)| {
                    let runs = runs.iter();
                    runs.map(move |&(first, end)| (graph, first, end))
                });
                runs.collect()
            }
        }
    }

    /// Whether this range may have contained jobs other than those in [`LogRange::places`]. A pack
    /// cannot have contained others, because its list of jobs is readable even if other parts of
    /// the pack are damaged.
    fn may_have_held_others(&self) -> bool {
        match &self.source {
            RangeSource::Pack { .. } => false,
            RangeSource::Segment(_) | RangeSource::Missing => self.lost_events() > 0,
        }
    }

    /// The number of this range's log sequence numbers whose events are lost.
    fn lost_events(&self) -> u64 {
        let all = self.last_lsn + 1 - self.first_lsn;
        match &self.source {
            RangeSource::Pack {
                pack, bad_chunks, ..
            } => {
                let chunks = pack.chunks().enumerate();
                let bad = chunks.filter(|(n, _)| bad_chunks.contains(n));
                bad.map(|(_, (_, first, last))| last + 1 - first).sum()
            }
            RangeSource::Segment(segment) => {
                let there = segment.frames.iter().map(|frame| frame.count);
                all.saturating_sub(there.sum())
            }
            RangeSource::Missing => all,
        }
    }
}
