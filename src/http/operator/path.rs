//! The parameters in the paths of the routes for operators.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;

/// The project and the graph.
pub(crate) type GraphPath = Result<Path<(String, String)>, PathRejection>;
/// The project, the graph, and the job.
pub(crate) type JobPath = Result<Path<(String, String, String)>, PathRejection>;
