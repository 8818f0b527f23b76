//! What answering may take.
//!
//! Owns: [`Limits`], and the places that long answers and scans have to get. Must not
//! know: what is answered.
//! Promise: many long pages keep nobody from a short one; a place that was got comes back
//! with whoever holds it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Failure;

/// What answering may take, of [`Routes::limits`](crate::http::Routes::limits). Whoever
/// is over a limit gets 503 `engine service unavailable` and a `Retry-After`.
///
/// # Examples
/// ```
/// use jobstore::http::{Limits, Routes};
/// use std::time::Duration;
/// # let store = jobstore::JobStore::in_memory()?;
/// let limits = Limits::new()
///     .long_pages(16)
///     .stall(Duration::from_secs(5));
/// let routes = Routes::new(&store).limits(limits);
/// # drop(routes);
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Limits {
    pub(crate) long_pages: usize,
    pub(crate) scans: usize,
    pub(crate) first_byte: Duration,
    pub(crate) stall: Duration,
    pub(crate) whole: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            long_pages: 64,
            scans: 4,
            first_byte: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            whole: Duration::from_secs(15 * 60),
        }
    }
}

impl Limits {
    /// 64 long pages, 4 scans, 30 s to the first byte, 30 s for each block, 15 min for all.
    pub fn new() -> Limits {
        Limits::default()
    }

    /// How many long pages are on their way at once: those that do not fit into a block of
    /// 64 KiB. Each costs memory for a block or two and keeps its files open. Short pages
    /// are not counted.
    pub fn long_pages(mut self, pages: usize) -> Limits {
        self.long_pages = pages.min(Semaphore::MAX_PERMITS);
        self
    }

    /// How many lists are looked for at once whose filter goes through the jobs: any but
    /// by state ([`List`](crate::List) says what each costs).
    pub fn scans(mut self, scans: usize) -> Limits {
        self.scans = scans.min(Semaphore::MAX_PERMITS);
        self
    }

    /// How long an answer may take to begin, the hook's word included. A scan that takes
    /// longer is not waited for; it keeps its place until it has ended.
    pub fn first_byte(mut self, time: Duration) -> Limits {
        self.first_byte = time;
        self
    }

    /// How long a client may take for a block of about 64 KiB. One that takes longer is
    /// cut off: what the page held is let go of, and the connection is aborted as soon as
    /// the server sees to it again. ([`serve()`](crate::http::serve()) does at once.)
    pub fn stall(mut self, time: Duration) -> Limits {
        self.stall = time;
        self
    }

    /// How long an answer may take as a whole, however steadily the client takes it.
    pub fn whole(mut self, time: Duration) -> Limits {
        self.whole = time;
        self
    }
}

/// The places there are.
#[derive(Debug)]
pub(crate) struct Gates {
    long_pages: Arc<Semaphore>,
    scans: Arc<Semaphore>,
}

impl Gates {
    pub(crate) fn new(limits: &Limits) -> Gates {
        Gates {
            long_pages: Arc::new(Semaphore::new(limits.long_pages)),
            scans: Arc::new(Semaphore::new(limits.scans)),
        }
    }

    pub(crate) fn long_page(&self) -> Result<OwnedSemaphorePermit, Failure> {
        place(&self.long_pages, "a long page")
    }

    pub(crate) fn scan(&self) -> Result<OwnedSemaphorePermit, Failure> {
        place(&self.scans, "a scan")
    }
}

fn place(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Failure> {
    places.clone().try_acquire_owned().map_err(|_| {
        tracing::warn!(what, "a request was turned away: there is no place left");
        Failure::overloaded()
    })
}
