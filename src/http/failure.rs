//! The contract's failures as HTTP answers.
//!
//! Owns: how a [`Failure`] goes out, and the failures that only HTTP has. Must not know:
//! what fails.
//! Promise: every failure is the contract's document; a client that is turned away for
//! the moment is told when to come again.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::{Error, Failure, excerpt, excerpt_id};
use crate::http::around::{REQUEST_ID, request_id};

/// What every answer of this module is, if it is not said otherwise.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// When to come again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl Failure {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            status,
            code,
            message: message.into(),
        }
    }

    /// A parameter that cannot be taken.
    pub(crate) fn parameter(name: &str, given: &str, allowed: &str, remedy: &str) -> Failure {
        let (name, given) = (excerpt(name), excerpt(given));
        let message = format!("parameter {name} is {given:?}, it must be {allowed}; {remedy}");
        Failure::new(400, "GES.8000", message)
    }

    /// More is asked for than the engine takes at once, or it takes too long.
    pub(crate) fn overloaded() -> Failure {
        Failure::new(503, "GES.8602", "engine service unavailable")
    }

    pub(crate) fn fault() -> Failure {
        Failure::new(500, "GES.8302", "job query error")
    }

    pub(crate) fn not_found() -> Failure {
        Failure::new(404, "GES.8000", "no such resource")
    }

    pub(crate) fn unknown_job(id: &str) -> Failure {
        let message = format!("can not find job, jobId is {}", excerpt_id(id));
        Failure::new(400, "GES.8301", message)
    }

    pub(crate) fn unknown_job_to_cancel(id: &str) -> Failure {
        let message = format!("can not find job to cancel, id is {}", excerpt_id(id));
        Failure::new(400, "GES.8303", message)
    }
}

impl From<Error> for Failure {
    /// What the client is told; a fault's details are for the log.
    fn from(error: Error) -> Failure {
        let failure = error.failure();
        match failure.status {
            500 => tracing::error!(%error, "a request could not be answered"),
            503 => tracing::warn!(%error, "a request could not be answered"),
            _ => {}
        }
        failure
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == 503 {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// The contract's answer to a path that is none: 404 `no such resource`. It is a handler,
/// for the fallback of the engine's own router.
///
/// # Examples
/// ```
/// let app: axum::Router = axum::Router::new().fallback(jobstore::http::no_such_resource);
/// # drop(app);
/// ```
pub async fn no_such_resource(headers: HeaderMap) -> Response {
    let mut response = Failure::not_found().into_response();
    let id = request_id(&headers);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The contract has no word for a method that a path does not take; axum says which ones
/// it does.
pub(crate) async fn wrong_method() -> Response {
    let message = "the method is not allowed here; the header Allow names those that are";
    Failure::new(405, "GES.8000", message).into_response()
}
