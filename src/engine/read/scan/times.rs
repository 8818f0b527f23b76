//! Excludes jobs by the submission times that are in memory.

use std::ops::Range;

use crate::engine::read::reader::Snapshot;
use crate::model::filter::Span;

impl Snapshot {
    /// All jobs except those for which the times in memory prove that they were submitted outside
    /// this span. Only two times per block are in memory, so this takes a few milliseconds for 10
    /// million jobs.
    pub(super) fn not_ruled_out(&self, span: &Span) -> Vec<Range<u64>> {
        let (mut ranges, mut from) = (Vec::new(), 0);
        let mut rule_out = |range: Range<u64>| {
            if from < range.start {
                ranges.push(from..range.start);
            }
            from = range.end;
        };
        for part in self.parts() {
            for place in &part.blocks {
                let last_ms = place.first_ms.saturating_add(place.span_ms);
                if !span.meets(place.first_ms, last_ms) {
                    rule_out(place.first_sequence..place.end_sequence());
                }
            }
        }
        for run in self.runs() {
            for (sequence, job) in (run.first_sequence..).zip(&run.jobs) {
                if !span.has(job.submitted_ms) {
                    rule_out(sequence..sequence + 1);
                }
            }
        }
        ranges.push(from..u64::MAX);
        ranges
    }

    /// Of these jobs, those for which the times in memory do not prove that they were submitted
    /// within this span, in ascending order.
    pub(super) fn unsure(&self, span: &Span, sequences: &[u64]) -> Vec<u64> {
        let mut known = 0..0;
        let mut unsure: Vec<u64> = sequences
            .iter()
            .copied()
            .filter(|&sequence| {
                if known.contains(&sequence) {
                    return false;
                }
                let Some(part) = self.part_of(sequence) else {
                    // The exact time of a job that is not packed is in memory, so the job has
                    // already been excluded if it does not match.
                    return self.run_of(sequence).is_none();
                };
                let Some(place) = part.block_of(sequence).map(|n| part.blocks[n]) else {
                    return true;
                };
                let last_ms = place.first_ms.saturating_add(place.span_ms);
                let is_sure = span.holds(place.first_ms, last_ms);
                if is_sure {
                    known = place.first_sequence..place.end_sequence();
                }
                !is_sure
            })
            .collect();
        unsure.sort_unstable();
        unsure
    }
}
