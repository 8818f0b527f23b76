//! The three answers: the list, one job's state, a cancellation.
//!
//! Owns: what stands in them beside the page's own bytes. Must not know: paths, who may
//! ask, how a text goes out.
//! Promise: the contract's success documents, or one of its failures.

use std::ops::ControlFlow;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use tokio::sync::oneshot;

use crate::api::export::Export;
use crate::api::graph::Graph;
use crate::api::lifecycle::Cancellation;
use crate::api::page::Page;
use crate::http::api_error::JSON;
use crate::http::audit_log::{Actor, AuditEntry};
use crate::http::query::{ListRequest, Query};
use crate::http::response::{RoutesState, encoding, json};
use crate::http::stream::{BodySource, LINES, Text, lines};
use crate::model::api_error::ApiError;
use crate::model::cursor::Cursor;
use crate::model::error::{Error, Result};
use crate::model::job::Job;
use crate::model::job_json::{BEFORE_ID, BEFORE_STATUS, JobJson};
use crate::model::outcome::OutcomeKind;
use crate::model::states::State;

const TOTAL: HeaderName = HeaderName::from_static("x-total-count");
const NEXT: HeaderName = HeaderName::from_static("x-next-cursor");
/// How many jobs a page of lines passes over because a repair quarantined them.
const QUARANTINED: HeaderName = HeaderName::from_static("x-quarantined");

/// How a page goes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ListFormat {
    Document,
    Detailed,
    Lines,
}

impl ListFormat {
    fn text(self, page: &Page) -> Text {
        match self {
            ListFormat::Document => Box::new(page.chunks()),
            ListFormat::Detailed => Box::new(page.detailed_chunks()),
            ListFormat::Lines => {
                let mut jobs = Export::lines_with_progress(page);
                lines(move |out| jobs.write_piece(out))
            }
        }
    }

    fn content_type(self) -> HeaderValue {
        match self {
            ListFormat::Document | ListFormat::Detailed => JSON,
            ListFormat::Lines => LINES,
        }
    }
}

impl RoutesState {
    /// A page of the list.
    pub(crate) async fn list(
        &self,
        graph: (String, String),
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let mut query = Query::parse(query)?;
        let asked = ListRequest::take(&mut query)?;
        let form = match query.flag("detail")? {
            true => ListFormat::Detailed,
            false => ListFormat::Document,
        };
        query.end()?;
        self.page(graph, asked, form, headers).await
    }

    /// A page of the list, a job a line.
    pub(crate) async fn lines(
        &self,
        graph: (String, String),
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let mut query = Query::parse(query)?;
        let asked = ListRequest::take(&mut query)?;
        query.end()?;
        self.page(graph, asked, ListFormat::Lines, headers).await
    }

    async fn page(
        &self,
        graph: (String, String),
        asked: ListRequest,
        form: ListFormat,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let project_id = graph.0.clone();
        let place = match asked.list.scans() {
            true => Some(self.project_limits.scan(&project_id)?),
            false => None,
        };
        let (watched, client) = oneshot::channel::<()>();
        let list = asked
            .list
            .on_progress(move |_| ends_if(watched.is_closed()));
        let encoding = encoding(headers);
        let found = self.with_graph(graph, move |graph| -> Result<_, ApiError> {
            let _permit = place;
            let page = match &asked.job_id {
                None => graph.list(list)?,
                Some(id) => {
                    let page = graph
                        .list_one(id)
                        .map_err(|e| not_found::<ApiError>(e, id))?;
                    page.past(asked.offset)
                }
            };
            let begun = BodySource::begin(form.text(&page), encoding)?;
            Ok((begun, page.total(), page.next(), page.quarantined()))
        });
        let (begun, total, next, quarantined) = found.await?;
        // Dropped before, when the client goes away or the time is over: a scan ends then.
        drop(client);
        let mut response = self.respond(&project_id, begun, form.content_type())?;
        let headers = response.headers_mut();
        if let Some(total) = total {
            headers.insert(TOTAL, total.into());
        }
        if form == ListFormat::Lines && quarantined > 0 {
            headers.insert(QUARANTINED, quarantined.into());
        }
        put_next(headers, next);
        Ok(response)
    }

    /// One job's state.
    pub(crate) async fn job(
        &self,
        graph: (String, String),
        id: String,
        query: Option<&str>,
    ) -> Result<Response, ApiError> {
        let mut query = Query::parse(query)?;
        // The service documents them for this path, too, where they select nothing.
        query.page()?;
        query.end()?;
        let state = self.with_graph(graph, move |graph| -> Result<_, ApiError> {
            Ok(state_document(&one::<ApiError>(&graph, &id)?))
        });
        Ok(json(state.await?))
    }

    /// Calls a job off.
    pub(crate) async fn cancel(
        &self,
        graph: (String, String),
        id: String,
        query: Option<&str>,
    ) -> Result<Response, ApiError> {
        Query::parse(query)?.end()?;
        let done = self.with_graph(graph, move |graph| -> Result<_, ApiError> {
            cancelled(&graph, &id, Actor::HttpClient)
        });
        done.await.map(|_| json("{}"))
    }
}

/// What a scan is told that may be over.
pub(crate) fn ends_if(is_over: bool) -> ControlFlow<()> {
    match is_over {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// Says where the list goes on.
pub(crate) fn put_next(headers: &mut HeaderMap, next: Option<Cursor>) {
    let next = next.and_then(|next| HeaderValue::from_str(&next.to_string()).ok());
    if let Some(next) = next {
        headers.insert(NEXT, next);
    }
}

/// What cannot be an id is no job's.
pub(crate) fn not_found<E: From<Error> + From<ApiError>>(error: Error, id: &str) -> E {
    match error {
        Error::InvalidJobId { .. } => ApiError::unknown_job(id).into(),
        other => other.into(),
    }
}

/// The job with this id.
pub(crate) fn one<E: From<Error> + From<ApiError>>(graph: &Graph, id: &str) -> Result<Job, E> {
    match graph.job(id) {
        Ok(Some(job)) => Ok(job),
        Ok(None) => Err(not_found(graph.not_there_by_text(id), id)),
        Err(error) => Err(not_found(error, id)),
    }
}

/// Cancels a job, and logs it.
pub(crate) fn cancelled<E: From<Error> + From<ApiError>>(
    graph: &Graph,
    id: &str,
    by: Actor,
) -> Result<Cancellation, E> {
    let done = graph
        .cancel(id)
        .map_err(|error| to_cancel::<E>(error, id))?;
    let act = AuditEntry {
        action: "cancel",
        graph: (graph.project_id(), graph.name()),
        job: Some(id),
        by,
    };
    match done {
        Cancellation::CancelledBeforeStart => act.log("canceled before it started"),
        Cancellation::Requested => act.log("requested"),
        Cancellation::AlreadyComplete(_) => {}
    }
    Ok(done)
}

/// No job can be called off that is not there, for whatever reason.
fn to_cancel<E: From<Error> + From<ApiError>>(error: Error, id: &str) -> E {
    match error {
        Error::UnknownJob { .. } | Error::InvalidJobId { .. } | Error::JobPurged { .. } => {
            ApiError::unknown_job_to_cancel(id).into()
        }
        other => other.into(),
    }
}

/// `{"jobId":"..","status":"success",..}`, with what is known of its life behind.
fn state_document(job: &Job) -> Vec<u8> {
    let status = match (job.state(), job.outcome().map(|outcome| outcome.kind())) {
        (State::Pending, _) => "pending",
        (State::Running, _) => "running",
        (State::Complete, Some(OutcomeKind::Succeeded)) => "success",
        // Who knows these four words alone must not take a part for the whole.
        (State::Complete, _) => "failed",
    };
    let (id, status) = (job.id().as_str(), [BEFORE_STATUS, status, "\""].concat());
    let mut out = [BEFORE_ID, id, &status].concat().into_bytes();
    JobJson::of(job).put_member(&mut out);
    out.push(b'}');
    out
}
