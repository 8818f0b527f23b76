//! The result as Markdown: ratios to jobstore, then the measured values.

use std::fmt::Write as _;

use crate::store::Kind;
use crate::work::{Row, Unit};

/// Returns how many times better jobstore is than another store: less time, more per second, or
/// fewer bytes.
pub fn ratio(unit: Unit, ours: f64, theirs: f64) -> f64 {
    match unit {
        Unit::Seconds | Unit::Bytes => theirs / ours,
        Unit::PerSecond => ours / theirs,
    }
}

pub fn ratios(kinds: &[&Kind], rows: &[Row]) -> String {
    table(kinds, rows, |row, n| {
        let (ours, theirs) = (row.medians[0]?, row.medians[n]?);
        Some(match n {
            0 => value(row.unit, ours),
            _ => three_digits(ratio(row.unit, ours, theirs)),
        })
    })
}

pub fn absolute(kinds: &[&Kind], rows: &[Row]) -> String {
    table(kinds, rows, |row, n| Some(value(row.unit, row.medians[n]?)))
}

/// For each row that is marked in the tables, what jobstore does in addition to the other stores.
pub fn more(rows: &[Row]) -> String {
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        let Some(more) = row.more else {
            continue;
        };
        let is_new = rows[..n].iter().all(|before| before.more != row.more);
        if is_new {
            let all = rows.iter().filter(|other| other.more == row.more);
            let what: Vec<_> = all.map(|other| other.what.as_str()).collect();
            let _ = writeln!(text, "- {}: {more}.", what.join("; "));
        }
    }
    text
}

fn table(kinds: &[&Kind], rows: &[Row], cell: impl Fn(&Row, usize) -> Option<String>) -> String {
    let mut text = "| what |".to_owned();
    for kind in kinds {
        let _ = write!(text, " {} |", kind.name);
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(kinds.len()));
    text.push('\n');
    for row in rows {
        let mark = if row.more.is_some() { " +" } else { "" };
        let _ = write!(text, "| {}{mark} |", row.what);
        for n in 0..kinds.len() {
            let _ = write!(text, " {} |", cell(row, n).unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

/// Formats a value with its unit for people.
pub fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds if value >= 1.0 => format!("{} s", three_digits(value)),
        Unit::Seconds if value >= 1e-3 => format!("{} ms", three_digits(value * 1e3)),
        Unit::Seconds if value >= 1e-6 => format!("{} µs", three_digits(value * 1e6)),
        Unit::Seconds => format!("{} ns", three_digits(value * 1e9)),
        Unit::PerSecond => format!("{}/s", grouped(value)),
        Unit::Bytes => format!("{} MB", three_digits(value / 1e6)),
    }
}

fn three_digits(value: f64) -> String {
    match value {
        v if v >= 99.95 => grouped(v),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// Formats a whole number with thousands separators.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
