// The statistics of a store. In JSON, durations are whole microseconds, and times are milliseconds
// since 1970.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::base::clock;
use crate::model::health::Health;
use crate::model::job_counts::JobCounts;

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

/// A histogram of durations since the store was opened.
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
    /// Returns the upper bounds of the buckets, ascending and inclusive: 10 us to 10 s.
    #[must_use]
    pub fn bounds() -> &'static [Duration] {
        &BOUNDS
    }

    /// Returns the number of durations in each bucket. A bucket contains the durations above the
    /// previous bound, up to and including its own bound. An additional last bucket, without a
    /// bound, contains the rest.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Returns the sum of all durations.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Returns the number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The statistics of a store: returned by [`JobStore::stats`](crate::JobStore::stats). Counters
/// start at 0 each time the store is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// How many times the store has been opened for writing, including this open.
    pub opens: u64,
    /// The health of the store.
    pub health: Health,
    /// The totals of all graphs.
    pub totals: Totals,
    /// All graphs, or only those with the most jobs
    /// ([`JobStore::stats_of`](crate::JobStore::stats_of)), in the order of their creation.
    pub graphs: Vec<GraphStats>,
    /// Bytes in unpacked segments whose files are open.
    pub segment_bytes: u64,
    /// Bytes in packs.
    pub pack_bytes: u64,
    /// Bytes in the index's files; 0 for an index in memory.
    pub index_bytes: u64,
    /// Preallocated bytes: the log's next file, and the reserve for a full disk.
    pub preallocated_bytes: u64,
    /// Number of packs. For each pack, a file is kept open.
    pub packs: u64,
    /// Number of commits since the open. Each is a frame of the log.
    pub frames: u64,
    /// Bytes in those frames.
    pub frame_bytes: u64,
    /// Number of events in those frames.
    pub events: u64,
    /// How long the syncs of commits took.
    pub syncs: Histogram,
    /// How long writes took, from their call to their completion.
    pub commit_waits: Histogram,
    /// Number of writes in the commit queue.
    pub queued: u64,
    /// Bytes of the writes that are queued or being committed.
    pub queued_bytes: u64,
    /// The limit of `queued_bytes`: [`Options::max_queue_bytes`](crate::Options::max_queue_bytes).
    pub max_queue_bytes: u64,
    /// Number of writes refused with [`Error::Busy`](crate::Error::Busy) since the open.
    pub writes_refused: u64,
    /// Number of full segments that have not been packed yet.
    pub segments_to_pack: u64,
    /// Approximate number of changes that are not in the index yet.
    pub index_lag: u64,
    /// Number of jobs purged since the open, by policies and by
    /// [`Graph::purge`](crate::Graph::purge).
    pub purged: u64,
    /// The time of the last purge since the open.
    pub last_purge_at: Option<SystemTime>,
    /// How long the oldest page has been preventing the deletion of a replaced file; `None` if no
    /// page prevents one ([`Options::snapshot_timeout`](crate::Options::snapshot_timeout)).
    pub oldest_pin: Option<Duration>,
    /// The store's replica, if it has one.
    pub replica: Option<ReplicaStats>,
    /// How far the store follows its replica, if it was opened with
    /// [`JobStore::follow`](crate::JobStore::follow).
    pub follower: Option<FollowerStats>,
}

/// The statistics of a store's replica: see [`Options::replica`](crate::Options::replica).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaStats {
    /// Where the replica is: a URL without credentials.
    pub place: String,
    /// The fencing token of this open: [`JobStore::reign`](crate::JobStore::reign).
    pub reign: u64,
    /// The number of the last chunk.
    pub last_chunk: u64,
    /// Bytes appended to the replica since the open.
    pub bytes: u64,
    /// How many calls to append were repeated since the open.
    pub retries: u64,
    /// For how long the chunk that is being appended has been under way; `None` if none is.
    pub waiting: Option<Duration>,
    /// When the last checkpoint was made; `None` if none was made since the open.
    pub last_checkpoint_at: Option<SystemTime>,
    /// Number of chunks since the last checkpoint. A restore reads each of them.
    pub chunks_since_checkpoint: u64,
}

/// The statistics of a store that follows its replica: see
/// [`JobStore::follow`](crate::JobStore::follow).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FollowerStats {
    /// Where the replica is: a URL without credentials.
    pub place: String,
    /// The log sequence number of the last commit that is visible:
    /// [`Page::as_of_lsn`](crate::Page::as_of_lsn).
    pub as_of_lsn: u64,
    /// The time of that commit, by the clock of the store that wrote it; `None` if no commit has
    /// been read since the open.
    pub as_of: Option<SystemTime>,
    /// How far the store may be behind: [`JobStore::lag`](crate::JobStore::lag).
    pub lag: Duration,
    /// The number of the last chunk that was applied.
    pub last_chunk: u64,
    /// Bytes read from the replica since the open.
    pub bytes: u64,
    /// For how long the replica has not responded.
    pub silent: Duration,
    /// Whether nothing was left to read when the replica last responded.
    pub is_current: bool,
    /// How many times the store was restored from a checkpoint since the open, because chunks that
    /// it needed had been removed.
    pub restores: u64,
}

/// The totals of all graphs, in [`Stats`].
///
/// # Examples
/// ```
/// # let store = jobstore::JobStore::in_memory()?;
/// store.create_graph("10001", "movie")?;
/// store.create_graph("10001", "roads")?;
/// let stats = store.stats_of(1)?; // one graph, and the totals of both
/// assert_eq!((stats.graphs.len(), stats.totals.graphs), (1, 2));
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Number of graphs.
    pub graphs: u64,
    /// Number of pending jobs.
    pub pending: u64,
    /// Number of running jobs.
    pub running: u64,
    /// Number of complete jobs.
    pub complete: u64,
    /// Number of jobs that a repair quarantined.
    pub quarantined: u64,
    /// When the oldest pending job was submitted; `None` if no job is pending.
    pub oldest_pending_at: Option<SystemTime>,
    /// When the longest-running job was started; `None` if no job is running. At most 10,000
    /// running jobs are examined.
    pub longest_running_at: Option<SystemTime>,
    /// The longest [`purge_lag`](GraphStats::purge_lag) of all graphs.
    pub purge_lag: Option<Duration>,
    /// What happened to the jobs of all graphs since the store was opened, including graphs that
    /// have been dropped since then.
    pub counters: JobCounts,
}

/// The statistics of a graph, in [`Stats`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphStats {
    /// The id of the graph's project.
    pub project_id: String,
    /// The graph's name.
    pub name: String,
    /// Number of pending jobs.
    pub pending: u64,
    /// Number of running jobs.
    pub running: u64,
    /// Number of complete jobs.
    pub complete: u64,
    /// Number of jobs that a repair quarantined.
    pub quarantined: u64,
    /// When the oldest pending job was submitted; `None` if no job is pending.
    pub oldest_pending_at: Option<SystemTime>,
    /// When the longest-running job was started; `None` if no job is running. Only the 10,000
    /// running jobs that were submitted first are examined.
    pub longest_running_at: Option<SystemTime>,
    /// How long complete jobs have been overdue for purging under the graph's
    /// [`Retention`](crate::Retention). For a limit by age, this is the time since the first of
    /// them was due. For a limit by number or size, it is the time since the excess was detected.
    /// `None` if no job is overdue, as far as has been checked since the open.
    pub purge_lag: Option<Duration>,
    /// What happened to the graph's jobs since the store was opened, as far as readers can see it.
    /// Jobs that the open itself recovered, and imported events of the past, are not counted here,
    /// but in the [history](crate::Graph::history), which outlives the open.
    pub counters: JobCounts,
}

impl Stats {
    /// Returns the statistics as a JSON object whose members are named like the fields, in camel
    /// case. Durations are in microseconds (`..Us`), times in milliseconds since 1970 (`..At`). A
    /// missing value is `null`; `replica` is present only if the store has one, and `follower` only
    /// in a follower. A histogram is `{"counts":[..],"boundsUs":[..],"sumUs":n}`; the histograms in
    /// `counters` are `{"counts":[..],"sumMs":n}`, with the bounds of
    /// [`JobHistogram::bounds`](crate::JobHistogram::bounds).
    ///
    /// # Examples
    /// ```
    /// let store = jobstore::JobStore::in_memory()?;
    /// let json = store.stats()?.to_json();
    /// assert!(json.contains(r#""opens":1"#) && json.contains(r#""health":{"state":"ok"}"#));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let graphs: Vec<Value> = self.graphs.iter().map(GraphStats::json).collect();
        let mut all = json!({
            "opens": self.opens,
            "health": self.health.json(),
            "totals": self.totals.json(),
            "graphs": graphs,
            "segmentBytes": self.segment_bytes,
            "packBytes": self.pack_bytes,
            "indexBytes": self.index_bytes,
            "preallocatedBytes": self.preallocated_bytes,
            "packs": self.packs,
            "frames": self.frames,
            "frameBytes": self.frame_bytes,
            "events": self.events,
            "syncs": self.syncs.json(),
            "commitWaits": self.commit_waits.json(),
            "queued": self.queued,
            "queuedBytes": self.queued_bytes,
            "maxQueueBytes": self.max_queue_bytes,
            "writesRefused": self.writes_refused,
            "segmentsToPack": self.segments_to_pack,
            "indexLag": self.index_lag,
            "purged": self.purged,
            "lastPurgeAt": self.last_purge_at.map(clock::to_ms),
            "oldestPinUs": self.oldest_pin.map(to_us),
        });
        if let Some(replica) = &self.replica {
            all["replica"] = replica.json();
        }
        if let Some(follower) = &self.follower {
            all["follower"] = follower.json();
        }
        all.to_string()
    }
}

impl ReplicaStats {
    fn json(&self) -> Value {
        json!({
            "place": self.place,
            "reign": self.reign,
            "lastChunk": self.last_chunk,
            "bytes": self.bytes,
            "retries": self.retries,
            "waitingUs": self.waiting.map(to_us),
            "lastCheckpointAt": self.last_checkpoint_at.map(clock::to_ms),
            "chunksSinceCheckpoint": self.chunks_since_checkpoint,
        })
    }
}

impl FollowerStats {
    fn json(&self) -> Value {
        json!({
            "place": self.place,
            "asOfLsn": self.as_of_lsn,
            "asOfAt": self.as_of.map(clock::to_ms),
            "lagUs": to_us(self.lag),
            "lastChunk": self.last_chunk,
            "bytes": self.bytes,
            "silentUs": to_us(self.silent),
            "isCurrent": self.is_current,
            "restores": self.restores,
        })
    }
}

impl Totals {
    fn json(&self) -> Value {
        json!({
            "graphs": self.graphs,
            "pending": self.pending,
            "running": self.running,
            "complete": self.complete,
            "quarantined": self.quarantined,
            "oldestPendingAt": self.oldest_pending_at.map(clock::to_ms),
            "longestRunningAt": self.longest_running_at.map(clock::to_ms),
            "purgeLagUs": self.purge_lag.map(to_us),
            "counters": self.counters.json(),
        })
    }
}

impl GraphStats {
    /// Returns the statistics as a JSON object, as in [`Stats::to_json`].
    #[must_use]
    pub fn to_json(&self) -> String {
        self.json().to_string()
    }

    fn json(&self) -> Value {
        json!({
            "projectId": self.project_id,
            "name": self.name,
            "pending": self.pending,
            "running": self.running,
            "complete": self.complete,
            "quarantined": self.quarantined,
            "oldestPendingAt": self.oldest_pending_at.map(clock::to_ms),
            "longestRunningAt": self.longest_running_at.map(clock::to_ms),
            "purgeLagUs": self.purge_lag.map(to_us),
            "counters": self.counters.json(),
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
