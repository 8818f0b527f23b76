//! A range of log sequence numbers, and the file that contains it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::segments::SegmentSurvey;
use crate::log::pack::Pack;

/// A range of log sequence numbers, both ends inclusive.
pub(crate) struct LogRange {
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    pub(crate) source: RangeSource,
    pub(crate) is_sound: bool,
    /// Runs of jobs whose requests are readable in this range, by graph: the first job of each run,
    /// and the sequence number after the run's last job.
    pub(crate) spans: BTreeMap<u32, Vec<(u64, u64)>>,
    /// The sequence number after the last job that its events refer to, by graph.
    pub(crate) mentioned: BTreeMap<u32, u64>,
    /// The sequence number after the last job that must have a place in this range, by graph. The
    /// events of a pack submit these jobs.
    pub(super) submitted: BTreeMap<u32, u64>,
    /// How many jobs earlier stretches must contain, by graph. In a segment, the events before the
    /// first lost one require these jobs.
    pub(super) required: BTreeMap<u32, u64>,
    /// Graphs that its events create.
    pub(crate) created: BTreeSet<u32>,
}

impl LogRange {
    pub(super) fn is_of(&self, other: &Arc<Pack>) -> bool {
        matches!(&self.source, RangeSource::Pack { pack, .. } if Arc::ptr_eq(pack, other))
    }
}

pub(crate) enum RangeSource {
    Pack {
        pack: Arc<Pack>,
        /// The damaged chunks, by their index in the pack.
        bad_chunks: BTreeSet<usize>,
        /// The damaged blocks, by graph and by their index among the graph's blocks.
        bad_blocks: BTreeSet<(u32, usize)>,
    },
    Segment(SegmentSurvey),
    /// No file contains the range.
    Missing,
}

/// Adds a run after the others, or extends the last one.
pub(super) fn extend(runs: &mut Vec<(u64, u64)>, from: u64, end: u64) {
    match runs.last_mut() {
        Some(last) if last.1 == from => last.1 = end,
        _ => runs.push((from, end)),
    }
}
