//! The contract's routes, for an engine's own router.
//!
//! Owns: [`Routes`], and the paths. Must not know: what the answers hold.
//! Promise: each route can be mounted alone, and none of them answers for a path that is
//! not its own.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get};

use crate::api::store::JobStore;
use crate::http::api_error::wrong_method;
use crate::http::auth::{Access, Caller, Hook, Permission};
use crate::http::limits::{Limits, ProjectLimits};
use crate::http::middleware::around;
use crate::http::operations;
use crate::http::response::RoutesState;
use crate::model::api_error::ApiError;

const LIST: &str = "/ges/v1.0/{project_id}/graphs/{graph_name}/jobs/status";
const JOB: &str = "/ges/v1.0/{project_id}/graphs/{graph_name}/jobs/{job_id}/status";
const CANCEL: &str = "/ges/v1.0/{project_id}/graphs/{graph_name}/jobs/{job_id}";

/// The contract's routes over a store.
///
/// Every answer is JSON, `Cache-Control: no-store`, and has an `X-Request-Id`: the
/// client's own, if it is at most 128 characters of `[0-9A-Za-z-_.:/+=]`, or a new one;
/// the log's spans have it too. A method that a path does not take is a 405 in the
/// contract's form. There is no fallback: that is the engine's.
///
/// All routers of one `Routes` share its limits.
///
/// # Examples
/// ```
/// use jobstore::http::Routes;
/// # let store = jobstore::JobStore::in_memory()?;
/// let routes = Routes::new(&store);
/// // An engine that answers `GET .../jobs/{job_id}/status` itself takes the other two.
/// let app: axum::Router = axum::Router::new()
///     .merge(routes.list())
///     .merge(routes.cancel());
/// # drop(app);
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Routes {
    shared: RoutesState,
}

impl Routes {
    /// Routes that ask nobody who may see what: see [`Routes::authorize`]. They keep the
    /// store open.
    pub fn new(store: &JobStore) -> Routes {
        let limits = Limits::default();
        let shared = RoutesState {
            store: store.clone(),
            hook: None,
            project_limits: Arc::new(ProjectLimits::new(&limits)),
            limits,
        };
        Routes { shared }
    }

    /// Has the engine asked before each answer whether the caller may have it. Without a
    /// hook everybody may see all jobs of all projects, and call them off.
    ///
    /// The hook is asked before anything is looked up: whoever is refused cannot tell
    /// whether a graph or a job exists. A token that is good for one project must be
    /// [`Access::Forbidden`] for all others. Its time counts to [`Limits::first_byte`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::http::{Access, Routes};
    /// # let store = jobstore::JobStore::in_memory()?;
    /// # async fn project_of(token: &str) -> Option<String> { None }
    /// let routes = Routes::new(&store).authorize(|caller| async move {
    ///     let Some(token) = &caller.token else {
    ///         return Access::Unauthenticated;
    ///     };
    ///     match project_of(token.as_str()).await {
    ///         None => Access::Unauthenticated,
    ///         Some(project) if project == caller.project_id => Access::Granted,
    ///         Some(_) => Access::Forbidden,
    ///     }
    /// });
    /// # drop(routes);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn authorize<H, F>(mut self, hook: H) -> Routes
    where
        H: Fn(Caller) -> F + Send + Sync + 'static,
        F: Future<Output = Access> + Send + 'static,
    {
        self.shared.hook = Some(Hook::new(hook));
        self
    }

    /// What answers may take.
    pub fn limits(mut self, limits: Limits) -> Routes {
        self.shared.project_limits = Arc::new(ProjectLimits::new(&limits));
        self.shared.limits = limits;
        self
    }

    /// `GET .../jobs/status`: the list, and `HEAD`.
    ///
    /// Query keys: `offset`, `limit` and `job_id` as the contract says; and, without which
    /// the bytes are the page's own: `state`, `outcome` (each several times, or words
    /// between commas), `command`, `url_prefix`, `url_contains`, `body_contains` (each
    /// several times), `body_pointer` with `body_value` (pairs, in their order),
    /// `submitted_from`, `submitted_before`, `started_from`, `started_before`,
    /// `completed_from`, `completed_before` (milliseconds since 1970 or RFC 3339),
    /// `order=oldest_first|newest_first`, `cursor`, `limit_bytes`,
    /// `count_total=true`, `detail=true` ([`Page::detailed_chunks`] says what it adds).
    /// Any other key, or one with a value it does not take, is a 400 that names it.
    ///
    /// The header `X-Total-Count` says how many jobs the whole list has, where that is
    /// known, and `X-Next-Cursor` where it goes on. What is longer than 64 KiB comes in
    /// pieces, without `Content-Length`; gzip or zstd where the client asks for it.
    ///
    /// [`Page::detailed_chunks`]: crate::Page::detailed_chunks
    pub fn list<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.router(LIST, get(list).fallback(wrong_method))
    }

    /// `GET .../jobs/{job_id}/status`: one job's state, and `HEAD`.
    ///
    /// `{"jobId":"..","status":"..","submittedAt":..}` with the members that a detailed list
    /// has behind a request. `status` is `pending`, `running`, `success` for a job that
    /// succeeded, or `failed` for every other end, one that failed in part included:
    /// `outcome.kind` tells them apart. The service documents `offset` and `limit` for this
    /// path, too: they are checked as the list's are, and select nothing.
    pub fn job<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.router(JOB, get(job).fallback(wrong_method))
    }

    /// `DELETE .../jobs/{job_id}`: calls a job off.
    ///
    /// 200 `{}` once the request is durable: a pending job is complete then, a running one
    /// has been asked to stop. A job that is complete already is left as it is, which is
    /// no failure either: who asks twice gets one answer. (Beside [`Routes::list`] a job
    /// whose id is the word `status` cannot be called off: that path is the list's.)
    pub fn cancel<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.router(CANCEL, delete(cancel).fallback(wrong_method))
    }

    /// How the store does: `GET /health`, `/metrics` and `/openapi.json`, and `HEAD`.
    ///
    /// `/health` is `{"state":".."}`: 200 for `ok` and `degraded`, 503 for `read_only` and
    /// `closed`; `why` is told to who may know. `/metrics` is [`metrics()`] as Prometheus
    /// takes it; `/metrics?graphs=500` has series for as many graphs ([`metrics_of()`]),
    /// `/openapi.json` is [`openapi()`].
    ///
    /// Numbers and reasons are of all projects: the hook is asked with [`Permission::Observe`]
    /// and an empty [`Caller::project_id`] before they are told. The state and the document
    /// are told to everybody.
    ///
    /// [`metrics()`]: crate::http::metrics()
    /// [`metrics_of()`]: crate::http::metrics_of()
    /// [`openapi()`]: crate::http::openapi()
    pub fn operations<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        operations::router(self)
    }

    /// The contract's three: the list, one job's state, a cancellation.
    pub fn all<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.list().merge(self.job()).merge(self.cancel())
    }

    pub(crate) fn router<S>(&self, path: &str, methods: MethodRouter<RoutesState>) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let first_byte = Arc::new(self.shared.limits.first_byte);
        Router::new()
            .route(path, methods)
            .route_layer(from_fn_with_state(first_byte, around))
            .with_state(self.shared.clone())
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("store", &self.shared.store)
            .field("authorizes", &self.shared.hook.is_some())
            .field("limits", &self.shared.limits)
            .finish()
    }
}

type Graph = Result<Path<(String, String)>, PathRejection>;
type Job = Result<Path<(String, String, String)>, PathRejection>;

/// A path that is no text names nothing.
pub(crate) fn place<T>(path: Result<Path<T>, PathRejection>) -> Result<T, ApiError> {
    path.map(|Path(place)| place)
        .map_err(|_| ApiError::no_such_resource())
}

async fn list(
    State(shared): State<RoutesState>,
    path: Graph,
    parts: Parts,
) -> Result<Response, ApiError> {
    let graph = place(path)?;
    let caller = || Caller {
        graph_name: Some(graph.1.clone()),
        ..Caller::of(&parts, Permission::Read, &graph.0)
    };
    shared.authorize(caller).await?;
    shared.list(graph, parts.uri.query(), &parts.headers).await
}

async fn job(
    State(shared): State<RoutesState>,
    path: Job,
    parts: Parts,
) -> Result<Response, ApiError> {
    let (graph, id) = may(&shared, path, &parts, Permission::Read).await?;
    shared.job(graph, id, parts.uri.query()).await
}

async fn cancel(
    State(shared): State<RoutesState>,
    path: Job,
    parts: Parts,
) -> Result<Response, ApiError> {
    let (graph, id) = may(&shared, path, &parts, Permission::Cancel).await?;
    shared.cancel(graph, id, parts.uri.query()).await
}

/// The graph and the job, if the caller may do that.
async fn may(
    shared: &RoutesState,
    path: Job,
    parts: &Parts,
    permission: Permission,
) -> Result<((String, String), String), ApiError> {
    let (project_id, graph, id) = place(path)?;
    let caller = || Caller {
        graph_name: Some(graph.clone()),
        job_id: Some(id.clone()),
        ..Caller::of(parts, permission, &project_id)
    };
    shared.authorize(caller).await?;
    Ok(((project_id, graph), id))
}
