//! Errors of the routes for operators.
//!
//! Contains [`Failure`]. A client gets the error of the GES API. On the control socket, it also
//! gets the details of internal faults, because an operator has to fix them.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::model::api_error::ApiError;
use crate::model::error::Error;

/// The header that contains the code of an [`Error`].
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// An error of a route for operators.
pub(crate) struct Failure {
    failure: ApiError,
    /// The [`Error`], if one was the cause.
    cause: Option<Cause>,
}

/// The code and the message of an [`Error`], as an extension of a response.
#[derive(Clone)]
struct Cause {
    code: &'static str,
    message: String,
}

pub(crate) type Answer<T = Response> = Result<T, Failure>;

impl From<ApiError> for Failure {
    fn from(failure: ApiError) -> Failure {
        Failure {
            failure,
            cause: None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let cause = Cause {
            code: error.code(),
            message: error.to_string(),
        };
        Failure {
            failure: ApiError::from(error),
            cause: Some(cause),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.failure.clone().into_response();
        if let Some(cause) = self.cause {
            response.extensions_mut().insert((cause, self.failure));
        }
        response
    }
}

/// Adds the code and the details of an [`Error`] to a response.
pub(crate) async fn with_details(mut response: Response) -> Response {
    let known = response.extensions_mut().remove::<(Cause, ApiError)>();
    let Some((cause, mut failure)) = known else {
        return response;
    };
    if failure.status >= 500 {
        failure.message = cause.message;
        // The other headers, such as the request id, stay.
        *response.body_mut() = failure.into_response().into_body();
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let code = HeaderValue::from_static(cause.code);
    response.headers_mut().insert(ERROR_CODE, code);
    response
}
