//! How far a long verb has come, for who looks on.
//!
//! Owns: [`Bar`]: bar, rate, time left. Must not know: what is counted.
//! Promise: it is drawn on a terminal only, on standard error, and is gone when the verb
//! has ended; in a pipe there is none.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that is drawn where somebody looks on.
pub(crate) struct Bar {
    bar: ProgressBar,
    known: &'static str,
    unknown: &'static str,
}

const ITEMS: &str = "{msg} {wide_bar} {human_pos} of {human_len}, {per_sec}, {eta} left";
const ITEMS_OPEN: &str = "{msg} {spinner} {human_pos}, {per_sec}";
const BYTES: &str =
    "{msg} {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
const BYTES_OPEN: &str = "{msg} {spinner} {binary_bytes}, {binary_bytes_per_sec}";
const NOTHING: &str = "{msg} {spinner} {elapsed}";

impl Bar {
    /// Counts jobs, events, lines.
    pub(crate) fn items(what: &'static str) -> Bar {
        Bar::new(what, ITEMS, ITEMS_OPEN)
    }

    pub(crate) fn bytes(what: &'static str) -> Bar {
        Bar::new(what, BYTES, BYTES_OPEN)
    }

    /// Says only that work goes on.
    pub(crate) fn busy(what: &'static str) -> Bar {
        let bar = Bar::new(what, NOTHING, NOTHING);
        bar.bar
            .enable_steady_tick(std::time::Duration::from_millis(200));
        bar
    }

    /// None, because the terminal is where the output goes.
    pub(crate) fn none() -> Bar {
        let mut bar = Bar::new("", NOTHING, NOTHING);
        bar.bar = ProgressBar::hidden();
        bar
    }

    fn new(what: &'static str, known: &'static str, unknown: &'static str) -> Bar {
        let bar = match io::stderr().is_terminal() {
            true => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
            false => ProgressBar::hidden(),
        };
        bar.set_message(what);
        bar.set_style(style(unknown));
        Bar {
            bar,
            known,
            unknown,
        }
    }

    /// So much is done, of so much where that is known.
    pub(crate) fn at(&self, done: u64, of: Option<u64>) {
        if self.bar.length() != of {
            match of {
                Some(of) => self.bar.set_length(of),
                None => self.bar.unset_length(),
            }
            self.bar.set_style(style(match of {
                Some(_) => self.known,
                None => self.unknown,
            }));
        }
        self.bar.set_position(done);
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
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
