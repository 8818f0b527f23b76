//! Errors as HTTP responses.
//!
//! Contains the conversion of an [`ApiError`] into a response, and the errors specific to the HTTP
//! API. Every error is a document of the GES job-list API. If a client is refused only temporarily,
//! the response includes a `Retry-After` header.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::middleware::{REQUEST_ID, request_id};
use crate::model::api_error::ApiError;
use crate::model::error::{Error, invalid_value};
use crate::model::id::excerpt_id;

/// The default content type of the responses of this module.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The value of `Retry-After`, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The errors specific to the HTTP API. An engine can use them in its own routes. Each one can be
/// returned as a response.
///
/// # Examples
/// ```
/// use axum::http::HeaderMap;
/// use jobstore::ApiError;
///
/// async fn tasks(headers: HeaderMap) -> Result<String, ApiError> {
///     match headers.get("x-auth-token") {
///         None => Err(ApiError::unauthenticated()),
///         Some(_) => Ok("[]".to_owned()),
///     }
/// }
/// let app: axum::Router = axum::Router::new().route("/tasks", axum::routing::get(tasks));
/// # drop(app);
/// ```
impl ApiError {
    /// Creates another error of the GES API, or one of the engine's own errors.
    #[must_use]
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError {
            status,
            code,
            message: message.into(),
            retry: false,
        }
    }

    /// 401 `GES.8007`: the token is missing or unknown.
    #[must_use]
    pub fn unauthenticated() -> ApiError {
        ApiError::new(401, "GES.8007", "invalid or missing token")
    }

    /// 403 `GES.8020`: the token belongs to another project.
    #[must_use]
    pub fn forbidden() -> ApiError {
        ApiError::new(403, "GES.8020", "no permission")
    }

    /// 404 `GES.8000`: there is no such path.
    #[must_use]
    pub fn no_such_resource() -> ApiError {
        ApiError::new(404, "GES.8000", "no such resource")
    }

    /// 500 `GES.8302`: an internal fault; its details are only in the log.
    #[must_use]
    pub fn internal() -> ApiError {
        ApiError::new(500, "GES.8302", "job query error")
    }

    /// 503 `GES.8602`: the engine is overloaded, or the request timed out.
    #[must_use]
    pub fn unavailable() -> ApiError {
        ApiError {
            retry: true,
            ..ApiError::new(503, "GES.8602", "engine service unavailable")
        }
    }

    /// 400 `GES.8301`: there is no job with this id.
    #[must_use]
    pub fn unknown_job(id: &str) -> ApiError {
        let message = format!("can not find job, jobId is {}", excerpt_id(id));
        ApiError::new(400, "GES.8301", message)
    }

    /// 400 `GES.8303`: there is no job with this id to cancel.
    #[must_use]
    pub fn unknown_job_to_cancel(id: &str) -> ApiError {
        let message = format!("can not find job to cancel, id is {}", excerpt_id(id));
        ApiError::new(400, "GES.8303", message)
    }
}

/// 400 `GES.8000`: an invalid parameter. This converts into an [`ApiError`]; its message shows at
/// most the beginning of the given value.
///
/// # Examples
/// ```
/// use jobstore::ApiError;
/// use jobstore::http::InvalidParameter;
///
/// let error = ApiError::from(InvalidParameter {
///     name: "depth",
///     given: "many",
///     allowed: "an integer from 1 to 9",
///     remedy: "correct or omit it",
/// });
/// assert_eq!((error.status, error.code), (400, "GES.8000"));
/// assert_eq!(
///     error.message,
///     r#"invalid value "many" for parameter depth: it must be an integer from 1 to 9; correct or omit it"#
/// );
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InvalidParameter<'a> {
    /// The parameter's name.
    pub name: &'a str,
    /// The value in the request.
    pub given: &'a str,
    /// What is allowed: a phrase that continues "it must be".
    pub allowed: &'a str,
    /// What the client can do, in the imperative.
    pub remedy: &'a str,
}

impl From<InvalidParameter<'_>> for ApiError {
    fn from(parameter: InvalidParameter<'_>) -> ApiError {
        let InvalidParameter {
            name,
            given,
            allowed,
            remedy,
        } = parameter;
        let message = invalid_value(name, given, allowed, remedy);
        ApiError::new(400, "GES.8000", message)
    }
}

impl From<Error> for ApiError {
    /// Returns the error as the client sees it. The details of an internal fault are only logged.
    fn from(error: Error) -> ApiError {
        let failure = error.api_error();
        match failure.status {
            500 => tracing::error!(%error, "request failed"),
            503 => tracing::warn!(%error, "request failed"),
            _ => {}
        }
        failure
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.retry {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// The response of the GES API for an unknown path: 404 `no such resource`. This is a handler, for
/// the fallback of the engine's own router.
///
/// # Examples
/// ```
/// let app: axum::Router = axum::Router::new().fallback(jobstore::http::no_such_resource);
/// # drop(app);
/// ```
pub async fn no_such_resource(headers: HeaderMap) -> Response {
    let mut response = ApiError::no_such_resource().into_response();
    let id = request_id(&headers);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The response to a method that the path does not accept. The GES API defines no error for this.
/// axum lists the accepted methods in `Allow`.
pub(crate) async fn wrong_method() -> Response {
    let message = "method not allowed; the Allow header lists the allowed methods";
    ApiError::new(405, "GES.8000", message).into_response()
}
