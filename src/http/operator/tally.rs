//! Counting the jobs of one graph, or of all graphs, by a property.

use axum::extract::{RawQuery, State};
use axum::http::request::Parts;

use crate::http::auth::Permission;
use crate::http::limits::Permit;
use crate::http::operator::authorized::{needed, visible_graphs};
use crate::http::operator::bulk::Step;
use crate::http::operator::failure::Answer;
use crate::http::operator::graphs::ALL_PROJECTS;
use crate::http::operator::path::GraphPath;
use crate::http::response::{RoutesState, blocking, json};
use crate::http::routes::place;
use crate::model::job_query::JobQuery;
use crate::model::tally::TallyBy;
use crate::model::tally_request::TallyRequest;

/// The tally is partial if it is not ready in time.
pub(crate) async fn tally(
    State(shared): State<RoutesState>,
    path: GraphPath,
    RawQuery(query): RawQuery,
) -> Answer {
    let graph = place(path)?;
    let counting = Counting::begin(&shared, &graph.0, query.as_deref())?;
    let tally = shared.with_graph(graph, move |graph| {
        Answer::Ok(graph.tally(counting.query, counting.by)?.to_json())
    });
    Ok(json(tally.await?))
}

/// The tally of all graphs that the client may observe, or may read if the tally reveals what
/// requests contain.
pub(crate) async fn of_all(State(shared): State<RoutesState>, parts: Parts) -> Answer {
    let permission = needed(Permission::Observe, &parts);
    let graphs = visible_graphs(&shared, &parts, permission).await?;
    let counting = Counting::begin(&shared, ALL_PROJECTS, parts.uri.query())?;
    let store = shared.store.clone();
    let tally = blocking(move || {
        let tally = store.tally(&graphs, counting.query, counting.by)?;
        Answer::Ok(tally.to_json())
    });
    Ok(json(tally.await?))
}

/// What is counted, and the permit of a scan, which ends with the count.
struct Counting {
    query: JobQuery,
    by: TallyBy,
    _permit: Option<Permit>,
}

impl Counting {
    fn begin(shared: &RoutesState, project_id: &str, query: Option<&str>) -> Answer<Counting> {
        let TallyRequest { query, by } = query.unwrap_or_default().parse()?;
        let permit = match query.scans() || by != TallyBy::State {
            true => Some(shared.project_limits.scan(project_id)?),
            false => None,
        };
        let step = Step::before(shared.limits.first_byte / 2);
        Ok(Counting {
            query: query.on_progress(move |_| step.flow()),
            by,
            _permit: permit,
        })
    }
}
