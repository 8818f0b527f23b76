//! The middleware around every request: a request id, a span, a timeout, and headers.
//!
//! Contains request ids and the logging of requests. Every request is answered, and every response
//! includes the request id that appears in the log. No part of a query, a token, or a body is
//! logged.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use crate::base::random;
use crate::model::api_error::ApiError;
use crate::model::error::excerpt_over;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The maximum length of a request id from a client. A longer id is replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The maximum time until a response begins.
pub(crate) type FirstByteTimeout = Arc<Duration>;

pub(crate) async fn around(
    State(first_byte): State<FirstByteTimeout>,
    request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers());
    let span = tracing::info_span!(
        "http",
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = %excerpt_path(request.uri().path()),
    );
    let begun = Instant::now();
    let answered = tokio::time::timeout(*first_byte, next.run(request));
    let answered = caught(answered.instrument(span.clone())).await;
    let _in_span = span.enter();
    let mut response = match answered {
        Some(Ok(response)) => response,
        Some(Err(_)) => {
            tracing::warn!("the response took too long to begin");
            ApiError::unavailable().into_response()
        }
        None => {
            tracing::error!("request failed: the handler panicked");
            ApiError::internal().into_response()
        }
    };
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    tracing::debug!(status, ?took, "response sent");
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The result of the work, or `None` if the work panics. (The engine's hook may panic.) The panic
/// message is not logged, because it may contain a token.
async fn caught<F: Future>(work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

/// The client's request id, if it is safe to log, or a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    let given = headers.get(REQUEST_ID).filter(|id| {
        let bytes = id.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(is_plain)
    });
    if let Some(id) = given {
        return id.clone();
    }
    // If no random numbers are available, all these ids are equal. This affects only the log.
    let random = random::random().unwrap_or_default();
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    HeaderValue::from_str(&id.to_string()).unwrap_or(HeaderValue::from_static("-"))
}

fn excerpt_path(path: &str) -> String {
    const PATH_BYTES_MAX: usize = 512;
    excerpt_over(PATH_BYTES_MAX, path)
}
