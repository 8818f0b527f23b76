// The progress of reading the log during an open.

use std::sync::Arc;

use super::Options;

/// The callback for reading the log during an open.
pub(crate) type OnReplay = Arc<dyn Fn(&ReplayProgress) + Send + Sync>;

/// The progress of reading the log during an open: see [`Options::on_replay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayProgress {
    /// Number of events read so far.
    pub events: u64,
    /// Number of events to read, as far as is known: the events of unpacked segments are added only
    /// as they are read.
    pub of: u64,
    /// Whether the index is being rebuilt from the whole log.
    pub rebuilding: bool,
}

impl Options {
    /// Sets a callback that is called while an open reads the log: after a crash, or when the index
    /// is rebuilt, which takes seconds for millions of jobs. It is called on the opening thread,
    /// after about every 65,536 events and at the end. If nothing has to be read, it is not called.
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let store = jobstore::JobStore::options()
    ///     .on_replay(|replayed| {
    ///         let what = if replayed.rebuilding { "rebuilding the index" } else { "catching up" };
    ///         eprintln!("{what}: {} of {} events", replayed.events, replayed.of);
    ///     })
    ///     .open(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_replay(mut self, call: impl Fn(&ReplayProgress) + Send + Sync + 'static) -> Options {
        self.on_replay = Some(Arc::new(call));
        self
    }
}
