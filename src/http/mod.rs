//! The job list over HTTP, for an engine that serves with [axum].
//!
//! Owns: the table of contents of the feature `http`. Must not know: anything else.
//! Promise: what a client gets is the contract's answer or the contract's failure, and
//! never a part of one that looks like a whole.
//!
//! [`Routes`] makes routers that an engine merges into its own, all at once or one by one:
//!
//! | method and path | what |
//! |---|---|
//! | `GET /ges/v1.0/{project_id}/graphs/{graph_name}/jobs/status` | [`Routes::list`] |
//! | `GET /ges/v1.0/{project_id}/graphs/{graph_name}/jobs/{job_id}/status` | [`Routes::job`] |
//! | `DELETE /ges/v1.0/{project_id}/graphs/{graph_name}/jobs/{job_id}` | [`Routes::cancel`] |
//! | `GET /health`, `/metrics`, `/openapi.json` | [`Routes::operations`] |
//!
//! They check nobody until [`Routes::authorize`] is given a hook. What an answer may take
//! is bounded by [`Limits`]. A list is read block by block, off the threads that serve, as
//! the client takes it: a slow client costs a block of memory, and one that stalls is cut
//! off. Whatever fails after the first bytes aborts the connection.
//!
//! [`serve()`] listens, with bounds that a bare `axum::serve` does not have;
//! [`no_such_resource`] is the contract's 404, for an engine's fallback; [`openapi()`] the
//! document of these routes, [`metrics()`] the store's numbers for Prometheus.
//! [`JobStore::control`](crate::JobStore::control) opens the same and more to the people
//! who run the engine.
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
mod connection;
mod connection_slots;
mod control_routes;
pub(crate) mod control_socket;
mod encoding;
mod find;
mod limits;
mod list;
mod metrics;
mod middleware;
mod openapi;
mod operations;
mod query;
mod request_body;
mod response;
mod routes;
mod serve;
mod stream;

pub use self::api_error::{InvalidParameter, no_such_resource};
pub use self::auth::{Access, Caller, Permission, Token};
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
