//! `jobstore list --watch`: shows a table again and again.
//!
//! The screen is redrawn only if the table has changed.

use std::io::Write as _;
use std::time::Duration;

use crate::access::Access;
use crate::output;
use crate::problem::{Problem, Verdict};

/// How often the table is read.
const EVERY: Duration = Duration::from_secs(1);
/// Moves the cursor to the top, and clears the rest of the screen.
const HOME: &str = "\x1b[H\x1b[J";

/// Shows what `table` returns, a table and the text below it, until the process is interrupted.
pub(crate) fn run(
    access: &dyn Access,
    table: impl Fn() -> Result<(String, String), Problem>,
) -> Result<Verdict, Problem> {
    if output::width().is_none() {
        return Err(Problem::usage(
            "--watch needs a terminal",
            "omit it, or use `jobstore watch --format jsonl` to follow the changes",
        ));
    }
    if !access.is_live() {
        return Err(Problem::failed(
            "no engine has the store open, so nothing is changing",
            "start the engine, or omit --watch",
        ));
    }
    let mut shown = String::new();
    loop {
        let (rows, footer) = table()?;
        let screen = rows + &footer;
        if screen != shown {
            let mut out = anstream::stdout().lock();
            let written = write!(out, "{HOME}{screen}").and_then(|()| out.flush());
            written.map_err(|e| Problem::output(&e))?;
            shown = screen;
        }
        std::thread::sleep(EVERY);
    }
}
