//! Search for jobs whose ids are lost: by the whole request, or by parts of it.
//!
//! Contains the route `find`. Results are listed newest first, one job per
//! line. A search that is stopped or reaches its limit returns a cursor from which another search
//! can continue. A search ends if its client disconnects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::engine::read::jobs::JobReader;
use crate::http::encoding::Encoding;
use crate::http::list::{ends_if, put_next};
use crate::http::operator::failure::Answer;
use crate::http::operator::path::GraphPath;
use crate::http::request_body;
use crate::http::response::{RoutesState, encoding};
use crate::http::routes::place;
use crate::http::stream::{BodySource, LINES, lines};
use crate::model::api_error::ApiError;
use crate::model::job_query::{JobQuery, PAGE_JOBS_MAX, ScanProgress};
use crate::model::query_string::QueryString;
use crate::model::request::{BESIDE_REQUEST_BYTES, Request};

/// The header that contains how many jobs a search has scanned, and how many there are:
/// `500/12000`.
const SEARCHED: HeaderName = HeaderName::from_static("x-searched");

/// If there is a body, it is the request to find. Otherwise, the query describes the request.
pub(crate) async fn find(
    State(shared): State<RoutesState>,
    path: GraphPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let graph = place(path)?;
    let mut query = QueryString::parse(query.as_deref())?;
    let limit = query.number("limit", 1..=u64::MAX)?;
    let parts = query.filter()?;
    let parts = query.cursor(parts)?;
    let stop_after = query.number("stop_after_ms", 1..=u64::MAX)?;
    query.end()?;
    let max_bytes = shared.store.engine().options.max_request_bytes;
    let text = request_body::text(body, max_bytes.saturating_add(BESIDE_REQUEST_BYTES)).await?;
    let encoding = encoding(&headers);
    let refused = |message| ApiError::new(400, "GES.8000", message).into();
    match (text.is_empty(), parts.is_any()) {
        (false, true) if parts.cursor.is_none() && stop_after.is_none() => {
            by_request(&shared, graph, text, limit, encoding).await
        }
        (false, _) => Err(refused(
            "a request body and filters cannot be combined; omit the body, or all parameters \
             except limit",
        )),
        (true, true) => Err(refused(
            "nothing to search for; send a request as the body, or filters as parameters",
        )),
        (true, false) => {
            let parts = parts.limit(limit.unwrap_or(PAGE_JOBS_MAX)).newest_first();
            by_parts(&shared, graph, parts, stop_after, encoding).await
        }
    }
}

async fn by_request(
    shared: &RoutesState,
    graph: (String, String),
    text: String,
    limit: Option<u64>,
    encoding: Encoding,
) -> Answer {
    let project_id = graph.0.clone();
    let begun = shared.with_graph(graph, move |graph| -> Answer<_> {
        let mut matches = graph.find(&Request::from_json(&text)?)?;
        let mut left = limit.unwrap_or(u64::MAX);
        let found = lines(move |out| {
            let Some(job) = (left > 0).then(|| matches.next()).flatten() else {
                return Ok(false);
            };
            left -= 1;
            out.extend_from_slice(job?.to_json().as_bytes());
            out.push(b'\n');
            Ok(true)
        });
        Ok(BodySource::begin(found, encoding)?)
    });
    Ok(shared.respond(&project_id, begun.await?, LINES)?)
}

async fn by_parts(
    shared: &RoutesState,
    graph: (String, String),
    parts: JobQuery,
    stop_after_ms: Option<u64>,
    encoding: Encoding,
) -> Answer {
    let project_id = graph.0.clone();
    let place = shared.project_limits.scan(&project_id)?;
    let (watched, client) = oneshot::channel::<()>();
    let begun = shared.with_graph(graph, move |graph| -> Answer<_> {
        let _permit = place;
        let until =
            stop_after_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
        let searched = Arc::new(Mutex::new(None));
        let seen = searched.clone();
        let page = graph.list(parts.on_progress(move |searched| {
            *seen.lock() = Some(*searched);
            ends_if(watched.is_closed() || until.is_some_and(|until| until <= Instant::now()))
        }))?;
        let searched = *searched.lock();
        let next = page.next();
        let mut reader = JobReader::new();
        let found = lines(move |out| {
            let job = reader.next(graph.engine(), &graph.core, &page.snapshot)?;
            let Some(job) = job else {
                return Ok(false);
            };
            out.extend_from_slice(job.to_json().as_bytes());
            out.push(b'\n');
            Ok(true)
        });
        Ok((BodySource::begin(found, encoding)?, next, searched))
    });
    let (begun, next, searched) = begun.await?;
    // If the client disconnects, `client` is dropped before this point. The drop ends the search.
    drop(client);
    let mut response = shared.respond(&project_id, begun, LINES)?;
    let headers = response.headers_mut();
    put_next(headers, next);
    if let Some(ScanProgress { looked_at, of, .. }) = searched {
        if let Ok(searched) = HeaderValue::from_str(&format!("{looked_at}/{of}")) {
            headers.insert(SEARCHED, searched);
        }
    }
    Ok(response)
}
