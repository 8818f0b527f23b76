//! Standard output and the terminal.
//!
//! Contains the destination of the output, the width of the terminal, the sanitizing of text for
//! terminals, and number formatting. Text from a request cannot send control sequences to the
//! terminal. A pipe gets neither colors nor truncated lines. A slow reader of a list does not keep
//! the store open.

use std::io::{self, BufWriter, IsTerminal, Seek, StdoutLock, Write};

use rustix::fs::FileType;
use tempfile::SpooledTempFile;
use terminal_size::{Width, terminal_size_of};

use crate::problem::Problem;

/// The number of bytes that are buffered before they are written.
const GATHERED_BYTES: usize = 64 << 10;

/// Standard output for plain bytes.
pub(crate) fn plain() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(GATHERED_BYTES, io::stdout().lock())
}

/// The maximum number of bytes spooled in memory; larger output goes to an unnamed temporary file.
const SPOOL_BYTES: usize = 4 << 20;

/// Standard output for any number of lines. Because a reader may be slow, the lines are spooled
/// until the store is closed. If standard output is a file, the lines are written to it directly.
pub(crate) enum SpooledOutput {
    Put(BufWriter<SpooledTempFile>),
    AtOnce(BufWriter<StdoutLock<'static>>),
}

impl SpooledOutput {
    pub(crate) fn new() -> SpooledOutput {
        let there = rustix::fs::fstat(io::stdout());
        match there.map(|there| FileType::from_raw_mode(there.st_mode)) {
            Ok(FileType::RegularFile) => SpooledOutput::AtOnce(plain()),
            _ => SpooledOutput::Put(BufWriter::new(SpooledTempFile::new(SPOOL_BYTES))),
        }
    }

    /// Writes the spooled output.
    pub(crate) fn hand_over(self) -> Result<(), Problem> {
        let done = match self {
            SpooledOutput::AtOnce(mut out) => out.flush(),
            SpooledOutput::Put(aside) => {
                aside
                    .into_inner()
                    .map_err(Into::into)
                    .and_then(|mut aside| {
                        let mut out = plain();
                        aside.rewind()?;
                        io::copy(&mut aside, &mut out)?;
                        out.flush()
                    })
            }
        };
        done.map_err(|e| Problem::output(&e))
    }
}

impl Write for SpooledOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            SpooledOutput::AtOnce(out) => out.write(bytes),
            SpooledOutput::Put(aside) => aside.write(bytes).map_err(|e| {
                let directory = std::env::temp_dir();
                let words = format!(
                    "{e}, while spooling the output in {} (TMPDIR)",
                    directory.display()
                );
                io::Error::new(e.kind(), words)
            }),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            SpooledOutput::AtOnce(out) => out.flush(),
            SpooledOutput::Put(aside) => aside.flush(),
        }
    }
}

/// Writes a string with colors, which are removed if the output does not support them.
pub(crate) fn coloured(text: &str) -> Result<(), Problem> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Problem::output(&e))
}

/// Writes a string unchanged.
pub(crate) fn whole(text: &[u8]) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    out.write_all(text)
        .and_then(|()| out.flush())
        .map_err(|e| Problem::output(&e))
}

/// Writes a line to standard error for the user.
pub(crate) fn note(text: &str) {
    writeln!(anstream::stderr().lock(), "{text}").ok();
}

/// Returns the width of the terminal, if standard output is one.
pub(crate) fn width() -> Option<usize> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let width = terminal_size_of(&out).map_or(80, |(Width(columns), _)| columns);
    // Some terminals report 0 if the width is unknown.
    Some(if width == 0 { 80 } else { usize::from(width) })
}

/// Returns the text without characters that a terminal interprets or hides: control characters, and
/// characters that change the direction of text.
pub(crate) fn harmless(text: &str) -> String {
    let is_harmful = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
    };
    let shown = |c| if is_harmful(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// Formats a number in groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of jobs: "1 job", "2 jobs".
pub(crate) fn jobs(number: u64) -> String {
    counted(number, "job")
}

/// Formats a number and a noun, in the singular or the plural.
pub(crate) fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let all = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1, 2, 1000].map(jobs), ["1 job", "2 jobs", "1,000 jobs"]);
    }

    #[test]
    fn what_a_terminal_obeys_is_not_shown_to_it() {
        assert_eq!(
            harmless("a\u{1b}[31mb\n\u{9b}c\u{202e}é漢"),
            "a�[31mb��c�é漢"
        );
    }
}
