//! The graphs, with what is happening in them.
//!
//! Contains the routes for all graphs and for one. A graph is `{"projectId":"..","name":"..",..}`
//! with the members of its statistics.

use axum::extract::{RawQuery, State};
use axum::http::request::Parts;
use axum::response::Response;

use crate::api::graph::Graph;
use crate::http::api_error::JSON;
use crate::http::auth::Permission;
use crate::http::operator::authorized::visible_graphs;
use crate::http::operator::each_graph;
use crate::http::operator::failure::Answer;
use crate::http::operator::path::GraphPath;
use crate::http::response::{RoutesState, blocking, encoding, json};
use crate::http::routes::place;
use crate::http::stream::BodySource;
use crate::model::error::Result;
use crate::model::query_string::QueryString;

/// The slot for a long response is taken as if by a project without a name.
pub(crate) const ALL_PROJECTS: &str = "";

pub(crate) async fn all(State(shared): State<RoutesState>, parts: Parts) -> Answer {
    let graphs = visible_graphs(&shared, &parts, Permission::Observe).await?;
    QueryString::parse(parts.uri.query())?.end()?;
    let encoding = encoding(&parts.headers);
    let text = each_graph::text(graphs, document);
    let begun = blocking(move || Answer::Ok(BodySource::begin(text, encoding)?));
    Ok(shared.respond(ALL_PROJECTS, begun.await?, JSON)?)
}

pub(crate) async fn one(
    State(shared): State<RoutesState>,
    path: GraphPath,
    RawQuery(query): RawQuery,
) -> Answer<Response> {
    let graph = place(path)?;
    QueryString::parse(query.as_deref())?.end()?;
    let document = shared.with_graph(graph, |graph| Answer::Ok(document(&graph)?));
    Ok(json(document.await?))
}

fn document(graph: &Graph) -> Result<String> {
    Ok(graph.stats()?.to_json())
}
