//! Converts results to HTTP responses.
//!
//! Contains [`RoutesState`], the state that all handlers share, and functions that move work off
//! the server's threads and send texts. A short text is sent whole, with its length. A long text
//! needs a slot; if none is free, it is refused before its first byte.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::api::graph::Graph;
use crate::api::store::JobStore;
use crate::http::auth::{Caller, Hook};
use crate::http::encoding::{Encoding, Wanted};
use crate::http::limits::{Limits, ProjectLimits};
use crate::http::run_cache::RunCache;
use crate::http::stream::{StartedBody, StreamedBody};
use crate::model::api_error::ApiError;
use crate::model::error::{Error, Result};

/// The state that all handlers share.
#[derive(Clone)]
pub(crate) struct RoutesState {
    pub(crate) store: JobStore,
    pub(crate) hook: Option<Hook>,
    pub(crate) limits: Limits,
    pub(crate) project_limits: Arc<ProjectLimits>,
    pub(crate) run_cache: Arc<RunCache>,
    /// Whether the clients may do whatever the store's user could do with the directory.
    pub(crate) is_control: bool,
}

impl RoutesState {
    /// Checks whether the caller may receive the response, before anything is looked up.
    pub(crate) async fn authorize(&self, caller: impl FnOnce() -> Caller) -> Result<(), ApiError> {
        match &self.hook {
            Some(hook) => hook.ask(caller()).await,
            None => Ok(()),
        }
    }

    /// Runs an operation on a graph, but not on the server's threads.
    pub(crate) async fn with_graph<T, E>(
        &self,
        (project_id, name): (String, String),
        work: impl FnOnce(Graph) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + From<ApiError> + Send + 'static,
    {
        let store = self.store.clone();
        blocking(move || work(store.graph(&project_id, &name)?)).await
    }

    /// The response to a client of this project, for a text whose first piece has been produced.
    pub(crate) fn respond(
        &self,
        project_id: &str,
        begun: StartedBody,
        kind: HeaderValue,
    ) -> Result<Response, ApiError> {
        let (body, encoding) = match begun {
            StartedBody::Whole(text, encoding) => (Body::from(text), encoding),
            StartedBody::Long(first, encoding, source) => {
                let source = source.with_permit(self.project_limits.long_page(project_id)?);
                let body = Body::new(StreamedBody::new(first, source, &self.limits));
                (body, encoding)
            }
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if let Some(encoding) = encoding.header() {
            headers.insert(header::CONTENT_ENCODING, encoding);
        }
        Ok(response)
    }
}

/// The encoding of the response to this request.
pub(crate) fn encoding(headers: &HeaderMap) -> Encoding {
    Wanted::of(headers).encoding
}

/// Runs work that reads or writes files.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<ApiError> + Send + 'static,
{
    let span = tracing::Span::current();
    let done = off_thread(&Handle::current(), move || span.in_scope(work)).await;
    done.unwrap_or_else(|_| {
        // The panic message may contain parts of a body.
        tracing::error!("request failed: the handler panicked");
        Err(ApiError::internal().into())
    })
}

/// Runs work on a thread that may block on files.
pub(crate) fn off_thread<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    #[cfg(feature = "simulation")]
    if crate::base::simulated::is_here() {
        // In a simulation, work is not moved to another thread: otherwise, the order of operations
        // would not depend only on the seed.
        return runtime.spawn(std::future::ready(work()));
    }
    runtime.spawn_blocking(work)
}

/// A short document.
pub(crate) fn json(text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, crate::http::api_error::JSON);
    response
}
