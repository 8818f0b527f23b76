//! `jobstore show`: shows everything about one job.
//!
//! Contains the layout of a job for the user, and the formatting of JSON with line breaks. The text
//! of a request is shown exactly, except for characters that a terminal interprets. A truncated
//! text is marked.

use std::fmt::Write as _;

use anstyle::Style;
use clap::{Args, ValueEnum};

use crate::access;
use crate::output::{self, harmless};
use crate::problem::{Problem, Verdict};
use crate::row::Row;
use crate::short_id;
use crate::store_args::{GraphChoice, GraphName, StoreArgs};
use crate::when;

/// The maximum number of bytes of a body to show.
const BODY_BYTES_SHOWN: usize = 16 << 10;

const AFTER_HELP: &str = "\
The end of an id, as a table shows it after the ellipsis, is sufficient.

Examples:
  jobstore show 018f2c1a-7b1e-7c3d-9a4f-0123456789ab
  jobstore show import-2026-11-24 --format json | jq .outcome";

/// The output format.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human-readable text
    Text,
    /// The whole job as one line of JSON, as `export` writes it
    Json,
}

/// Show all details of a job
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Id of the job
    id: String,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    graph: GraphChoice,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let access = access::open(store_args)?;
    let graph = arguments.graph.choose(&*access)?;
    let (_, line) = short_id::job(&*access, &graph, &arguments.id)?;
    access.close()?;
    match arguments.format {
        Format::Json => output::whole((line + "\n").as_bytes())?,
        Format::Text => output::coloured(&text(&graph, &Row::of(&line)?, when::now_ms()))?,
    }
    Ok(Verdict::Fine)
}

/// Formats the job as text.
fn text(graph: &GraphName, row: &Row<'_>, now_ms: u64) -> String {
    let mut text = String::new();
    let bold = Style::new().bold();
    let mut put = |name: &str, value: &str| {
        writeln!(text, "{bold}{name:<9}{bold:#} {value}").ok();
    };
    put("job", &harmless(&row.job_id));
    put("graph", &harmless(&graph.to_string()));
    let colour = row.colour();
    put(
        "state",
        &format!("{colour}{}{colour:#}", harmless(&row.word())),
    );
    let time = |ms: u64| format!("{} ({})", when::here(ms), when::ago(ms, now_ms));
    for (name, ms) in [
        ("submitted", row.submitted_at),
        ("started", row.started_at),
        ("completed", row.completed_at),
    ] {
        if let Some(ms) = ms {
            put(name, &time(ms));
        }
    }
    if let Some(took) = row.took(now_ms) {
        let is_over = row.completed_at.is_some();
        put(if is_over { "took" } else { "so far" }, &when::took(took));
    }
    if let Some(progress) = &row.progress {
        put(
            "progress",
            &format!("{} % {}", progress.percent, harmless(&progress.text)),
        );
    }
    if let Some(outcome) = &row.outcome {
        for (name, value) in [
            ("code", &outcome.code),
            ("message", &outcome.message),
            ("result", &outcome.result_ref),
        ] {
            if let Some(value) = value {
                put(name, &harmless(value));
            }
        }
        if let Some(open) = outcome.recovered_at_open {
            put(
                "recovered",
                &format!("when the store was opened (open number {open})"),
            );
        }
    }
    if let Some(origin) = &row.origin {
        put("origin", &harmless(origin));
    }
    put("command", &harmless(&row.request.command));
    put("url", &harmless(&row.request.url));
    let detail = row.outcome.as_ref().and_then(|outcome| outcome.detail);
    for (name, json) in [("detail", detail), ("body", Some(row.request.body))] {
        if let Some(json) = json {
            writeln!(text, "{bold}{name}{bold:#}").ok();
            text.push_str(&spread(json.get()));
        }
    }
    text
}

/// Breaks compact JSON into lines, and otherwise leaves it unchanged. A long text is truncated.
fn spread(json: &str) -> String {
    let mut text = String::new();
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let mut previous = ' ';
    for (at, c) in json.char_indices() {
        if text.len() > BODY_BYTES_SHOWN {
            let left = output::grouped((json.len() - at) as u64);
            writeln!(
                text,
                "\n... {left} more bytes; use --format json to show everything"
            )
            .ok();
            return text;
        }
        if in_string {
            // No exception is made for line feeds, because a JSON string contains none.
            text.push_str(&harmless(c.encode_utf8(&mut [0; 4])));
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else {
            let mut line = |depth: usize| write!(text, "\n{:1$}", "", 2 * depth).ok();
            match c {
                '}' | ']' => {
                    depth = depth.saturating_sub(1);
                    if !matches!(previous, '{' | '[') {
                        line(depth);
                    }
                }
                _ if matches!(previous, '{' | '[') => drop(line(depth)),
                _ if previous == ',' => drop(line(depth)),
                _ => {}
            }
            text.push(c);
            match c {
                '{' | '[' => depth += 1,
                ':' => text.push(' '),
                '"' => in_string = true,
                _ => {}
            }
        }
        previous = c;
        if in_string || c == '"' {
            // The content of a string does not affect the structure around it.
            previous = '"';
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_spread_over_lines_and_kept_to_the_letter() {
        let spread = spread(r#"{"a":[1,{"b,":"{\"c\":[]}"},[],{}],"d":0.00001}"#);
        let lines = [
            "{",
            "  \"a\": [",
            "    1,",
            "    {",
            r#"      "b,": "{\"c\":[]}""#,
            "    },",
            "    [],",
            "    {}",
            "  ],",
            "  \"d\": 0.00001",
            "}",
            "",
        ];
        assert_eq!(spread, lines.join("\n"));
        assert_eq!(super::spread("\"[\\\\\""), "\"[\\\\\"\n");
    }

    #[test]
    fn of_what_is_long_the_beginning_is_shown() {
        let long = format!("[\"{}\"]", "x".repeat(BODY_BYTES_SHOWN * 2));
        let spread = spread(&long);
        assert!(spread.len() < BODY_BYTES_SHOWN + 100);
        assert!(
            spread.ends_with("more bytes; use --format json to show everything\n"),
            "{}",
            &spread[16300..]
        );
    }
}
