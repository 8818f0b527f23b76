// A tally as a client requests it, with a query string.

use std::str::FromStr;
use std::time::Duration;

use crate::model::error::{Error, Result, invalid_parameter};
use crate::model::job_query::JobQuery;
use crate::model::query_string::QueryString;
use crate::model::tally::TallyBy;

/// A tally as a client of the HTTP API requests it: parsed from a query string, for
/// [`Graph::tally`](crate::Graph::tally) and [`JobStore::tally`](crate::JobStore::tally).
///
/// The parameters are `by=state|outcome|command|origin`, or `by=submitted|completed` with
/// `period_ms`, the length of the periods in milliseconds; and the filters of a
/// [list](crate::ListRequest). `by` is required.
///
/// # Errors
/// Parsing returns [`Error::InvalidParameter`], which names the parameter.
///
/// # Examples
/// ```
/// use jobstore::{JobStore, TallyRequest};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let request: TallyRequest = "by=outcome&command=import_graph".parse()?;
/// let tally = movie.tally(request.query, request.by)?;
/// assert_eq!(tally.to_json(), r#"{"groups":[],"isPartial":false,"jobs":0}"#);
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TallyRequest {
    /// The jobs to count.
    pub query: JobQuery,
    /// The property by which to count them.
    pub by: TallyBy,
}

impl FromStr for TallyRequest {
    type Err = Error;

    fn from_str(text: &str) -> Result<TallyRequest> {
        let mut parameters = QueryString::parse(Some(text))?;
        let query = parameters.filter()?;
        let word = parameters.one("by")?;
        let period_ms = parameters.number("period_ms", 1..=u64::MAX)?;
        parameters.end()?;
        let by = by(word.as_deref(), period_ms)?;
        Ok(TallyRequest { query, by })
    }
}

fn by(word: Option<&str>, period_ms: Option<u64>) -> Result<TallyBy> {
    match (word, period_ms) {
        (Some("state"), None) => Ok(TallyBy::State),
        (Some("outcome"), None) => Ok(TallyBy::Outcome),
        (Some("command"), None) => Ok(TallyBy::Command),
        (Some("origin"), None) => Ok(TallyBy::Origin),
        (Some("submitted"), Some(ms)) => Ok(TallyBy::SubmittedPer(Duration::from_millis(ms))),
        (Some("completed"), Some(ms)) => Ok(TallyBy::CompletedPer(Duration::from_millis(ms))),
        (Some("submitted" | "completed"), None) => Err(invalid_parameter(
            "period_ms",
            "",
            "the length of the periods in milliseconds",
            "add it, because jobs are counted by time",
        )),
        (Some("state" | "outcome" | "command" | "origin"), Some(ms)) => Err(invalid_parameter(
            "period_ms",
            &ms.to_string(),
            "absent, unless jobs are counted by submitted or completed",
            "omit it",
        )),
        (given, _) => Err(invalid_parameter(
            "by",
            given.unwrap_or_default(),
            "state, outcome, command, origin, submitted, or completed",
            "correct or add it",
        )),
    }
}
