//! Jobs as a table for eyes.
//!
//! Owns: columns, and which of them a width leaves. Must not know: where jobs come from.
//! Promise: no line is wider than the terminal, and in a pipe nothing is cut; every row
//! begins with what `show` takes, as long as that fits; no text of a request is a command
//! to the terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::harmless;
use crate::place::short_id;
use crate::row::Row;
use crate::when;

/// Between two columns.
const GAP: usize = 2;
/// What is kept of an id where there is no room for all of it.
const ID_WIDTH_MIN: usize = 13;
/// What is kept of a command.
const COMMAND_WIDTH_MIN: usize = 8;
/// A command wider than this is cut before the url goes.
const COMMAND_WIDTH_WANTED: usize = 28;
/// A url narrower than this says nothing.
const ABOUT_WIDTH_MIN: usize = 24;
/// The last column.
const ABOUT: &str = "failure or url";

/// One job's cells.
struct Line {
    id: String,
    /// The part of it that tells jobs of one graph apart.
    short_id: String,
    state: String,
    command: String,
    age: String,
    took: String,
    /// Why it failed, where it did; else the url.
    about: String,
    colour: Style,
}

/// Jobs, to be laid out once all are known.
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
        let about = failure.unwrap_or_else(|| row.request.url.clone());
        let age = row.submitted_at.map(|ms| when::ago(ms, now_ms));
        self.lines.push(Line {
            id: harmless(&row.job_id),
            short_id: harmless(&short),
            state: harmless(&row.word()),
            command: harmless(&row.request.command),
            age: age.unwrap_or_default(),
            took: row.took(now_ms).map(when::took).unwrap_or_default(),
            about: harmless(&about),
            colour: row.colour(),
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The table, at most so wide.
    pub(crate) fn text(&self, width: Option<usize>) -> String {
        let widest = |cell: fn(&Line) -> &String, name: &str| {
            let widths = self.lines.iter().map(|line| cell(line).width());
            widths.max().unwrap_or(0).max(name.len())
        };
        let widths = Widths {
            is_short: width.is_some(),
            id: match width {
                Some(_) => widest(|line| &line.short_id, "job"),
                None => widest(|line| &line.id, "job"),
            },
            state: widest(|line| &line.state, "state"),
            command: widest(|line| &line.command, "command"),
            age: widest(|line| &line.age, "submitted"),
            took: widest(|line| &line.took, "took"),
            about: widest(|line| &line.about, ABOUT),
        };
        let widths = match width {
            Some(width) => widths.within(width),
            None => widths,
        };
        let mut text = String::new();
        let heading = Line {
            id: "job".to_owned(),
            short_id: "job".to_owned(),
            state: "state".to_owned(),
            command: "command".to_owned(),
            age: "submitted".to_owned(),
            took: "took".to_owned(),
            about: ABOUT.to_owned(),
            colour: Style::new(),
        };
        let bold = Style::new().bold();
        let dim = Style::new().dimmed();
        widths.put(&heading, [bold; 6], &mut text);
        for line in &self.lines {
            let plain = Style::new();
            let styles = [plain, line.colour, plain, plain, plain, dim];
            widths.put(line, styles, &mut text);
        }
        text
    }
}

/// How wide each column is; 0 for one that is left out.
#[derive(Clone, Copy)]
struct Widths {
    /// Whether ids are shown without what all of a graph begin with.
    is_short: bool,
    id: usize,
    state: usize,
    command: usize,
    age: usize,
    took: usize,
    about: usize,
}

impl Widths {
    fn all(&self) -> usize {
        let columns = [
            self.id,
            self.state,
            self.command,
            self.age,
            self.took,
            self.about,
        ];
        let shown = columns.iter().filter(|&&width| width > 0);
        let gaps = shown.clone().count().saturating_sub(1) * GAP;
        shown.sum::<usize>() + gaps
    }

    /// Narrowed to what fits: what tells least goes first.
    fn within(mut self, width: usize) -> Widths {
        let over = |widths: &Widths| widths.all().saturating_sub(width);
        self.about = self
            .about
            .saturating_sub(over(&self))
            .max(ABOUT_WIDTH_MIN.min(self.about));
        let narrowed =
            |now: usize, over: usize, least: usize| now.saturating_sub(over).max(least.min(now));
        self.command = narrowed(self.command, over(&self), COMMAND_WIDTH_WANTED);
        if over(&self) > 0 {
            self.about = 0;
        }
        if over(&self) > 0 {
            self.took = 0;
        }
        self.command = narrowed(self.command, over(&self), COMMAND_WIDTH_MIN);
        self.id = narrowed(self.id, over(&self), ID_WIDTH_MIN);
        if over(&self) > 0 {
            self.age = 0;
        }
        if over(&self) > 0 {
            self.command = 0;
        }
        self.state = narrowed(self.state, over(&self), 1);
        self.id = narrowed(self.id, over(&self), 1);
        self
    }

    fn put(&self, line: &Line, styles: [Style; 6], text: &mut String) {
        let id = match self.is_short {
            true => &line.short_id,
            false => &line.id,
        };
        let cells = [
            (middle_cut(id, self.id), self.id),
            (end_cut(&line.state, self.state), self.state),
            (end_cut(&line.command, self.command), self.command),
            (end_cut(&line.age, self.age), self.age),
            (end_cut(&line.took, self.took), self.took),
            (middle_cut(&line.about, self.about), self.about),
        ];
        let shown: Vec<_> = cells
            .iter()
            .zip(styles)
            .filter(|((_, width), _)| *width > 0)
            .collect();
        let last = shown.iter().rposition(|((cell, _), _)| !cell.is_empty());
        for (n, ((cell, width), style)) in shown.iter().enumerate() {
            if Some(n) > last {
                break;
            }
            let pad = match Some(n) == last {
                true => 0,
                false => width.saturating_sub(cell.width()) + GAP,
            };
            write!(text, "{style}{cell}{style:#}{:pad$}", "").ok();
        }
        text.push('\n');
    }
}

/// The text, cut at its end.
fn end_cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = begin(text, width.saturating_sub(1));
    cut.push('\u{2026}');
    cut
}

/// The text, cut in its middle: of ids and urls both ends tell.
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

/// As many characters as are so wide.
fn begin(text: &str, width: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).collect()
}

/// A line in the colour of what is beside the point.
pub(crate) fn aside(text: &str) -> String {
    let dim = Style::new().dimmed();
    format!("{dim}{text}{dim:#}\n")
}

/// A line in the colour of a warning.
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
                "url":"{url}","body":1}},"outcome":{{"kind":"partially_failed"}},
                "submittedAt":1000,"startedAt":2000,"finishedAt":3000}}"#
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
