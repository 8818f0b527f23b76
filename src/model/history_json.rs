// A history as JSON: `{"boundsMs":[..],"points":[..]}`. Times are in milliseconds since 1970.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::clock;
use crate::model::error::{Error, Result};
use crate::model::history::HistoryPoint;
use crate::model::job_counts::{CountsJson, JobCounts, JobHistogram};
use crate::model::json;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    bounds_ms: Vec<u64>,
    points: Vec<Point>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Point {
    start: u64,
    length_ms: u64,
    counts: CountsJson,
    commands: Vec<OfCommand>,
}

#[derive(Deserialize)]
struct OfCommand {
    command: Option<String>,
    #[serde(flatten)]
    counts: CountsJson,
}

impl HistoryPoint {
    /// Returns the point as JSON. Times are in milliseconds since 1970.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.json().to_string()
    }

    pub(crate) fn json(&self) -> Value {
        let commands = self.commands.iter().map(|(command, counts)| {
            let mut json = counts.json();
            json["command"] = json!(command);
            json
        });
        json!({
            "start": clock::to_ms(self.start),
            "lengthMs": u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX),
            "counts": self.counts.json(),
            "commands": commands.collect::<Vec<_>>(),
        })
    }

    /// Returns the points as one JSON document, as an iterator over its pieces. The members are
    /// `boundsMs`, the bounds of the histograms in milliseconds, and `points`.
    ///
    /// # Examples
    /// ```
    /// use jobstore::HistoryPoint;
    /// # use jobstore::{Body, JobStore, Request};
    /// # use std::time::{Duration, SystemTime};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// # let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    /// let points = movie.history(now - hour, now + hour, hour)?;
    /// let document: String = HistoryPoint::to_document(points.clone()).collect();
    /// assert!(document.starts_with(r#"{"boundsMs":[10,30,"#));
    /// assert_eq!(HistoryPoint::from_document(&document)?, points);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn to_document(points: Vec<HistoryPoint>) -> impl Iterator<Item = String> {
        let begin = format!(r#"{{"boundsMs":{},"points":["#, json!(bounds_ms()));
        let points = points.into_iter().enumerate().map(|(n, point)| {
            let separator = if n == 0 { "" } else { "," };
            format!("{separator}{}", point.json())
        });
        let end = std::iter::once_with(|| "]}".to_owned());
        std::iter::once(begin).chain(points).chain(end)
    }

    /// Parses what [`HistoryPoint::to_document`] returns.
    ///
    /// # Errors
    /// [`Error::InvalidJson`]; [`Error::InvalidParameter`] if the document is not a history, or was
    /// written by a release with other outcomes or other bounds of histograms.
    pub fn from_document(text: &str) -> Result<Vec<HistoryPoint>> {
        let document: Document = json::parse("history", text)?;
        let points = match document.bounds_ms == bounds_ms() {
            true => document.points.into_iter().map(point).collect(),
            false => None,
        };
        points.ok_or_else(|| Error::InvalidParameter {
            problem: "invalid history: its histograms have other bounds, or it contains unknown \
                      outcomes; use the release of jobstore that wrote it"
                .to_owned(),
        })
    }
}

fn bounds_ms() -> Vec<u64> {
    let bounds = JobHistogram::bounds().iter();
    bounds.map(|bound| bound.as_millis() as u64).collect()
}

fn point(point: Point) -> Option<HistoryPoint> {
    let commands = point.commands.into_iter();
    let commands = commands.map(|of| Some((of.command, JobCounts::from_json(&of.counts)?)));
    Some(HistoryPoint {
        start: clock::from_ms(point.start),
        length: Duration::from_millis(point.length_ms),
        counts: JobCounts::from_json(&point.counts)?,
        commands: commands.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_other_bounds_or_outcomes_is_refused() {
        let document: String = HistoryPoint::to_document(Vec::new()).collect();
        assert!(HistoryPoint::from_document(&document).unwrap().is_empty());
        let counts = JobCounts::default().to_json();
        let counts = counts.replace(r#""completed":{}"#, r#""completed":{"stalled":1}"#);
        let point = format!(r#"[{{"start":0,"lengthMs":1,"counts":{counts},"commands":[]}}]"#);
        for other in [
            document.replace("[10,", "[11,"),
            document.replace(r#""points":[]"#, &format!(r#""points":{point}"#)),
        ] {
            assert_ne!(other, document);
            let refused = HistoryPoint::from_document(&other);
            assert!(
                matches!(refused, Err(Error::InvalidParameter { .. })),
                "{refused:?}"
            );
        }
    }
}
