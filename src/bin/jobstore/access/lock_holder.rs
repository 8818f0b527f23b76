//! The process that has a store open.
//!
//! Describes the process for the user. Unknown facts are omitted, never guessed. Arguments that
//! look like credentials are not shown.

use std::fs;

use crate::output::harmless;

/// The maximum number of characters of a command line to show.
const CHARS_SHOWN: usize = 80;

/// "by process 7 (engine --data jobs)".
pub(crate) fn said(pid: Option<u32>) -> String {
    let Some(pid) = pid else {
        return "by another process".to_owned();
    };
    match command_line(pid) {
        Some(line) => format!("by process {pid} ({line})"),
        None => format!("by process {pid}"),
    }
}

/// Returns the command line of a process, if the system provides it.
fn command_line(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = bytes
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty());
    let words: Vec<String> = words
        .map(|word| harmless(&String::from_utf8_lossy(word)))
        .collect();
    shown(&words)
}

/// Returns the program and its arguments, as far as they are harmless and fit.
fn shown(words: &[String]) -> Option<String> {
    let mut line = words.first()?.clone();
    for word in words.get(1..).unwrap_or_default() {
        let lower = word.to_lowercase();
        let looks_secret = ["key", "secret", "token", "password", "passwd"];
        if looks_secret.iter().any(|secret| lower.contains(secret)) {
            // The credential may be the next word.
            line.push_str(" ...");
            break;
        }
        line.push(' ');
        line.push_str(word);
    }
    if line.chars().count() > CHARS_SHOWN {
        line = line
            .chars()
            .take(CHARS_SHOWN - 3)
            .chain("...".chars())
            .collect();
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_cut_where_it_may_hold_credentials() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            shown(&words("engine --data x")).as_deref(),
            Some("engine --data x")
        );
        let cut = shown(&words("engine --secret-key abc --data x"));
        assert_eq!(cut.as_deref(), Some("engine ..."));
        let long = shown(&words(&"word ".repeat(40))).unwrap();
        assert_eq!(long.chars().count(), CHARS_SHOWN);
        assert_eq!(shown(&[]), None);
    }

    #[test]
    fn this_process_is_known_by_its_command_line() {
        let said = said(Some(std::process::id()));
        assert!(said.contains('('), "{said}");
        assert_eq!(super::said(None), "by another process");
    }
}
