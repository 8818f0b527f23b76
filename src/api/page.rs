//! A page of the list.
//!
//! Owns: [`Page`] and its ways out: jobs, JSON, chunks. Must not know: how its
//! blocks are read and spliced.
//! Promise: a page is one instant, however slowly it is read.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use crate::api::graph::Graph;
use crate::engine::document::{self, Document};
use crate::engine::jobs::JobReader;
use crate::engine::listing::Listing;
use crate::engine::read::Snapshot;
use crate::model::cursor::Cursor;
use crate::model::error::{Error, Result};
use crate::model::job::Job;

/// Bytes of JSON that are handed on at once, about: a piece with fewer is the last.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// Pieces below this size are gathered before they are written.
const GATHERED_BYTES: usize = 16 << 10;

/// Some jobs of a graph at one instant: made by [`Graph::list`](crate::Graph::list).
///
/// It holds states and places, not texts: those are read when they are asked for,
/// a block at a time, and cannot change meanwhile. It keeps the files it needs
/// open, so let go of it when it was read. A page can be read several times and
/// from several threads.
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
}

impl Page {
    pub(crate) fn of(graph: &Graph, listing: Listing) -> Page {
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
        }
    }

    /// How many jobs the page shows: 0 to 100000.
    #[must_use]
    pub fn len(&self) -> usize {
        self.snapshot.selection.len as usize
    }

    /// Whether it shows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many jobs the whole list had at that instant, filter applied. Exact; `None`
    /// where only a scan could tell and [`JobQuery::count_total`](crate::JobQuery::count_total)
    /// did not ask for it, or was stopped while it counted.
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

    /// How many jobs this page passes over because a repair quarantined them: those
    /// from where it begins up to its last job, or to the end of the list. Whoever
    /// walks the list by cursor or by offset is told of each once. 0 in a store that
    /// was never repaired.
    #[must_use]
    pub fn quarantined(&self) -> u64 {
        self.quarantined
    }

    /// Where the list goes on, if it did at that instant. A list that scans ends its page
    /// soon after its limit, so that it may go on with pages that are empty.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// // All jobs, 1000 at a time, and those that come meanwhile.
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

    /// Whether [`JobQuery::on_progress`](crate::JobQuery::on_progress) stopped the search before
    /// the page was full: [`Page::next`] goes on there.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// The jobs, in the order of the list.
    ///
    /// # Cost
    /// Each block is read and decompressed once; each job is parsed into values.
    /// For the contract's JSON, [`Page::write_json`] does without that.
    ///
    /// # Errors
    /// Each item can be [`Error::Damaged`], [`Error::Io`],
    /// [`Error::IndexUnavailable`] or, after the store was closed,
    /// [`Error::Closed`]; [`Error::PageExpired`] for a job that was purged since and whose
    /// tombstone is kept no more; [`Error::GraphDropped`] for a
    /// complete job of a graph that was dropped since. After an error there are no more.
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

    /// Writes the contract's success document, compact.
    ///
    /// # Cost
    /// Nothing is parsed. Memory for a block, and for a page of more than some 8000
    /// jobs, which [`page_threads`](crate::Options::page_threads) make together, for
    /// some stretches of 256 KiB. Small pieces are gathered, so that most writes have
    /// 16 KiB or more; only this thread writes.
    ///
    /// # Errors
    /// [`Error::Output`] from the writer, [`Error::Damaged`], [`Error::Io`] and
    /// [`Error::PageExpired`] from the store's files. What was written up to then is the
    /// beginning of a document, which no JSON reader takes for a whole one.
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
        // What is large passes through without being copied.
        let mut out = io::BufWriter::with_capacity(GATHERED_BYTES, writer);
        let written = self
            .write(&mut out)
            .and_then(|()| out.flush().map_err(|e| Error::output(&e)));
        // Dropped as it is, it would write again after a failure.
        drop(out.into_parts());
        written
    }

    /// The contract's success document as one piece of memory; made like that of
    /// [`Page::write_json`]. 100000 jobs of some 400 bytes make 40 MB.
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

    /// This page of one job after `offset` jobs are skipped: empty unless that is 0.
    #[cfg(feature = "http")]
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

    /// The contract's success document in pieces of about 64 KiB, read when they
    /// are asked for, by the thread that asks: for bodies that are streamed.
    ///
    /// # Errors
    /// As for [`Page::write_json`]; after an error there are no more.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let page = movie.list(JobQuery::new())?;
    /// let mut sent = Vec::new();
    /// for chunk in page.chunks() {
    ///     sent.extend(chunk?); // as fast as the client takes it
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

/// The jobs of a page: see [`Page::jobs`].
pub struct Jobs<'a> {
    page: &'a Page,
    /// Gone after the end or an error.
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

/// A page's JSON in pieces: see [`Page::chunks`]. Lives on its own, so that it can
/// be handed to another thread.
pub struct Chunks {
    graph: Graph,
    snapshot: Arc<Snapshot>,
    /// Gone after the end or an error.
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
