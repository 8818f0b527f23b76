//! Purging complete jobs that match a filter.

use axum::extract::{Extension, RawQuery, State};
use serde_json::json;

use crate::http::audit_log::{Actor, AuditEntry};
use crate::http::operator::bulk::{Bulk, Step};
use crate::http::operator::failure::Answer;
use crate::http::operator::path::GraphPath;
use crate::http::response::{RoutesState, json as json_response};

/// Purges in steps, until all jobs are done or the time is over.
pub(crate) async fn purge(
    State(shared): State<RoutesState>,
    Extension(by): Extension<Actor>,
    path: GraphPath,
    RawQuery(query): RawQuery,
) -> Answer {
    let bulk = Bulk::asked(&shared, path, query.as_deref())?;
    let purged = bulk.run(&shared, move |graph, filter, is_dry, step: Step| {
        if is_dry {
            return Ok(graph.purge_dry_run(filter)?);
        }
        let purged = graph.purge_while(filter, |_| step.flow())?;
        let act = AuditEntry {
            action: "purge",
            graph: (graph.project_id(), graph.name()),
            job: None,
            by,
        };
        act.log(format_args!("{} jobs", purged.jobs));
        Ok(purged)
    });
    let purged = purged.await?;
    let mut document = json!({ "jobs": purged.jobs });
    if purged.stopped {
        document["isPartial"] = true.into();
    }
    Ok(json_response(document.to_string()))
}
