//! The parts of a job's line that are needed to show the job to the user.
//!
//! Contains [`Row`], and the words for a job's state. Other members of a line are ignored.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::problem::Problem;

/// A job.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row<'a> {
    /// Only in a list of several graphs.
    project_id: Option<String>,
    graph_name: Option<String>,
    pub(crate) job_id: String,
    pub(crate) status: String,
    #[serde(borrow)]
    pub(crate) request: RowRequest<'a>,
    #[serde(borrow)]
    pub(crate) outcome: Option<RowOutcome<'a>>,
    #[serde(default)]
    pub(crate) cancel_requested: bool,
    pub(crate) progress: Option<RowProgress>,
    pub(crate) origin: Option<String>,
    pub(crate) submitted_at: Option<u64>,
    pub(crate) started_at: Option<u64>,
    pub(crate) completed_at: Option<u64>,
}

/// The request of a job.
#[derive(Deserialize)]
pub(crate) struct RowRequest<'a> {
    pub(crate) command: String,
    pub(crate) url: String,
    #[serde(borrow)]
    pub(crate) body: &'a RawValue,
}

/// The outcome of a job.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RowOutcome<'a> {
    pub(crate) kind: String,
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    #[serde(borrow)]
    pub(crate) detail: Option<&'a RawValue>,
    pub(crate) result_ref: Option<String>,
    pub(crate) recovered_at_open: Option<u64>,
}

/// The progress that a job has reported.
#[derive(Deserialize)]
pub(crate) struct RowProgress {
    pub(crate) percent: u8,
    #[serde(default)]
    pub(crate) text: String,
}

impl<'a> Row<'a> {
    pub(crate) fn of(line: &'a str) -> Result<Row<'a>, Problem> {
        // serde's message is not shown, because it may quote the line.
        serde_json::from_str(line).map_err(|e| {
            Problem::failed(
                format!(
                    "cannot read a job that the store returned: error at column {}",
                    e.column()
                ),
                "use the same release as the engine",
            )
        })
    }

    /// Returns the graph, if the list is of several graphs.
    pub(crate) fn graph(&self) -> Option<String> {
        let (project, name) = (self.project_id.as_ref()?, self.graph_name.as_ref()?);
        Some(format!("{project}/{name}"))
    }

    /// Returns the state in a word or two. For a complete job, this is the outcome.
    pub(crate) fn word(&self) -> String {
        if let Some(outcome) = &self.outcome {
            return outcome.kind.replace('_', " ");
        }
        let word = match self.cancel_requested {
            true => "stopping",
            false => &*self.status,
        };
        match &self.progress {
            Some(progress) => format!("{word} {}%", progress.percent),
            None => word.to_owned(),
        }
    }

    pub(crate) fn colour(&self) -> Style {
        let colour = match self.outcome.as_ref().map(|outcome| &*outcome.kind) {
            Some("succeeded") => AnsiColor::Green,
            Some("failed") => AnsiColor::Red,
            Some("partially_failed" | "interrupted") => AnsiColor::Yellow,
            Some("cancelled") => AnsiColor::Magenta,
            Some(_) => return Style::new(),
            None if self.status == "running" => AnsiColor::Cyan,
            None => return Style::new().dimmed(),
        };
        Style::new().fg_color(Some(colour.into()))
    }

    /// Returns how long the job ran, or has been running.
    pub(crate) fn took(&self, now_ms: u64) -> Option<Duration> {
        let started = self.started_at?;
        let until = match (self.completed_at, &*self.status) {
            (Some(finished), _) => finished,
            (None, "running") => now_ms,
            (None, _) => return None,
        };
        until.checked_sub(started).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#""request":{"command":"c","url":"/ges","body":{"a":[1]}}"#;

    #[test]
    fn a_state_is_said_by_how_it_ended() {
        let word = |rest: &str| {
            let line = format!(r#"{{"jobId":"a","more":1,{REQUEST},{rest}}}"#);
            Row::of(&line).unwrap().word()
        };
        assert_eq!(word(r#""status":"pending""#), "pending");
        assert_eq!(word(r#""status":"running""#), "running");
        let stopping = r#""status":"running","cancelRequested":true"#;
        assert_eq!(word(stopping), "stopping");
        let half = r#""status":"running","progress":{"percent":50,"text":""}"#;
        assert_eq!(word(half), "running 50%");
        let half = format!(r#"{half},"cancelRequested":true"#);
        assert_eq!(word(&half), "stopping 50%");
        let ended = r#""status":"complete","outcome":{"kind":"partially_failed"}"#;
        assert_eq!(word(ended), "partially failed");
    }

    #[test]
    fn what_is_no_job_is_said_without_its_text() {
        let Err(Problem::Failed { what, .. }) = Row::of(r#"{"jobId":"canary"}"#) else {
            unreachable!("it was read");
        };
        assert!(!what.contains("canary"), "{what}");
    }
}
