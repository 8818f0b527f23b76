//! Values that are kept for their next use, so that they are not allocated each time.
//!
//! In a process whose heap is fragmented, glibc can search longer for a few kilobytes than it takes
//! to read a short page.

// Not one of `base::sync`, because nobody waits for this lock.
use parking_lot::Mutex;

/// A few values of a type. What they contain has no meaning for their next user.
pub(crate) struct Spare<T> {
    kept: Mutex<Vec<T>>,
    max: usize,
}

impl<T> Spare<T> {
    /// Keeps at most `max` values.
    pub(crate) const fn new(max: usize) -> Spare<T> {
        Spare {
            kept: Mutex::new(Vec::new()),
            max,
        }
    }

    /// Returns a value that was kept, if there is one.
    pub(crate) fn take(&self) -> Option<T> {
        self.kept.try_lock()?.pop()
    }

    /// Keeps a value, unless enough values are kept.
    pub(crate) fn keep(&self, value: T) {
        if let Some(mut kept) = self.kept.try_lock() {
            if kept.len() < self.max {
                kept.push(value);
            }
        }
    }

    /// Calls `check` with each value that is kept.
    #[cfg(test)]
    pub(crate) fn each(&self, check: impl FnMut(&T)) {
        self.kept.lock().iter().for_each(check);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_values_are_kept_than_the_maximum() {
        let spare = Spare::new(2);
        assert_eq!(spare.take(), None);
        (1..=3).for_each(|n| spare.keep(n));
        assert_eq!(
            [spare.take(), spare.take(), spare.take()],
            [Some(2), Some(1), None]
        );
    }
}
