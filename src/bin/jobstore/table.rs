//! A human-readable table of jobs.
//!
//! Contains the columns, and the choice of those that fit a width. No line is wider than the
//! terminal, and in a pipe nothing is truncated. Every row begins with an id that `show` accepts,
//! if it fits. No text in a request can control the terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::harmless;
use crate::row::Row;
use crate::short_id::short_id;
use crate::when;

/// The width between two columns.
const GAP: usize = 2;

/// The column headings.
const HEADING: [&str; COLUMNS] = [
    "graph",
    "job",
    "state",
    "command",
    "submitted",
    "took",
    "origin",
    "failure or URL",
];
const COLUMNS: usize = 8;
const GRAPH: usize = 0;
const JOB: usize = 1;
const STATE: usize = 2;
const COMMAND: usize = 3;
const ORIGIN: usize = 6;
const ABOUT: usize = 7;

/// The layouts: for each, the minimum width of every column, or 0 if the column is omitted. The
/// first layout that fits is used. A truncated id is useless, so if the id does not fit, the other
/// columns use its width.
const WHOLE: usize = usize::MAX;
const LAYOUTS: [[usize; COLUMNS]; 10] = [
    [WHOLE, WHOLE, WHOLE, 28, WHOLE, WHOLE, 12, 24],
    [WHOLE, WHOLE, WHOLE, 16, WHOLE, WHOLE, 8, 12],
    [WHOLE, WHOLE, WHOLE, 28, WHOLE, WHOLE, 12, 0],
    [WHOLE, WHOLE, WHOLE, 28, WHOLE, WHOLE, 0, 0],
    [WHOLE, WHOLE, WHOLE, 28, WHOLE, 0, 0, 0],
    [WHOLE, WHOLE, WHOLE, 8, WHOLE, 0, 0, 0],
    [8, 13, WHOLE, WHOLE, WHOLE, 0, 0, 0],
    [8, 13, WHOLE, 8, WHOLE, 0, 0, 0],
    [8, 13, WHOLE, 8, 0, 0, 0, 0],
    [1, 1, 1, 0, 0, 0, 0, 0],
];
/// The order in which columns are narrowed.
const NARROWED: [usize; 6] = [ABOUT, ORIGIN, COMMAND, GRAPH, JOB, STATE];

/// One job's cells.
struct Line {
    cells: [String; COLUMNS],
    /// The part of the job's id that distinguishes it from the other ids of its graph.
    short_id: String,
    colour: Style,
}

/// A table of jobs. It is laid out once all jobs are known.
#[derive(Default)]
pub(crate) struct Table {
    lines: Vec<Line>,
}

impl Table {
    pub(crate) fn add(&mut self, row: &Row<'_>, now_ms: u64) {
        let short = match short_id(&row.job_id) {
            Some(short) => format!("\u{2026}{short}"),
            None => row.job_id.clone(),
        };
        let failure = row.outcome.as_ref().and_then(|outcome| {
            let message = outcome.message.as_deref()?;
            Some(match outcome.code.as_deref() {
                Some(code) if !code.is_empty() => format!("{code}: {message}"),
                _ => message.to_owned(),
            })
        });
        let age = row.submitted_at.map(|ms| when::ago(ms, now_ms));
        let cells = [
            row.graph().unwrap_or_default(),
            row.job_id.clone(),
            row.word(),
            row.request.command.clone(),
            age.unwrap_or_default(),
            row.took(now_ms).map(when::took).unwrap_or_default(),
            row.origin.clone().unwrap_or_default(),
            failure.unwrap_or_else(|| row.request.url.clone()),
        ];
        self.lines.push(Line {
            cells: cells.map(|cell| harmless(&cell)),
            short_id: harmless(&short),
            colour: row.colour(),
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Formats the table, at most this wide.
    pub(crate) fn text(&self, width: Option<usize>) -> String {
        let mut rows = vec![(HEADING, [Style::new().bold(); COLUMNS])];
        for line in &self.lines {
            let mut cells = line.cells.each_ref().map(String::as_str);
            if width.is_some() {
                cells[JOB] = &line.short_id;
            }
            let mut styles = [Style::new(); COLUMNS];
            styles[STATE] = line.colour;
            styles[ABOUT] = Style::new().dimmed();
            rows.push((cells, styles));
        }
        let mut widths = [0; COLUMNS];
        for (cells, _) in &rows {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.width().max(*width);
            }
        }
        for optional in [GRAPH, ORIGIN] {
            if self
                .lines
                .iter()
                .all(|line| line.cells[optional].is_empty())
            {
                widths[optional] = 0;
            }
        }
        if let Some(width) = width {
            widths = within(widths, width);
        }
        let mut text = String::new();
        for (cells, styles) in rows {
            put(cells, styles, widths, &mut text);
        }
        text
    }
}

fn all(widths: &[usize; COLUMNS]) -> usize {
    let shown = widths.iter().filter(|&&width| width > 0);
    let gaps = shown.clone().count().saturating_sub(1) * GAP;
    shown.sum::<usize>() + gaps
}

/// Narrows columns to the given total width. The width of an omitted column is 0.
fn within(natural: [usize; COLUMNS], width: usize) -> [usize; COLUMNS] {
    let mut widths = natural;
    for least in LAYOUTS {
        widths = natural;
        for (width, least) in widths.iter_mut().zip(least) {
            if least == 0 {
                *width = 0;
            }
        }
        for column in NARROWED {
            let over = all(&widths).saturating_sub(width);
            let now = widths[column];
            widths[column] = now.saturating_sub(over).max(least[column].min(now));
        }
        if all(&widths) <= width {
            break;
        }
    }
    widths
}

/// Adds a line. The last cell is not padded.
fn put(
    cells: [&str; COLUMNS],
    styles: [Style; COLUMNS],
    widths: [usize; COLUMNS],
    text: &mut String,
) {
    let shown = |column: &usize| widths[*column] > 0 && !cells[*column].is_empty();
    let last = (0..COLUMNS).rfind(shown);
    for column in (0..COLUMNS).filter(|&column| widths[column] > 0) {
        if Some(column) > last {
            break;
        }
        let (cell, style, width) = (cells[column], styles[column], widths[column]);
        let cell = match column {
            GRAPH | JOB => middle_cut(cell, width),
            ABOUT if cell.starts_with('/') => middle_cut(cell, width),
            _ => end_cut(cell, width),
        };
        let pad = match Some(column) == last {
            true => 0,
            false => width.saturating_sub(cell.width()) + GAP,
        };
        write!(text, "{style}{cell}{style:#}{:pad$}", "").ok();
    }
    text.push('\n');
}

/// Truncates the text at the end.
fn end_cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = begin(text, width.saturating_sub(1));
    cut.push('\u{2026}');
    cut
}

/// Truncates the text in the middle. This is for ids and URLs, in which both ends are significant.
fn middle_cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let left = width.saturating_sub(1) / 2;
    let right = width.saturating_sub(1) - left;
    let backwards: String = text.chars().rev().collect();
    let end: String = begin(&backwards, right).chars().rev().collect();
    format!("{}\u{2026}{end}", begin(text, left))
}

/// Returns the longest prefix that fits the width.
fn begin(text: &str, width: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).collect()
}

/// Returns a line in the color of secondary text.
pub(crate) fn aside(text: &str) -> String {
    let dim = Style::new().dimmed();
    format!("{dim}{text}{dim:#}\n")
}

/// Returns a line in the color of a warning.
pub(crate) fn warning(text: &str) -> String {
    let yellow = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
    format!("{yellow}{text}{yellow:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::default();
        for (id, command) in [
            (
                "4611686018427387904018f2c1a-7b1e-7c3d-9a4f-0123456789ab",
                "import_graph",
            ),
            (
                "own-1",
                "執行演算法執行演算法執行演算法執行演算法執行演算法",
            ),
            (&*"x".repeat(128), &*"y".repeat(256)),
        ] {
            let url = format!("/ges/v1.0/10001/graphs/movie/{}", "z".repeat(90));
            let line = format!(
                r#"{{"jobId":"{id}","status":"complete","request":{{"command":"{command}",
                "url":"{url}","body":1}},"origin":"alice of the night shift","outcome":{{"kind":"partially_failed"}},
                "submittedAt":1000,"startedAt":2000,"completedAt":3000}}"#
            );
            table.add(&Row::of(&line).unwrap(), 9_000_000);
        }
        table
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 20..300 {
            for line in plain(&table().text(Some(width))).lines() {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn an_id_stays_whole_where_it_can() {
        let mut table = table();
        table.lines.truncate(1);
        for width in 80..300 {
            let text = plain(&table.text(Some(width)));
            assert!(
                text.contains("\u{2026}018f2c1a-7b1e-7c3d-9a4f-0123456789ab"),
                "{text}"
            );
        }
    }

    #[test]
    fn in_a_pipe_nothing_is_cut() {
        let text = plain(&table().text(None));
        assert!(text.contains("4611686018427387904018f2c1a-7b1e-7c3d-9a4f-0123456789ab"));
        assert!(text.contains(&"x".repeat(128)));
        assert!(text.contains(&"y".repeat(256)));
        assert!(text.contains(&"z".repeat(90)));
    }

    #[test]
    fn a_cut_text_keeps_both_ends_or_its_beginning() {
        assert_eq!(middle_cut("abcdefghij", 5), "ab\u{2026}ij");
        assert_eq!(end_cut("abcdefghij", 5), "abcd\u{2026}");
        assert_eq!(end_cut("漢漢漢", 4), "漢\u{2026}");
        assert_eq!(end_cut("abc", 3), "abc");
    }
}
