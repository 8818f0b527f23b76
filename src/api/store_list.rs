// Lists over several graphs. Each graph keeps its own order; the graphs are merged by submission
// time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::api::graph::Graph;
use crate::api::store::JobStore;
use crate::api::totals::unless_dropped;
use crate::engine::read::jobs::JobReader;
use crate::engine::read::listing::{self, Listing};
use crate::engine::read::reader::{Reader, Snapshot};
use crate::engine::read::submission_times::SubmissionTimes;
#[cfg(doc)]
use crate::model::error::Error;
use crate::model::error::Result;
use crate::model::job::Job;
use crate::model::job_query::JobQuery;
use crate::model::json;
use crate::model::store_cursor::{MergeKey, StoreCursor};

impl JobStore {
    /// Lists the jobs of several graphs that match a query, at most 1000: the first ones, or those
    /// after a cursor. Graphs that have been dropped are skipped.
    ///
    /// # Ordering
    /// The jobs of each graph are in the order of [`Graph::list`]. Those of different graphs are
    /// merged by submission time, oldest first, or newest first with [`JobQuery::newest_first`]. A
    /// job that is listed after a job of the same graph with a later submission time (an earlier
    /// one, if newest first), because it was imported or the clock was set back, is merged by that
    /// time.
    ///
    /// # Cost
    /// For each graph, that of [`Graph::list`] with the same limit; the submission time of its
    /// first job is read. The jobs themselves are read when the page is read. With a cursor, the
    /// place in each graph is found as by [`JobQuery::submitted_from`].
    ///
    /// # Errors
    /// Those of [`Graph::list`]; [`Error::InvalidUse`] if the query sets an offset, a cursor,
    /// `limit_bytes`, or `count_total`, or if a graph belongs to another store. [`Error::Damaged`],
    /// [`Error::Io`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// let store = JobStore::in_memory()?;
    /// for name in ["movie", "roads", "movie-2"] {
    ///     let graph = store.create_graph("10001", name)?;
    ///     graph.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// }
    /// let newest = JobQuery::new().newest_first().limit(2);
    /// let page = store.list(&store.graphs()?, newest.clone(), None)?;
    /// for job in &page {
    ///     let (graph, job) = job?;
    ///     println!("{}/{}: {}", graph.project_id(), graph.name(), job.id());
    /// }
    /// let rest = store.list(&store.graphs()?, newest, page.next().as_ref())?;
    /// assert_eq!((page.len(), rest.len()), (2, 1));
    /// assert!(rest.next().is_none());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn list(
        &self,
        graphs: &[Graph],
        query: JobQuery,
        after: Option<&StoreCursor>,
    ) -> Result<StorePage> {
        self.engine().check_open()?;
        let query = query.of_store()?;
        if let Some(cursor) = after {
            cursor.check_list(&query)?;
        }
        let (query, stop) = query.with_stop_request();
        let (mut listed, mut known) = (Vec::new(), BTreeSet::new());
        for graph in graphs {
            self.check_own(graph)?;
            if !known.insert(graph.core.number) {
                continue;
            }
            if stop.is_made() {
                return Ok(StorePage::stopped(after));
            }
            match unless_dropped(Listed::of(graph, &query, after))?.flatten() {
                None => {}
                Some(found) if found.is_stopped => return Ok(StorePage::stopped(after)),
                Some(found) => listed.push(found),
            }
        }
        merge(listed, &query)
    }
}

impl Graph {
    /// Returns a job of this graph as one line of JSON, as by [`Job::to_json`], with the names of the
    /// project and the graph: `{"projectId":"..","graphName":"..","jobId":"..",..}`.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// for job in &store.list(&store.graphs()?, JobQuery::new(), None)? {
    ///     let (graph, job) = job?;
    ///     let line = graph.job_to_json(&job);
    ///     assert!(line.starts_with(r#"{"projectId":"10001","graphName":"movie","jobId":""#));
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn job_to_json(&self, job: &Job) -> String {
        self.with_names(&job.to_json())
    }

    /// Adds the names of the project and the graph to a JSON object that is not empty.
    pub(crate) fn with_names(&self, object: &str) -> String {
        let (project, name) = (json::quote(self.project_id()), json::quote(self.name()));
        let members = object.strip_prefix('{').unwrap_or_default();
        format!(r#"{{"projectId":{project},"graphName":{name},{members}"#)
    }
}

/// The jobs of a graph that a page may contain.
struct Listed {
    graph: Graph,
    snapshot: Snapshot,
    /// Whether the graph has more jobs than these.
    has_more: bool,
    is_stopped: bool,
    times: SubmissionTimes,
    /// The position after the last job that was taken.
    place: u64,
    /// The time by which that job was merged, if there was one.
    last_ms: Option<u64>,
}

impl Listed {
    /// Returns `None` if there are no jobs.
    fn of(graph: &Graph, query: &JobQuery, after: Option<&StoreCursor>) -> Result<Option<Listed>> {
        graph.check()?;
        let last = after.map(|cursor| cursor.last);
        let mut is_stopped = false;
        let from = match last {
            None => None,
            Some(last) if last.graph == graph.core.number => Some(match query.newest_first {
                true => last.sequence,
                false => last.sequence.saturating_add(1),
            }),
            Some(last) => {
                let first = first_after(graph, query, last)?;
                is_stopped = first.is_stopped;
                match first.snapshot.selection.first() {
                    None if !is_stopped => return Ok(None),
                    first => first.map(|first| first + u64::from(query.newest_first)),
                }
            }
        };
        let found = listing::page_from((graph.engine(), &graph.core), query, from)?;
        let is_first = last.is_none_or(|last| last.graph != graph.core.number);
        Ok(Some(Listed {
            graph: graph.clone(),
            has_more: found.next.is_some(),
            is_stopped: is_stopped || found.is_stopped,
            place: match query.newest_first {
                true => u64::MAX,
                false => 0,
            },
            snapshot: found.snapshot,
            times: SubmissionTimes::default(),
            last_ms: last.filter(|_| !is_first).map(|last| last.time_ms),
        }))
    }

    /// Takes the next job. Returns the key by which it is merged.
    fn next(&mut self, reader: &mut Reader) -> Result<Option<MergeKey>> {
        let (snapshot, core) = (&self.snapshot, &self.graph.core);
        let found = match snapshot.newest_first {
            true => snapshot.selection.before(self.place),
            false => {
                let mut at = snapshot.selection.place(self.place);
                snapshot.selection.next(self.place, &mut at)
            }
        };
        let Some((sequence, _)) = found else {
            return Ok(None);
        };
        self.place = sequence + u64::from(!snapshot.newest_first);
        let own_ms = self.times.of(reader, core, snapshot, sequence)?;
        // Within a graph, the keys are in the order of its list.
        let time_ms = match (self.last_ms, snapshot.newest_first) {
            (None, _) => own_ms,
            (Some(last_ms), true) => own_ms.min(last_ms),
            (Some(last_ms), false) => own_ms.max(last_ms),
        };
        self.last_ms = Some(time_ms);
        Ok(Some(MergeKey {
            time_ms,
            graph: core.number,
            sequence,
        }))
    }

    /// The jobs that were taken, up to this one, which was the last.
    fn taken(self, last: u64) -> Source {
        let newest_first = self.snapshot.newest_first;
        Source {
            graph: self.graph,
            snapshot: Arc::new(self.snapshot.only(|sequence| match newest_first {
                true => sequence >= last,
                false => sequence <= last,
            })),
        }
    }
}

/// Finds the first job of another graph after this key.
fn first_after(graph: &Graph, query: &JobQuery, last: MergeKey) -> Result<Listing> {
    let mut first = query.clone();
    first.limit = Some(1);
    let span = &mut first.filter.submitted;
    let is_later = graph.core.number > last.graph;
    match query.newest_first {
        true => {
            let before = last.time_ms.saturating_add(u64::from(!is_later));
            span.to = Some(span.to.map_or(before, |to| to.min(before)));
        }
        false => {
            let from = last.time_ms.saturating_add(u64::from(!is_later));
            span.from = Some(span.from.map_or(from, |own| own.max(from)));
        }
    }
    listing::page_from((graph.engine(), &graph.core), &first, None)
}

fn merge(mut listed: Vec<Listed>, query: &JobQuery) -> Result<StorePage> {
    let (mut reader, mut heads) = (Reader::without_unlisted(), BTreeMap::new());
    for (n, graph) in listed.iter_mut().enumerate() {
        if let Some(key) = unless_dropped(graph.next(&mut reader))?.flatten() {
            heads.insert(key, n);
        }
    }
    let (mut order, mut last, mut ends) = (Vec::new(), None, vec![None; listed.len()]);
    while (order.len() as u64) < query.page_limit() {
        let head = match query.newest_first {
            true => heads.pop_last(),
            false => heads.pop_first(),
        };
        let Some((key, n)) = head else {
            break;
        };
        order.push(n);
        (last, ends[n]) = (Some(key), Some(key.sequence));
        if let Some(next) = unless_dropped(listed[n].next(&mut reader))?.flatten() {
            heads.insert(next, n);
        }
    }
    let is_full = order.len() as u64 == query.page_limit();
    let has_more = !heads.is_empty() || listed.iter().any(|graph| graph.has_more);
    let next = last.filter(|_| is_full && has_more);
    // Only the graphs with jobs on the page are kept.
    let (mut sources, mut places) = (Vec::new(), vec![0; listed.len()]);
    for (n, (graph, end)) in listed.into_iter().zip(ends).enumerate() {
        if let Some(end) = end {
            places[n] = sources.len();
            sources.push(graph.taken(end));
        }
    }
    Ok(StorePage {
        sources: sources.into(),
        order: order.into_iter().map(|n| places[n]).collect(),
        next: next.map(|last| StoreCursor::new(query, last)),
        is_stopped: false,
    })
}

/// A page of a list over several graphs: returned by [`JobStore::list`].
///
/// The jobs of each graph are a snapshot of one instant. Like a [`Page`](crate::Page), it contains
/// states and positions, keeps the files that it needs, and expires. It can be read several times.
pub struct StorePage {
    sources: Arc<[Source]>,
    /// For each job, the index of its graph in `sources`.
    order: Arc<[usize]>,
    next: Option<StoreCursor>,
    is_stopped: bool,
}

/// The jobs of one graph on a page.
#[derive(Clone)]
struct Source {
    graph: Graph,
    snapshot: Arc<Snapshot>,
}

impl StorePage {
    fn stopped(after: Option<&StoreCursor>) -> StorePage {
        StorePage {
            sources: Arc::new([]),
            order: Arc::new([]),
            next: after.cloned(),
            is_stopped: true,
        }
    }

    /// Returns the number of jobs on the page: 0 to 1000.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns `true` if the page has no jobs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Returns the cursor of the next page, or `None` if there are no more jobs. A cursor neither
    /// skips nor repeats a job, unless jobs are imported, the clock is set back, or jobs that are
    /// not in the order of their submission times change their state between the two pages.
    #[must_use]
    pub fn next(&self) -> Option<StoreCursor> {
        self.next.clone()
    }

    /// Returns `true` if [`JobQuery::on_progress`] stopped the search of a graph. The page is empty
    /// in this case; list it again.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Returns an iterator over the page's jobs, each with its graph, in list order. It does not
    /// borrow the page.
    ///
    /// # Errors
    /// Those of [`Page::jobs`](crate::Page::jobs), except that the jobs of a graph that has been
    /// dropped are skipped. The iterator ends after an error.
    #[must_use]
    pub fn jobs(&self) -> StoreJobs {
        StoreJobs {
            readers: self.sources.iter().map(|_| JobReader::new()).collect(),
            sources: self.sources.clone(),
            order: self.order.clone(),
            at: 0,
        }
    }
}

impl fmt::Debug for StorePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorePage")
            .field("len", &self.len())
            .field("next", &self.next)
            .field("is_stopped", &self.is_stopped)
            .finish_non_exhaustive()
    }
}

impl IntoIterator for &StorePage {
    type Item = Result<(Graph, Job)>;
    type IntoIter = StoreJobs;

    fn into_iter(self) -> StoreJobs {
        self.jobs()
    }
}

/// The jobs of a page over several graphs: returned by [`StorePage::jobs`].
pub struct StoreJobs {
    sources: Arc<[Source]>,
    readers: Vec<JobReader>,
    order: Arc<[usize]>,
    at: usize,
}

impl Iterator for StoreJobs {
    type Item = Result<(Graph, Job)>;

    fn next(&mut self) -> Option<Result<(Graph, Job)>> {
        while let Some(&n) = self.order.get(self.at) {
            self.at += 1;
            let Source { graph, snapshot } = &self.sources[n];
            let engine = graph.engine();
            let read = engine
                .check_process()
                .and_then(|()| self.readers[n].next(engine, &graph.core, snapshot));
            match unless_dropped(read) {
                Ok(None | Some(None)) => {}
                Ok(Some(Some(job))) => return Some(Ok((graph.clone(), job))),
                Err(error) => {
                    self.at = self.order.len();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl std::iter::FusedIterator for StoreJobs {}

impl fmt::Debug for StoreJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.order.len() - self.at;
        f.debug_struct("StoreJobs")
            .field("left", &left)
            .finish_non_exhaustive()
    }
}
