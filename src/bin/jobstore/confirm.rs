//! Confirmation of a change that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write as _};

use crate::problem::Problem;

/// Asks for confirmation on the terminal. If there is no terminal, `how` explains how to confirm in
/// advance.
pub(crate) fn is_agreed(question: &str, how: &str) -> Result<bool, Problem> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Problem::usage(
            "cannot ask for confirmation without a terminal; nothing was changed",
            how,
        ));
    }
    let mut out = io::stderr().lock();
    write!(out, "{question} [y/N] ")
        .and_then(|()| out.flush())
        .ok();
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).ok();
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
