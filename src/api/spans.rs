// Tracing spans for the calls on a graph's jobs. They contain the project, the graph, and the job
// id, but never a request. They cost nothing if no subscriber is interested.

/// Enters the span of a call on a graph, and leaves it when the result is dropped. If an id is
/// given, the span contains it as given.
macro_rules! call_span {
    ($name:literal, $graph:expr) => {
        tracing::debug_span!($name, project = $graph.project_id(), graph = $graph.name()).entered()
    };
    ($name:literal, $graph:expr, $id:expr) => {
        tracing::debug_span!(
            $name,
            project = $graph.project_id(),
            graph = $graph.name(),
            job = crate::model::id::excerpt_id($id),
        )
        .entered()
    };
}

pub(crate) use call_span;
