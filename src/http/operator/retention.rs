//! The retention policy of a graph.
//!
//! A policy can be read and replaced. Clients of other machines cannot choose a directory into
//! which the engine writes archives.

use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};

use crate::api::graph::Graph;
use crate::http::audit_log::{Actor, AuditEntry};
use crate::http::operator::failure::Answer;
use crate::http::operator::json_body::BODY_BYTES_MAX;
use crate::http::operator::path::GraphPath;
use crate::http::request_body;
use crate::http::response::{RoutesState, json};
use crate::http::routes::place;
use crate::model::api_error::ApiError;
use crate::model::query_string::QueryString;
use crate::model::retention::Retention;

pub(crate) async fn get(
    State(shared): State<RoutesState>,
    path: GraphPath,
    RawQuery(query): RawQuery,
) -> Answer {
    let graph = place(path)?;
    QueryString::parse(query.as_deref())?.end()?;
    let policy = shared.with_graph(graph, |graph| Answer::Ok(document(&graph)));
    Ok(json(policy.await?))
}

/// Sets a policy, or none for `null`. Returns the policy that is in effect.
pub(crate) async fn put(
    State(shared): State<RoutesState>,
    Extension(by): Extension<Actor>,
    path: GraphPath,
    RawQuery(query): RawQuery,
    body: Body,
) -> Answer {
    let graph = place(path)?;
    QueryString::parse(query.as_deref())?.end()?;
    let text = request_body::text(body, BODY_BYTES_MAX).await?;
    let policy = match text.trim() {
        "null" => None,
        text => Some(Retention::from_json(text)?),
    };
    let may_archive = shared.is_control;
    let policy = shared.with_graph(graph, move |graph| {
        if !may_archive && archive(policy.as_ref()) != archive(graph.retention().as_ref()) {
            let message = "archiveTo and archiveFileBytes can only be changed by the engine; \
                 repeat the values of the current policy, or omit them if it has none";
            return Err(ApiError::new(400, "GES.8000", message).into());
        }
        graph.set_retention(policy)?;
        let policy = document(&graph);
        let act = AuditEntry {
            action: "set_retention",
            graph: (graph.project_id(), graph.name()),
            job: None,
            by,
        };
        act.log(&policy);
        Answer::Ok(policy)
    });
    Ok(json(policy.await?))
}

fn document(graph: &Graph) -> String {
    let policy = graph.retention();
    policy.map_or_else(|| "null".to_owned(), |policy| policy.to_json())
}

/// Where and how a policy archives jobs.
#[cfg(feature = "archive")]
fn archive(policy: Option<&Retention>) -> Option<(std::path::PathBuf, u64)> {
    let policy = policy?;
    let directory = policy.archive.as_ref()?.0.clone();
    Some((directory, policy.archive_file_bytes))
}

#[cfg(not(feature = "archive"))]
fn archive(_: Option<&Retention>) -> Option<()> {
    None
}
