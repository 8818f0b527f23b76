//! What happened in the last hour, for each graph.

use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::request::Parts;
use serde_json::json;

use crate::api::graph::Graph;
use crate::base::clock;
use crate::http::api_error::JSON;
use crate::http::auth::Permission;
use crate::http::operator::authorized::visible_graphs;
use crate::http::operator::each_graph;
use crate::http::operator::failure::Answer;
use crate::http::operator::graphs::ALL_PROJECTS;
use crate::http::response::{RoutesState, blocking, encoding};
use crate::http::stream::BodySource;
use crate::model::error::Result;
use crate::model::job_counts::JobCounts;
use crate::model::outcome::OutcomeKind;
use crate::model::query_string::QueryString;

const STEP_MS: u64 = 5 * 60_000;
const STEPS: usize = 12;

pub(crate) async fn recent(State(shared): State<RoutesState>, parts: Parts) -> Answer {
    let graphs = visible_graphs(&shared, &parts, Permission::Observe).await?;
    QueryString::parse(parts.uri.query())?.end()?;
    let encoding = encoding(&parts.headers);
    let now = SystemTime::now();
    let text = each_graph::text(graphs, move |graph| document(graph, now));
    let begun = blocking(move || Answer::Ok(BodySource::begin(text, encoding)?));
    Ok(shared.respond(ALL_PROJECTS, begun.await?, JSON)?)
}

/// The counts of the last hour, and how many jobs completed in each 5 minutes of it. The hour ends
/// with the current 5 minutes.
fn document(graph: &Graph, now: SystemTime) -> Result<String> {
    let last = clock::to_ms(now) / STEP_MS;
    let start_ms = last.saturating_sub(STEPS as u64 - 1) * STEP_MS;
    let end = clock::from_ms((last + 1) * STEP_MS);
    let step = Duration::from_millis(STEP_MS);
    let points = graph.history(clock::from_ms(start_ms), end, step)?;
    let (mut counts, mut completed) = (JobCounts::default(), [0; STEPS]);
    for point in points {
        counts.add(&point.counts);
        let place = clock::to_ms(point.start).saturating_sub(start_ms) / STEP_MS;
        let kinds = OutcomeKind::ALL.iter();
        let jobs: u64 = kinds.map(|&kind| point.counts.completed(kind)).sum();
        if let Some(number) = completed.get_mut(place as usize) {
            *number += jobs;
        }
    }
    let document = json!({
        "projectId": graph.project_id(),
        "name": graph.name(),
        "start": start_ms,
        "counts": counts.json(),
        "completedPer5Minutes": completed,
    });
    Ok(document.to_string())
}
