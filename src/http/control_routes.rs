//! Operations on a store through its control socket: the routes under `/control`.
//!
//! Contains those routes and their JSON. They use only the public API. Every failure has the form
//! of a GES API error. If it was caused by an error of the library, it includes that error's code.

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::import::OnBadLine;
use crate::api::lifecycle::{Cancellation, Completion};
use crate::api::store::JobStore;
use crate::http::api_error::{InvalidParameter, no_such_resource, wrong_method};
use crate::http::audit_log::{Actor, AuditEntry};
use crate::http::find::find;
use crate::http::limits::Limits;
use crate::http::list::{cancelled, not_found, one};
use crate::http::query::Query;
use crate::http::request_body;
use crate::http::response::{RoutesState, blocking, encoding, json as json_response};
use crate::http::routes::{Routes, place};
use crate::http::stream::{BodySource, LINES, lines};
use crate::model::api_error::ApiError;
use crate::model::error::Error;
use crate::model::outcome::{Outcome, OutcomeKind};

/// The maximum size of a body that is not a job's request.
const BODY_BYTES_MAX: u64 = 128 << 10;

/// The timeout for operators. It is long because an operator may wait for a verification, read the
/// output in a pager, or send data as it is produced. None of this competes with the engine's
/// clients.
pub(crate) const PATIENT: Duration = Duration::from_secs(24 * 3600);

/// One project may use half of each limit. Even that is more than the number of connections.
fn limits() -> Limits {
    Limits::new()
        .long_pages(256)
        .scans(256)
        .first_byte(PATIENT)
        .stall(PATIENT)
        .whole(PATIENT)
}

/// The routes of the GES API, and those of the control socket.
pub(crate) fn router(store: &JobStore) -> Router {
    let routes = Routes::new(store).limits(limits());
    let paths: [(&str, MethodRouter<RoutesState>); 13] = [
        ("/control/graphs", get(graphs)),
        ("/control/stats", get(stats)),
        ("/control/verify", post(verify)),
        ("/control/backup", post(backup)),
        ("/control/graphs/{project_id}/{graph_name}/list", get(list)),
        ("/control/graphs/{project_id}/{graph_name}/find", post(find)),
        (
            "/control/graphs/{project_id}/{graph_name}/export",
            get(export),
        ),
        (
            "/control/graphs/{project_id}/{graph_name}/import",
            post(import),
        ),
        (
            "/control/graphs/{project_id}/{graph_name}/purge",
            post(purge),
        ),
        ("/control/graphs/{project_id}/{graph_name}/jobs", get(jobs)),
        (
            "/control/graphs/{project_id}/{graph_name}/jobs/{job_id}",
            get(job),
        ),
        (
            "/control/graphs/{project_id}/{graph_name}/jobs/{job_id}/complete",
            post(complete),
        ),
        (
            "/control/graphs/{project_id}/{graph_name}/jobs/{job_id}/cancel",
            post(cancel),
        ),
    ];
    let all = paths
        .into_iter()
        .fold(routes.all(), |all, (path, methods)| {
            all.merge(routes.router(path, methods.fallback(wrong_method)))
        });
    all.fallback(no_such_resource)
}

/// The same routes without a socket, for use inside the engine's own process.
#[cfg(feature = "simulation")]
pub(crate) fn routes_alone(store: &JobStore) -> Router {
    router(store).layer(Extension(Actor::HttpClient))
}

pub(crate) type Graph = Result<Path<(String, String)>, PathRejection>;
type Job = Result<Path<(String, String, String)>, PathRejection>;
/// An error whose message includes the details of an internal fault, for the operator who fixes it.
pub(crate) struct ControlError {
    failure: ApiError,
    /// The code of the [`Error`], if one was the cause.
    code: Option<HeaderValue>,
}

/// The header that contains the code of an [`Error`].
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

impl From<ApiError> for ControlError {
    fn from(failure: ApiError) -> ControlError {
        let code = None;
        ControlError { failure, code }
    }
}

impl From<Error> for ControlError {
    fn from(error: Error) -> ControlError {
        let message = error.to_string();
        let code = Some(HeaderValue::from_static(error.code()));
        let mut failure = ApiError::from(error);
        if failure.status >= 500 {
            failure.message = message;
        }
        ControlError { failure, code }
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let mut response = self.failure.into_response();
        if let Some(code) = self.code {
            response.headers_mut().insert(ERROR_CODE, code);
        }
        response
    }
}

pub(crate) type ControlResult<T = Response> = Result<T, ControlError>;

async fn graphs(State(shared): State<RoutesState>, RawQuery(query): RawQuery) -> ControlResult {
    Query::parse(query.as_deref())?.end()?;
    let graphs = shared.store.graphs()?;
    let graphs: Vec<_> = graphs
        .iter()
        .map(|graph| json!({"projectId": graph.project_id(), "graphName": graph.name()}))
        .collect();
    Ok(json_response(json!({ "graphs": graphs }).to_string()))
}

async fn stats(State(shared): State<RoutesState>, RawQuery(query): RawQuery) -> ControlResult {
    Query::parse(query.as_deref())?.end()?;
    let stats = blocking(move || Ok::<_, ControlError>(shared.store.stats()?.to_json()));
    Ok(json_response(stats.await?))
}

async fn verify(State(shared): State<RoutesState>, RawQuery(query): RawQuery) -> ControlResult {
    Query::parse(query.as_deref())?.end()?;
    let report = blocking(move || Ok::<_, ControlError>(shared.store.scrub()?.to_json()));
    Ok(json_response(report.await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Backup {
    to: PathBuf,
    /// Whether log files are shared through hard links.
    #[serde(default)]
    link: bool,
}

async fn backup(
    State(shared): State<RoutesState>,
    RawQuery(query): RawQuery,
    body: Body,
) -> ControlResult {
    Query::parse(query.as_deref())?.end()?;
    let Backup { to, link } = document(body, r#"{"to":"/absolute/path"}"#).await?;
    if !to.is_absolute() {
        let given = to.display().to_string();
        let remedy = "start it with /, because the working directory of this process may differ \
             from yours";
        return Err(ApiError::from(InvalidParameter {
            name: "to",
            given: &given,
            allowed: "an absolute path",
            remedy,
        })
        .into());
    }
    let backed_up = blocking(move || -> ControlResult<_> {
        Ok(match link {
            true => shared.store.backup_linked(&to, |_| {})?,
            false => shared.store.backup(&to)?,
        })
    });
    let done = backed_up.await?;
    let done = json!({"bytes": done.bytes, "linkedBytes": done.linked_bytes, "of": done.of});
    Ok(json_response(done.to_string()))
}

async fn list(
    State(shared): State<RoutesState>,
    path: Graph,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ControlResult {
    Ok(shared
        .list(place(path)?, query.as_deref(), &headers)
        .await?)
}

async fn jobs(
    State(shared): State<RoutesState>,
    path: Graph,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ControlResult {
    Ok(shared
        .lines(place(path)?, query.as_deref(), &headers)
        .await?)
}

async fn export(
    State(shared): State<RoutesState>,
    path: Graph,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ControlResult {
    let graph = place(path)?;
    let project_id = graph.0.clone();
    let mut query = Query::parse(query.as_deref())?;
    let filter = query.filter()?;
    let list = query.order(filter)?;
    let reveal_secrets = query.flag("reveal_secrets")?;
    query.end()?;
    let encoding = encoding(&headers);
    let begun = shared.with_graph(graph, move |graph| -> ControlResult<_> {
        let mut export = graph.export(list)?;
        if reveal_secrets {
            export = export.reveal_secrets();
        }
        let jobs = lines(move |out| export.write_piece(out));
        Ok(BodySource::begin(jobs, encoding)?)
    });
    Ok(shared.respond(&project_id, begun.await?, LINES)?)
}

async fn import(
    State(shared): State<RoutesState>,
    path: Graph,
    RawQuery(query): RawQuery,
    body: Body,
) -> ControlResult {
    let (project_id, name) = place(path)?;
    let mut query = Query::parse(query.as_deref())?;
    let create = query.flag("create")?;
    let on_bad_line = match query.flag("skip_bad")? {
        true => OnBadLine::Skip,
        false => OnBadLine::Stop,
    };
    query.end()?;
    let (lines, sent) = request_body::reader(body, shared.limits.stall);
    let imported = blocking(move || -> ControlResult<_> {
        match shared.store.graph(&project_id, &name) {
            Err(Error::UnknownGraph { .. }) if create => {
                let store = &shared.store;
                Ok(store.import_or_create(&project_id, &name, lines, on_bad_line)?)
            }
            there => Ok((there?.import(lines, on_bad_line)?, false)),
        }
    });
    let ((), imported) = tokio::join!(sent, imported);
    let (report, created) = imported?;
    let bad: Vec<_> = report
        .bad_lines
        .iter()
        .map(|(line, problem)| json!({"line": line, "problem": problem}))
        .collect();
    let report = json!({
        "imported": report.imported,
        "there": report.there,
        "secretsLeft": report.secrets_left,
        "skipped": report.bad,
        "badLines": bad,
        "lines": report.lines,
        "created": created,
    });
    Ok(json_response(report.to_string()))
}

async fn purge(
    State(shared): State<RoutesState>,
    Extension(by): Extension<Actor>,
    path: Graph,
    RawQuery(query): RawQuery,
) -> ControlResult {
    let graph = place(path)?;
    let mut query = Query::parse(query.as_deref())?;
    let filter = query.filter()?;
    let dry_run = query.flag("dry_run")?;
    query.end()?;
    let purged = shared.with_graph(graph, move |graph| -> ControlResult<_> {
        if dry_run {
            return Ok(graph.purge_dry_run(filter)?);
        }
        let purged = graph.purge(filter)?;
        let act = AuditEntry {
            action: "purge",
            graph: (graph.project_id(), graph.name()),
            job: None,
            by,
        };
        act.log(format_args!("{} jobs", purged.jobs));
        Ok(purged)
    });
    let jobs = purged.await?.jobs;
    Ok(json_response(json!({ "jobs": jobs }).to_string()))
}

async fn job(
    State(shared): State<RoutesState>,
    path: Job,
    RawQuery(query): RawQuery,
) -> ControlResult {
    let (project_id, name, id) = place(path)?;
    Query::parse(query.as_deref())?.end()?;
    let found = shared.with_graph((project_id, name), move |graph| -> ControlResult<_> {
        Ok(one::<ControlError>(&graph, &id)?.to_json_with_progress())
    });
    Ok(json_response(found.await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    outcome: String,
    message: Option<String>,
    code: Option<String>,
}

async fn complete(
    State(shared): State<RoutesState>,
    Extension(by): Extension<Actor>,
    path: Job,
    RawQuery(query): RawQuery,
    body: Body,
) -> ControlResult {
    let (project_id, name, id) = place(path)?;
    Query::parse(query.as_deref())?.end()?;
    let allowed =
        r#"{"outcome":"failed","message":"..","code":".."}; message and code are optional"#;
    let ended: Ended = document(body, allowed).await?;
    let Some(kind) = OutcomeKind::from_word(&ended.outcome) else {
        let allowed = "succeeded, partially_failed, failed, cancelled, or interrupted";
        let remedy = "correct it";
        return Err(ApiError::from(InvalidParameter {
            name: "outcome",
            given: &ended.outcome,
            allowed,
            remedy,
        })
        .into());
    };
    let outcome = Outcome::new(kind, ended.code, ended.message)?;
    let done = shared.with_graph((project_id, name), move |graph| -> ControlResult<_> {
        let done = graph
            .complete(&id, outcome)
            .map_err(|error| not_found::<ControlError>(error, &id))?;
        if done == Completion::Done {
            let act = AuditEntry {
                action: "complete",
                graph: (graph.project_id(), graph.name()),
                job: Some(&id),
                by,
            };
            act.log(kind);
        }
        Ok(done)
    });
    Ok(json_response(match done.await? {
        Completion::Done => json!({"completed": true}).to_string(),
        Completion::AlreadyComplete(outcome) => {
            json!({"completed": false, "outcome": outcome.kind().as_str()}).to_string()
        }
    }))
}

async fn cancel(
    State(shared): State<RoutesState>,
    Extension(by): Extension<Actor>,
    path: Job,
    RawQuery(query): RawQuery,
) -> ControlResult {
    let (project_id, name, id) = place(path)?;
    Query::parse(query.as_deref())?.end()?;
    let done = shared.with_graph((project_id, name), move |graph| -> ControlResult<_> {
        cancelled(&graph, &id, by)
    });
    let word = match done.await? {
        Cancellation::CancelledBeforeStart => "beforeStart",
        Cancellation::Requested => "requested",
        Cancellation::AlreadyComplete(_) => "alreadyComplete",
    };
    Ok(json_response(json!({ "cancelled": word }).to_string()))
}

/// Parses a JSON body. The error for an invalid body does not quote it.
async fn document<T: DeserializeOwned>(body: Body, allowed: &str) -> Result<T, ApiError> {
    let text = request_body::text(body, BODY_BYTES_MAX).await?;
    serde_json::from_str(&text).map_err(|error| {
        let what = match error.is_data() {
            true => "unexpected field or type",
            false => "invalid JSON",
        };
        let message = format!(
            "invalid body: {what} at column {}; expected {allowed}",
            error.column()
        );
        ApiError::new(400, "GES.8000", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_cut_off_who_pauses() {
        let Limits {
            first_byte,
            stall,
            whole,
            ..
        } = limits();
        let hours = Duration::from_secs(12 * 3600);
        assert!([first_byte, stall, whole].iter().all(|time| *time > hours));
    }
}
