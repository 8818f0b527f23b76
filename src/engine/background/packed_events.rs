//! Converts a segment's events to the form in which a pack stores them: neighboring submissions
//! become one event, and the jobs are stored separately.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::log::event::Event;
use crate::log::pack_writer::PackedJob;
use crate::log::submit_runs::{self, SubmitRun};
use crate::model::error::Result;

/// The jobs of each graph, in order.
pub(crate) type Jobs<'b> = BTreeMap<u32, Vec<PackedJob<'b>>>;

/// The maximum number of runs in one event.
const RUNS_MAX: usize = 1024;

/// Neighboring submissions.
struct Row {
    lsn: u64,
    graph: u32,
    jobs: Range<u64>,
    runs: Vec<SubmitRun>,
}

/// Calls `put` with each event that a pack stores in place of these events, and returns the jobs
/// that these events submit.
pub(crate) fn packed_events<'b>(
    events: &[(u64, Event<'b>)],
    mut put: impl FnMut(u64, &Event<'_>) -> Result<()>,
) -> Result<Jobs<'b>> {
    let mut jobs = Jobs::new();
    let mut row: Option<Row> = None;
    let mut end_row = |row: Option<Row>, event: Option<&(u64, Event<'b>)>| {
        if let Some(row) = row {
            let submits = Event::Submits {
                graph: row.graph,
                first_sequence: row.jobs.start,
                count: row.jobs.end - row.jobs.start,
                runs: &submit_runs::pack(&row.runs),
            };
            put(row.lsn, &submits)?;
        }
        event.map_or(Ok(()), |(lsn, event)| put(*lsn, event))
    };
    for event in events {
        let &Event::Submitted {
            graph,
            sequence,
            time_ms,
            fingerprint,
            command,
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
        let continues =
            |row: &Row| row.graph == graph && row.jobs.end == sequence && row.runs.len() < RUNS_MAX;
        if !row.as_ref().is_some_and(continues) {
            end_row(row.take(), None)?;
        }
        let row = row.get_or_insert_with(|| Row {
            lsn: event.0,
            graph,
            jobs: sequence..sequence,
            runs: Vec::new(),
        });
        row.jobs.end += 1;
        submit_runs::push(&mut row.runs, time_ms, command);
    }
    end_row(row, None)?;
    Ok(jobs)
}
