//! What a store has done and is at, for metrics and for people at night.
//!
//! Owns: [`Stats`], [`GraphStats`], [`Histogram`] and how they are put together. Must
//! not know: any metrics registry.
//! Promise: to ask stops no commit; counts are those that lists have.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::clock;
use crate::engine::Engine;
use crate::engine::graph_state::GraphCore;
use crate::engine::status::States;
use crate::error::Result;
use crate::health::Health;
use crate::job::State;
use crate::storage::names;
use crate::store::JobStore;
use crate::sync::atomic::Ordering;
use crate::sync::time::Instant;
use crate::totals::{self, RUNNING_LOOKED_AT, Totals};

/// The bounds of a [`Histogram`]'s buckets.
pub(crate) const BOUNDS: [Duration; 16] = [
    Duration::from_micros(10),
    Duration::from_micros(20),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(10),
];

/// Durations, counted by size since the store was opened.
///
/// # Examples
/// ```
/// use jobstore::{Histogram, JobStore};
/// # let store = JobStore::in_memory()?;
/// let syncs = store.stats()?.syncs;
/// for (count, bound) in syncs.counts().iter().zip(Histogram::bounds()) {
///     println!("{count} took at most {bound:?}");
/// }
/// if let Ok(count @ 1..) = u32::try_from(syncs.count()) {
///     println!("on average {:?}", syncs.sum() / count);
/// }
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    pub(crate) counts: [u64; BOUNDS.len() + 1],
    pub(crate) sum: Duration,
}

impl Histogram {
    /// The upper bounds of the buckets, ascending and each inclusive: 10 us to 10 s.
    #[must_use]
    pub fn bounds() -> &'static [Duration] {
        &BOUNDS
    }

    /// How many durations were at most the bound of the same place and above the one
    /// before; one more counts those above all bounds.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All durations together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What a store has done since it was opened, and what it is at: from
/// [`JobStore::stats`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// How often the store was opened, this time included.
    pub boot: u64,
    /// Whether it can do all it should.
    pub health: Health,
    /// All graphs together.
    pub totals: Totals,
    /// Each graph, or those with the most jobs ([`JobStore::stats_of`]), in the order of
    /// their creation.
    pub graphs: Vec<GraphStats>,
    /// Bytes of the log that is not packed yet, as far as files are open for it.
    pub segment_bytes: u64,
    /// Bytes of packs.
    pub pack_bytes: u64,
    /// Bytes of the index's files; 0 where it is in memory.
    pub index_bytes: u64,
    /// Bytes that are made ahead: the log's next file, and the reserve for a full disk.
    pub spare_bytes: u64,
    /// How many packs there are; each keeps a file open.
    pub packs: u64,
    /// Commits since the open: each is a frame of the log.
    pub frames: u64,
    /// Bytes of those frames.
    pub frame_bytes: u64,
    /// Events in them.
    pub events: u64,
    /// How long the disk took to make commits durable.
    pub syncs: Histogram,
    /// How long writes waited for their answer, from their call on.
    pub commit_waits: Histogram,
    /// Writes that wait in the commit queue.
    pub queued: u64,
    /// Bytes of those and of the writes that are being committed.
    pub queued_bytes: u64,
    /// The bound of those bytes: [`Options::queue_bytes_max`](crate::Options::queue_bytes_max).
    pub queue_bytes_max: u64,
    /// How often a write was refused as [`Error::Busy`](crate::Error::Busy) since the open.
    pub busy: u64,
    /// Full segments that wait to be packed.
    pub segments_to_pack: u64,
    /// Changes that the index does not have yet, about.
    pub index_lag: u64,
    /// Jobs purged since the open, by policies and by hand.
    pub purged: u64,
    /// When something was purged last, since the open.
    pub last_purge: Option<SystemTime>,
    /// For how long the eldest page has kept a file that was replaced; none while no page
    /// does ([`Options::page_lifetime`](crate::Options::page_lifetime)).
    pub oldest_pin: Option<Duration>,
}

/// A graph in [`Stats`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphStats {
    /// The id of the project it belongs to.
    pub project_id: String,
    /// Its name.
    pub name: String,
    /// Pending jobs.
    pub pending: u64,
    /// Running jobs.
    pub running: u64,
    /// Complete jobs.
    pub complete: u64,
    /// Jobs that a repair set aside.
    pub set_aside: u64,
    /// When the oldest pending job was submitted; none where nothing is pending.
    pub oldest_pending: Option<SystemTime>,
    /// When the job was started that has run longest, among the 10000 running jobs that
    /// were submitted first; none where nothing runs.
    pub longest_running: Option<SystemTime>,
    /// For how long complete jobs have been due by the graph's
    /// [`Retention`](crate::Retention) that are not purged yet: by age, since the first
    /// of them was; by count or bytes, since that was noticed. `None` where none is due,
    /// as far as the background has looked since the open.
    pub purge_lag: Option<Duration>,
}

impl Stats {
    /// The numbers as one JSON object: fields under their names in camel case, durations
    /// in microseconds (`..Us`), times in milliseconds since 1970 (`..Ms`), `null` for what
    /// is not there; a histogram as `{"counts":[..],"boundsUs":[..],"sumUs":n}`.
    ///
    /// # Examples
    /// ```
    /// let store = jobstore::JobStore::in_memory()?;
    /// let json = store.stats()?.to_json();
    /// assert!(json.contains(r#""boot":1"#) && json.contains(r#""health":{"state":"ok"}"#));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let graphs: Vec<Value> = self.graphs.iter().map(GraphStats::json).collect();
        let all = json!({
            "boot": self.boot,
            "health": self.health.json(),
            "totals": self.totals.json(),
            "graphs": graphs,
            "segmentBytes": self.segment_bytes,
            "packBytes": self.pack_bytes,
            "indexBytes": self.index_bytes,
            "spareBytes": self.spare_bytes,
            "packs": self.packs,
            "frames": self.frames,
            "frameBytes": self.frame_bytes,
            "events": self.events,
            "syncs": self.syncs.json(),
            "commitWaits": self.commit_waits.json(),
            "queued": self.queued,
            "queuedBytes": self.queued_bytes,
            "queueBytesMax": self.queue_bytes_max,
            "busy": self.busy,
            "segmentsToPack": self.segments_to_pack,
            "indexLag": self.index_lag,
            "purged": self.purged,
            "lastPurgeMs": self.last_purge.map(clock::to_ms),
            "oldestPinUs": self.oldest_pin.map(to_us),
        });
        all.to_string()
    }
}

impl GraphStats {
    fn json(&self) -> Value {
        json!({
            "projectId": self.project_id,
            "name": self.name,
            "pending": self.pending,
            "running": self.running,
            "complete": self.complete,
            "setAside": self.set_aside,
            "oldestPendingMs": self.oldest_pending.map(clock::to_ms),
            "longestRunningMs": self.longest_running.map(clock::to_ms),
            "purgeLagUs": self.purge_lag.map(to_us),
        })
    }
}

impl Histogram {
    fn json(&self) -> Value {
        json!({
            "counts": self.counts.as_slice(),
            "boundsUs": BOUNDS.map(to_us),
            "sumUs": to_us(self.sum),
        })
    }
}

fn to_us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl JobStore {
    /// What the store has done and is at, as plain values for any metrics registry.
    /// Counters begin at 0 at each open.
    ///
    /// # Cost
    /// For each graph a copy of counts and reading one pending job; for running ones a
    /// row of the index for each 128; a look at the sizes of the open log files and of the
    /// index's files. No commit waits for it. In a store of many graphs
    /// [`JobStore::stats_of`] costs less.
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
    /// assert!(stats.graphs[0].oldest_pending.is_some());
    /// assert_eq!(stats.commit_waits.count(), 2);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        self.stats_of(usize::MAX)
    }

    /// The same, with at most so many graphs by themselves: those with the most jobs.
    /// [`Stats::totals`] has all graphs together.
    ///
    /// # Cost
    /// A short look at each graph in memory, less than a microsecond; what
    /// [`JobStore::stats`] reads, only for the graphs that are shown, and few reads for the
    /// totals. No commit waits for it.
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
        let cores: Vec<_> = engine.graphs.read().by_number.values().cloned().collect();
        let (totals, jobs) = totals::of(engine, &cores)?;
        let mut shown: Vec<usize> = (0..cores.len()).collect();
        if graphs < shown.len() {
            // Of those with as many jobs, the ones created first.
            shown.sort_unstable_by_key(|&n| (std::cmp::Reverse(jobs[n]), n));
            shown.truncate(graphs);
            shown.sort_unstable();
        }
        let graphs = shown.iter().map(|&n| graph_stats(engine, &cores[n]));
        let graphs: Vec<GraphStats> = graphs.collect::<Result<_>>()?;
        let (segments, packs) = {
            let truth = engine.truth.read();
            (truth.segments.clone(), truth.packs.clone())
        };
        let failed = |segment: &str, e| crate::Error::io("look at", engine.disk.path(segment), &e);
        let mut segment_bytes = 0;
        for segment in &segments {
            let len = segment.file.len();
            segment_bytes += len.map_err(|e| failed(&names::segment(segment.header.epoch), e))?;
        }
        let (queued, queued_bytes) = engine.queue.depth();
        let meters = &engine.meters;
        let last_purge = engine.retention.lock().last_purge_ms;
        Ok(Stats {
            boot: engine.opening.boot,
            health: engine.health(),
            totals,
            graphs,
            segment_bytes,
            index_bytes: engine.index_bytes()?,
            spare_bytes: engine.spare.bytes(),
            pack_bytes: packs.iter().map(|pack| pack.bytes).sum(),
            packs: packs.len() as u64,
            frames: meters.frames.read(),
            frame_bytes: meters.frame_bytes.read(),
            events: meters.events.read(),
            syncs: meters.syncs.read(),
            commit_waits: meters.waits.read(),
            queued,
            queued_bytes,
            queue_bytes_max: engine.queue.bytes_max(),
            busy: meters.busy.read(),
            segments_to_pack: segments.iter().filter(|s| s.end().is_some()).count() as u64,
            index_lag: engine.index_lag.load(Ordering::Relaxed),
            purged: meters.purged.read(),
            last_purge: last_purge.map(clock::from_ms),
            oldest_pin: engine.oldest_pin(Instant::now()),
        })
    }
}

fn graph_stats(engine: &Engine, core: &std::sync::Arc<GraphCore>) -> Result<GraphStats> {
    let of = |state| States::NONE.with(state);
    let (counts, set_aside, oldest) = {
        let state = core.state.read();
        let status = &state.status;
        let counts = State::ALL.map(|state| status.total(of(state)));
        let oldest = status.select(of(State::Pending), 0, 0, 1).first();
        let set_aside = state.set_aside_in(|| 0..u64::MAX);
        (counts, set_aside, oldest)
    };
    let oldest_pending = match oldest {
        None => None,
        Some(sequence) => engine.job(core, sequence)?.map(|job| job.submitted_at()),
    };
    let (_, longest_running) = totals::longest_running(engine, core, RUNNING_LOOKED_AT)?;
    let [pending, running, complete] = counts;
    Ok(GraphStats {
        project_id: core.project.clone(),
        name: core.name.clone(),
        pending,
        running,
        complete,
        set_aside,
        oldest_pending,
        longest_running: longest_running.map(clock::from_ms),
        purge_lag: engine.purge_lag(core),
    })
}
