//! The statistics of the store.

use axum::extract::{RawQuery, State};
use axum::http::request::Parts;

use crate::http::auth::{Caller, Permission};
use crate::http::operator::failure::Answer;
use crate::http::response::{RoutesState, blocking, json};
use crate::model::query_string::QueryString;

/// The statistics without those of each graph, for callers that may see all projects.
pub(crate) async fn store(State(shared): State<RoutesState>, parts: Parts) -> Answer {
    shared
        .authorize(|| Caller::of(&parts, Permission::Observe, ""))
        .await?;
    QueryString::parse(parts.uri.query())?.end()?;
    let stats = blocking(move || Answer::Ok(shared.store.stats_of(0)?.to_json()));
    Ok(json(stats.await?))
}

/// The statistics, with those of each graph.
pub(crate) async fn stats(State(shared): State<RoutesState>, RawQuery(query): RawQuery) -> Answer {
    QueryString::parse(query.as_deref())?.end()?;
    let stats = blocking(move || Answer::Ok(shared.store.stats()?.to_json()));
    Ok(json(stats.await?))
}
