// A page of a list: a snapshot of one instant, however slowly it is read.

mod gathered;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use self::gathered::Gathered;
use crate::api::graph::Graph;
use crate::engine::read::document::{self, Document};
use crate::engine::read::jobs::JobReader;
use crate::engine::read::listing::Listing;
use crate::engine::read::reader::Snapshot;
use crate::model::cursor::Cursor;
use crate::model::error::{Error, Result};
use crate::model::job::Job;

/// The approximate size of a chunk of JSON, in bytes. Only the last chunk is smaller.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// A page of a graph's jobs: a snapshot of one instant, returned by
/// [`Graph::list`](crate::Graph::list).
///
/// A page contains the states and positions of its jobs. Their requests, which never change, are
/// read from the files one block at a time. The page prevents the deletion of these files until it
/// expires ([`Options::snapshot_timeout`](crate::Options::snapshot_timeout)), so drop it when you
/// are done. A page can be read several times, and by several threads.
///
/// # Examples
/// ```
/// # use jobstore::{Body, JobQuery, JobStore, Request};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
/// let page = movie.list(JobQuery::new())?;
/// for job in &page {
///     let job = job?;
///     println!("{} {} {}", job.id(), job.state(), job.request().command());
/// }
/// page.write_json(std::io::stdout().lock())?;
/// # Ok::<(), jobstore::Error>(())
/// ```
pub struct Page {
    pub(crate) graph: Graph,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) total: Option<u64>,
    pub(crate) quarantined: u64,
    pub(crate) next: Option<Cursor>,
    pub(crate) is_stopped: bool,
    as_of_lsn: u64,
}

impl Page {
    /// A page of a list that was read when everything up to this LSN was visible.
    pub(crate) fn of(graph: &Graph, listing: Listing, as_of_lsn: u64) -> Page {
        let Listing {
            snapshot,
            total,
            quarantined,
            next,
            is_stopped,
        } = listing;
        Page {
            graph: graph.clone(),
            snapshot: Arc::new(snapshot),
            total,
            quarantined,
            next,
            is_stopped,
            as_of_lsn,
        }
    }

    /// Returns the number of jobs on the page: 0 to 100,000.
    #[must_use]
    pub fn len(&self) -> usize {
        self.snapshot.selection.len as usize
    }

    /// Returns `true` if the page has no jobs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the exact number of jobs that matched the query at the instant of the page, on all
    /// pages together. Returns `None` if counting requires a scan, unless
    /// [`JobQuery::count_total`](crate::JobQuery::count_total) was set and the scan was not
    /// stopped.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let page = movie.list(JobQuery::new().state(State::Pending).offset(40).limit(20))?;
    /// assert_eq!(page.total(), Some(1)); // of the list, not of this page
    /// assert_eq!(page.len(), 0);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Returns the number of quarantined jobs that this page skips: those between the beginning of
    /// this page and the beginning of the next, or, on the last page, up to the end of the list.
    /// Over all pages of a list, each quarantined job is counted once. The number is 0 in a store
    /// that has never been repaired.
    #[must_use]
    pub fn quarantined(&self) -> u64 {
        self.quarantined
    }

    /// Returns the cursor of the next page, or `None` if there were no more jobs at the instant of
    /// the page. Once the page is full, a scan may stop before it is known whether more jobs match,
    /// so the next page may be empty. If [`JobQuery::on_progress`](crate::JobQuery::on_progress)
    /// stopped the scan, an empty page may have a next page.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// // All jobs, 1000 at a time, including new ones.
    /// let mut list = JobQuery::new().limit(1000);
    /// loop {
    ///     let page = movie.list(list.clone())?;
    ///     for job in &page {
    ///         println!("{}", job?.id());
    ///     }
    ///     match page.next() {
    ///         Some(cursor) => list = list.cursor(&cursor),
    ///         None => break,
    ///     }
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn next(&self) -> Option<Cursor> {
        self.next.clone()
    }

    /// Returns the log sequence number of a commit up to which the page shows everything. Later
    /// commits may also be included. Pages of a store and of its followers
    /// ([`JobStore::follow`](crate::JobStore::follow)) can be compared by this number: it grows
    /// with each commit, and the same commit has the same number in each of them.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let before = movie.list(JobQuery::new())?.as_of_lsn();
    /// movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// assert!(movie.list(JobQuery::new())?.as_of_lsn() > before);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn as_of_lsn(&self) -> u64 {
        self.as_of_lsn
    }

    /// Returns `true` if [`JobQuery::on_progress`](crate::JobQuery::on_progress) stopped the search
    /// before the page was full. [`Page::next`] continues the search.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Returns an iterator over the page's jobs, in list order.
    ///
    /// # Cost
    /// Each block is read and decompressed once, and each job is parsed. [`Page::write_json`]
    /// writes the page as JSON without parsing.
    ///
    /// # Errors
    /// Each item can be [`Error::Damaged`], [`Error::Io`], [`Error::IndexUnavailable`], or, once
    /// the store has been closed, [`Error::Closed`]; [`Error::PageExpired`] for a job that has been
    /// purged and whose tombstone is gone; [`Error::GraphDropped`] for a complete job if the graph
    /// has been dropped. The iterator ends after an error.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let page = movie.list(JobQuery::new().state(State::Complete))?;
    /// for job in page.jobs() {
    ///     let job = job?;
    ///     println!("{} {:?} {:?}", job.id(), job.completed_at(), job.outcome());
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs {
            page: self,
            reader: Some(JobReader::new()),
        }
    }

    /// Writes the page as the JSON document of the [GES job-list API](crate#the-ges-job-list-api),
    /// without white space.
    ///
    /// # Cost
    /// Nothing is parsed. One block is held in memory. A page of more than about 8000 jobs is
    /// assembled by several threads ([`page_threads`](crate::Options::page_threads)) and needs a
    /// few buffers of 256 KiB instead. Small pieces are buffered, so that most writes are 16 KiB or
    /// more. Only the calling thread writes.
    ///
    /// # Errors
    /// [`Error::Output`] from the writer; [`Error::Damaged`], [`Error::Io`], and
    /// [`Error::PageExpired`] from the store's files. The output written before the error is an
    /// incomplete document, which JSON parsers reject.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let request = Request::new("clear_graph", "/ges", Body::empty())?;
    /// movie.submit_as("clear-1", request)?;
    /// let mut out = Vec::new(); // a file, a socket
    /// movie.list(JobQuery::new())?.write_json(&mut out)?;
    /// let expected = concat!(
    ///     r#"{"jobs":[{"jobId":"clear-1","status":"pending","#,
    ///     r#""request":{"command":"clear_graph","url":"/ges","body":{}}}],"result":"success"}"#,
    /// );
    /// assert_eq!(String::from_utf8_lossy(&out), expected);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn write_json(&self, writer: impl io::Write) -> Result<()> {
        let mut out = Gathered::new(writer);
        self.write(&mut out)?;
        out.flush().map_err(|e| Error::output(&e))
    }

    /// Returns the page as the JSON document that [`Page::write_json`] writes. For 100,000 jobs of
    /// about 400 bytes each, the document is 40 MB long.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`], [`Error::PageExpired`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let json = movie.list(JobQuery::new())?.to_json()?;
    /// assert_eq!(json, br#"{"jobs":[],"result":"success"}"#);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.write(&mut out)?;
        Ok(out)
    }

    /// Skips `offset` jobs of this page, which contains one job: the result is empty unless
    /// `offset` is 0.
    pub(crate) fn past(mut self, offset: u64) -> Page {
        if offset > 0 {
            self.snapshot = Arc::default();
        }
        self
    }

    fn write(&self, out: &mut impl Write) -> Result<()> {
        self.graph.engine().check_process()?;
        let threads = self.graph.engine().options.page_threads;
        document::write(&self.graph.core, &self.snapshot, threads, out)
    }

    /// Returns an iterator over the JSON document of [`Page::write_json`], in chunks of about 64
    /// KiB. Each chunk is read when it is requested, by the thread that requests it. Use it for
    /// streamed responses.
    ///
    /// # Errors
    /// Those of [`Page::write_json`]. The iterator ends after an error.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let page = movie.list(JobQuery::new())?;
    /// let mut sent = Vec::new();
    /// for chunk in page.chunks() {
    ///     sent.extend(chunk?); // as fast as the client reads
    /// }
    /// assert_eq!(sent, page.to_json()?);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn chunks(&self) -> Chunks {
        Chunks {
            graph: self.graph.clone(),
            snapshot: self.snapshot.clone(),
            document: Some(Document::new()),
        }
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("len", &self.len())
            .field("total", &self.total)
            .field("quarantined", &self.quarantined)
            .field("next", &self.next)
            .field("is_stopped", &self.is_stopped)
            .finish_non_exhaustive()
    }
}

impl<'a> IntoIterator for &'a Page {
    type Item = Result<Job>;
    type IntoIter = Jobs<'a>;

    fn into_iter(self) -> Jobs<'a> {
        self.jobs()
    }
}

/// The jobs of a page: returned by [`Page::jobs`].
pub struct Jobs<'a> {
    page: &'a Page,
    /// `None` after the end or an error.
    reader: Option<JobReader>,
}

impl Iterator for Jobs<'_> {
    type Item = Result<Job>;

    fn next(&mut self) -> Option<Result<Job>> {
        let mut reader = self.reader.take()?;
        let graph = &self.page.graph;
        if let Err(error) = graph.engine().check_process() {
            return Some(Err(error));
        }
        match reader.next(graph.engine(), &graph.core, &self.page.snapshot) {
            Ok(Some(job)) => {
                self.reader = Some(reader);
                Some(Ok(job))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl std::iter::FusedIterator for Jobs<'_> {}

impl fmt::Debug for Jobs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs")
            .field("page", self.page)
            .finish_non_exhaustive()
    }
}

/// The JSON of a page in chunks: returned by [`Page::chunks`]. It does not borrow the page, so it
/// can be moved to another thread.
pub struct Chunks {
    graph: Graph,
    snapshot: Arc<Snapshot>,
    /// `None` after the end or an error.
    document: Option<Document>,
}

impl Iterator for Chunks {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Result<Vec<u8>>> {
        let mut document = self.document.take()?;
        if let Err(error) = self.graph.engine().check_process() {
            return Some(Err(error));
        }
        let mut out = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 2);
        while out.len() < CHUNK_BYTES {
            match document.produce(&self.graph.core, &self.snapshot, &mut out) {
                Ok(true) => {}
                Ok(false) if out.is_empty() => return None,
                Ok(false) => return Some(Ok(out)),
                Err(error) => return Some(Err(error)),
            }
        }
        self.document = Some(document);
        Some(Ok(out))
    }
}

impl std::iter::FusedIterator for Chunks {}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("graph", &self.graph)
            .finish_non_exhaustive()
    }
}
