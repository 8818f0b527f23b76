//! The three responses of the GES API: the list, the state of one job, and a cancellation.
//!
//! Contains the handlers that build these documents. The bytes of a page come from the store. Each
//! response is either a success document or an error of the GES API.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use tokio::sync::oneshot;

use crate::api::export::Export;
use crate::api::graph::Graph;
use crate::api::lifecycle::Cancellation;
use crate::api::page::Page;
use crate::http::api_error::JSON;
use crate::http::audit_log::{Actor, AuditEntry};
use crate::http::compressed_page::CompressedPage;
use crate::http::encoding::{Encoding, Wanted};
use crate::http::response::{RoutesState, json};
use crate::http::run_cache::RunCache;
use crate::http::stream::{BodySource, LINES, Pieces, Text, lines, pieces};
use crate::model::api_error::ApiError;
use crate::model::cursor::Cursor;
use crate::model::error::{Error, Result};
use crate::model::job::Job;
use crate::model::job_json::{BEFORE_ID, BEFORE_STATUS, JobJson};
use crate::model::list_request::ListRequest;
use crate::model::outcome::OutcomeKind;
use crate::model::query_string::QueryString;
use crate::model::states::State;

const TOTAL: HeaderName = HeaderName::from_static("x-total-count");
pub(crate) const NEXT: HeaderName = HeaderName::from_static("x-next-cursor");
const AS_OF_LSN: HeaderName = HeaderName::from_static("x-as-of-lsn");
/// The header that contains how far a follower may be behind.
const LAG_MS: HeaderName = HeaderName::from_static("x-lag-ms");
/// The header that contains the number of jobs that a page of lines skips because a repair
/// quarantined them.
const QUARANTINED: HeaderName = HeaderName::from_static("x-quarantined");

/// The form in which a page is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ListFormat {
    Document,
    Detailed,
    Lines,
}

impl ListFormat {
    /// The pieces of a page, and their encoding.
    fn pieces(self, page: &Page, wanted: Wanted, cache: &Arc<RunCache>) -> (Pieces, Encoding) {
        let text: Text = match self {
            ListFormat::Document => match CompressedPage::new(page, wanted.assembled, cache) {
                Some(page) => return (Box::new(page), wanted.assembled),
                None => Box::new(page.chunks()),
            },
            ListFormat::Detailed => Box::new(page.detailed_chunks()),
            ListFormat::Lines => {
                let mut jobs = Export::lines_with_progress(page);
                lines(move |out| jobs.write_piece(out))
            }
        };
        (pieces(text), wanted.encoding)
    }

    fn content_type(self) -> HeaderValue {
        match self {
            ListFormat::Document | ListFormat::Detailed => JSON,
            ListFormat::Lines => LINES,
        }
    }
}

/// What the headers of a page contain.
struct PageHeaders {
    total: Option<u64>,
    next: Option<Cursor>,
    /// How many quarantined jobs the page skips, if its form does not show that otherwise.
    quarantined: u64,
    as_of_lsn: u64,
    lag: Option<Duration>,
}

impl PageHeaders {
    fn of(page: &Page, form: ListFormat) -> PageHeaders {
        PageHeaders {
            total: page.total(),
            next: page.next(),
            quarantined: match form {
                ListFormat::Lines => page.quarantined(),
                ListFormat::Document | ListFormat::Detailed => 0,
            },
            as_of_lsn: page.as_of_lsn(),
            lag: page.graph.engine().lag(),
        }
    }

    fn put(self, headers: &mut HeaderMap) {
        if let Some(total) = self.total {
            headers.insert(TOTAL, total.into());
        }
        if self.quarantined > 0 {
            headers.insert(QUARANTINED, self.quarantined.into());
        }
        headers.insert(AS_OF_LSN, self.as_of_lsn.into());
        if let Some(lag) = self.lag {
            let ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
            headers.insert(LAG_MS, ms.into());
        }
        put_next(headers, self.next);
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
        let mut query = QueryString::parse(query)?;
        let asked = ListRequest::take(&mut query)?;
        let form = match query.flag("detail")? {
            true => ListFormat::Detailed,
            false => ListFormat::Document,
        };
        query.end()?;
        self.page(graph, asked, form, headers).await
    }

    /// A page of the list, one job per line.
    pub(crate) async fn lines(
        &self,
        graph: (String, String),
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let mut query = QueryString::parse(query)?;
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
        let place = match asked.query.scans() {
            true => Some(self.project_limits.scan(&project_id)?),
            false => None,
        };
        let (watched, client) = oneshot::channel::<()>();
        let query = asked.query.clone();
        let query = query.on_progress(move |_| ends_if(watched.is_closed()));
        let (wanted, cache) = (Wanted::of(headers), self.run_cache.clone());
        let found = self.with_graph(graph, move |graph| -> Result<_, ApiError> {
            let _permit = place;
            let id = asked.job_id.clone().unwrap_or_default();
            let page = graph
                .list_requested(ListRequest { query, ..asked })
                .map_err(|e| not_found::<ApiError>(e, &id))?;
            let (pieces, encoding) = form.pieces(&page, wanted, &cache);
            let begun = BodySource::begin_pieces(pieces, encoding)?;
            Ok((begun, PageHeaders::of(&page, form)))
        });
        let (begun, about) = found.await?;
        // If the client disconnects or the time is over, `client` is dropped before this point. The
        // drop ends the scan.
        drop(client);
        let mut response = self.respond(&project_id, begun, form.content_type())?;
        about.put(response.headers_mut());
        Ok(response)
    }

    /// The state of one job.
    pub(crate) async fn job(
        &self,
        graph: (String, String),
        id: String,
        query: Option<&str>,
    ) -> Result<Response, ApiError> {
        let mut query = QueryString::parse(query)?;
        // The GES API documents these parameters for this path as well; they have no effect here.
        query.page()?;
        query.end()?;
        let state = self.with_graph(graph, move |graph| -> Result<_, ApiError> {
            Ok(state_document(&one::<ApiError>(&graph, &id)?))
        });
        Ok(json(state.await?))
    }

    /// Cancels a job.
    pub(crate) async fn cancel(
        &self,
        graph: (String, String),
        id: String,
        query: Option<&str>,
    ) -> Result<Response, ApiError> {
        QueryString::parse(query)?.end()?;
        let done = self.with_graph(graph, move |graph| -> Result<_, ApiError> {
            cancelled(&graph, &id, Actor::HttpClient)
        });
        done.await.map(|_| json("{}"))
    }
}

/// Tells a scan whether to continue: it stops if `is_over`.
pub(crate) fn ends_if(is_over: bool) -> ControlFlow<()> {
    match is_over {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// Sets the header with the cursor of the next page.
pub(crate) fn put_next(headers: &mut HeaderMap, next: Option<Cursor>) {
    let next = next.and_then(|next| HeaderValue::from_str(&next.to_string()).ok());
    if let Some(next) = next {
        headers.insert(NEXT, next);
    }
}

/// Treats an invalid id as the id of an unknown job.
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

/// A job that does not exist, for whatever reason, cannot be canceled.
fn to_cancel<E: From<Error> + From<ApiError>>(error: Error, id: &str) -> E {
    match error {
        Error::UnknownJob { .. } | Error::InvalidJobId { .. } | Error::JobPurged { .. } => {
            ApiError::unknown_job_to_cancel(id).into()
        }
        other => other.into(),
    }
}

/// `{"jobId":"..","status":"success",..}`, with the known details of the job's life cycle.
fn state_document(job: &Job) -> Vec<u8> {
    let status = match (job.state(), job.outcome().map(|outcome| outcome.kind())) {
        (State::Pending, _) => "pending",
        (State::Running, _) => "running",
        (State::Complete, Some(OutcomeKind::Succeeded)) => "success",
        // A client that knows only these four words must not mistake a partial result for a
        // complete one.
        (State::Complete, _) => "failed",
    };
    let (id, status) = (job.id().as_str(), [BEFORE_STATUS, status, "\""].concat());
    let mut out = [BEFORE_ID, id, &status].concat().into_bytes();
    JobJson::of(job).put_member(&mut out);
    out.push(b'}');
    out
}
