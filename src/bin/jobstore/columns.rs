//! A table of text and numbers.
//!
//! Numbers are right-aligned. If the table is wider than the terminal, less important columns are
//! omitted.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

/// The width between two columns.
const GAP: usize = 2;

/// A column of a table.
struct Column {
    heading: &'static str,
    is_text: bool,
    /// Columns with greater numbers are omitted first; those with 0 are never omitted.
    omitted: u8,
    cells: Vec<String>,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.width());
        cells.chain([self.heading.width()]).max().unwrap_or(0)
    }
}

/// A table. It is laid out once all of its columns are known.
#[derive(Default)]
pub(crate) struct Columns(Vec<Column>);

impl Columns {
    pub(crate) fn text(&mut self, heading: &'static str, cells: Vec<String>) {
        self.0.push(Column {
            heading,
            is_text: true,
            omitted: 0,
            cells,
        });
    }

    /// Adds a column of numbers. See [`Column::omitted`].
    pub(crate) fn numbers(&mut self, heading: &'static str, omitted: u8, cells: Vec<String>) {
        self.0.push(Column {
            heading,
            is_text: false,
            omitted,
            cells,
        });
    }

    /// Formats the table, at most this wide if possible.
    pub(crate) fn layout(mut self, width: Option<usize>) -> String {
        while width.is_some_and(|width| self.width() > width) {
            let worst = self.0.iter().map(|column| column.omitted).max();
            match worst {
                None | Some(0) => break,
                Some(worst) => self.0.retain(|column| column.omitted != worst),
            }
        }
        let rows = self.0.first().map_or(0, |column| column.cells.len());
        let mut text = String::new();
        let bold = Style::new().bold();
        let heading = self.line(|column| column.heading);
        writeln!(text, "{bold}{heading}{bold:#}").ok();
        for row in 0..rows {
            let line = self.line(|column| column.cells.get(row).map_or("", String::as_str));
            writeln!(text, "{line}").ok();
        }
        text
    }

    fn width(&self) -> usize {
        let gaps = self.0.len().saturating_sub(1) * GAP;
        self.0.iter().map(Column::width).sum::<usize>() + gaps
    }

    fn line<'c>(&'c self, cell: impl Fn(&'c Column) -> &'c str) -> String {
        let mut line = String::new();
        for (n, column) in self.0.iter().enumerate() {
            let cell = cell(column);
            let pad = column.width() - cell.width();
            let gap = if n == 0 { 0 } else { GAP };
            match column.is_text {
                true => write!(line, "{:gap$}{cell}{:pad$}", "", ""),
                false => write!(line, "{:gap$}{:pad$}{cell}", "", ""),
            }
            .ok();
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Columns {
        let mut table = Columns::default();
        table.text("start", vec!["a".to_owned(), "total".to_owned()]);
        table.numbers("jobs", 0, vec!["1".to_owned(), "1,234".to_owned()]);
        table.numbers("p50", 2, vec![String::new(), "10 ms".to_owned()]);
        table.numbers("p95", 1, vec!["3 s".to_owned(), "1 h".to_owned()]);
        table
    }

    #[test]
    fn numbers_are_aligned_at_the_right() {
        let text = table().layout(None);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain,
            "start   jobs    p50  p95\na          1         3 s\ntotal  1,234  10 ms  1 h\n"
        );
    }

    #[test]
    fn the_least_important_columns_are_omitted_first() {
        for (width, kept) in [
            (24, vec!["start", "jobs", "p50", "p95"]),
            (23, vec!["start", "jobs", "p95"]),
            (16, vec!["start", "jobs"]),
            (1, vec!["start", "jobs"]),
        ] {
            let text = table().layout(Some(width));
            let plain = anstream::adapter::strip_str(&text).to_string();
            let heading: Vec<&str> = plain.lines().next().unwrap().split_whitespace().collect();
            assert_eq!(heading, kept, "{width}");
        }
    }
}
