//! Canceling one job, or all jobs that match a filter.

use axum::extract::{Extension, RawQuery, State};
use serde_json::json;

use crate::api::lifecycle::Cancellation;
use crate::http::audit_log::{Actor, AuditEntry};
use crate::http::list::cancelled;
use crate::http::operator::bulk::{Bulk, Step};
use crate::http::operator::failure::{Answer, Failure};
use crate::http::operator::path::{GraphPath, JobPath};
use crate::http::response::{RoutesState, json as json_response};
use crate::http::routes::place;
use crate::model::query_string::QueryString;

pub(crate) async fn one(
    State(shared): State<RoutesState>,
    Extension(by): Extension<Actor>,
    path: JobPath,
    RawQuery(query): RawQuery,
) -> Answer {
    let (project_id, name, id) = place(path)?;
    QueryString::parse(query.as_deref())?.end()?;
    let done = shared.with_graph((project_id, name), move |graph| {
        cancelled::<Failure>(&graph, &id, by)
    });
    let word = match done.await? {
        Cancellation::CancelledBeforeStart => "beforeStart",
        Cancellation::Requested => "requested",
        Cancellation::AlreadyComplete(_) => "alreadyComplete",
    };
    Ok(json_response(json!({ "cancelled": word }).to_string()))
}

/// Cancels in steps, until all jobs are done or the time is over.
pub(crate) async fn all(
    State(shared): State<RoutesState>,
    Extension(by): Extension<Actor>,
    path: GraphPath,
    RawQuery(query): RawQuery,
) -> Answer {
    let bulk = Bulk::asked(&shared, path, query.as_deref())?;
    let done = bulk.run(&shared, move |graph, filter, is_dry, step: Step| {
        if is_dry {
            return Ok(graph.cancel_all_dry_run(filter)?);
        }
        let done = graph.cancel_all_while(filter, |_| step.flow())?;
        let act = AuditEntry {
            action: "cancel_all",
            graph: (graph.project_id(), graph.name()),
            job: None,
            by,
        };
        act.log(format_args!(
            "{} canceled, {} asked to stop",
            done.cancelled, done.requested
        ));
        Ok(done)
    });
    Ok(json_response(done.await?.to_json()))
}
