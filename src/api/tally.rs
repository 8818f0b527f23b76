// Counting the jobs of one or several graphs by a property.

use std::collections::BTreeSet;

use crate::api::graph::Graph;
use crate::api::spans::call_span;
use crate::api::store::JobStore;
use crate::api::totals::unless_dropped;
use crate::engine::read::tally;
#[cfg(doc)]
use crate::model::error::Error;
use crate::model::error::Result;
use crate::model::job_query::JobQuery;
use crate::model::tally::{Tally, TallyBy};

impl Graph {
    /// Counts the jobs that match a query, by state, outcome, command, origin, or time. Unlike a
    /// [history](Graph::history), a tally covers only jobs that exist, and any query can select them.
    ///
    /// [`JobQuery::on_progress`] reports the progress, and can stop the count; the result is then
    /// [partial](Tally::is_partial). Use it to enforce a deadline.
    ///
    /// # Ordering
    /// The states are those of one instant. A job that is purged during the count may be missing.
    ///
    /// # Cost
    /// By state or outcome, without filters other than by state, the counts are in memory; by
    /// outcome, rows of the index are read for each 4096 jobs of which any changed within about the
    /// last second, and, in a store that was opened read-only without an intact index, for all jobs.
    /// Otherwise, the states of all jobs are copied, and, by outcome, command, or time of completion,
    /// one row of the index is read for every 128 jobs. By command, the requests of pending jobs are
    /// read if they are packed; by time of submission, those in blocks that lie in more than one
    /// period. By origin, all requests are read. [`JobQuery`] describes the cost of filters.
    ///
    /// # Errors
    /// [`Error::InvalidUse`] if the query has a limit, an offset, a cursor, or `count_total`, if the
    /// length of the periods is not a whole number of milliseconds, or if there are more than 10,000
    /// groups, such as different origins; those of [`Graph::list`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Outcome, OutcomeKind, Request, TallyBy, TallyKey};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// for command in ["import_graph", "clear_graph", "import_graph"] {
    ///     movie.submit(Request::new(command, "/ges", Body::empty())?)?;
    /// }
    /// if let Some(run) = movie.claim_next()? {
    ///     run.complete(Outcome::failed("GES.8012", "no such file"))?;
    /// }
    /// let by_command = movie.tally(JobQuery::new(), TallyBy::Command)?;
    /// assert_eq!(by_command.of(&TallyKey::Command(Some("import_graph".to_owned()))), 2);
    /// let by_outcome = movie.tally(JobQuery::new(), TallyBy::Outcome)?;
    /// assert_eq!(by_outcome.of(&TallyKey::Outcome(OutcomeKind::Failed)), 1);
    /// assert_eq!(by_outcome.jobs, 3); // two jobs are pending
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn tally(&self, query: JobQuery, by: TallyBy) -> Result<Tally> {
        let _span = call_span!("tally", self);
        self.check()?;
        query.check_tally()?;
        by.check()?;
        tally::tally((self.engine(), &self.core), &query, by)
    }
}

impl JobStore {
    /// Counts the jobs of several graphs that match a query, as [`Graph::tally`] does for each of
    /// them. Graphs that have been dropped are skipped, and a graph that is given twice is counted
    /// once.
    ///
    /// [`JobQuery::on_progress`] reports the progress in one graph after the other. If it stops the
    /// count, the other graphs are not counted, and the result is [partial](Tally::is_partial).
    ///
    /// # Ordering
    /// The states of each graph are those of one instant. Those of different graphs are not.
    ///
    /// # Cost
    /// That of [`Graph::tally`] for each graph.
    ///
    /// # Errors
    /// Those of [`Graph::tally`]; [`Error::InvalidUse`] if a graph belongs to another store.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request, State, TallyBy, TallyKey};
    /// let store = JobStore::in_memory()?;
    /// for name in ["movie", "roads"] {
    ///     let graph = store.create_graph("10001", name)?;
    ///     graph.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// }
    /// let tally = store.tally(&store.graphs()?, JobQuery::new(), TallyBy::State)?;
    /// assert_eq!(tally.of(&TallyKey::State(State::Pending)), 2);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn tally(&self, graphs: &[Graph], query: JobQuery, by: TallyBy) -> Result<Tally> {
        self.engine().check_open()?;
        query.check_tally()?;
        by.check()?;
        let (query, stop) = query.with_stop_request();
        let (mut sum, mut counted) = (Tally::empty(), BTreeSet::new());
        for graph in graphs {
            self.check_own(graph)?;
            if sum.is_partial || !counted.insert(graph.core.number) {
                continue;
            }
            if stop.is_made() {
                sum.is_partial = true;
                continue;
            }
            if let Some(tally) = unless_dropped(graph.tally(query.clone(), by))? {
                sum.add(tally)?;
            }
        }
        Ok(sum)
    }
}
