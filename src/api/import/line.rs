// Parsing of a line: a whole job, a request with details, or a bare request.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::clock::TIME_MS_MAX;
use crate::engine::core::Engine;
use crate::engine::state::operation::{Imported, Submission};
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::outcome::Outcome;
use crate::model::outcome_json::WireOutcome;
use crate::model::request::{Body, Request, WireRequest, present};
use crate::model::states::State;

/// Parses a line. The error does not contain its text.
pub(super) fn parse(line: u64, bytes: &[u8], engine: &Engine) -> Result<Imported> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the line is not valid UTF-8".to_owned());
    let job = text.and_then(|text| Line::job(text, engine));
    let job = job.map_err(|problem| Error::BadLine { line, problem })?;
    let given_bytes = job.submission.masked_request.bytes();
    let max_bytes = engine.options.max_request_bytes;
    if given_bytes > max_bytes {
        let error = Error::RequestTooLarge {
            given_bytes,
            max_bytes,
        };
        return Err(of_line(line, error));
    }
    Ok(job)
}

/// A line as given.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line<'a> {
    job_id: Option<String>,
    status: Option<String>,
    #[serde(borrow)]
    request: Option<WireRequest<'a>>,
    #[serde(borrow)]
    outcome: Option<WireOutcome<'a>>,
    submitted_at: Option<u64>,
    started_at: Option<u64>,
    completed_at: Option<u64>,
    #[serde(default)]
    cancel_requested: bool,
    #[serde(default)]
    masked: bool,
    command: Option<String>,
    url: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    body: Option<&'a RawValue>,
    origin: Option<String>,
}

impl<'a> Line<'a> {
    fn job(text: &'a str, engine: &Engine) -> Result<Imported, String> {
        let line: Line<'a> = serde_json::from_str(text).map_err(|e| {
            // serde's messages quote unknown input.
            let what = if e.is_data() {
                "unexpected field or type"
            } else {
                "invalid JSON"
            };
            format!("{what} at column {}", e.column())
        })?;
        let said = |error: Error| error.to_string();
        let mut origin = line.origin;
        let is_bare = line.command.is_some() || line.url.is_some() || line.body.is_some();
        let request = match (line.request, line.command) {
            (Some(_), _) if is_bare => {
                let problem = "it has both a request and a command, url, or body; use one or the \
                     other";
                return Err(problem.to_owned());
            }
            (Some(request), _) => {
                if origin.is_some() && request.origin.is_some() {
                    return Err("it has two origins; use one of them".to_owned());
                }
                origin = origin.or(request.origin);
                let url = request.url.map(|url| url.0.into_owned());
                let command = request.command.into_owned();
                (command, url.unwrap_or_default(), request.body)
            }
            (None, Some(command)) => (command, line.url.unwrap_or_default(), line.body),
            (None, None) => return Err("it has neither a request nor a command".to_owned()),
        };
        let (command, url, body) = request;
        let body = body.map_or_else(|| Ok(Body::empty()), |b| Body::from_json(b.get()));
        let request = Request::new(command, url, body.map_err(said)?).map_err(said)?;
        let request = request
            .with_origin(origin.unwrap_or_default())
            .map_err(said)?;
        let keys = engine.secret_keys();
        let masked_request = match (keys.keep(request), line.masked) {
            (masked_request, true) => masked_request.lose_secrets(),
            (masked_request, false) => masked_request,
        };
        let id = line.job_id.map(JobId::new).transpose().map_err(said)?;
        let outcome = line.outcome.map(WireOutcome::outcome).transpose();
        let outcome = outcome.map_err(said)?;
        let outcome = outcome.map(|o| o.kept(&keys)).transpose().map_err(said)?;
        let status = line.status.map(|given| {
            let states = State::ALL.into_iter();
            states.into_iter().find(|state| state.as_str() == given)
        });
        let status = match status {
            Some(None) => {
                return Err("invalid status; use pending, running, or complete".to_owned());
            }
            Some(status) => status,
            None => None,
        };
        let state = match (status, &outcome) {
            (None, None) => State::Pending,
            (None | Some(State::Complete), _) => State::Complete,
            (Some(open), None) => open,
            (Some(_), Some(_)) => return Err("only a complete job can have an outcome".to_owned()),
        };
        let outcome = match (state, outcome) {
            (State::Complete, None) => Some(Outcome::succeeded()),
            (_, outcome) => outcome,
        };
        let submitted_ms = time("submittedAt", line.submitted_at)?;
        let started_ms = time("startedAt", line.started_at)?;
        let completed_ms = time("completedAt", line.completed_at)?;
        Ok(Imported {
            id,
            submission: Submission::new(engine.store, masked_request),
            state,
            outcome,
            submitted_ms,
            started_ms: started_ms.filter(|_| state != State::Pending),
            completed_ms: completed_ms.filter(|_| state == State::Complete),
            cancel_requested: line.cancel_requested && state == State::Running,
        })
    }
}

/// Checks a time: only times that can be displayed are valid.
fn time(name: &str, given: Option<u64>) -> Result<Option<u64>, String> {
    match given {
        Some(given) if given > TIME_MS_MAX => Err(format!(
            "invalid {name}: {given}; use at most {TIME_MS_MAX} (milliseconds since 1970, up to \
             the end of the year 9999)"
        )),
        given => Ok(given),
    }
}

/// Attributes an error to the line or to the store.
pub(super) fn of_line(line: u64, error: Error) -> Error {
    match error {
        Error::JobIdTaken { .. } | Error::JobIdPurged { .. } | Error::RequestTooLarge { .. } => {
            let problem = error.to_string();
            Error::BadLine { line, problem }
        }
        error => error,
    }
}
