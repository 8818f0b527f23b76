// Counts of what happened to jobs: how many were submitted, started, and completed, and how long
// they waited and ran. Used by the counters of an open store and by its history.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::codec::{NUMBER_MAX, VarReader, put_var};
use crate::model::outcome::OutcomeKind;

/// The bounds of a [`JobHistogram`]'s buckets.
const BOUNDS: [Duration; 14] = [
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(4 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// The places of the numbers. A histogram takes one place for each bucket, then one for the sum in
/// milliseconds. The waits come first, then the run times for each kind of outcome.
const SUBMITTED: u8 = 0;
const STARTED: u8 = 1;
const COMPLETED: u8 = 2;
const OUTCOMES: u8 = OutcomeKind::ALL.len() as u8;
const HISTOGRAMS: u8 = COMPLETED + OUTCOMES;
const HISTOGRAM_PLACES: u8 = BUCKETS as u8 + 1;
const PLACES: u8 = HISTOGRAMS + HISTOGRAM_PLACES * (1 + OUTCOMES);

/// A histogram of how long jobs waited, or of how long they ran.
///
/// # Examples
/// ```
/// use jobstore::{Body, JobHistogram, JobStore, Outcome, Request};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
/// movie.claim(&id)?.complete(Outcome::succeeded())?;
/// let stats = store.stats()?;
/// let waits = stats.graphs[0].counters.waits();
/// assert_eq!(waits.count(), 1);
/// assert!(waits.quantile(0.95) <= JobHistogram::bounds().last().copied());
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobHistogram {
    counts: [u64; BUCKETS],
    sum_ms: u64,
}

impl JobHistogram {
    /// Returns the upper bounds of the buckets, ascending and inclusive: 10 ms to a day.
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

    /// Returns the number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Returns the sum of all durations.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_millis(self.sum_ms)
    }

    /// Returns the bound of the bucket that contains this quantile, from 0 to 1: for 0.95, at least
    /// 95% of the durations are not longer than the result. Returns `None` if there are no durations,
    /// or if the quantile is longer than a day.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = (quantile.clamp(0.0, 1.0) * self.count() as f64)
            .ceil()
            .max(1.0);
        let mut seen = 0u64;
        for (bound, count) in BOUNDS.iter().zip(self.counts) {
            seen = seen.saturating_add(count);
            if seen as f64 >= rank {
                return Some(*bound);
            }
        }
        None
    }

    /// Adds the durations of another histogram.
    pub fn add(&mut self, other: &JobHistogram) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }

    fn json(&self) -> Value {
        json!({"counts": self.counts, "sumMs": self.sum_ms})
    }
}

/// What happened to jobs, counted: in [`GraphStats::counters`](crate::GraphStats::counters) since
/// the store was opened, and in a [`HistoryPoint`](crate::HistoryPoint) within a period.
///
/// A job that is purged stays counted. A job that was returned to the queue is counted as started
/// again when it is started again; its wait is always measured from its submission.
///
/// # Examples
/// ```
/// use jobstore::{Body, JobStore, Outcome, OutcomeKind, Request};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
/// movie.claim(&id)?.complete(Outcome::failed("GES.8012", "no such vertex"))?;
/// let counters = store.stats()?.graphs[0].counters.clone();
/// assert_eq!((counters.submitted(), counters.started()), (1, 1));
/// assert_eq!(counters.completed(OutcomeKind::Failed), 1);
/// # Ok::<(), jobstore::Error>(())
/// ```
// Most numbers are 0, so only the others are kept: place and number, in the order of the places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobCounts(Vec<(u8, u64)>);

impl JobCounts {
    pub(crate) const fn new() -> JobCounts {
        JobCounts(Vec::new())
    }

    /// Returns how many jobs were submitted.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.get(SUBMITTED)
    }

    /// Returns how many times a job was started.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.get(STARTED)
    }

    /// Returns how many jobs completed with this kind of outcome.
    #[must_use]
    pub fn completed(&self, kind: OutcomeKind) -> u64 {
        self.get(COMPLETED + place_of(kind))
    }

    /// Returns how many jobs failed, failed partially, or were interrupted.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let kinds = OutcomeKind::ALL.iter().filter(|kind| kind.is_failure());
        kinds.map(|&kind| self.completed(kind)).sum()
    }

    /// Returns how long jobs waited, from their submission to their start. A wait is counted when
    /// the job starts.
    #[must_use]
    pub fn waits(&self) -> JobHistogram {
        self.histogram(HISTOGRAMS)
    }

    /// Returns how long jobs with this kind of outcome ran, from their start to their completion.
    /// Jobs that were canceled before they started did not run. How long a job ran is unknown if the
    /// store was opened again before the job completed, and recovered it.
    #[must_use]
    pub fn runs(&self, kind: OutcomeKind) -> JobHistogram {
        self.histogram(place_of_runs(kind))
    }

    /// Returns whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the counts of another period, graph, or command.
    pub fn add(&mut self, other: &JobCounts) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for &(place, n) in &other.0 {
            self.add_at(place, n);
        }
    }

    /// Returns the counts as JSON. Kinds of outcomes that did not occur are omitted.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.json().to_string()
    }

    pub(crate) fn json(&self) -> Value {
        let kinds = OutcomeKind::ALL.iter().copied();
        let completed = kinds.clone().filter(|&kind| self.completed(kind) > 0);
        let completed: BTreeMap<_, _> = completed
            .map(|kind| (kind.as_str(), self.completed(kind)))
            .collect();
        let runs = kinds.map(|kind| (kind.as_str(), self.runs(kind)));
        let runs: BTreeMap<_, _> = runs
            .filter(|(_, runs)| runs.count() > 0)
            .map(|(kind, runs)| (kind, runs.json()))
            .collect();
        json!({
            "submitted": self.submitted(),
            "started": self.started(),
            "completed": completed,
            "waits": self.waits().json(),
            "runs": runs,
        })
    }

    /// Reads what [`JobCounts::to_json`] wrote. `None` if it contains an unknown outcome, or a
    /// histogram with another number of buckets.
    pub(crate) fn from_json(json: &CountsJson) -> Option<JobCounts> {
        let mut counts = JobCounts::default();
        counts.add_at(SUBMITTED, json.submitted);
        counts.add_at(STARTED, json.started);
        counts.add_histogram(HISTOGRAMS, &json.waits)?;
        for (word, jobs) in &json.completed {
            counts.add_at(COMPLETED + place_of(OutcomeKind::from_word(word)?), *jobs);
        }
        for (word, runs) in &json.runs {
            counts.add_histogram(place_of_runs(OutcomeKind::from_word(word)?), runs)?;
        }
        Some(counts)
    }

    /// Counts an event.
    pub(crate) fn count(&mut self, happened: Happened) {
        match happened {
            Happened::Submitted => self.add_at(SUBMITTED, 1),
            Happened::Started { wait_ms } => {
                self.add_at(STARTED, 1);
                self.add_time(HISTOGRAMS, wait_ms);
            }
            Happened::Completed { kind, run_ms } => {
                self.add_at(COMPLETED + place_of(kind), 1);
                self.add_time(place_of_runs(kind), run_ms);
            }
        }
    }

    /// Counts jobs that were submitted.
    pub(crate) fn count_submitted(&mut self, jobs: u64) {
        self.add_at(SUBMITTED, jobs);
    }

    fn add_time(&mut self, histogram: u8, time_ms: Option<u64>) {
        if let Some(ms) = time_ms {
            let bucket = BOUNDS.partition_point(|&bound| bound < Duration::from_millis(ms));
            self.add_at(histogram + bucket as u8, 1);
            self.add_at(histogram + BUCKETS as u8, ms);
        }
    }

    fn add_histogram(&mut self, first: u8, json: &HistogramJson) -> Option<()> {
        let counts: [u64; BUCKETS] = json.counts.as_slice().try_into().ok()?;
        for (place, n) in (first..).zip(counts.into_iter().chain([json.sum_ms])) {
            self.add_at(place, n);
        }
        Some(())
    }

    fn add_at(&mut self, place: u8, n: u64) {
        if n == 0 {
            return;
        }
        match self.0.binary_search_by_key(&place, |known| known.0) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(n).min(NUMBER_MAX - 1),
            Err(at) => self.0.insert(at, (place, n.min(NUMBER_MAX - 1))),
        }
    }

    fn get(&self, place: u8) -> u64 {
        let at = self.0.binary_search_by_key(&place, |known| known.0);
        at.map_or(0, |at| self.0[at].1)
    }

    fn histogram(&self, first: u8) -> JobHistogram {
        JobHistogram {
            counts: std::array::from_fn(|n| self.get(first + n as u8)),
            sum_ms: self.get(first + BUCKETS as u8),
        }
    }

    /// Appends the encoding: how many numbers there are, then each one's distance from the place of
    /// the previous one, and the number.
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        put_var(self.0.len() as u64, out);
        let mut before = 0;
        for &(place, n) in &self.0 {
            put_var(u64::from(place - before), out);
            put_var(n, out);
            before = place;
        }
    }

    /// Reads what [`JobCounts::encode_into`] wrote. `None` if it is invalid.
    pub(crate) fn decode(reader: &mut VarReader<'_>) -> Option<JobCounts> {
        let len = reader.next().filter(|&len| len <= u64::from(PLACES))?;
        let mut counts = Vec::with_capacity(len as usize);
        let mut place = 0u64;
        for n in 0..len {
            let distance = reader.next().filter(|&distance| n == 0 || distance > 0)?;
            place = place
                .checked_add(distance)
                .filter(|&p| p < u64::from(PLACES))?;
            let number = reader.next().filter(|n| (1..NUMBER_MAX).contains(n))?;
            counts.push((place as u8, number));
        }
        Some(JobCounts(counts))
    }
}

/// The JSON of counts.
#[derive(Deserialize)]
pub(crate) struct CountsJson {
    submitted: u64,
    started: u64,
    completed: BTreeMap<String, u64>,
    waits: HistogramJson,
    runs: BTreeMap<String, HistogramJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HistogramJson {
    counts: Vec<u64>,
    sum_ms: u64,
}

/// An event in the life of a job, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Submitted,
    Started {
        /// The time since the submission, if known.
        wait_ms: Option<u64>,
    },
    Completed {
        kind: OutcomeKind,
        /// The time since the start, if the job was started and the time is known.
        run_ms: Option<u64>,
    },
}

fn place_of(kind: OutcomeKind) -> u8 {
    kind.to_stored() - 1
}

fn place_of_runs(kind: OutcomeKind) -> u8 {
    HISTOGRAMS + HISTOGRAM_PLACES * (1 + place_of(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_counted_in_the_bucket_of_their_bound() {
        let mut counts = JobCounts::default();
        for wait_ms in [
            Some(0),
            Some(10),
            Some(11),
            Some(86_400_000),
            Some(86_400_001),
            None,
        ] {
            counts.count(Happened::Started { wait_ms });
        }
        let waits = counts.waits();
        assert_eq!(counts.started(), 6);
        assert_eq!(waits.counts()[..3], [2, 1, 0]);
        assert_eq!(waits.counts()[13..], [1, 1]);
        assert_eq!(waits.sum(), Duration::from_millis(21 + 2 * 86_400_000 + 1));
        assert_eq!(waits.quantile(0.4), Some(Duration::from_millis(10)));
        assert_eq!(waits.quantile(0.5), Some(Duration::from_millis(30)));
        assert_eq!(waits.quantile(1.0), None);
        assert_eq!(JobHistogram::default().quantile(0.5), None);
    }

    #[test]
    fn run_times_are_counted_by_outcome() {
        let mut counts = JobCounts::default();
        for &kind in OutcomeKind::ALL {
            let run_ms = Some(u64::from(kind.to_stored()));
            counts.count(Happened::Completed { kind, run_ms });
        }
        for &kind in OutcomeKind::ALL {
            assert_eq!(counts.completed(kind), 1);
            assert_eq!(
                counts.runs(kind).sum().as_millis(),
                u128::from(kind.to_stored())
            );
        }
    }

    #[test]
    fn failures_are_counted_together() {
        let mut counts = JobCounts::default();
        for &kind in OutcomeKind::ALL {
            counts.count(Happened::Completed { kind, run_ms: None });
        }
        assert_eq!(counts.failed(), 3);
    }

    fn any_counts() -> impl Strategy<Value = JobCounts> {
        let pairs = proptest::collection::btree_map(0..PLACES, 1..NUMBER_MAX, 0..20);
        pairs.prop_map(|pairs| JobCounts(pairs.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn counts_come_back(counts in any_counts(), cut in 0usize..1000) {
            let mut bytes = Vec::new();
            counts.encode_into(&mut bytes);
            let mut reader = VarReader(&bytes);
            let decoded = JobCounts::decode(&mut reader);
            prop_assert_eq!(decoded.as_ref(), Some(&counts));
            prop_assert!(reader.0.is_empty());
            let cut = cut % bytes.len();
            prop_assert_eq!(JobCounts::decode(&mut VarReader(&bytes[..cut])), None);
        }

        #[test]
        fn counts_are_read_back_from_json(
            events in proptest::collection::vec((0u8..7, proptest::option::of(any::<u32>())), 0..20),
        ) {
            let mut counts = JobCounts::default();
            for (what, ms) in events {
                let ms = ms.map(u64::from);
                counts.count(match (what, OutcomeKind::from_stored(what)) {
                    (_, Some(kind)) => Happened::Completed { kind, run_ms: ms },
                    (0, None) => Happened::Submitted,
                    (_, None) => Happened::Started { wait_ms: ms },
                });
            }
            let json = serde_json::from_str(&counts.to_json()).unwrap();
            prop_assert_eq!(JobCounts::from_json(&json), Some(counts));
        }
    }
}
