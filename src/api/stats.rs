// Collecting the statistics of a store. This delays no commit.

use crate::api::store::JobStore;
use crate::api::totals::{self, RUNNING_LOOKED_AT};
use crate::base::clock;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::time::Instant;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::replica::ReplicaState;
use crate::log::disk::File as _;
use crate::log::file_names;
use crate::model::error::Result;
use crate::model::states::{State, States};
use crate::model::stats::{GraphStats, Stats};

impl JobStore {
    /// Returns the statistics of the store, as plain values for any metrics library. Counters start
    /// at 0 each time the store is opened.
    ///
    /// # Cost
    /// For each graph, its counters are copied, one pending job is read, and one row of the index
    /// is read for every 128 running jobs. The sizes of the open log files and of the index's files
    /// are read. Commits do not wait. In a store with many graphs, [`JobStore::stats_of`] is
    /// cheaper.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), [`Error::Damaged`](crate::Error::Damaged),
    /// [`Error::Io`](crate::Error::Io),
    /// [`Error::IndexUnavailable`](crate::Error::IndexUnavailable).
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let stats = store.stats()?;
    /// assert_eq!(stats.graphs[0].pending, 1);
    /// assert!(stats.graphs[0].oldest_pending_at.is_some());
    /// assert_eq!(stats.commit_waits.count(), 2);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        self.stats_of(usize::MAX)
    }

    /// Like [`JobStore::stats`], but with statistics only for the `graphs` graphs that have the
    /// most jobs. [`Stats::totals`] still covers all graphs.
    ///
    /// # Cost
    /// Each graph takes less than a microsecond, and nothing is read from disk for it. Jobs and
    /// rows are read, as by [`JobStore::stats`], only for the graphs that are returned; a few more
    /// are read for the totals. Commits do not wait.
    ///
    /// # Errors
    /// Those of [`JobStore::stats`].
    ///
    /// # Examples
    /// ```
    /// # let store = jobstore::JobStore::in_memory()?;
    /// for n in 0..50 {
    ///     store.create_graph("10001", &format!("graph-{n}"))?;
    /// }
    /// let stats = store.stats_of(10)?;
    /// assert_eq!((stats.graphs.len(), stats.totals.graphs), (10, 50));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn stats_of(&self, graphs: usize) -> Result<Stats> {
        let engine = self.engine();
        engine.check_open()?;
        let cores = engine.all_graphs();
        let (totals, jobs) = totals::of(engine, &cores)?;
        let mut shown: Vec<usize> = (0..cores.len()).collect();
        if graphs < shown.len() {
            // Graphs with the same number of jobs are in the order of their creation.
            shown.sort_unstable_by_key(|&n| (std::cmp::Reverse(jobs[n]), n));
            shown.truncate(graphs);
            shown.sort_unstable();
        }
        let graphs = shown.iter().filter_map(|&n| {
            let stats = graph_stats(engine, &cores[n]);
            totals::unless_dropped(stats).transpose()
        });
        let graphs: Vec<GraphStats> = graphs.collect::<Result<_>>()?;
        let (segments, packs) = {
            let log_files = engine.log_files.read();
            (log_files.segments.clone(), log_files.packs.clone())
        };
        let failed = |segment: &str, e| crate::Error::io("inspect", engine.disk.path(segment), &e);
        let mut segment_bytes = 0;
        for segment in &segments {
            let len = segment.file.len();
            segment_bytes +=
                len.map_err(|e| failed(&file_names::segment(segment.header.epoch), e))?;
        }
        let (queued, queued_bytes) = engine.queue.depth();
        let metrics = &engine.metrics;
        let last_purge_at = engine.retention.lock().last_purge_ms;
        Ok(Stats {
            opens: engine.open_event().open_number,
            health: engine.health(),
            totals,
            graphs,
            segment_bytes,
            index_bytes: engine.index_bytes()?,
            preallocated_bytes: engine.preallocation.bytes(),
            pack_bytes: packs.iter().map(|pack| pack.bytes).sum(),
            packs: packs.len() as u64,
            frames: metrics.frames.read(),
            frame_bytes: metrics.frame_bytes.read(),
            events: metrics.events.read(),
            syncs: metrics.syncs.read(),
            commit_waits: metrics.waits.read(),
            queued,
            queued_bytes,
            max_queue_bytes: engine.queue.bytes_max(),
            writes_refused: metrics.busy.read(),
            segments_to_pack: segments.iter().filter(|s| s.end().is_some()).count() as u64,
            index_lag: engine.index_lag.load(Ordering::Relaxed),
            purged: metrics.purged.read(),
            last_purge_at: last_purge_at.map(clock::from_ms),
            oldest_pin: engine.oldest_pin(Instant::now()),
            replica: engine.replica.as_ref().map(ReplicaState::stats),
            follower: engine.follower.as_ref().map(|follower| {
                let as_of_lsn = engine.durable_lsn.load(Ordering::Acquire);
                follower.stats(as_of_lsn, engine.options.clock.now())
            }),
        })
    }
}

pub(crate) fn graph_stats(engine: &Engine, core: &std::sync::Arc<GraphCore>) -> Result<GraphStats> {
    let of = |state| States::NONE.with(state);
    let (counts, quarantined, oldest, counters) = {
        let state = core.state.read();
        let status = &state.status;
        let counts = State::ALL.map(|state| status.total(of(state)));
        let oldest = status.select(of(State::Pending), 0, 0, 1).first();
        let quarantined = state.quarantined_in(|| 0..u64::MAX);
        (counts, quarantined, oldest, state.activity.counters.clone())
    };
    let oldest_pending_at = match oldest {
        None => None,
        Some(sequence) => engine.job(core, sequence)?.map(|job| job.submitted_at()),
    };
    let (_, longest_running_at) = totals::longest_running(engine, core, RUNNING_LOOKED_AT)?;
    let [pending, running, complete] = counts;
    Ok(GraphStats {
        project_id: core.project.to_string(),
        name: core.name.to_string(),
        pending,
        running,
        complete,
        quarantined,
        oldest_pending_at,
        longest_running_at: longest_running_at.map(clock::from_ms),
        purge_lag: engine.purge_lag(core),
        counters,
    })
}
