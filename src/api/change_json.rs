// A change as JSON.

use crate::api::changes::Change;
use crate::api::graph::Graph;
use crate::base::clock::to_ms;
use crate::model::change::ChangeKind;
use crate::model::job_json::{put_ms, put_text};
use crate::model::outcome_json::put_outcome;

impl Graph {
    /// Returns a change of this graph as JSON, with values under secret keys masked:
    /// `{"kind":"completed","sequence":7,"jobId":"..","at":1700000000000,"outcome":{..},
    /// "position":".."}`. The kinds are `submitted`, `started`, `cancel_requested`, `completed`
    /// (with `outcome`), `requeued`, `purged` (with `reason`, and `resultRef` if there is one), and
    /// `gone` (with `events`). Members that are unknown are omitted.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// movie.submit_as("import-1", Request::new("import_graph", "/ges", Body::empty())?)?;
    /// for change in movie.changes(None)? {
    ///     let json = movie.change_to_json(&change?);
    ///     assert!(json.starts_with(r#"{"kind":"submitted","sequence":0,"jobId":"import-1","at":"#));
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn change_to_json(&self, change: &Change) -> String {
        let mut out = format!(r#"{{"kind":"{}""#, change.kind.as_str()).into_bytes();
        if let Some(sequence) = change.sequence {
            out.extend_from_slice(format!(r#","sequence":{sequence}"#).as_bytes());
        }
        if let Some(id) = &change.id {
            put_text("jobId", id.as_str(), &mut out);
        }
        put_ms("at", change.at.map(to_ms), &mut out);
        match &change.kind {
            ChangeKind::Completed(outcome) => {
                out.extend_from_slice(br#","outcome":"#);
                put_outcome(outcome, Some(&self.engine().secret_keys()), &mut out);
            }
            ChangeKind::Purged { reason, result_ref } => {
                put_text("reason", reason.as_str(), &mut out);
                if let Some(result_ref) = result_ref {
                    put_text("resultRef", result_ref, &mut out);
                }
            }
            ChangeKind::Gone { events } => {
                out.extend_from_slice(format!(r#","events":{events}"#).as_bytes());
            }
            _ => {}
        }
        put_text("position", &change.position.to_string(), &mut out);
        out.push(b'}');
        // All parts are valid UTF-8.
        String::from_utf8_lossy(&out).into_owned()
    }
}
