// The time filters of a query.

use std::time::SystemTime;

use super::JobQuery;
use crate::base::clock;

impl JobQuery {
    /// Selects jobs that were submitted at this time or later, by the store's clock, to the
    /// millisecond. If one of the six time filters is called more than once, its last call applies.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let hour = Duration::from_secs(3600);
    /// let last_hour = JobQuery::new().submitted_from(SystemTime::now() - hour);
    /// assert_eq!(movie.list(last_hour)?.len(), 1);
    /// let hour_before = JobQuery::new()
    ///     .submitted_from(SystemTime::now() - 2 * hour)
    ///     .submitted_before(SystemTime::now() - hour);
    /// assert!(movie.list(hour_before)?.is_empty());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn submitted_from(mut self, time: SystemTime) -> JobQuery {
        self.filter.submitted.from = Some(clock::to_ms(time));
        self
    }

    /// Returns the name of the first time whose range ends before it begins, so that no job can
    /// match: `submitted`, `started`, or `completed`. Returns `None` if there is none.
    ///
    /// # Examples
    /// ```
    /// use jobstore::JobQuery;
    /// use std::time::SystemTime;
    /// let (then, now) = (SystemTime::UNIX_EPOCH, SystemTime::now());
    /// let query = JobQuery::new().started_from(now).started_before(then);
    /// assert_eq!(query.reversed_range(), Some("started"));
    /// assert_eq!(JobQuery::new().started_from(then).reversed_range(), None);
    /// ```
    #[must_use]
    pub fn reversed_range(&self) -> Option<&'static str> {
        let ranges = [
            ("submitted", self.filter.submitted),
            ("started", self.filter.started),
            ("completed", self.filter.completed),
        ];
        let mut reversed = ranges.iter().filter(|(_, span)| span.is_reversed());
        reversed.next().map(|(name, _)| *name)
    }

    /// Selects jobs that were submitted before this time: see [`JobQuery::submitted_from`].
    #[must_use]
    pub fn submitted_before(mut self, time: SystemTime) -> JobQuery {
        self.filter.submitted.to = Some(clock::to_ms(time));
        self
    }

    /// Selects jobs that were started at this time or later. Jobs that were never started do not
    /// match. See [`JobQuery::started_before`] for an example.
    #[must_use]
    pub fn started_from(mut self, time: SystemTime) -> JobQuery {
        self.filter.started.from = Some(clock::to_ms(time));
        self
    }

    /// Selects jobs that were started before this time. Jobs that were never started do not match.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request, State};
    /// use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// movie.start(&id)?;
    /// // What has run for more than an hour?
    /// let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    /// let list = JobQuery::new().state(State::Running).started_before(hour_ago);
    /// assert!(movie.list(list)?.is_empty());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn started_before(mut self, time: SystemTime) -> JobQuery {
        self.filter.started.to = Some(clock::to_ms(time));
        self
    }

    /// Selects jobs that completed at this time or later. Jobs that are not complete do not match.
    /// See [`JobQuery::newest_first`] for an example.
    #[must_use]
    pub fn completed_from(mut self, time: SystemTime) -> JobQuery {
        self.filter.completed.from = Some(clock::to_ms(time));
        self
    }

    /// Selects jobs that completed before this time. Jobs that are not complete do not match.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobQuery, JobStore, OutcomeKind};
    /// use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// // Purge jobs that succeeded more than 30 days ago.
    /// let then = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    /// let old = JobQuery::new().outcome(OutcomeKind::Succeeded).completed_before(then);
    /// println!("{} jobs purged", movie.purge(old)?.jobs);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn completed_before(mut self, time: SystemTime) -> JobQuery {
        self.filter.completed.to = Some(clock::to_ms(time));
        self
    }
}
