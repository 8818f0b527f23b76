//! The OpenAPI document of the routes of the GES API.
//!
//! Contains [`openapi`], which returns the file `openapi.json` in this directory (OpenAPI 3.1).
//! Tests and `.ci/openapi` compare the responses with it.

/// Returns the OpenAPI 3.1 document, in JSON, for the routes that [`Routes`](crate::http::Routes)
/// creates.
///
/// # Examples
/// ```
/// assert!(jobstore::http::openapi().contains(r#""openapi": "3.1.0""#));
/// ```
#[must_use]
pub fn openapi() -> &'static str {
    include_str!("openapi.json")
}
