// The history of a graph, as points of a time series.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::api::graph::Graph;
use crate::api::spans::call_span;
use crate::base::clock;
use crate::model::error::{Error, Result};
use crate::model::history::{HistoryPoint, Slot, step_ms};
use crate::model::job_counts::JobCounts;

impl Graph {
    /// Returns what happened to the graph's jobs in a period, as points of a time series: how many
    /// jobs were submitted, started, and completed, how long they waited and ran, in total and by
    /// command.
    ///
    /// The points are in order, and their periods are multiples of `step` since 1970. They include
    /// everything that overlaps the period from `from` to `to`. Periods in which nothing happened are
    /// omitted. Jobs that have been purged since then are included, as are imported jobs, at the times
    /// at which they were submitted, started, and completed.
    ///
    /// Of the hours in which anything happened, the newest 168 are kept per minute, so for at least a
    /// week. The newest 90 days before them are kept per hour, and older history per day, for at least
    /// ten years. Points of a time that is kept less finely than `step` are longer than `step`.
    /// Requests with one of the first 64 commands of the graph are counted by command, and all others
    /// together.
    ///
    /// If damaged files were repaired, the history lacks the events that were lost.
    ///
    /// # Ordering
    /// The points include all commits that are visible when the call begins.
    ///
    /// # Cost
    /// A row of the index is read for each hour, each day, or each 32 days, depending on how finely
    /// the history is kept. No request is read.
    ///
    /// # Errors
    /// [`Error::InvalidUse`] if `step` is neither a number of minutes that divides an hour, nor a
    /// number of hours that divides a day, nor a number of days;
    /// [`Error::GraphDropped`], [`Error::Closed`], [`Error::IndexUnavailable`].
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use jobstore::{Body, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// movie.claim(&id)?.complete(Outcome::failed("GES.8012", "no such vertex"))?;
    /// // What failed in the last day?
    /// let now = SystemTime::now();
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// for point in movie.history(now - day, now, Duration::from_secs(60 * 60))? {
    ///     for (command, counts) in &point.commands {
    ///         println!("{:?}: {} {command:?}", point.start, counts.failed());
    ///     }
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn history(
        &self,
        from: SystemTime,
        to: SystemTime,
        step: Duration,
    ) -> Result<Vec<HistoryPoint>> {
        let _span = call_span!("history", self);
        self.check()?;
        let Some(step_ms) = step_ms(step) else {
            return Err(Error::InvalidUse {
                what: "the step of a history must be 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, or 30 minutes, 1, \
                     2, 3, 4, 6, 8, or 12 hours, or a number of days",
            });
        };
        let (from_ms, to_ms) = (clock::to_ms(from), clock::to_ms(to));
        let rows = self.engine().history(&self.core, (from_ms, to_ms))?;
        let mut points: BTreeMap<(u64, u64), BTreeMap<u8, JobCounts>> = BTreeMap::new();
        for (slot, counts) in rows {
            let (start_ms, length_ms) = slot.range_ms();
            if start_ms < to_ms && from_ms < start_ms + length_ms {
                let point = points.entry(period_of(slot, step_ms)).or_default();
                point.entry(slot.command).or_default().add(&counts);
            }
        }
        let state = self.core.state.read();
        let name = |number| {
            state
                .activity
                .commands
                .name(number)
                .map(|name| name.to_string())
        };
        let points = points
            .into_iter()
            .map(|((start_ms, length_ms), by_number)| {
                let (mut counts, mut commands) = (JobCounts::default(), BTreeMap::new());
                for (number, of_command) in by_number {
                    counts.add(&of_command);
                    let of_name: &mut JobCounts = commands.entry(name(number)).or_default();
                    of_name.add(&of_command);
                }
                HistoryPoint {
                    start: clock::from_ms(start_ms),
                    length: Duration::from_millis(length_ms),
                    counts,
                    commands: commands.into_iter().collect(),
                }
            });
        Ok(points.collect())
    }
}

/// The beginning and the length of the period to which a slot belongs.
fn period_of(slot: Slot, step_ms: u64) -> (u64, u64) {
    let (start_ms, length_ms) = slot.range_ms();
    match length_ms > step_ms {
        true => (start_ms, length_ms),
        false => (start_ms - start_ms % step_ms, step_ms),
    }
}
