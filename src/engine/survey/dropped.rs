//! Graphs that were dropped by an event that is lost.
//!
//! Owns: how a drop shows in what is left. Must not know: how a repair records it.
//! Promise: a graph that counts as dropped was dropped; of a graph whose drop leaves no
//! trace in the files, all is there, so it is served again.
//!
//! Only what tells of a dropped graph may be left out of a pack without a place for it,
//! and only the name of a dropped graph is given to another one. Such files are sound as
//! long as the log says later that the graph was dropped. Without that, a replay would
//! find jobs without a request, or two graphs of one name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{LogRange, RangeSource, Survey};
use crate::index::rows::GraphRow;

impl Survey {
    /// Notes which graphs were dropped by an event that is lost. `created` are those whose
    /// creation is lost.
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

    /// Events of the log that no file holds.
    pub(crate) fn lost_events(&self) -> u64 {
        self.log_ranges.iter().map(LogRange::lost_events).sum()
    }

    /// Of graphs with one name, all but the one that was created last.
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

    /// The graphs whose jobs were left out where no damaged file can have held them.
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
                // Whatever came before: their places would be in the same pack.
                if jobs > places.end(graph) {
                    places.left_out.insert(graph);
                }
            }
        }
        places.left_out
    }
}

/// Which jobs have places, up to some stretch.
#[derive(Default)]
struct Places {
    /// One past the last job that has a place, and the last stretch that has one, or that
    /// creates the graph.
    ends: BTreeMap<u32, (u64, usize)>,
    /// The last stretch that may have held any jobs.
    unknown: Option<usize>,
    /// The graphs whose jobs no stretch can have held.
    left_out: BTreeSet<u32>,
}

impl Places {
    fn end(&self, graph: u32) -> u64 {
        self.ends.get(&graph).map_or(0, |&(end, _)| end)
    }

    /// So many jobs must have places, or have had them where nothing is left.
    fn require_jobs(&mut self, graph: u32, jobs: u64) {
        let since = self.ends.get(&graph).map(|&(_, at)| at);
        let may_be_lost = self.unknown.is_some() && self.unknown >= since;
        if jobs > self.end(graph) && !may_be_lost {
            self.left_out.insert(graph);
        }
    }
}

impl LogRange {
    /// The jobs that have a place in it, whether or not it is sound: graph, first, and one
    /// past the last.
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

    /// A pack says which jobs have a place in it, even if it is not sound.
    fn may_have_held_others(&self) -> bool {
        match &self.source {
            RangeSource::Pack { .. } => false,
            RangeSource::Segment(_) | RangeSource::Missing => self.lost_events() > 0,
        }
    }

    /// Log sequence numbers in it that no event has.
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
