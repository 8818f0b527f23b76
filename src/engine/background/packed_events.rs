//! Converts a segment's events to the form in which a pack stores them: neighboring submissions
//! become one event, and the jobs are stored separately.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::log::event::Event;
use crate::log::pack_writer::PackedJob;
use crate::model::error::Result;

/// The jobs of each graph, in order.
pub(crate) type Jobs<'b> = BTreeMap<u32, Vec<PackedJob<'b>>>;

/// Calls `put` with each event that a pack stores in place of these events, and returns the jobs
/// that these events submit.
pub(crate) fn packed_events<'b>(
    events: &[(u64, Event<'b>)],
    mut put: impl FnMut(u64, &Event<'_>) -> Result<()>,
) -> Result<Jobs<'b>> {
    let mut jobs = Jobs::new();
    let mut row: Option<(u64, u32, Range<u64>)> = None;
    let mut end_row = |row: Option<(u64, u32, Range<u64>)>, event: Option<&(u64, Event<'b>)>| {
        if let Some((lsn, graph, jobs)) = row {
            let submits = Event::Submits {
                graph,
                first_sequence: jobs.start,
                count: jobs.end - jobs.start,
            };
            put(lsn, &submits)?;
        }
        event.map_or(Ok(()), |(lsn, event)| put(*lsn, event))
    };
    for event in events {
        let &Event::Submitted {
            graph,
            sequence,
            time_ms,
            fingerprint,
            texts,
        } = &event.1
        else {
            end_row(row.take(), Some(event))?;
            continue;
        };
        jobs.entry(graph).or_default().push(PackedJob {
            sequence,
            texts,
            time_ms,
            fingerprint,
        });
        match &mut row {
            Some((_, of, range)) if *of == graph && range.end == sequence => range.end += 1,
            _ => {
                end_row(row.take(), None)?;
                row = Some((event.0, graph, sequence..sequence + 1));
            }
        }
    }
    end_row(row, None)?;
    Ok(jobs)
}
