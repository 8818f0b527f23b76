//! The document of the contract's routes.
//!
//! Owns: [`openapi`]. Must not know: the routes; tests and the gate hold the answers
//! against it.
//! Promise: it is the file `openapi.json` beside this one, OpenAPI 3.1.

/// The OpenAPI 3.1 document of the routes that [`Routes`](crate::http::Routes) makes, as
/// JSON.
///
/// # Examples
/// ```
/// assert!(jobstore::http::openapi().contains(r#""openapi": "3.1.0""#));
/// ```
#[must_use]
pub fn openapi() -> &'static str {
    include_str!("openapi.json")
}
