//! Spans of the calls about a graph's jobs.
//!
//! Owns: their names' form and what they tell: project, graph, job. Must not know: what
//! the calls do.
//! Promise: ids, never requests; nothing is done for a span that nobody listens to.

/// Enters the span of a graph's call, which is left when the result is dropped; of one
/// about a job where an id is given, as it was given.
macro_rules! call_span {
    ($name:literal, $graph:expr) => {
        tracing::debug_span!($name, project = $graph.project_id(), graph = $graph.name()).entered()
    };
    ($name:literal, $graph:expr, $id:expr) => {
        tracing::debug_span!(
            $name,
            project = $graph.project_id(),
            graph = $graph.name(),
            job = crate::model::error::excerpt_id($id),
        )
        .entered()
    };
}

pub(crate) use call_span;
