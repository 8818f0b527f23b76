//! What the caller may do with a graph.
//!
//! The engine's hook is called once for each permission, as it is for a request that needs the
//! permission, before the graph is looked up.

use axum::extract::State;
use axum::http::request::Parts;
use serde_json::json;

use crate::http::auth::{Caller, Permission};
use crate::http::operator::failure::Answer;
use crate::http::operator::path::GraphPath;
use crate::http::response::{RoutesState, json as json_response};
use crate::http::routes::place;
use crate::model::query_string::QueryString;

/// The permissions that are granted. A caller that has none gets the hook's refusal.
pub(crate) async fn of_graph(
    State(shared): State<RoutesState>,
    path: GraphPath,
    parts: Parts,
) -> Answer {
    let (project_id, graph_name) = place(path)?;
    let (mut granted, mut refusal) = (Vec::new(), None);
    for permission in Permission::ALL {
        let caller = || Caller {
            graph_name: Some(graph_name.clone()),
            method: Caller::new(permission, "").method,
            ..Caller::of(&parts, permission, &project_id)
        };
        match shared.authorize(caller).await {
            Ok(()) => granted.push(permission.as_str()),
            Err(error) => refusal = Some(error),
        }
    }
    if let Some(refusal) = refusal.filter(|_| granted.is_empty()) {
        return Err(refusal.into());
    }
    QueryString::parse(parts.uri.query())?.end()?;
    let graph = (project_id, graph_name);
    shared.with_graph(graph, |_| Answer::Ok(())).await?;
    Ok(json_response(json!({"permissions": granted}).to_string()))
}
