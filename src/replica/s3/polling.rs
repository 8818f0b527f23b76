//! How often a chunk that does not exist yet is requested.

use std::time::{Duration, Instant};

use crate::base::sync::Mutex;

/// The pauses between requests while the log grows. They double.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(200);
/// The pause while it does not.
const QUIET: Duration = Duration::from_millis(500);
/// The log is quiet if no chunk was found for this long.
const QUIET_AFTER: Duration = Duration::from_secs(2);

/// Remembers whether the log grows. Each request is charged, so a quiet log is read less often.
#[derive(Default)]
pub(super) struct Polling {
    found: Mutex<Option<Instant>>,
}

impl Polling {
    /// Records that a chunk was found.
    pub(super) fn found(&self) {
        *self.found.lock() = Some(Instant::now());
    }

    /// The pauses before the second request, the third one, and so on.
    pub(super) fn pauses(&self) -> impl Iterator<Item = Duration> {
        let is_quiet = self
            .found
            .lock()
            .is_none_or(|at| at.elapsed() >= QUIET_AFTER);
        let first = if is_quiet { QUIET } else { SHORTEST };
        let last = if is_quiet { QUIET } else { LONGEST };
        std::iter::successors(Some(first), move |pause| Some((*pause * 2).min(last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_log_is_read_less_often() {
        let polling = Polling::default();
        let pauses = || polling.pauses().take(6).map(|pause| pause.as_millis());
        assert_eq!(pauses().collect::<Vec<_>>(), [500; 6]);
        polling.found();
        let growing = [20, 40, 80, 160, 200, 200];
        assert_eq!(pauses().collect::<Vec<_>>(), growing);
        *polling.found.lock() = Instant::now().checked_sub(QUIET_AFTER);
        assert_eq!(pauses().collect::<Vec<_>>(), [500; 6]);
    }
}
