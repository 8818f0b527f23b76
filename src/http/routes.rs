//! The routes of the GES job-list API, for an engine's own router.
//!
//! Contains [`Routes`] and the paths. Each route can be mounted alone, and no route responds to a
//! path other than its own.

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
use crate::http::run_cache::RunCache;
use crate::model::api_error::ApiError;

const LIST: &str = "/ges/v1.0/{project_id}/graphs/{graph_name}/jobs/status";
const JOB: &str = "/ges/v1.0/{project_id}/graphs/{graph_name}/jobs/{job_id}/status";
const CANCEL: &str = "/ges/v1.0/{project_id}/graphs/{graph_name}/jobs/{job_id}";

/// The routes of the GES job-list API for a store.
///
/// Every response is JSON with `Cache-Control: no-store` and an `X-Request-Id`: the client's own
/// id, if it consists of at most 128 characters of `[0-9A-Za-z-_.:/+=]`, or a new one. The id is
/// also in the log's spans. If a request's method is not accepted by its path, the response is a
/// 405 in the format of the API. The engine provides the fallback for unknown paths.
///
/// All routers created from one `Routes` share its limits and its cache of compressed jobs
/// ([`Limits::compressed_cache_bytes`]).
///
/// # Examples
/// ```
/// use jobstore::http::Routes;
/// # let store = jobstore::JobStore::in_memory()?;
/// let routes = Routes::new(&store);
/// // This engine serves `GET .../jobs/{job_id}/status` itself, and mounts the other two.
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
    /// Creates routes without authorization; see [`Routes::authorize`]. They keep the store open.
    pub fn new(store: &JobStore) -> Routes {
        let limits = Limits::default();
        let shared = RoutesState {
            store: store.clone(),
            hook: None,
            project_limits: Arc::new(ProjectLimits::new(&limits)),
            run_cache: Arc::new(RunCache::new(limits.compressed_cache_bytes)),
            is_control: false,
            limits,
        };
        Routes { shared }
    }

    /// Sets a hook that decides for each request whether the caller may receive the response.
    /// Without a hook, anyone can read and cancel any job of any project.
    ///
    /// The hook is called before anything is looked up, so a refused caller cannot tell whether a
    /// graph or a job exists. For a token that is valid for one project, the hook must return
    /// [`Access::Forbidden`] for all other projects. The hook's time counts toward
    /// [`Limits::first_byte`].
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

    /// Sets the limits on what responses may cost.
    pub fn limits(mut self, limits: Limits) -> Routes {
        self.shared.project_limits = Arc::new(ProjectLimits::new(&limits));
        self.shared.run_cache = Arc::new(RunCache::new(limits.compressed_cache_bytes));
        self.shared.limits = limits;
        self
    }

    /// `GET .../jobs/status`: the list. `HEAD` is supported.
    ///
    /// Query parameters: `offset`, `limit`, and `job_id`, as in the GES API. Additional parameters:
    /// `state` and `outcome` (each may be repeated, or contain several words separated by commas),
    /// `command`, `origin`, `url_prefix`, `url_contains`, `body_contains` (may be repeated),
    /// `body_pointer` with `body_value` (pairs, in order), `submitted_from`, `submitted_before`,
    /// `started_from`, `started_before`, `completed_from`, `completed_before` (milliseconds since
    /// 1970 or RFC 3339), `order=oldest_first|newest_first`, `cursor`, `limit_bytes`,
    /// `count_total=true`, and `detail=true` (see [`Page::detailed_chunks`]). Without the additional
    /// parameters, the body is exactly the bytes of the page. The response to an unknown parameter or
    /// an invalid value is a 400 that names the parameter.
    ///
    /// The header `X-Total-Count` is the number of jobs in the whole list, if known.
    /// `X-Next-Cursor` is the cursor of the next page, if there is one. `X-As-Of-Lsn` is
    /// [`Page::as_of_lsn`](crate::Page::as_of_lsn) and, if the store is a follower, `X-Lag-Ms` is
    /// [`JobStore::lag`] in milliseconds. Responses longer than 64
    /// KiB are sent in chunks, without `Content-Length`, and compressed with gzip or zstd if the
    /// client accepts that.
    ///
    /// [`Page::detailed_chunks`]: crate::Page::detailed_chunks
    pub fn list<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.router(LIST, get(list).fallback(wrong_method))
    }

    /// `GET .../jobs/{job_id}/status`: the state of one job. `HEAD` is supported.
    ///
    /// The response is `{"jobId":"..","status":"..","submittedAt":..}`, with the members that
    /// follow the request in a detailed list. `status` is `pending`, `running`, `success` for a job
    /// that succeeded, or `failed` for every other outcome, including a partial failure;
    /// `outcome.kind` distinguishes these outcomes. The GES API documents `offset` and `limit` for
    /// this path as well: they are checked as in the list, but have no effect.
    pub fn job<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.router(JOB, get(job).fallback(wrong_method))
    }

    /// `DELETE .../jobs/{job_id}`: cancels a job.
    ///
    /// The response is 200 `{}` once the cancellation is durable: by then, a pending job is
    /// complete, and a running job has been asked to stop. A complete job is left unchanged. This
    /// is not an error, so a retry returns the same response. (With [`Routes::list`] mounted, a job
    /// whose id is `status` cannot be canceled: that path belongs to the list.)
    pub fn cancel<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.router(CANCEL, delete(cancel).fallback(wrong_method))
    }

    /// Health and metrics of the store: `GET /health`, `/metrics`, and `/openapi.json`. `HEAD` is
    /// supported.
    ///
    /// `/health` returns `{"state":".."}`, with the status 200 for `ok` and `degraded`, and 503 for
    /// `read_only` and `closed`. For authorized callers, `why` is included. `/metrics` returns
    /// [`metrics()`] for Prometheus, and `/metrics?graphs=500` includes series for up to 500 graphs
    /// ([`metrics_of()`]). `/openapi.json` returns [`openapi()`].
    ///
    /// Metrics and `why` may concern any project, so before they are returned, the hook is called
    /// with [`Permission::Observe`] and an empty [`Caller::project_id`]. The state and the OpenAPI
    /// document are public.
    ///
    /// [`metrics()`]: crate::http::metrics()
    /// [`metrics_of()`]: crate::http::metrics_of()
    /// [`openapi()`]: crate::http::openapi()
    pub fn operations<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        operations::router(self)
    }

    /// All three routes of the GES API: the list, the state of one job, and cancellation.
    pub fn all<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.list().merge(self.job()).merge(self.cancel())
    }

    /// Allows whatever the store's user could do with the directory.
    pub(crate) fn for_control(mut self) -> Routes {
        self.shared.is_control = true;
        self
    }

    pub(crate) fn state(&self) -> &RoutesState {
        &self.shared
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

/// Returns the parameters in the path. If the path is not UTF-8, returns the error for an unknown
/// path.
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

/// Returns the names of the graph and the job if the caller is authorized.
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
