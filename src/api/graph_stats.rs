// The statistics of one graph.

use crate::api::graph::Graph;
use crate::api::stats;
use crate::model::error::Result;
use crate::model::stats::GraphStats;

impl Graph {
    /// Returns the statistics of the graph, as in [`JobStore::stats`](crate::JobStore::stats).
    ///
    /// # Cost
    /// One pending job is read, and one row of the index for every 128 running jobs. Commits do not
    /// wait.
    ///
    /// # Errors
    /// [`Error::GraphDropped`](crate::Error::GraphDropped), and those of
    /// [`JobStore::stats`](crate::JobStore::stats).
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let stats = movie.stats()?;
    /// assert_eq!((stats.pending, stats.running), (1, 0));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn stats(&self) -> Result<GraphStats> {
        self.check()?;
        stats::graph_stats(self.engine(), &self.core)
    }
}
