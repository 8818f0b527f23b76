//! The layout of a history.

use std::time::Duration;

use jobstore::{HistoryPoint, JobCounts, JobHistogram, OutcomeKind};

use crate::columns::Columns;
use crate::output::{grouped, harmless};
use crate::problem::Problem;
use crate::tally::OTHER_COMMANDS;
use crate::when;

/// Parses a history, as it is returned over HTTP.
pub(crate) fn points(document: &str) -> Result<Vec<HistoryPoint>, Problem> {
    HistoryPoint::from_document(document)
        .map_err(|_| Problem::unexpected("cannot read the history: it has an unexpected form"))
}

/// Returns the run times, whatever the outcome.
fn all_runs(counts: &JobCounts) -> JobHistogram {
    let mut all = JobHistogram::default();
    for &kind in OutcomeKind::ALL {
        all.add(&counts.runs(kind));
    }
    all
}

/// Returns the upper bound of a quantile, in words; an empty text if nothing was counted.
fn quantile(histogram: &JobHistogram, quantile: f64) -> String {
    let in_words = |bound: &Duration| duration(ms(*bound));
    match (histogram.quantile(quantile), JobHistogram::bounds().last()) {
        _ if histogram.count() == 0 => String::new(),
        (Some(bound), _) => format!("<= {}", in_words(&bound)),
        (None, last) => format!("> {}", last.map(in_words).unwrap_or_default()),
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Formats a round duration in words.
fn duration(ms: u64) -> String {
    let units = [(3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let exact = units.into_iter().find(|(unit, _)| ms > 0 && ms % unit == 0);
    match exact {
        Some((unit, name)) => format!("{} {name}", grouped(ms / unit)),
        None => format!("{ms} ms"),
    }
}

/// A row: the start and the length of the period, the command, and the counts.
type Row<'h> = (String, String, String, &'h JobCounts);

/// Returns the table, with a total in the last row.
pub(crate) fn table(points: &[HistoryPoint], step: Duration, by_command: bool) -> Columns {
    let mut total = JobCounts::default();
    for point in points {
        total.add(&point.counts);
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    for point in points {
        let start = when::minute(when::to_ms(point.start));
        let length = duration(ms(point.length));
        let mut put = |command: String, counts| {
            rows.push((start.clone(), length.clone(), command, counts));
        };
        match by_command {
            false => put(String::new(), &point.counts),
            true => point.commands.iter().for_each(|(command, counts)| {
                let command = command.as_deref().unwrap_or(OTHER_COMMANDS);
                put(harmless(command), counts);
            }),
        }
    }
    rows.push(("total".to_owned(), String::new(), String::new(), &total));

    let mut columns = Columns::default();
    columns.text("start", rows.iter().map(|row| row.0.clone()).collect());
    if points.iter().any(|point| point.length != step) {
        columns.text("length", rows.iter().map(|row| row.1.clone()).collect());
    }
    if by_command {
        columns.text("command", rows.iter().map(|row| row.2.clone()).collect());
    }
    let each = |cell: &dyn Fn(&JobCounts) -> String| rows.iter().map(|row| cell(row.3)).collect();
    let completed = |counts: &JobCounts, kind| grouped(counts.completed(kind));
    columns.numbers("submitted", 0, each(&|counts| grouped(counts.submitted())));
    columns.numbers("started", 5, each(&|counts| grouped(counts.started())));
    let succeeded = each(&|counts| completed(counts, OutcomeKind::Succeeded));
    columns.numbers("succeeded", 0, succeeded);
    columns.numbers("failed", 0, each(&|counts| grouped(counts.failed())));
    if total.completed(OutcomeKind::Cancelled) > 0 {
        let cancelled = each(&|counts| completed(counts, OutcomeKind::Cancelled));
        columns.numbers("cancelled", 1, cancelled);
    }
    for (heading, omitted, of) in [("wait p50", 4, 0.5), ("wait p95", 3, 0.95)] {
        let cells = each(&|counts| quantile(&counts.waits(), of));
        columns.numbers(heading, omitted, cells);
    }
    for (heading, omitted, of) in [("run p50", 4, 0.5), ("run p95", 2, 0.95)] {
        let cells = each(&|counts| quantile(&all_runs(counts), of));
        columns.numbers(heading, omitted, cells);
    }
    columns
}
