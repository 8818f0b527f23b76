//! Human-readable output on standard error: the recovery, a table of the jobs, and totals. This
//! only reads the store. From the details of outcomes, it reads only the `summary`. If standard
//! error is closed, the engine continues.

use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use jobstore::{Graph, Job, JobStore, Outcome, OutcomeKind, Page, State};

/// The maximum number of rows. More would scroll out of view, and the JSON contains all jobs.
const ROWS_MAX: usize = 60;

const RESULT_CHARS_MAX: usize = 80;

/// Describes the jobs that this open found running, because the previous process was killed.
pub fn recovery(store: &JobStore) -> Result<String, Box<dyn Error>> {
    let mut text = format!("open {}: ", store.opens());
    let recovered = store.recovered();
    if recovered.is_empty() {
        text.push_str("no job was running when the store was last closed\n");
        return Ok(text);
    }
    writeln!(text, "recovered {}", recovered.len())?;
    for found in recovered.jobs() {
        let found = found?;
        let now = match found.job.outcome() {
            Some(outcome) => outcome.kind().as_str(),
            None => found.job.state().as_str(),
        };
        writeln!(
            text,
            "  {} {} of graph {}: was running, is now {now}",
            short_id(&found.job),
            what(&found.job),
            found.graph.name(),
        )?;
    }
    Ok(text)
}

/// Returns one row per job, oldest first, then the totals.
pub fn jobs(graph: &Graph, page: &Page) -> Result<String, Box<dyn Error>> {
    let now = SystemTime::now();
    let mut rows = vec![
        [
            "job", "state", "outcome", "command", "age", "took", "result",
        ]
        .map(str::to_owned),
    ];
    let mut by_outcome = Tally::default();
    let skipped = page.len().saturating_sub(ROWS_MAX);
    for (index, job) in page.jobs().enumerate() {
        let job = job?;
        if let Some(outcome) = job.outcome() {
            by_outcome.count(outcome.kind());
        }
        if index >= skipped {
            rows.push(row(&job, now));
        }
    }

    let mut text = String::new();
    if skipped > 0 {
        writeln!(text, "... {skipped} older jobs are only in the JSON")?;
    }
    text.push_str(&aligned(&rows));
    writeln!(
        text,
        "{} jobs: {} pending, {} running, {} complete",
        page.total().unwrap_or_default(),
        graph.count(State::Pending)?,
        graph.count(State::Running)?,
        graph.count(State::Complete)?,
    )?;
    writeln!(text, "outcomes: {}", by_outcome.text())?;
    Ok(text)
}

#[derive(Default)]
struct Tally(Vec<(OutcomeKind, u64)>);

impl Tally {
    fn count(&mut self, kind: OutcomeKind) {
        match self.0.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.0.push((kind, 1)),
        }
    }

    fn text(&self) -> String {
        if self.0.is_empty() {
            return "none".to_owned();
        }
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|(kind, count)| format!("{count} {}", kind.as_str()))
            .collect();
        parts.join(", ")
    }
}

fn row(job: &Job, now: SystemTime) -> [String; 7] {
    let (outcome, result) = match job.outcome() {
        Some(outcome) => (outcome.kind().as_str().to_owned(), result(outcome)),
        None => ("-".to_owned(), progress(job)),
    };
    [
        short_id(job),
        job.state().as_str().to_owned(),
        outcome,
        what(job),
        age(now.duration_since(job.submitted_at()).ok()),
        took(job),
        clipped(&result),
    ]
}

/// Returns the end of an id. The ids of a graph differ only in their ends.
fn short_id(job: &Job) -> String {
    let id = job.id().as_str();
    match id.char_indices().rev().nth(7) {
        Some((start, _)) if start > 0 => format!("..{}", &id[start..]),
        _ => id.to_owned(),
    }
}

fn what(job: &Job) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        algorithm_name: String,
    }
    let command = job.request().command();
    match serde_json::from_str::<Named>(job.request().body()) {
        Ok(named) => format!("{command} {}", named.algorithm_name),
        Err(_) => command.to_owned(),
    }
}

fn result(outcome: &Outcome) -> String {
    #[derive(serde::Deserialize)]
    struct Summarised {
        summary: String,
    }
    let summary = outcome
        .detail()
        .and_then(|detail| serde_json::from_str::<Summarised>(detail).ok())
        .map(|detail| detail.summary);
    // The failure comes first, then the location of the result, then its summary, because the end
    // may be truncated.
    [outcome.message(), outcome.result_ref(), summary.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ")
}

fn progress(job: &Job) -> String {
    job.progress().map_or(String::new(), |progress| {
        format!("{} %: {}", progress.percent, progress.text)
    })
}

fn took(job: &Job) -> String {
    // A job that was canceled before its start has no duration.
    let (Some(started_at), Some(completed_at)) = (job.started_at(), job.completed_at()) else {
        return "-".to_owned();
    };
    match completed_at.duration_since(started_at) {
        Ok(took) => format!("{:.1} ms", took.as_secs_f64() * 1000.0),
        Err(_) => "-".to_owned(),
    }
}

fn age(age: Option<Duration>) -> String {
    // `None` if the clock has been set back since.
    let Some(age_s) = age.map(|age| age.as_secs()) else {
        return "-".to_owned();
    };
    match age_s {
        0..=119 => format!("{age_s} s"),
        120..=7_199 => format!("{} min", age_s / 60),
        7_200..=172_799 => format!("{} h", age_s / 3_600),
        _ => format!("{} d", age_s / 86_400),
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(RESULT_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_characters_and_not_by_bytes() {
        let rows = [["Zürich", "1"], ["m", "2"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "Zürich  1\nm       2\n");
    }

    #[test]
    fn a_long_result_is_clipped_between_characters() {
        let clipped = clipped(&"ü".repeat(RESULT_CHARS_MAX + 1));
        assert_eq!(clipped, format!("{}...", "ü".repeat(RESULT_CHARS_MAX)));
    }
}
