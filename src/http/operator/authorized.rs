//! Authorization of the routes for operators.
//!
//! Contains the middleware for a route of one graph, and [`visible_graphs`] for a route of all
//! graphs. The engine's hook is called before anything is looked up.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;

use crate::api::graph::Graph;
use crate::http::auth::{Caller, Permission};
use crate::http::operator::failure::Answer;
use crate::http::response::RoutesState;
use crate::model::api_error::ApiError;
use crate::model::query_string::QueryString;

/// Lets a request pass if the caller has the permission for the graph in its path.
pub(crate) async fn for_graph(
    State((shared, permission)): State<(RoutesState, Permission)>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Answer {
    // As for an unknown path: it is not UTF-8.
    let path = path.map_err(|_| ApiError::no_such_resource())?;
    let of = |name: &str| {
        let mut parameters = path.iter().filter(|(key, _)| *key == name);
        parameters.next().map(|(_, value)| value.to_owned())
    };
    let (parts, body) = request.into_parts();
    let permission = needed(permission, &parts);
    if !parts.method.is_safe() && is_from_other_site(&parts.headers) {
        return Err(ApiError::forbidden().into());
    }
    let caller = || Caller {
        graph_name: of("graph_name"),
        job_id: of("job_id"),
        ..Caller::of(&parts, permission, &of("project_id").unwrap_or_default())
    };
    shared.authorize(caller).await?;
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// The permission that a request needs. A filter on what requests contain reveals their contents to
/// the client, even if the response only counts the jobs that match; so does a tally by origin.
pub(crate) fn needed(permission: Permission, parts: &Parts) -> Permission {
    const CONTENTS: [&str; 6] = [
        "origin",
        "url_prefix",
        "url_contains",
        "body_contains",
        "body_pointer",
        "body_value",
    ];
    let reveals_contents = || {
        let query = QueryString::parse(parts.uri.query());
        query.is_ok_and(|mut query| {
            let is_filtered = CONTENTS.iter().any(|key| query.has(key));
            is_filtered || query.all("by").iter().any(|by| by == "origin")
        })
    };
    match permission {
        Permission::Observe if reveals_contents() => Permission::Read,
        permission => permission,
    }
}

/// Whether a browser sent the request for a page of another site. Without tokens, such a page could
/// change jobs.
fn is_from_other_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

/// The graphs for which the caller has a permission. The hook is asked for all projects first, and
/// if it forbids that, for each graph.
pub(crate) async fn visible_graphs(
    shared: &RoutesState,
    parts: &Parts,
    permission: Permission,
) -> Answer<Vec<Graph>> {
    let of_all = shared.authorize(|| Caller::of(parts, permission, ""));
    let is_for_all = match of_all.await {
        Ok(()) => true,
        Err(error) if error.status == 403 => false,
        Err(error) => return Err(error.into()),
    };
    let mut graphs = shared.store.graphs()?;
    if !is_for_all {
        let mut visible = Vec::new();
        for graph in graphs {
            let caller = || Caller {
                graph_name: Some(graph.name().to_owned()),
                ..Caller::of(parts, permission, graph.project_id())
            };
            if shared.authorize(caller).await.is_ok() {
                visible.push(graph);
            }
        }
        graphs = visible;
    }
    Ok(graphs)
}
