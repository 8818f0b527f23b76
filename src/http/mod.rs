//! The job list over HTTP, for an engine that serves with [axum].
//!
//! A response is always a response of the GES job-list API: either a complete document or an error,
//! but never a part of a document that looks complete.
//!
//! [`Routes`] creates routers that an engine merges into its own router, all at once or one by one:
//!
//! | method and path | what |
//! |---|---|
//! | `GET /ges/v1.0/{project_id}/graphs/{graph_name}/jobs/status` | [`Routes::list`] |
//! | `GET /ges/v1.0/{project_id}/graphs/{graph_name}/jobs/{job_id}/status` | [`Routes::job`] |
//! | `DELETE /ges/v1.0/{project_id}/graphs/{graph_name}/jobs/{job_id}` | [`Routes::cancel`] |
//! | `GET /health`, `/metrics`, `/openapi.json` | [`Routes::operations`] |
//! | everything below `/jobstore/v1` | [`Routes::operator`] |
//!
//! Without a hook ([`Routes::authorize`]), requests are not authorized. [`Limits`] bounds what
//! responses may cost. A list is read in blocks as the client receives it, but not on the server's
//! threads. Therefore, a slow client costs only one block of memory. A client that stalls is
//! disconnected. A failure after the first bytes aborts the connection. If a client accepts gzip or
//! zstd, complete jobs are compressed once for many pages ([`Limits::compressed_cache_bytes`]).
//!
//! [`serve()`] is a server with limits that a bare `axum::serve` does not have.
//! [`no_such_resource`] is the 404 of the GES API, for an engine's fallback. [`openapi()`] is the
//! OpenAPI document of these routes, and [`metrics()`] returns the store's metrics for Prometheus.
//! With the feature `console`, `Console` is a web page for operators.
//! [`JobStore::control`](crate::JobStore::control) opens a socket for operators, with the same
//! routes and further ones.
//!
//! ```
//! use jobstore::http::{Access, Routes, no_such_resource};
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let store = jobstore::JobStore::open(dir)?;
//! let routes = Routes::new(&store).authorize(|caller| async move {
//!     match (caller.token.as_ref().map(|token| token.as_str()), caller.project_id.as_str()) {
//!         (None, _) => Access::Unauthenticated,
//!         (Some("s3cret"), "10001") => Access::Granted,
//!         (Some(_), _) => Access::Forbidden,
//!     }
//! });
//! let app: axum::Router = axum::Router::new()
//!     // .merge(the engine's own routes)
//!     .merge(routes.all())
//!     .fallback(no_such_resource);
//! # drop(app);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [axum]: https://docs.rs/axum

mod api_error;
mod audit_log;
mod auth;
mod compressed_page;
mod connection;
mod connection_slots;
#[cfg(feature = "console")]
mod console;
mod control_routes;
pub(crate) mod control_socket;
mod encoder;
mod encoding;
mod limits;
mod list;
mod metrics;
mod middleware;
mod openapi;
mod operations;
mod operator;
mod request_body;
mod response;
mod routes;
mod run_cache;
mod serve;
mod stream;

pub use self::api_error::{InvalidParameter, no_such_resource};
pub use self::auth::{Access, Caller, Permission, Token};
#[cfg(feature = "console")]
pub use self::console::Console;
#[cfg(feature = "simulation")]
pub(crate) use self::control_routes::routes_alone as control_routes;
pub use self::control_socket::Control;
pub use self::limits::Limits;
pub use self::metrics::{
    METRICS_CONTENT_TYPE, METRICS_GRAPHS, METRICS_GRAPHS_MAX, metrics, metrics_of,
};
pub use self::openapi::openapi;
pub use self::routes::Routes;
pub use self::serve::{Bounds, serve};
