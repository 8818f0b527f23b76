//! Health and metrics of the store, for monitoring.
//!
//! Contains the routes of [`Routes::operations`]. Data about all projects is returned only to
//! callers that may see all projects. Files are not read on the server's threads.

use axum::Router;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::http::api_error::wrong_method;
use crate::http::auth::{Caller, Permission};
use crate::http::metrics::{METRICS_CONTENT_TYPE, METRICS_GRAPHS, METRICS_GRAPHS_MAX, metrics_of};
use crate::http::openapi::openapi;
use crate::http::response::{RoutesState, blocking, json as json_response};
use crate::http::routes::Routes;
use crate::model::api_error::ApiError;
use crate::model::health::Health;
use crate::model::query_string::QueryString;

pub(crate) fn router<S: Clone + Send + Sync + 'static>(routes: &Routes) -> Router<S> {
    [
        ("/health", get(health)),
        ("/metrics", get(numbers)),
        ("/openapi.json", get(document)),
    ]
    .into_iter()
    .fold(Router::new(), |all, (path, methods)| {
        all.merge(routes.router(path, methods.fallback(wrong_method)))
    })
}

/// Whether the caller may see data about all projects.
async fn may_know(shared: &RoutesState, parts: &Parts) -> Result<(), ApiError> {
    let caller = || Caller::of(parts, Permission::Observe, "");
    shared.authorize(caller).await
}

async fn health(State(shared): State<RoutesState>, parts: Parts) -> Result<Response, ApiError> {
    let store = shared.store.clone();
    let health = blocking(move || Ok::<_, ApiError>(store.health())).await?;
    let mut error = json!({ "state": health.as_str() });
    if let Health::Degraded { why } | Health::ReadOnly { why, .. } = &health {
        if may_know(&shared, &parts).await.is_ok() {
            error["why"] = why.as_ref().into();
        }
    }
    let mut response = json_response(error.to_string());
    if matches!(health, Health::ReadOnly { .. } | Health::Closed) {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

async fn numbers(State(shared): State<RoutesState>, parts: Parts) -> Result<Response, ApiError> {
    may_know(&shared, &parts).await?;
    let mut query = QueryString::parse(parts.uri.query())?;
    let graphs = query.number("graphs", 0..=METRICS_GRAPHS_MAX as u64)?;
    query.end()?;
    let graphs = graphs.map_or(METRICS_GRAPHS, |graphs| graphs as usize);
    let text = blocking(move || Ok::<_, ApiError>(metrics_of(&shared.store, graphs)?)).await?;
    let mut response = json_response(text);
    let kind = HeaderValue::from_static(METRICS_CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

async fn document() -> Response {
    json_response(openapi())
}
