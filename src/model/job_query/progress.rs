// The progress of a scan. The callback can stop the scan.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::JobQuery;
use crate::base::sync::atomic::{AtomicBool, Ordering};

/// The progress of a scan: see [`JobQuery::on_progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanProgress {
    /// Number of jobs scanned or skipped so far.
    pub looked_at: u64,
    /// Number of matching jobs found so far, including those that the offset skips.
    pub matched: u64,
    /// Number of jobs that a scan to the end of the list would cover.
    pub of: u64,
}

/// The callback of a scan.
#[derive(Clone)]
pub(crate) struct OnProgress(pub(crate) Arc<OnScanned>);

type OnScanned = dyn Fn(&ScanProgress) -> ControlFlow<()> + Send + Sync;

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnProgress")
    }
}

/// Whether the callback of a query has asked to stop.
#[derive(Clone, Default)]
pub(crate) struct StopRequest(Arc<AtomicBool>);

impl StopRequest {
    pub(crate) fn is_made(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl JobQuery {
    /// Returns the query, and whether its callback has asked to stop. If the callback does so when
    /// everything in a graph has been scanned, nothing is missing there, but a call that reads
    /// several graphs must not continue with the next one.
    pub(crate) fn with_stop_request(mut self) -> (JobQuery, StopRequest) {
        let stop = StopRequest::default();
        if let Some(call) = self.on_progress.take() {
            let made = stop.clone();
            self = self.on_progress(move |progress| {
                let flow = (call.0)(progress);
                if flow.is_break() {
                    made.0.store(true, Ordering::Relaxed);
                }
                flow
            });
        }
        (self, stop)
    }

    /// Calls `call` during a scan, on the calling thread, after about every thousand jobs. `call`
    /// can report the progress and can stop the scan. If a query is unfiltered or filters only by
    /// state, a list, an export, or a purge does not scan, and never calls `call`.
    ///
    /// A [tally](crate::Graph::tally) calls `call` while it counts: after about every 8,000 jobs, or
    /// every 64 whose requests it reads, but not for numbers that are known. If the query has other
    /// filters than by state, the progress of the scan is reported first, and then that of counting
    /// the jobs that were found.
    ///
    /// If `call` returns [`ControlFlow::Break`], the scan stops: the page contains the jobs found
    /// until then, [`Page::is_stopped`](crate::Page::is_stopped) returns `true`, and
    /// [`Page::next`](crate::Page::next) continues the scan. Likewise,
    /// [`Graph::export`](crate::Graph::export) then exports only the jobs found until then, and
    /// [`Graph::purge`](crate::Graph::purge) purges only those jobs.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore};
    /// use std::ops::ControlFlow;
    /// use std::time::{Duration, Instant};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let body = jobstore::Body::from_json(r#"{"path": "a.csv"}"#)?;
    /// # movie.submit(jobstore::Request::new("import_graph", "/ges", body)?)?;
    /// let list = || JobQuery::new().body_value("/path", r#""a.csv""#);
    /// let mut found = 0;
    /// let mut cursor = None;
    /// loop {
    /// // At most a second per page.
    ///     let end = Instant::now() + Duration::from_secs(1);
    ///     let list = list().on_progress(move |searched| {
    ///         eprintln!("{} of {} jobs", searched.looked_at, searched.of);
    ///         match Instant::now() < end {
    ///             true => ControlFlow::Continue(()),
    ///             false => ControlFlow::Break(()),
    ///         }
    ///     });
    ///     let page = movie.list(match &cursor {
    ///         None => list,
    ///         Some(cursor) => list.cursor(cursor),
    ///     })?;
    ///     found += page.len();
    ///     cursor = page.next();
    ///     if cursor.is_none() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(found, 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn on_progress(
        mut self,
        call: impl Fn(&ScanProgress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> JobQuery {
        self.on_progress = Some(OnProgress(Arc::new(call)));
        self
    }
}
