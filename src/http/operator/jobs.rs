//! The jobs of a graph: a page, one job, and what remains of a purged job.
//!
//! A job is a line of an export with the progress of a running job.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;

use crate::base::clock::bounded;
use crate::http::list::{not_found, one};
use crate::http::operator::failure::{Answer, Failure};
use crate::http::operator::path::{GraphPath, JobPath};
use crate::http::response::{RoutesState, json};
use crate::http::routes::place;
use crate::model::api_error::ApiError;
use crate::model::query_string::QueryString;

/// A page, one job per line.
pub(crate) async fn page(
    State(shared): State<RoutesState>,
    path: GraphPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    Ok(shared
        .lines(place(path)?, query.as_deref(), &headers)
        .await?)
}

/// One job, immediately or once it is complete.
pub(crate) async fn job(
    State(shared): State<RoutesState>,
    path: JobPath,
    RawQuery(query): RawQuery,
) -> Answer {
    let (project_id, name, id) = place(path)?;
    let mut query = QueryString::parse(query.as_deref())?;
    let wait_ms = query.number("wait_ms", 1..=u64::MAX)?;
    query.end()?;
    let graph = (project_id, name);
    if let Some(ms) = wait_ms {
        wait(&shared, graph.clone(), id.clone(), ms).await?;
    }
    let found = shared.with_graph(graph, move |graph| {
        Answer::Ok(one::<Failure>(&graph, &id)?.to_json_with_progress())
    });
    Ok(json(found.await?))
}

/// Waits until a job is complete, but not so long that the response begins too late.
async fn wait(shared: &RoutesState, graph: (String, String), id: String, ms: u64) -> Answer<()> {
    let at_most = shared.limits.first_byte / 3;
    let time = bounded(Duration::from_millis(ms)).min(at_most);
    let completion = shared.with_graph(graph, move |graph| {
        graph
            .wait_async(&id)
            .map_err(|error| not_found::<Failure>(error, &id))
    });
    let ended = completion.await?.ended();
    tokio::time::timeout(time, ended).await.ok();
    Ok(())
}

/// When and why a job was purged.
pub(crate) async fn tombstone(
    State(shared): State<RoutesState>,
    path: JobPath,
    RawQuery(query): RawQuery,
) -> Answer {
    let (project_id, name, id) = place(path)?;
    QueryString::parse(query.as_deref())?.end()?;
    let found = shared.with_graph((project_id, name), move |graph| {
        let found = graph.tombstone(&id);
        let found = found.map_err(|error| not_found::<Failure>(error, &id))?;
        let tombstone = found.ok_or_else(|| ApiError::unknown_job(&id))?;
        Answer::Ok(tombstone.to_json())
    });
    Ok(json(found.await?))
}
