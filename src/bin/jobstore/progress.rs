//! Shows the progress of a long command.
//!
//! Contains [`Bar`], which shows a bar, the rate, and the time left. The bar is drawn only if
//! standard error is a terminal, and removed when the command ends.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A progress bar. If standard error is a terminal, it is shown from the first report on.
pub(crate) struct Bar {
    bar: OnceLock<ProgressBar>,
    is_wanted: bool,
    what: &'static str,
    known: &'static str,
    unknown: &'static str,
}

const ITEMS: &str = "{msg} {wide_bar} {human_pos} of {human_len}, {rate}, {eta} left";
const ITEMS_OPEN: &str = "{msg} {spinner} {human_pos}, {rate}";
const BYTES: &str =
    "{msg} {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
const BYTES_OPEN: &str = "{msg} {spinner} {binary_bytes}, {binary_bytes_per_sec}";
const NOTHING: &str = "{msg} {spinner} {elapsed}";

impl Bar {
    /// Returns a bar that counts items, such as jobs, events, or lines.
    pub(crate) fn items(what: &'static str) -> Bar {
        Bar::new(what, ITEMS, ITEMS_OPEN)
    }

    pub(crate) fn bytes(what: &'static str) -> Bar {
        Bar::new(what, BYTES, BYTES_OPEN)
    }

    /// Returns a bar that shows only that the work continues.
    pub(crate) fn busy(what: &'static str) -> Bar {
        let bar = Bar::new(what, NOTHING, NOTHING);
        bar.bar().enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// Returns a bar that is never shown, because the output goes to the terminal.
    pub(crate) fn none() -> Bar {
        let mut bar = Bar::new("", NOTHING, NOTHING);
        bar.is_wanted = false;
        bar
    }

    fn new(what: &'static str, known: &'static str, unknown: &'static str) -> Bar {
        Bar {
            bar: OnceLock::new(),
            is_wanted: io::stderr().is_terminal(),
            what,
            known,
            unknown,
        }
    }

    fn bar(&self) -> &ProgressBar {
        self.bar.get_or_init(|| {
            let bar = ProgressBar::hidden();
            bar.set_style(style(self.unknown));
            bar.set_message(self.what);
            if self.is_wanted {
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            bar
        })
    }

    /// Reports that `done` of `of` items are done; `of` is `None` if unknown.
    pub(crate) fn at(&self, done: u64, of: Option<u64>) {
        let bar = self.bar();
        if bar.length() != of {
            bar.set_style(style(match of {
                Some(_) => self.known,
                None => self.unknown,
            }));
            match of {
                Some(of) => bar.set_length(of),
                None => bar.unset_length(),
            }
        }
        bar.set_position(done);
    }

    /// Removes the bar from the terminal.
    pub(crate) fn end(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    // indicatif's own rate has four decimals, so this one replaces it.
    style.with_key(
        "rate",
        |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            write!(out, "{}/s", HumanCount(state.per_sec().round() as u64)).ok();
        },
    )
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_well_formed() {
        for template in [ITEMS, ITEMS_OPEN, BYTES, BYTES_OPEN, NOTHING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
