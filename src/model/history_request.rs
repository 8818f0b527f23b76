// A history as a client requests it, with a query string.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::clock::{TIME_MS_MAX, from_ms};
use crate::model::error::{Error, Result, invalid_parameter};
use crate::model::history::HistoryPoint;
use crate::model::query_string::QueryString;

/// The default length of the periods: an hour.
const STEP: Duration = Duration::from_secs(3600);

/// A history as a client of the HTTP API requests it: parsed from a query string, for
/// [`Graph::history`](crate::Graph::history).
///
/// The parameters are `from` and `to` (milliseconds since 1970 or RFC 3339; all times by default),
/// and `step_ms`, the length of the periods in milliseconds (an hour by default).
///
/// # Errors
/// Parsing returns [`Error::InvalidParameter`], which names the parameter.
///
/// # Examples
/// ```
/// use jobstore::{HistoryRequest, JobStore};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let request: HistoryRequest = "from=2026-01-31T00:00:00Z&step_ms=60000".parse()?;
/// let points = movie.history(request.from, request.to, request.step)?;
/// assert!(points.is_empty());
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HistoryRequest {
    /// The beginning of the history.
    pub from: SystemTime,
    /// The end of the history.
    pub to: SystemTime,
    /// The length of the periods into which the history is divided.
    pub step: Duration,
}

impl FromStr for HistoryRequest {
    type Err = Error;

    fn from_str(text: &str) -> Result<HistoryRequest> {
        let mut query = QueryString::parse(Some(text))?;
        let from = query.time("from")?.unwrap_or(UNIX_EPOCH);
        let to = query.time("to")?.unwrap_or(from_ms(TIME_MS_MAX));
        let step = query.number("step_ms", 1..=u64::MAX)?;
        let step = step.map_or(STEP, Duration::from_millis);
        query.end()?;
        if to < from {
            let problem = "from is later than to; swap them".to_owned();
            return Err(Error::InvalidParameter { problem });
        }
        if !HistoryPoint::is_step(step) {
            return Err(invalid_parameter(
                "step_ms",
                &step.as_millis().to_string(),
                "a number of minutes that divides an hour, a number of hours that divides a day, or a \
                 number of days",
                "correct or omit it",
            ));
        }
        Ok(HistoryRequest { from, to, step })
    }
}
