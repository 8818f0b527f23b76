//! The numbers of a store, as plain values.
//!
//! Owns: [`Stats`], [`Totals`], [`GraphStats`], [`Histogram`] with the bounds of its
//! buckets, and their JSON. Must not know: how numbers are counted or gathered.
//! Promise: durations are whole microseconds in JSON, times milliseconds since 1970.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::base::clock;
use crate::model::health::Health;

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
/// [`JobStore::stats`](crate::JobStore::stats).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// The number of writable opens of the store so far, this one included.
    pub opens: u64,
    /// Whether it can do all it should.
    pub health: Health,
    /// All graphs together.
    pub totals: Totals,
    /// Each graph, or those with the most jobs
    /// ([`JobStore::stats_of`](crate::JobStore::stats_of)), in the order of their creation.
    pub graphs: Vec<GraphStats>,
    /// Bytes of the log that is not packed yet, as far as files are open for it.
    pub segment_bytes: u64,
    /// Bytes of packs.
    pub pack_bytes: u64,
    /// Bytes of the index's files; 0 where it is in memory.
    pub index_bytes: u64,
    /// Bytes that are made ahead: the log's next file, and the reserve for a full disk.
    pub preallocated_bytes: u64,
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
    /// The bound of those bytes: [`Options::max_queue_bytes`](crate::Options::max_queue_bytes).
    pub max_queue_bytes: u64,
    /// How often a write was refused as [`Error::Busy`](crate::Error::Busy) since the open.
    pub writes_refused: u64,
    /// Full segments that wait to be packed.
    pub segments_to_pack: u64,
    /// Changes that the index does not have yet, about.
    pub index_lag: u64,
    /// Jobs purged since the open, by policies and by hand.
    pub purged: u64,
    /// When something was purged last, since the open.
    pub last_purge_at: Option<SystemTime>,
    /// For how long the eldest page has kept a file that was replaced; none while no page
    /// does ([`Options::snapshot_timeout`](crate::Options::snapshot_timeout)).
    pub oldest_pin: Option<Duration>,
}

/// All graphs together, in [`Stats`].
///
/// # Examples
/// ```
/// # let store = jobstore::JobStore::in_memory()?;
/// store.create_graph("10001", "movie")?;
/// store.create_graph("10001", "roads")?;
/// let stats = store.stats_of(1)?; // one graph by itself, and all together
/// assert_eq!((stats.graphs.len(), stats.totals.graphs), (1, 2));
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// How many graphs there are.
    pub graphs: u64,
    /// Pending jobs.
    pub pending: u64,
    /// Running jobs.
    pub running: u64,
    /// Complete jobs.
    pub complete: u64,
    /// Jobs that a repair quarantined.
    pub quarantined: u64,
    /// When the oldest pending job was submitted; `None` if nothing is pending.
    pub oldest_pending_at: Option<SystemTime>,
    /// When the job was started that has run longest, among 10,000 running jobs; `None` if
    /// nothing runs.
    pub longest_running_at: Option<SystemTime>,
    /// The longest [`purge_lag`](GraphStats::purge_lag) of all graphs.
    pub purge_lag: Option<Duration>,
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
    /// Jobs that a repair quarantined.
    pub quarantined: u64,
    /// When the oldest pending job was submitted; none where nothing is pending.
    pub oldest_pending_at: Option<SystemTime>,
    /// When the job was started that has run longest, among the 10000 running jobs that
    /// were submitted first; none where nothing runs.
    pub longest_running_at: Option<SystemTime>,
    /// For how long complete jobs have been due by the graph's
    /// [`Retention`](crate::Retention) that are not purged yet: by age, since the first
    /// of them was; by count or bytes, since that was noticed. `None` where none is due,
    /// as far as the background has looked since the open.
    pub purge_lag: Option<Duration>,
}

impl Stats {
    /// The numbers as one JSON object: fields under their names in camel case, durations
    /// in microseconds (`..Us`), times in milliseconds since 1970 (`..At`), `null` for what
    /// is not there; a histogram as `{"counts":[..],"boundsUs":[..],"sumUs":n}`.
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
        let all = json!({
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
        all.to_string()
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
        })
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
            "quarantined": self.quarantined,
            "oldestPendingAt": self.oldest_pending_at.map(clock::to_ms),
            "longestRunningAt": self.longest_running_at.map(clock::to_ms),
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
