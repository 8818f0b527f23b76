//! `jobstore watch`: shows changes as they happen.
//!
//! Contains the output formats. Each change is written immediately, so that a program that reads
//! the output is never behind.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::access::{self, FeedQuery};
use crate::filters::some_text;
use crate::output::{self, harmless};
use crate::problem::{Problem, Verdict};
use crate::row::RowOutcome;
use crate::short_id::short_id;
use crate::store_args::{GraphChoice, GraphName, StoreArgs};
use crate::when;

const AFTER_HELP: &str = "\
Shows when jobs are submitted, started, completed, and purged. By default, only
new changes are shown. Each change has a position, from which another command
can continue without missing a change (--format jsonl).

The format cloudevents writes one CloudEvents 1.0 event per line. Its id is the
position, its source is /PROJECT/NAME, and its types are jobstore.submitted,
jobstore.started, jobstore.cancel_requested, jobstore.completed,
jobstore.requeued, jobstore.purged, and jobstore.gone. The last one is a gap:
changes are missing, because their jobs were purged.

Examples:
  jobstore watch
  jobstore watch --from-start --no-follow --format jsonl | jq .kind | sort | uniq -c
  jobstore watch --format cloudevents | while read -r event; do ...; done";

/// The output format.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human-readable line for each change
    Table,
    /// Change as one JSON object per line
    Jsonl,
    /// CloudEvents 1.0, one JSON object per line
    Cloudevents,
}

/// Show changes as they happen
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Begin with the first change that is still in the log
    #[arg(long, conflicts_with = "after")]
    from_start: bool,
    /// Begin after this position of a previous change
    #[arg(long, value_name = "POSITION", value_parser = some_text())]
    after: Option<String>,
    /// Exit after the changes that have already happened
    #[arg(long)]
    no_follow: bool,
    /// Collect changes for this time, in milliseconds, and show only the last one of each job
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    coalesce: Option<u64>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    graph: GraphChoice,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let access = access::open(store_args)?;
    let graph = arguments.graph.choose(&*access)?;
    let after = match (&arguments.after, arguments.from_start) {
        (Some(position), _) => Some(position.as_str()),
        (None, true) => None,
        (None, false) => Some(FeedQuery::END),
    };
    let feed = FeedQuery {
        after,
        follow: !arguments.no_follow && access.is_live(),
        coalesce_ms: arguments.coalesce,
    };
    let mut last = after.map(str::to_owned);
    access.changes(&graph, &feed, &mut |line| {
        let change = Change::of(line)?;
        last = Some(change.position.clone());
        if change.kind == "heartbeat" {
            return Ok(());
        }
        let text = match arguments.format {
            Format::Table => change.text(),
            Format::Jsonl => line.to_owned(),
            Format::Cloudevents => change.event(&graph, line)?,
        };
        let mut out = anstream::stdout().lock();
        let written = writeln!(out, "{text}").and_then(|()| out.flush());
        written.map_err(|e| Problem::output(&e))
    })?;
    let is_live = access.is_live();
    access.close()?;
    if arguments.no_follow {
        return Ok(Verdict::Fine);
    }
    let position = last.unwrap_or_default();
    Err(match is_live {
        true => Problem::failed(
            "the engine ended the feed",
            format!("to continue, use --after {position}"),
        ),
        false => Problem::failed(
            "no engine has the store open, so nothing is changing",
            "start the engine, or use --no-follow to show the changes that have already happened",
        ),
    })
}

/// A change.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change<'a> {
    kind: String,
    job_id: Option<String>,
    sequence: Option<u64>,
    at: Option<u64>,
    #[serde(borrow)]
    outcome: Option<RowOutcome<'a>>,
    reason: Option<String>,
    events: Option<u64>,
    position: String,
}

impl<'a> Change<'a> {
    fn of(line: &'a str) -> Result<Change<'a>, Problem> {
        serde_json::from_str(line).map_err(|e| unreadable(&e))
    }

    fn text(&self) -> String {
        let time = self.at.map_or_else(|| "-".to_owned(), when::here);
        let job = match (&self.job_id, self.sequence) {
            (Some(id), _) => match short_id(id) {
                Some(short) => format!("\u{2026}{short}"),
                None => id.clone(),
            },
            (None, Some(sequence)) => format!("number {sequence}"),
            (None, None) => "-".to_owned(),
        };
        let mut text = format!(
            "{time}  {}  {}",
            harmless(&job),
            self.kind.replace('_', " ")
        );
        if let Some(outcome) = &self.outcome {
            text = format!("{text}: {}", harmless(&outcome.kind.replace('_', " ")));
            let why = [&outcome.code, &outcome.message].into_iter().flatten();
            why.for_each(|why| text.push_str(&format!(", {}", harmless(why))));
        }
        if let Some(reason) = &self.reason {
            text = format!("{text}: {}", harmless(&reason.replace('_', " ")));
        }
        if let Some(events) = self.events {
            text = format!("{text}: {} are missing", output::counted(events, "event"));
        }
        text
    }

    /// The change as a CloudEvents event.
    fn event(&self, graph: &GraphName, line: &str) -> Result<String, Problem> {
        let data: &RawValue = serde_json::from_str(line).map_err(|e| unreadable(&e))?;
        let mut event = json!({
            "specversion": "1.0",
            "id": self.position,
            "source": format!("/{}", graph.escaped()),
            "type": format!("jobstore.{}", self.kind),
            "datacontenttype": "application/json",
        });
        if let Some(id) = &self.job_id {
            event["subject"] = id.as_str().into();
        }
        let time = self.at.and_then(|ms| i64::try_from(ms).ok());
        if let Some(time) = time.and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
            event["time"] = time.to_string().into();
        }
        // The change is inserted as it is, so that the text of its numbers is preserved.
        let mut text = event.to_string();
        text.pop();
        Ok(format!("{text},\"data\":{data}}}"))
    }
}

fn unreadable(error: &serde_json::Error) -> Problem {
    // serde's message is not shown, because it may quote the line.
    Problem::failed(
        format!(
            "cannot read a change that the store returned: error at column {}",
            error.column()
        ),
        "use the same release as the engine",
    )
}
