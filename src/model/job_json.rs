// A job's details as JSON.
//
// The same job always results in the same line, with values under secret keys masked.

use crate::base::clock::to_ms;
use crate::model::job::{Job, Progress};
use crate::model::json;
use crate::model::outcome::{Outcome, OutcomeKind};
use crate::model::outcome_json::put_outcome;
use crate::model::secrets::SecretKeys;

/// The list's text around a job's id, state, and request.
pub(crate) const BEFORE_ID: &str = r#"{"jobId":""#;
pub(crate) const BEFORE_STATUS: &str = r#"","status":""#;
pub(crate) const BEFORE_REQUEST: &str = r#"","request":"#;
pub(crate) const AFTER_REQUEST: &str = "}";
/// Appends a job's text without its last brace, so that members can be added.
pub(crate) fn push_open(id: &str, status: &str, request: &str, out: &mut Vec<u8>) {
    for part in [
        BEFORE_ID,
        id,
        BEFORE_STATUS,
        status,
        BEFORE_REQUEST,
        request,
    ] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The details of a job, without its request.
pub(crate) struct JobJson<'a> {
    pub(crate) origin: Option<&'a str>,
    pub(crate) cancel_requested: bool,
    pub(crate) outcome: Option<&'a Outcome>,
    /// The keys whose values are masked in the outcome's detail.
    pub(crate) masked: Option<&'a SecretKeys>,
    pub(crate) submitted_ms: u64,
    pub(crate) started_ms: Option<u64>,
    pub(crate) completed_ms: Option<u64>,
    pub(crate) progress: Option<Progress>,
}

impl<'a> JobJson<'a> {
    pub(crate) fn of(job: &'a Job) -> JobJson<'a> {
        JobJson {
            origin: job.request.origin(),
            cancel_requested: job.cancel_requested,
            outcome: job.outcome.as_ref(),
            masked: Some(&job.secret_keys),
            submitted_ms: to_ms(job.submitted_at),
            started_ms: job.started_at.map(to_ms),
            completed_ms: job.completed_at.map(to_ms),
            progress: job.progress.clone(),
        }
    }

    /// Appends the details under the names used in an export.
    pub(crate) fn put_line(&self, out: &mut Vec<u8>) {
        self.put_origin(out);
        self.put_end(out);
        put_ms("submittedAt", Some(self.submitted_ms), out);
        put_ms("startedAt", self.started_ms, out);
        put_ms("completedAt", self.completed_ms, out);
        if let Some(Progress { percent, text }) = &self.progress {
            let text = json::quote(text);
            let progress = format!(r#","progress":{{"percent":{percent},"text":{text}}}"#);
            out.extend_from_slice(progress.as_bytes());
        }
    }

    /// Appends the details under the names used in the detailed list.
    pub(crate) fn put_member(&self, out: &mut Vec<u8>) {
        self.put_origin(out);
        put_ms("submittedAt", Some(self.submitted_ms), out);
        put_ms("startedAt", self.started_ms, out);
        put_ms("completedAt", self.completed_ms, out);
        if let Some(progress) = &self.progress {
            out.extend_from_slice(format!(r#","progress":{}"#, progress.percent).as_bytes());
            put_text("progressText", &progress.text, out);
        }
        let failed = self.outcome.filter(|o| o.kind() != OutcomeKind::Succeeded);
        if let Some(failed) = failed {
            let reason = failed.message().unwrap_or(failed.kind().as_str());
            put_text("failReason", reason, out);
        }
        self.put_end(out);
    }

    fn put_origin(&self, out: &mut Vec<u8>) {
        if let Some(origin) = self.origin {
            put_text("origin", origin, out);
        }
    }

    fn put_end(&self, out: &mut Vec<u8>) {
        if self.cancel_requested {
            out.extend_from_slice(br#","cancelRequested":true"#);
        }
        if let Some(outcome) = self.outcome {
            out.extend_from_slice(br#","outcome":"#);
            put_outcome(outcome, self.masked, out);
        }
    }
}

pub(crate) fn put_text(name: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!(r#","{name}":{}"#, json::quote(text)).as_bytes());
}

pub(crate) fn put_ms(name: &str, ms: Option<u64>, out: &mut Vec<u8>) {
    if let Some(ms) = ms {
        out.extend_from_slice(format!(r#","{name}":{ms}"#).as_bytes());
    }
}

impl Job {
    /// Returns the job as one line of JSON, as in [`Graph::export`](crate::Graph::export), without
    /// the line feed. Values under secret keys are `"******"`.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// movie.submit_as("import-1", Request::new("import_graph", "/ges", Body::empty())?)?;
    /// let line = movie.job("import-1")?.map(|job| job.to_json()).unwrap_or_default();
    /// assert!(line.starts_with(r#"{"jobId":"import-1","status":"pending","request":{"#));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let json_fields = JobJson {
            progress: None,
            ..JobJson::of(self)
        };
        self.line(&json_fields)
    }

    /// Like [`Job::to_json`], with the progress of a running job.
    #[cfg(feature = "http")]
    pub(crate) fn to_json_with_progress(&self) -> String {
        self.line(&JobJson::of(self))
    }

    fn line(&self, json_fields: &JobJson<'_>) -> String {
        let (mut out, masked) = (Vec::new(), self.masked.as_json());
        push_open(self.id.as_str(), self.state.as_str(), masked, &mut out);
        if self.secrets_lost || masked != self.request.as_json() {
            out.extend_from_slice(br#","masked":true"#);
        }
        json_fields.put_line(&mut out);
        out.push(b'}');
        // All parts are valid UTF-8.
        String::from_utf8_lossy(&out).into_owned()
    }
}
