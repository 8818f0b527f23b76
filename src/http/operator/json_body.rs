//! JSON in the body of a request.

use axum::body::Body;
use serde::de::DeserializeOwned;

use crate::http::request_body;
use crate::model::api_error::ApiError;

/// The maximum size of a body that is not a job's request.
pub(crate) const BODY_BYTES_MAX: u64 = 128 << 10;

/// Parses a JSON body. The error for an invalid body does not quote it.
pub(crate) async fn document<T: DeserializeOwned>(
    body: Body,
    allowed: &str,
) -> Result<T, ApiError> {
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
