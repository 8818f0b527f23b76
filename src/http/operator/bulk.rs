//! Operations on all jobs that match a filter.
//!
//! Contains [`Bulk`], the request, and [`Step`], which ends an operation in time: its response must
//! begin before the client gets a response that the engine is unavailable. The response reports what
//! has been done, and the client can repeat the request.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::api::graph::Graph;
use crate::http::limits::Permit;
use crate::http::list::ends_if;
use crate::http::operator::failure::Answer;
use crate::http::operator::path::GraphPath;
use crate::http::response::RoutesState;
use crate::http::routes::place;
use crate::model::job_query::JobQuery;
use crate::model::query_string::QueryString;

/// A request: filters, and `dry_run`.
pub(crate) struct Bulk {
    graph: (String, String),
    filter: JobQuery,
    is_dry: bool,
    /// The slot of a scan, if one is needed.
    permit: Option<Permit>,
}

/// Whether an operation should continue after a step.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    until: Option<Instant>,
}

impl Step {
    /// Continues for this time.
    pub(crate) fn before(time: Duration) -> Step {
        let until = Instant::now().checked_add(time);
        Step { until }
    }

    pub(crate) fn flow(self) -> ControlFlow<()> {
        ends_if(self.until.is_some_and(|until| until <= Instant::now()))
    }
}

impl Bulk {
    pub(crate) fn asked(
        shared: &RoutesState,
        path: GraphPath,
        query: Option<&str>,
    ) -> Answer<Bulk> {
        let graph = place(path)?;
        let mut query = QueryString::parse(query)?;
        let filter = query.filter()?;
        let is_dry = query.flag("dry_run")?;
        query.end()?;
        let permit = match filter.scans() {
            true => Some(shared.project_limits.scan(&graph.0)?),
            false => None,
        };
        Ok(Bulk {
            graph,
            filter,
            is_dry,
            permit,
        })
    }

    /// Runs `work` with the graph, the filter, and whether nothing should be changed.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        shared: &RoutesState,
        work: impl FnOnce(&Graph, JobQuery, bool, Step) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let step = Step::before(shared.limits.first_byte / 2);
        let filter = self.filter.on_progress(move |_| step.flow());
        let (permit, is_dry) = (self.permit, self.is_dry);
        let done = shared.with_graph(self.graph, move |graph| {
            let _permit = permit;
            work(&graph, filter, is_dry, step)
        });
        done.await
    }
}
