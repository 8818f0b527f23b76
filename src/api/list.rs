// Listing a graph's jobs as pages. A page is a snapshot of one instant.

use crate::api::graph::Graph;
use crate::api::page::Page;
use crate::api::spans::call_span;
use crate::base::sync::atomic::Ordering;
use crate::engine::read::listing::{self, Listing};
use crate::engine::read::reader::Snapshot;
#[cfg(doc)]
use crate::model::error::Error;
use crate::model::error::Result;
use crate::model::job_query::JobQuery;
use crate::model::list_request::ListRequest;

impl Graph {
    /// Lists the graph's jobs that match a query. The returned page is a snapshot of one instant.
    ///
    /// # Ordering
    /// Jobs are listed in commit order: oldest first, or newest first with
    /// [`JobQuery::newest_first`].
    ///
    /// # Cost
    /// If a query is unfiltered or filters only by state, the states of the page's jobs are copied
    /// under a lock that writers wait for. That takes microseconds, whatever the offset.
    /// [`JobQuery`] describes the cost of other filters. The jobs themselves are read when the page
    /// is read.
    ///
    /// # Errors
    /// [`Error::PageLimit`], [`Error::InvalidCursor`], [`Error::GraphDropped`], [`Error::Closed`].
    /// If the query requires a scan or limits the page's bytes, also [`Error::Damaged`],
    /// [`Error::Io`], and [`Error::IndexUnavailable`]. With [`JobQuery::body_value`], also
    /// [`Error::InvalidPointer`], [`Error::InvalidJson`], and [`Error::TooDeep`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// // What remains to be done, and how much of it there is.
    /// let list = JobQuery::new().state(State::Pending).state(State::Running);
    /// let page = movie.list(list.limit(10))?;
    /// println!("{} of {:?}", page.len(), page.total());
    /// page.write_json(std::io::stdout().lock())?; // {"jobs":[...],"result":"success"}
    /// # assert_eq!(page.total(), Some(1));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn list(&self, query: JobQuery) -> Result<Page> {
        let _span = call_span!("list", self);
        self.check()?;
        query.check()?;
        let as_of_lsn = self.as_of_lsn();
        let listing = listing::page((self.engine(), &self.core), &query)?;
        Ok(Page::of(self, listing, as_of_lsn))
    }

    /// Returns a page that contains only the job with this id.
    ///
    /// # Cost
    /// That of [`Graph::job`].
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`], and those of [`Graph::job`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// movie.submit_as("import-1", Request::new("import_graph", "/ges", Body::empty())?)?;
    /// let json = movie.list_one("import-1")?.to_json()?;
    /// assert!(json.starts_with(br#"{"jobs":[{"jobId":"import-1","status":"pending","#));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn list_one(&self, id: impl AsRef<str>) -> Result<Page> {
        let _span = call_span!("list", self, id.as_ref());
        self.check()?;
        let as_of_lsn = self.as_of_lsn();
        let (sequence, id) = self.resolve_to_read(id.as_ref())?;
        let snapshot = Snapshot::one(&self.core, sequence);
        let snapshot = snapshot.ok_or_else(|| self.not_there(&id))?;
        let listing = Listing {
            snapshot,
            total: Some(1),
            quarantined: 0,
            next: None,
            is_stopped: false,
        };
        Ok(Page::of(self, listing, as_of_lsn))
    }

    /// Returns the page that a client requested with a query string.
    ///
    /// # Cost
    /// That of [`Graph::list`] or, for one job, of [`Graph::list_one`].
    ///
    /// # Errors
    /// Those of [`Graph::list`]; for one job, those of [`Graph::list_one`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// movie.submit_as("import-1", Request::new("import_graph", "/ges", Body::empty())?)?;
    /// assert_eq!(movie.list_requested("job_id=import-1".parse()?)?.len(), 1);
    /// assert_eq!(movie.list_requested("outcome=failed".parse()?)?.len(), 0);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn list_requested(&self, request: ListRequest) -> Result<Page> {
        match &request.job_id {
            None => self.list(request.query),
            Some(id) => Ok(self.list_one(id)?.past(request.query.offset)),
        }
    }

    /// The LSN up to which everything can be read.
    pub(crate) fn as_of_lsn(&self) -> u64 {
        self.engine().durable_lsn.load(Ordering::Acquire)
    }
}
